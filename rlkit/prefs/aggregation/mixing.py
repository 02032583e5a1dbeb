"""Rewards of rules and of models together."""

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import in_range, same_shape, same_shape_or_number


def hybrid(
    rule: jax.Array, confidence: jax.Array, model: jax.Array, extra: jax.Array | float = 0.0
) -> jax.Array:
    """The rule where an answer can be verified, the model elsewhere: ``c rule + (1 - c) model + extra``.

    HARMO (arXiv 2510.05283), in its words; the formula with a confidence is ours. Bring both to one scale
    first (with moments that stay as they are during an update), and add what is said of format and length as
    ``extra``.

    Args:
      rule: ``[...]``; any number, also NaN, where ``confidence`` is 0.
      confidence: c: 1 where verifiable, 0 where not, ``[...]``.
      model: ``[...]``.
      extra: ``[...]`` or a number.
    """
    same_shape("hybrid", rule=rule, confidence=confidence, model=model)
    same_shape_or_number("hybrid", rule=rule, extra=extra)
    in_range("hybrid", "confidence", confidence, 0.0, 1.0)
    c = jnp.asarray(confidence, jnp.float32)
    return c * jnp.where(c > 0, rule, 0.0) + (1.0 - c) * model + extra


def outcome_and_process(outcome: jax.Array, process: jax.Array, delta: float | jax.Array) -> jax.Array:
    """``(1 - δ) outcome + δ process``: Fin-PRM's reward of a policy (arXiv 2508.15202; mixture ours).

    With ``delta`` a schedule that falls during training it is Atom-Searcher's annealing (arXiv 2508.12800).
    """
    same_shape("outcome_and_process", outcome=outcome, process=process)
    in_range("outcome_and_process", "delta", delta, 0.0, 1.0)
    return (1.0 - delta) * outcome + delta * process
