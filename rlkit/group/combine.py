"""The third slot: one number for each completion, from its terms."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.group.advantages import group_advantage
from rlkit.group.stages import stateless
from rlkit.group.types import Completions, Context, Stage
from rlkit.types import Terms

Weight = float | jax.Array | Callable[[jax.Array], jax.Array]
"""A number, or a schedule: a function of the update's number, as optax has them."""


def at(weight: Weight, ctx: Context) -> jax.Array | float:
    """The value of a weight at the present update."""
    return weight(ctx.step) if callable(weight) else weight


def linear(weights: Mapping[str, Weight] | None = None) -> Stage:
    """The weighted sum of terms.

    Where a term is NaN, it does not apply: the weights of the others are scaled up so that their absolute
    values have the same sum as all. Where none applies, the reward is NaN. Terms of tokens are summed over
    the tokens that the policy wrote.

    Args:
      weights: by term, numbers or schedules; terms that are not named do not count. None: 1 for each.

    Raises:
      UsageError: there are no weights.
      UnknownNameError: (when traced) a weight is of no term.
    """
    if weights is not None and not weights:
        raise UsageError("linear() got weights={}; name at least one term, or give None for all")

    def combine(terms: Terms, batch: Completions, ctx: Context) -> jax.Array:
        chosen = dict.fromkeys(terms, 1.0) if weights is None else weights
        w = jnp.stack([jnp.asarray(at(weight, ctx), jnp.float32) for weight in chosen.values()])
        values = jnp.stack([completion_term(terms, name, batch) for name in chosen])
        return weighted_sum(values, w)

    return stateless(combine)


def weighted_sum(values: jax.Array, weights: jax.Array) -> jax.Array:
    """``sum_k w_k v_k`` over the leading axis, NaN being "does not apply" (see :func:`linear`).

    Args:
      values: ``[K, ...]``.
      weights: ``[K]``.
    """
    there = ~jnp.isnan(values)
    column = weights.reshape((-1,) + (1,) * (values.ndim - 1))
    size = jnp.sum(jnp.abs(column) * there, 0)
    total = jnp.sum(jnp.where(there, column * jnp.where(there, values, 0.0), 0.0), 0)
    # Exactly 1 where nothing is missing, whatever the sums of weights round to.
    scale = jnp.where(jnp.all(there, 0), 1.0, jnp.sum(jnp.abs(weights)) / jnp.where(size > 0, size, 1.0))
    return jnp.where(jnp.any(there, 0), total * scale, jnp.nan)


def completion_term(terms: Terms, name: str, batch: Completions) -> jax.Array:
    """A term by name as ``[P, G]``: terms of tokens are summed over the mask.

    Raises:
      UnknownNameError: there is no such term.
    """
    if name not in terms:
        raise unknown_name("term", name, terms)
    value = terms[name].astype(jnp.float32)
    return value if value.ndim == 2 else jnp.sum(jnp.where(batch.mask > 0, value, 0.0), -1)


def from_terms(fn: Callable[..., jax.Array], *names: str, **scheduled: Weight) -> Stage:
    """Combine by a function of named terms: ``fn(term, ..., name=weight, ...)``.

    Args:
      fn: of the terms ``[P, G]``, in the order of ``names``, and of keywords.
      *names: the terms.
      **scheduled: numbers or schedules, given at their present value.
    """

    def combine(terms: Terms, batch: Completions, ctx: Context) -> jax.Array:
        values = [completion_term(terms, name, batch) for name in names]
        return fn(*values, **{name: at(weight, ctx) for name, weight in scheduled.items()})

    return stateless(combine)


def gated(outcome: jax.Array, bonus: jax.Array, weight: Any = 1.0) -> jax.Array:
    """``outcome (1 + weight bonus)``: a bonus that only what succeeded earns."""
    return outcome * (1.0 + weight * bonus)


def override(condition: jax.Array, value: float, otherwise: jax.Array) -> jax.Array:
    """``value`` where a condition holds."""
    return jnp.where(condition, value, otherwise)


def mix(first: jax.Array, second: jax.Array, share: Any) -> jax.Array:
    """``share first + (1 - share) second``; the share may be a schedule's value."""
    return share * first + (1.0 - share) * second


def geometric(*parts: jax.Array) -> jax.Array:
    """The geometric mean of numbers that are at least 0: one part that fails fails all."""
    product = jnp.prod(jnp.stack(parts), 0)
    return jnp.maximum(product, 0.0) ** (1.0 / len(parts))


def normalise_then_sum(
    weights: Mapping[str, Weight] | None = None, ddof: int = 1, eps: float = 1e-4
) -> Stage:
    """GDPO (2601.05242): each term is normalised within its group before the weighted sum.

    A term with a large spread cannot drown another one. The advantage slot then normalises over the batch
    (:func:`rlkit.group.credit.group` with ``center="none", scale="batch"``). NaN terms count as 0, the mean
    of their group's others.
    """
    if weights is not None and not weights:
        raise UsageError("normalise_then_sum() got weights={}; name at least one term, or give None for all")

    def combine(terms: Terms, batch: Completions, ctx: Context) -> jax.Array:
        chosen = dict.fromkeys(terms, 1.0) if weights is None else weights
        total = jnp.zeros(batch.mask.shape[:2])
        for name, weight in chosen.items():
            value = completion_term(terms, name, batch)
            there = ~jnp.isnan(value)
            known = jnp.sum(jnp.where(there, value, 0.0), -1, keepdims=True)
            middle = known / jnp.maximum(jnp.sum(there, -1, keepdims=True), 1)
            normal = group_advantage(jnp.where(there, value, middle), ddof=ddof, eps=eps)
            total = total + jnp.asarray(at(weight, ctx), jnp.float32) * normal
        return total

    return stateless(combine)
