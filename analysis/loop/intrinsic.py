"""Emergence as an intrinsic reward: what each step adds to it, measured against the past alone."""

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.gaussian import pair_correlations, pair_information
from rlkit.analysis.atoms.lattice import DERIVED, Atoms, decompose
from rlkit.analysis.atoms.local import local_information, residuals
from rlkit.analysis.atoms.redundancy import redundancy_of_least
from rlkit.analysis.moments.lagged import Moments, correlation, covariance, mean, merge_moments
from rlkit.analysis.moments.streaming import decay_moments, pair_moments, zero_moments
from rlkit.analysis.parts.halves import even_units, half_means
from rlkit.errors import unknown_name
from rlkit.reads import AGENT_LATENT
from rlkit.types import Key, PyTree, Reward, Terms, Transition


def local_value(moments: Moments, past: jax.Array, future: jax.Array) -> Atoms:
    """The local MMI atoms of one step of two units, against given moments.

    Args:
      moments: of two units, from other samples than this one.
      past, future: [2] values of both units now and one lag later.

    Returns:
      16 scalars, nats. Their mean over steps is the average atom of the distribution of ``moments``.
    """
    correlations = pair_correlations(correlation(moments), 0, 1)
    rows = jnp.concatenate([past, future]) - mean(moments)
    deviation = jnp.sqrt(jnp.diagonal(covariance(moments)))
    x, y, a, b = jnp.where(deviation > 0, rows / jnp.where(deviation > 0, deviation, 1), 0)
    local = local_information(residuals(*correlations), x, y, a, b)
    return decompose(redundancy_of_least(local, pair_information(*correlations)), local)


def emergence_reward(
    quantity: str = "phi_r",
    *,
    side: jax.Array | None = None,
    rate: float = 1e-3,
    warmup: float = 200.0,
    limit: float = 5.0,
    feature: str = AGENT_LATENT,
    name: str = "emergence",
    axis_name: str | None = "slots",
) -> Reward:
    """Pay an agent for the emergence of its own latents.

    Each step is paid its local value of a named sum of atoms (Gaussian, minimum redundancy) for the means of
    two halves of the units. Means, covariances and which information is least come from earlier steps only,
    exponentially forgotten; a step enters them after it was paid. The mean of what is paid follows the
    average quantity while the latents are stationary. Slow units have CE4 without interaction: prefer
    ``"phi_r"``. The definition is ours.

    Args:
      quantity: a name of ``DERIVED``.
      side: [n] bool, the first half of the units; by default units with an even index. A fixed
        partition: one that follows the data would change what is paid for.
      rate: share by which old pairs are forgotten per step; ``(2 - rate) / rate`` pairs are kept.
      warmup: pairs to see before anything but 0 is paid.
      limit: largest magnitude paid, nats; surprise has heavy tails.
      feature: name of the vector feature to read.
      name: of the one term.
      axis_name: mapped axis whose members share their moments (that of the slots in
        :func:`rlkit.rewards.relabel`); None: each slot has its own.

    Returns:
      The reward, a source. Weight it and add it to another one:
      ``total((1.0, task()), (0.01, emergence_reward()))``.

    Raises:
      KeyError: an unknown quantity. ValueError: a rate, warm-up or limit out of range, or (when
        traced) a feature that is no vector of at least two entries.
    """
    if quantity not in DERIVED:
        raise unknown_name("quantity", quantity, DERIVED)
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate={rate}: expected a share between 0 and 1")
    if warmup < 4.0 or warmup >= (2 - rate) / rate:
        raise ValueError(f"warmup={warmup}: expected at least 4 and fewer pairs than rate={rate} keeps")
    if limit <= 0:
        raise ValueError(f"limit={limit}: expected a positive number of nats")

    def init(key: Key) -> Moments:
        return zero_moments(2)

    def apply(seen: Moments, t: Transition, params: PyTree) -> tuple[Moments, jax.Array, Terms]:
        past, future = (_halves(f[feature], side, feature) for f in (t.features, t.next_features))
        ready = seen.count >= warmup
        # Before anything was seen there is nothing to divide by.
        safe = jax.tree.map(lambda s, o: jnp.where(ready, s, o), seen, _unit_moments())
        paid = jnp.clip(local_value(safe, past, future)[quantity], -limit, limit)
        paid = jnp.where(ready & jnp.isfinite(paid), paid, 0).astype(t.reward.dtype)
        new = pair_moments(past[None], future[None], axis_name=axis_name)
        return merge_moments(decay_moments(seen, 1 - rate), new), paid, {name: paid}

    return Reward(init, apply)


def _halves(latent: jax.Array, side: jax.Array | None, feature: str) -> jax.Array:
    if latent.ndim != 1 or latent.shape[0] < 2:
        raise ValueError(f"feature {feature!r} has shape {latent.shape}; expected a vector of >= 2 units")
    return half_means(latent.astype(jnp.float32), even_units(latent.shape[0]) if side is None else side)


def _unit_moments() -> Moments:
    eye = jnp.eye(2)
    return zero_moments(2)._replace(
        count=jnp.ones(()), past_past=eye, future_future=eye, past_future=jnp.zeros((2, 2))
    )
