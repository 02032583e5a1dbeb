"""Advantages of completions from the rewards of their group, as functions of arrays."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.group.statistics import AxisName, group_deviations, group_std, masked_moments

CENTRES = ("mean", "loo", "none")
SCALES = ("group", "batch", "none")


def group_advantage(
    reward: jax.Array,
    center: str = "mean",
    scale: str = "group",
    ddof: int = 1,
    eps: float = 1e-6,
    min_std: float = 0.0,
    axis_name: AxisName = None,
) -> jax.Array:
    """How much better a completion is than its group.

    GRPO (2402.03300) is ``center="mean", scale="group"``; Dr. GRPO (2503.20783) ``("mean", "none")``; RLOO
    (2402.14740) ``("loo", "none")``, ``G / (G - 1)`` times Dr. GRPO; REINFORCE++-baseline (2501.03262)
    ``("mean", "batch")``.

    Args:
      reward: float ``[P, G]``.
      center: subtract the group's ``"mean"``, the mean of the others (``"loo"``), or ``"none"``.
      scale: divide by the standard deviation of the ``"group"``, of what is centred over the whole
        ``"batch"``, or ``"none"``.
      ddof: entries less this divide the squares; 1 as in verl, TRL and Tunix, 0 as in NumPy.
      eps: added to the deviation: 1e-6 in verl and Tunix, 1e-4 in TRL.
      min_std: below this deviation the advantage is 0; a group of nearly equal rewards has large ones
        otherwise.
      axis_name: mapped axis whose members hold other prompts, for ``scale="batch"``.

    Returns:
      float32 ``[P, G]``; exactly 0 for groups of equal rewards, unless ``center="none"``.

    Raises:
      UnknownNameError: an unknown center or scale.
      UsageError: a group of one where a statistic of the group is needed.
    """
    reward = reward.astype(jnp.float32)
    size = reward.shape[-1]
    check_names(center, scale)
    if size < 2 and (center != "none" or scale == "group"):
        check_group(size, f"center={center!r} with scale={scale!r}")
    centred = reward if center == "none" else group_deviations(reward)
    if center == "loo":
        centred = centred * (size / (size - 1))
    if scale == "none":
        return centred
    if scale == "group":
        std = group_std(reward, ddof)
    else:
        _, std = masked_moments(centred, jnp.ones_like(centred), ddof, axis_name)
    return jnp.where(std < min_std, 0.0, centred / (std + eps))


def check_names(center: str, scale: str) -> None:
    """Check how advantages are to be centred and scaled.

    Raises:
      UnknownNameError: an unknown center or scale; the message suggests the nearest.
    """
    if center not in CENTRES:
        raise unknown_name("center", center, CENTRES)
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)


def check_group(size: int, what: str, least: int = 2) -> None:
    """Check that groups are large enough.

    Raises:
      UsageError: they are not.
    """
    if size < least:
        raise UsageError(
            f"G={size} completions a prompt: {what} compares the completions of a prompt with each other and "
            f"needs at least {least}; raise group_size, or take center='none', scale='batch' (reinforce_pp)"
        )


def return_to_go(token_reward: jax.Array, mask: jax.Array, gamma: float = 1.0) -> jax.Array:
    """Discounted sums of the present and later rewards of a completion, ``[..., T]``.

    Tokens with mask 0 in the middle of a completion pass on what comes after them undiminished.
    """

    def back(after: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward, counts = now
        total = jnp.where(counts > 0, reward + gamma * after, after)
        return total, total

    moved = (jnp.moveaxis(token_reward * mask, -1, 0), jnp.moveaxis(mask, -1, 0))
    _, sums = jax.lax.scan(back, jnp.zeros(mask.shape[:-1], jnp.float32), moved, reverse=True)
    return jnp.moveaxis(sums, 0, -1) * mask


def last_token(mask: jax.Array) -> jax.Array:
    """1 at the last token of each completion with mask 1, ``[..., T]``; all 0 if there is none."""
    later = jnp.cumsum(mask[..., ::-1], -1)[..., ::-1]
    return mask * (later == 1)


def reinforce_plus_plus(
    reward: jax.Array,
    mask: jax.Array,
    kl: jax.Array | None = None,
    kl_coef: float = 0.0,
    baseline: bool = False,
    gamma: float = 1.0,
    eps: float = 1e-8,
    axis_name: AxisName = None,
) -> jax.Array:
    """REINFORCE++ (2501.03262): returns of tokens, normalised over all tokens of the batch.

    Args:
      reward: ``[P, G]``, paid at the last token.
      mask: ``[P, G, T]``.
      kl: ``[P, G, T]``, ``log pi - log pi_ref`` (k1) of each token; ``-kl_coef * kl`` is paid at the token.
      kl_coef: its coefficient.
      baseline: subtract the group's mean reward first (REINFORCE++-baseline).
      gamma: discount per token.
      eps: added to the variance.
      axis_name: mapped axis whose members hold other prompts.

    Returns:
      float32 ``[P, G, T]``; 0 where the mask is.

    Raises:
      UsageError: a group of one with ``baseline``.
    """
    if baseline:
        check_group(reward.shape[-1], "the baseline of REINFORCE++")
        reward = group_deviations(reward)
    paid = last_token(mask) * reward[..., None]
    if kl is not None:
        paid = paid - kl_coef * jnp.where(mask > 0, kl, 0.0)
    returns = return_to_go(paid, mask, gamma)
    middle, std = masked_moments(returns, mask, 1, axis_name)
    return mask * (returns - middle) * jax.lax.rsqrt(jnp.square(std) + eps)
