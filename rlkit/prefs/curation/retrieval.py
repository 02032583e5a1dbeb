"""Which pairs to have judged next: neighbours of those that a reward model gets wrong (arXiv 2507.01352)."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, in_range, same_shape


def retrieval_budget(p_correct: jax.Array, k_max: int = 8) -> jax.Array:
    """How many neighbours of each verified pair to have judged (Skywork-Reward-V2).

    ``k_max`` where the model is wrong (``p <= 0.5``), else ``ceil(k_max (1 - p))``.

    Args:
      p_correct: probability that the model gives to the verified label, ``[Q]``.
      k_max: most neighbours.

    Returns:
      int32 ``[Q]``.
    """
    in_range("retrieval_budget", "p_correct", p_correct, 0.0, 1.0)
    k_max = check_count("k_max", k_max)
    p = jnp.asarray(p_correct, jnp.float32)
    return jnp.where(p <= 0.5, k_max, jnp.ceil(k_max * (1.0 - p))).astype(jnp.int32)


def knn_retrieve(query: jax.Array, pool: jax.Array, k: jax.Array, k_max: int) -> tuple[jax.Array, jax.Array]:
    """The most similar entries of a pool, by cosine.

    Args:
      query: embeddings ``[Q, D]``.
      pool: embeddings ``[N, D]``.
      k: how many of each, integer ``[Q]``, at most ``k_max``.
      k_max: number of columns, at most ``N``.

    Returns:
      ``(index int32 [Q, k_max], valid bool [Q, k_max])``, nearest first; the same entry may be found by
      several.
    """
    axes("knn_retrieve", "query", query, 2, "[Q, D]")
    axes("knn_retrieve", "pool", pool, 2, "[N, D]")
    same_shape("knn_retrieve", query=query[:, 0], k=k)
    if check_count("k_max", k_max) > len(pool):
        raise UsageError(f"knn_retrieve: k_max={k_max}: expected at most {len(pool)}, the size of the pool")
    for name, x in (("query", query), ("pool", pool)):  # NaN would be the most similar of all
        in_range("knn_retrieve", name, x, float("-inf"), float("inf"))
    unit = lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
    similarity = jnp.matmul(unit(query), unit(pool).T, precision=jax.lax.Precision.HIGHEST)
    index = jax.lax.top_k(similarity, k_max)[1]
    return index.astype(jnp.int32), jnp.arange(k_max) < k[:, None]
