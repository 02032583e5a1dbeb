"""Kinds of terms of a designed reward: each as arithmetic and as text of the reward language, side by side.

With ``x`` and ``y`` a measure before and after the step, ``d = |x - target|`` and ``d' = |y - target|``.
The catalogue is ours; its parts are those that searches and models keep finding (LIMEN, arXiv 2605.03408):
distance differences, one-off milestones, Gaussians of several widths, costs of actions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

FAR = 1e9  # the best distance of an episode that has not begun


class Sight(NamedTuple):
    """What a term is computed from; arrays over slots, or scalars."""

    d: jax.Array  # distance of the measure to the target before the step, in scales
    e: jax.Array  # after it
    y: jax.Array  # the measure after the step, in scales
    discount: Any
    done: jax.Array  # float32: the episode ended by itself
    latch: jax.Array  # bool: whether the target was reached before
    best: jax.Array  # smallest distance before, in scales
    effort: jax.Array  # mean square of the action, in units of its bounds
    jerk: jax.Array  # the same of its change
    was: jax.Array  # bool: whether the gate was open before the step
    now: jax.Array  # and is after it


class Kind(NamedTuple):
    """One kind of term."""

    value: Callable[[Sight], jax.Array]
    text: str  # with {d}, {e}, {y}, {g}, {latch}, {best}; {end}, {before}, {past}, {after}, {passed}: gates
    signed: bool = False  # its weight may be negative
    potential: bool = False  # a potential difference: it changes no optimal policy
    memory: str = ""  # "latch", "best" or "action"
    field: bool = True  # it is about a measure
    flags: bool = True  # that measure may be a condition
    continuous: bool = False  # it needs actions that are numbers
    inside: bool = False  # its gate belongs to its potential: both sides of a step have their own
    words: str = ""


def _difference(potential: Callable[[jax.Array], jax.Array]) -> Callable[[Sight], jax.Array]:
    """``γ Φ(s') [not terminated] - Φ(s)``, as :func:`rlkit.rewards.potential_difference`."""
    return lambda z: z.discount * jnp.where(z.done > 0, 0.0, potential(z.e)) - potential(z.d)


def _difference_text(potential: str) -> str:
    before, after = potential.replace("?", "{d}"), potential.replace("?", "{e}")
    return f"{{g}} * jnp.where(done, 0.0, {after}) - ({before})"


def _share(d: jax.Array, counts: jax.Array) -> jax.Array:
    return jnp.where(counts, jnp.maximum(1.0 - d, 0.0), 0.0)


KINDS: dict[str, Kind] = {
    "none": Kind(lambda z: jnp.zeros_like(z.e), "0.0", field=False, words="nothing"),
    "closeness": Kind(lambda z: -z.e, "-({e})", words="minus the distance to the target"),
    "gaussian": Kind(
        lambda z: jnp.exp(-jnp.square(z.e)),
        "jnp.exp(-jnp.square({e}))",
        signed=True,
        flags=False,
        words="1 at the target, falling within a scale",
    ),
    "potential": Kind(
        _difference(lambda d: -d), _difference_text("-(?)"), potential=True, words="getting nearer"
    ),
    "potential_exp": Kind(
        _difference(lambda d: jnp.exp(-d)), _difference_text("jnp.exp(-(?))"), potential=True, flags=False,
        words="getting nearer, felt close to the target",
    ),
    "potential_log": Kind(
        _difference(lambda d: -jnp.log(d + 0.1)), _difference_text("-jnp.log(? + 0.1)"), potential=True,
        flags=False, words="getting nearer, the more the closer",
    ),
    "progress": Kind(lambda z: z.d - z.e, "{d} - {e}", words="getting nearer, without discount"),
    "best": Kind(
        lambda z: jnp.maximum(jnp.minimum(z.best, z.d) - z.e, 0.0),
        "jnp.maximum(jnp.minimum({best}, {d}) - {e}, 0.0)",
        memory="best",
        flags=False,
        words="getting nearer than ever in the episode",
    ),
    "inside": Kind(
        lambda z: jnp.where(z.e <= 1.0, 1.0, 0.0), "jnp.where({e} <= 1.0, 1.0, 0.0)", signed=True,
        words="1 within a scale of the target",
    ),
    "reach": Kind(
        lambda z: jnp.where((z.e <= 1.0) & ~z.latch, 1.0, 0.0),
        "jnp.where(({e} <= 1.0) & ~{latch}, 1.0, 0.0)",
        signed=True,
        memory="latch",
        words="1 the first time in the episode within a scale of the target",
    ),
    "value": Kind(lambda z: z.y, "{y}", signed=True, words="the measure itself, in scales"),
    "alive": Kind(lambda z: 1.0 - z.done, "jnp.where(done, 0.0, 1.0)", field=False, words="1 until the end"),
    "time": Kind(
        lambda z: -jnp.ones_like(z.e), "jnp.where(done, -1.0, -1.0)", field=False, words="-1 on every step"
    ),
    "effort": Kind(
        lambda z: -z.effort, "-action_square", field=False, continuous=True, words="cost of the action"
    ),
    "jerk": Kind(
        lambda z: -z.jerk, "-action_change", memory="action", field=False, continuous=True,
        words="cost of changing the action",
    ),
    "share": Kind(
        lambda z: z.discount * _share(z.e, z.now & (z.done == 0)) - _share(z.d, z.was),
        "{g} * jnp.where({end}, 0.0, jnp.maximum(1.0 - {e}, 0.0)) - "
        "{before}jnp.maximum(1.0 - {d}, 0.0){past}",
        potential=True, inside=True,
        words="getting nearer from within a scale; what it has paid is lost where its gate shuts",
    ),
    "climb": Kind(
        lambda z: _share(z.e, z.now) - _share(z.d, z.was),
        "{after}jnp.maximum(1.0 - {e}, 0.0){passed} - "
        "{before}jnp.maximum(1.0 - {d}, 0.0){past}",
        inside=True,
        words="getting nearer from within a scale; without discount, and kept where an episode ends",
    ),
}  # fmt: skip
NAMES = tuple(KINDS)
GATES = ("always", "while", "unless", "after")
"""When a term counts: always; while a condition on a measure holds; while it does not; from the first time on
that it has held in the episode."""
