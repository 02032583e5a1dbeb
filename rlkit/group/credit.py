"""The fourth slot: from the reward of each completion to the advantage of each token."""

import jax
import jax.numpy as jnp

from rlkit.group.advantages import check_group, check_names, group_advantage, reinforce_plus_plus
from rlkit.group.stages import stateless
from rlkit.group.statistics import AxisName, group_deviations, group_std
from rlkit.group.types import Completions, Credit, Stage


def spread_over_tokens(advantage: jax.Array, reward: jax.Array, batch: Completions) -> Credit:
    """The advantage ``[P, G]`` of a completion at each of its tokens."""
    mask = batch.mask.astype(jnp.float32)
    return Credit(advantage[..., None] * mask, mask, reward)


def group(
    center: str = "mean",
    scale: str = "group",
    ddof: int = 1,
    eps: float = 1e-6,
    min_std: float = 0.0,
    axis_name: AxisName = None,
) -> Stage:
    """Compare with the group, arguments as :func:`rlkit.group.advantages.group_advantage`."""
    check_names(center, scale)

    def credit(reward: jax.Array, batch: Completions) -> Credit:
        advantage = group_advantage(reward, center, scale, ddof, eps, min_std, axis_name)
        return spread_over_tokens(advantage, reward, batch)

    return stateless(credit)


def reinforce(
    kl_coef: float = 0.0, baseline: bool = False, gamma: float = 1.0, axis_name: AxisName = None
) -> Stage:
    """REINFORCE++, see :func:`rlkit.group.advantages.reinforce_plus_plus`; the divergence, paid at each
    token, is of the policy that sampled."""

    def credit(reward: jax.Array, batch: Completions) -> Credit:
        mask = batch.mask.astype(jnp.float32)
        kl = None
        if kl_coef and batch.reference_log_prob is not None:
            kl = batch.behaviour_log_prob - batch.reference_log_prob
        advantage = reinforce_plus_plus(reward, mask, kl, kl_coef, baseline, gamma, axis_name=axis_name)
        return Credit(advantage, mask, reward)

    return stateless(credit)


def pairs() -> Stage:
    """The best completion of a group against its worst: +1 and -1, 0 for the others.

    Of equal ones the first counts; a group of equal rewards has no pair: its tokens do not count. With two
    completions this is a preference data set whose reward says which one was chosen.
    """

    def credit(reward: jax.Array, batch: Completions) -> Credit:
        size = reward.shape[-1]
        check_group(size, "a pair")
        best = jax.nn.one_hot(jnp.argmax(reward, -1), size)
        worst = jax.nn.one_hot(jnp.argmin(reward, -1), size)
        told = jnp.any(group_deviations(reward) != 0, -1, keepdims=True)
        sign = (best - worst) * told
        out = spread_over_tokens(sign, reward, batch)
        return out._replace(mask=out.mask * (sign != 0)[..., None])

    return stateless(credit)


def judged(
    threshold: float | None = None, desirable: float = 1.0, undesirable: float = 1.0, shown: bool = False
) -> Stage:
    """Each completion for itself: good above a threshold, bad otherwise, for KTO; or good ones alone.

    Args:
      threshold: of the reward; None takes the group's mean, and groups of equal rewards do not count.
      desirable: weight of good ones (``lambda_D``).
      undesirable: weight of bad ones (``lambda_U``).
      shown: good ones are demonstrations, bad ones do not count (``f_sft``).
    """

    def credit(reward: jax.Array, batch: Completions) -> Credit:
        gain = group_deviations(reward) if threshold is None else reward - threshold
        counts = (gain > 0) if shown else ((gain != 0) if threshold is None else jnp.ones_like(gain, bool))
        sign = jnp.where(gain > 0, desirable, -undesirable) * counts
        out = spread_over_tokens(sign, reward, batch)
        return out._replace(mask=out.mask * counts[..., None])

    return stateless(credit)


def optimal_advantage(beta: float = 0.5) -> Stage:
    """A*-PO (2505.20686): ``r - V*`` with ``V* = beta log mean_G exp(r / beta)``, to be regressed on.

    The paper estimates ``V*`` from completions of the reference policy; here they are the group's.
    """

    def credit(reward: jax.Array, batch: Completions) -> Credit:
        size = reward.shape[-1]
        value = beta * (jax.nn.logsumexp(reward / beta, -1, keepdims=True) - jnp.log(size))
        return spread_over_tokens(reward - value, reward, batch)

    return stateless(credit)


def level(credit: Credit) -> jax.Array:
    """One number for each completion, ``[P, G]``: the mean advantage of its tokens that count."""
    total = jnp.sum(credit.advantage * credit.mask, -1)
    return total / jnp.maximum(jnp.sum(credit.mask, -1), 1.0)


def informative(reward: jax.Array) -> jax.Array:
    """Whether the completions of a prompt differ in reward, bool ``[P]``: what dynamic sampling keeps."""
    return group_std(reward)[..., 0] > 0
