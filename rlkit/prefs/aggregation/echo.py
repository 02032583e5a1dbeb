"""Rewards from what a frozen model expects to read."""

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import flags, in_range, same_shape, whole_numbers


def prompt_echo(
    log_prob: jax.Array, mask: jax.Array, prior: jax.Array | None = None, prior_weight: float = 1.0
) -> jax.Array:
    """How well a frozen model, shown an item, can repeat what was asked for (PromptEcho, arXiv 2604.12652).

    The mean over the tokens of the prompt of ``log p(c_i | item, query, c_<i)``, teacher-forced: one forward
    pass, deterministic. Whether the paper sums or averages was not found; the mean does not favour short
    prompts. What the model expects without the item can be taken off, which leaves pointwise mutual
    information (ours).

    Args:
      log_prob: of the tokens of the prompt given the item, ``[..., L]``.
      mask: bool ``[..., L]``: which tokens count.
      prior: of the same tokens without the item, ``[..., L]``.
      prior_weight: of what is taken off.

    Returns:
      float32 ``[...]``; 0 if no token counts.
    """
    same_shape("prompt_echo", log_prob=log_prob, mask=mask, prior=prior)
    mask = flags("prompt_echo", "mask", mask)
    said = jnp.asarray(log_prob, jnp.float32)
    if prior is not None:
        said = said - prior_weight * jnp.asarray(prior, jnp.float32)
    return jnp.sum(jnp.where(mask, said, 0.0), -1) / jnp.maximum(jnp.sum(mask, -1), 1)


def token_log_prob(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """``log softmax(logits)[token]``: ``[..., L, V], int [..., L] -> float32 [..., L]``.

    ``logits[..., i, :]`` are those that predict ``tokens[..., i]``.
    """
    same_shape("token_log_prob", logits=logits[..., 0], tokens=tokens)
    whole_numbers("token_log_prob", "tokens", tokens)
    in_range("token_log_prob", "tokens", tokens, 0, logits.shape[-1] - 1, hint="mask what is no token")
    chosen = jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0].astype(jnp.float32)
    return chosen - jax.nn.logsumexp(logits.astype(jnp.float32), -1)
