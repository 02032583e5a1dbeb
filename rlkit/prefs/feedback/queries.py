"""Which pairs of segments to ask about."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name

WAYS = ("uniform", "disagreement", "entropy")
"""How questions are chosen; see :func:`choose`."""


def informative(margins: jax.Array, how: str) -> jax.Array:
    """How much an answer would tell, by the margins of an ensemble.

    Args:
      margins: of each candidate by each member, ``[M, C]``: the logits that the first is preferred.
      how: ``"disagreement"``: standard deviation over members of the probability that the first is preferred
        (Christiano et al. 2017, arXiv 1706.03741); ``"entropy"``: entropy of the answer under the mean
        probability (Lee et al. 2021, arXiv 2106.05091), in nats; ``"uniform"``: the same for all.

    Returns:
      float32 ``[C]``, greater is more.

    Raises:
      UnknownNameError: another way.
    """
    if how not in WAYS:
        raise unknown_name("way to choose questions", how, WAYS)
    probability = jax.nn.sigmoid(margins)
    if how == "disagreement":
        return jnp.std(probability, 0)
    if how == "entropy":
        mean = jnp.clip(jnp.mean(probability, 0), 1e-7, 1.0 - 1e-7)
        return -(mean * jnp.log(mean) + (1.0 - mean) * jnp.log1p(-mean))
    return jnp.zeros(margins.shape[1:])


def choose(margins: jax.Array, how: str, count: int, ready: jax.Array | bool = True) -> jax.Array:
    """Choose the most informative of some candidates that were drawn at random.

    Args:
      margins: ``[M, C]``, see :func:`informative`.
      how: one of :data:`WAYS`.
      count: how many, at most C.
      ready: bool []: whether the ensemble has learnt from any answer; until then the choice is uniform.

    Returns:
      int32 ``[count]``, indices of candidates, none twice.

    Raises:
      UsageError: fewer candidates than ``count``, or one member disagrees with itself.
    """
    members, candidates = margins.shape
    if candidates < count:
        raise UsageError(f"choose: {candidates} candidates for {count} questions; expected at least as many")
    if how == "disagreement" and members < 2:
        raise UsageError(
            "choose: one member cannot disagree; expected an ensemble of at least 2, or how='entropy'"
        )
    score = jnp.where(ready, informative(margins, how), 0.0)
    # Equal scores keep the order of the candidates, which were drawn at random.
    return jax.lax.top_k(score, count)[1].astype(jnp.int32)
