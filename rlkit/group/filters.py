"""The last slot: what changes, weighs or drops the advantages of tokens."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlkit.group.credit import informative
from rlkit.group.preference_losses import token_guidance
from rlkit.group.rewards import column
from rlkit.group.stages import stateless
from rlkit.group.statistics import AxisName, masked_moments
from rlkit.group.types import Completions, Credit, Stage


def three_sigma(
    advantage: jax.Array, mask: jax.Array, k: float = 3.0, released: bool = False, axis_name: AxisName = None
) -> jax.Array:
    """R1-Reward's filter (2505.02835): standardise over the batch's tokens, then drop what is beyond k.

    It drops the *largest* signals. Of rewards of 0 and 1 that are normalised over the batch, every success
    is dropped where fewer than one in ten succeeds (``sqrt((1 - p) / p) > 3``), every failure where more
    than nine in ten do.

    Args:
      advantage: ``[P, G, T]``.
      mask: the same shape.
      k: in standard deviations.
      released: as the paper's code does it: the standardised value is compared with the raw mean ± k,
        the variance is at least 1e-8, and values beyond 10 are dropped.
      axis_name: mapped axis whose members hold other prompts.

    Returns:
      ``[P, G, T]``, standardised.
    """
    middle, std = masked_moments(advantage, mask, 1, axis_name)
    z = mask * (advantage - middle) / jnp.maximum(std, 1e-4)
    if not released:
        return jnp.where(jnp.abs(z) <= k, z, 0.0)
    kept = (z >= middle - k) & (z <= middle + k) & (jnp.abs(z) <= 10.0)
    return jnp.where(kept, z, 0.0)


def sigma_filter(k: float = 3.0, released: bool = False, axis_name: AxisName = None) -> Stage:
    """:func:`three_sigma` as a stage."""

    def keep(credit: Credit) -> Credit:
        return credit._replace(advantage=three_sigma(credit.advantage, credit.mask, k, released, axis_name))

    return stateless(keep)


def drop_zero_std() -> Stage:
    """Completions of groups of equal rewards do not count (DAPO's dynamic sampling, 2503.14476 eq. 11).

    They do not count in the normaliser either. The trainer samples others to fill the batch; which are
    dropped says :func:`rlkit.group.credit.informative`.
    """

    def drop(credit: Credit) -> Credit:
        return credit._replace(mask=credit.mask * informative(credit.reward)[:, None, None])

    return stateless(drop)


def mask_truncated() -> Stage:
    """Completions that were cut at the maximum length do not count (DAPO, overlong filtering)."""

    def drop(credit: Credit, batch: Completions) -> Credit:
        if batch.truncated is None:
            return credit
        return credit._replace(mask=credit.mask * ~batch.truncated[..., None])

    return stateless(drop)


def select_prompts(chosen: Callable[[Completions], jax.Array]) -> Stage:
    """Only some prompts count: ``chosen(batch) -> bool [P]``."""

    def select(credit: Credit, batch: Completions) -> Credit:
        return credit._replace(mask=credit.mask * chosen(batch)[:, None, None])

    return stateless(select)


def clip_advantage(bound: float) -> Stage:
    """Advantages within ``±bound``."""
    return stateless(lambda credit: credit._replace(advantage=jnp.clip(credit.advantage, -bound, bound)))


def penalise_tokens(advantage: jax.Array, flag: jax.Array, alpha: float = 0.1) -> jax.Array:
    """Perceval, eq. 3: ``A - alpha flag |A|``; flagged tokens earn less, or cost more.

    Args:
      advantage: ``[P, G, T]``.
      flag: ``[P, G, T]``, 1 on tokens of spans that a process reward model objects to.
      alpha: 0.1 in the paper.
    """
    return advantage - alpha * flag * jnp.abs(advantage)


def token_penalty(flag: str = "flag", alpha: float = 0.1) -> Stage:
    """:func:`penalise_tokens` with the flags of a column."""

    def penalise(credit: Credit, batch: Completions) -> Credit:
        flags = column(batch, flag).astype(jnp.float32)
        return credit._replace(advantage=penalise_tokens(credit.advantage, flags, alpha))

    return stateless(penalise)


def guidance(
    guide: str = "guide_log_prob",
    alpha: float = 0.5,
    beta: float = 0.1,
    bounds: tuple[float, float] | None = None,
) -> Stage:
    """TGDPO's weights (:func:`rlkit.group.preference_losses.token_guidance`) on judged tokens."""

    def guide_tokens(credit: Credit, batch: Completions) -> Credit:
        reference = batch.reference_log_prob
        if reference is None:
            return credit  # the objective, which needs it as well, says so
        weight = token_guidance(column(batch, guide), reference, credit.advantage > 0, alpha, beta, bounds)
        return credit._replace(advantage=credit.advantage * jnp.where(credit.mask > 0, weight, 0.0))

    return stateless(guide_tokens)


def spans_to_flags(starts: jax.Array, ends: jax.Array, length: int) -> jax.Array:
    """Tokens inside half-open spans ``[start, end)``.

    Args:
      starts: int32 ``[..., S]``.
      ends: int32 ``[..., S]``; a span that ends where it starts, or before, has no token.
      length: ``T``.

    Returns:
      float32 ``[..., T]``.
    """
    place = jnp.arange(length)
    inside = (place >= starts[..., None]) & (place < ends[..., None])
    return jnp.any(inside, -2).astype(jnp.float32)


def truncate_at_first_flag(mask: jax.Array, flag: jax.Array) -> jax.Array:
    """The mask up to the first flagged token: what is kept before the rest is written anew (Perceval)."""
    return mask * (jnp.cumsum(flag * mask, -1) == 0)
