"""Bounded rewards of judgements."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.prefs.checks import in_range, same_shape

KINDS = ("exp", "power", "linear", "exact")


def bounded_error(
    predicted: jax.Array,
    target: jax.Array,
    kind: str = "exp",
    kappa: float = math.log(4.0),
    largest: float = 4.0,
    power: float = 2.0,
) -> jax.Array:
    """A reward in [0, 1] that falls with the distance of a score from the true one.

    WavReward (arXiv 2505.09558) falls nonlinearly; its formula was not found, these are ours. ``"exp"``:
    ``e^{-κ|Δ|}``; ``"power"``: ``max(0, 1 - |Δ| / largest)^power``; ``"linear"``: that with power 1;
    ``"exact"``: 1 if ``|Δ| < 1/2``, which gives no gradient early, while under ``"linear"`` a near miss is
    almost a hit.

    Args:
      predicted: ``[...]``.
      target: ``[...]``.
      kind: one of these.
      kappa: κ above 0; 1/4 per point of distance by default.
      largest: distance that is worth nothing.
      power: above 0.

    Returns:
      ``[...]``.
    """
    same_shape("bounded_error", predicted=predicted, target=target)
    in_range("bounded_error", "kappa", kappa, 0.0, math.inf, strict=True)
    in_range("bounded_error", "largest", largest, 0.0, math.inf, strict=True)
    in_range("bounded_error", "power", power, 0.0, math.inf, strict=True)
    distance = jnp.abs(jnp.asarray(predicted, jnp.float32) - target)
    if kind == "exp":
        return jnp.exp(-kappa * distance)
    if kind == "exact":
        return (distance < 0.5).astype(jnp.float32)
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    return jnp.maximum(0.0, 1.0 - distance / largest) ** (power if kind == "power" else 1.0)


def ladder(conditions: Sequence[jax.Array], values: Sequence[float], default: float = 0.0) -> jax.Array:
    """The value of the first condition that holds, e.g. ARM-Thinker's rungs (arXiv 2512.05111, released
    code).

    Those are 0 for a bad format, else 1.5 right with a successful tool, 1 right, 0.4 wrong with a tool tried,
    0.3 wrong::

        ladder([~formatted, right & helped, right, tried], [0.0, 1.5, 1.0, 0.4], 0.3)

    Args:
      conditions: bool ``[...]`` each.
      values: one for each.
      default: where none holds.
    """
    if not len(conditions):
        raise UsageError("ladder: no conditions; expected at least one rung")
    if len(conditions) != len(values):
        raise UsageError(f"ladder: {len(conditions)} conditions and {len(values)} values; expected one each")
    same_shape("ladder", **{f"conditions[{i}]": c for i, c in enumerate(conditions)})
    return jnp.select(list(conditions), [jnp.float32(v) for v in values], jnp.float32(default))


def consistency_gated(
    result: jax.Array, consistency: jax.Array, formatted: jax.Array, alpha: float = 0.5, beta: float = 0.5
) -> jax.Array:
    """``R = result (1 + α C) + β format`` (R1-Reward, arXiv 2505.02835): consistency never pays for a wrong
    result.

    Args:
      result: 0 or 1, ``[...]``.
      consistency: C of -1, 0, 1: do reasoning and answer agree, ``[...]``.
      formatted: 0 or 1, ``[...]``.
      alpha: of consistency.
      beta: of the format.
    """
    same_shape("consistency_gated", result=result, consistency=consistency, formatted=formatted)
    in_range("consistency_gated", "consistency", consistency, -1, 1)
    return result * (1.0 + alpha * consistency) + beta * formatted
