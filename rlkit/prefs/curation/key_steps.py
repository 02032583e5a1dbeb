"""Which few steps of a long item to look at: relevant ones that say something (ReAgent-V, 2506.01300)."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import flags, in_range, same_shape, share_of


def calibrated_scores(relevance: jax.Array, entropy: jax.Array, mask: jax.Array) -> jax.Array:
    """Entropy-calibrated relevance: ``s_i H_i / Σ_k H_k`` (ReAgent-V).

    Args:
      relevance: of each step to the question, e.g. a cosine, ``[..., T]``.
      entropy: of each step, not negative, e.g. of a histogram of its image in bits, ``[..., T]``.
      mask: bool ``[..., T]``.

    Returns:
      ``[..., T]``, 0 where masked, or where no step has entropy.
    """
    same_shape("calibrated_scores", relevance=relevance, entropy=entropy, mask=mask)
    mask = flags("calibrated_scores", "mask", mask)
    h = jnp.where(mask, entropy, 0.0)
    return share_of(jnp.where(mask, relevance, 0.0) * h, jnp.sum(h, -1, keepdims=True), 0.0)


def select_key_steps(
    relevance: jax.Array,
    entropy: jax.Array,
    mask: jax.Array,
    count: int,
    tau: float = 0.03,
    alpha: float = 1.01,
    rounds: int = 10,
) -> jax.Array:
    """At most ``count`` steps, by rounds of thresholds that rise as the set shrinks (ReAgent-V).

    In round m the scores of :func:`calibrated_scores` over the steps that are left, divided by their maximum,
    have to exceed ``τ α^m``, as long as ``count`` steps are left; then the best ``count`` of those. The
    division is ours: it makes one threshold right for any length. (The released code rescales to 0 .. 1,
    which drops the least relevant step however relevant it is.)

    Args:
      relevance: ``[..., T]``.
      entropy: ``[..., T]``.
      mask: bool ``[..., T]``.
      count: most steps to keep, at most T.
      tau: τ.
      alpha: α, at least 1.
      rounds: most rounds.

    Returns:
      Bool ``[..., T]``.
    """
    same_shape("select_key_steps", relevance=relevance, entropy=entropy, mask=mask)
    in_range("select_key_steps", "alpha", alpha, 1.0, float("inf"))
    mask = flags("select_key_steps", "mask", mask)
    if check_count("count", count) > mask.shape[-1]:
        raise UsageError(
            f"select_key_steps: count={count}: expected at most {mask.shape[-1]}, the steps there are"
        )

    def body(kept: jax.Array, m: jax.Array) -> tuple[jax.Array, None]:
        score = calibrated_scores(relevance, entropy, kept)
        top = jnp.maximum(jnp.max(score, -1, keepdims=True), 1e-9)
        passing = kept & (score / top > tau * alpha**m)
        enough = jnp.sum(passing, -1, keepdims=True) >= count
        return jnp.where(enough, passing, kept), None

    kept, _ = jax.lax.scan(body, mask, jnp.arange(rounds))
    score = jnp.where(kept, calibrated_scores(relevance, entropy, kept), -jnp.inf)
    rank = jnp.argsort(jnp.argsort(-score, axis=-1), axis=-1)
    return kept & (rank < count)
