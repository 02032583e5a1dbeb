"""Statistics that are followed over training: quantiles, the last values, a buffer; state first."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Window(NamedTuple):
    """The last ``K`` numbers."""

    values: jax.Array  # float32 [K], the newest last
    count: jax.Array  # int32 []: how many there have been


def window(size: int) -> Window:
    """An empty window."""
    return Window(jnp.zeros(size), jnp.zeros((), jnp.int32))


def window_push(state: Window, value: jax.Array) -> Window:
    """The window with one more number; the oldest leaves."""
    return Window(jnp.roll(state.values, -1).at[-1].set(value), state.count + 1)


def window_z(state: Window, value: jax.Array, min_std: float = 0.02) -> jax.Array:
    """``(value - mean) / std`` of what is in a full window, 0 before it is full.

    Args:
      state: the window, without the value.
      value: ``[]``.
      min_std: floor of the deviation, whose estimate from a few values can be anything.
    """
    full = state.count >= state.values.shape[0]
    std = jnp.maximum(jnp.std(state.values, ddof=1), min_std)
    return jnp.where(full, (value - jnp.mean(state.values)) / std, 0.0)


class Ring(NamedTuple):
    """A buffer of the last ``N`` values that came in batches."""

    values: jax.Array  # float32 [N]
    cursor: jax.Array  # int32 []: where the next one goes
    count: jax.Array  # int32 []: how many are there


def ring(size: int) -> Ring:
    """An empty buffer."""
    return Ring(jnp.zeros(size), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def ring_push(state: Ring, values: jax.Array) -> Ring:
    """The buffer with more values, any shape; of more than ``N`` the last ``N`` stay."""
    size = state.values.shape[0]
    new = jnp.ravel(values)[-size:]
    places = (state.cursor + jnp.arange(new.size)) % size
    return Ring(
        state.values.at[places].set(new),
        (state.cursor + new.size) % size,
        jnp.minimum(state.count + new.size, size),
    )


def ring_statistics(state: Ring, q: float) -> tuple[jax.Array, jax.Array]:
    """A quantile and the standard deviation of what is in the buffer, ``[]`` each; 0 and 0 if it is empty.

    Quantiles interpolate linearly, as NumPy's.
    """
    there = jnp.arange(state.values.size) < state.count  # the cursor only wraps when all are there
    ordered = jnp.sort(jnp.where(there, state.values, jnp.inf))
    place = q * jnp.maximum(state.count - 1, 0)
    low = jnp.floor(place).astype(jnp.int32)
    high = jnp.minimum(low + 1, jnp.maximum(state.count - 1, 0))
    share = place - low
    value = jnp.where(share > 0, (1 - share) * ordered[low] + share * ordered[high], ordered[low])
    count = jnp.maximum(state.count, 1)
    middle = jnp.sum(jnp.where(there, state.values, 0.0)) / count
    square = jnp.sum(jnp.where(there, jnp.square(state.values - middle), 0.0))
    return jnp.where(state.count > 0, value, 0.0), jnp.sqrt(square / count)


class Quantiles(NamedTuple):
    """Quantiles that follow the batches."""

    values: jax.Array  # float32 [Q]
    started: jax.Array  # bool []


def quantiles(count: int) -> Quantiles:
    """Quantiles before any data."""
    return Quantiles(jnp.zeros(count), jnp.zeros((), bool))


def quantiles_push(state: Quantiles, levels: jax.Array, scores: jax.Array, rate: float = 0.1) -> Quantiles:
    """``q <- q + rate (alpha - mean(scores < q))``; those of the first batch to begin with.

    Stochastic approximation, as RiskPO (2510.00911) tracks them.

    Args:
      state: the quantiles so far.
      levels: ``alpha [Q]``.
      scores: a batch, any shape.
      rate: step size, in units of the scores.
    """
    below = jnp.mean(jnp.ravel(scores)[None] < state.values[:, None], -1)
    first = jnp.quantile(jnp.ravel(scores), levels)
    values = jnp.where(state.started, state.values + rate * (levels - below), first)
    return Quantiles(values, jnp.ones((), bool))
