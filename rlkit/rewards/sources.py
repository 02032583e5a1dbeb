"""Sources of reward. All ignore the reward so far, except ``task``, which is it.

Greater is better everywhere, with one exception that its name tells: a *cost* is not negative and
is to be weighted by a negative number. Features are read by name, see ``env.spec.features``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.rewards.algebra import Paid, from_function
from rlkit.rewards.arguments import (
    Scalar,
    as_scalar,
    check_feature_name,
    check_number,
    check_positive,
    check_term_name,
    lookup,
    parameters,
    read,
)
from rlkit.types import Key, PyTree, Reward, Transition

_CLOSENESS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "linear": lambda d: -d,
    "exp": lambda d: jnp.exp(-d),
    "tanh": lambda d: 1.0 - jnp.tanh(d),
    "reciprocal": lambda d: 1.0 / (1.0 + d),
}


def task(name: str = "task") -> Reward:
    """The environment's own reward; inside a chain, the reward so far."""
    return from_function(lambda t: t.reward, name)


def success(scale: Scalar = 1.0, name: str = "success") -> Reward:
    """Sparse: ``scale`` on steps that achieve the task, else 0."""
    params, values = parameters(scale=check_number("scale", scale))
    return from_function(lambda t, p: values(p)["scale"] * t.success.astype(t.reward.dtype), name, params)


def feature(feature: str, index: int | None = None, name: str | None = None) -> Reward:
    """The value of a feature after the step, ``x'``, or entry ``index`` of it flattened."""
    check_feature_name(feature)
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise UsageError(f"index={index!r}: expected an integer, or None for a scalar feature")

    def pay(t: Transition) -> jax.Array:
        if index is None:
            return read(t.next_features, feature, t)
        vector = lookup(t.next_features, feature).reshape(-1)
        if not -vector.size <= index < vector.size:
            raise UsageError(f"index={index} of feature {feature!r}: it has {vector.size} entries")
        return vector[index]

    suffix = "" if index is None else f"_{index}"
    return from_function(pay, name or f"feature_{feature}{suffix}")


def progress(
    feature: str, scale: Scalar = 1.0, limit: Scalar | None = None, name: str | None = None
) -> Reward:
    """Decrease of a distance during the step, ``scale * (d - d')``, positive when approaching.

    Args:
      feature: a distance, smaller is better.
      scale: reward per unit of it.
      limit: largest magnitude of the reward; None does not clip.
      name: of the term; ``progress_<feature>`` by default.
    """
    check_feature_name(feature)
    params, values = parameters(
        scale=check_number("scale", scale), limit=limit if limit is None else check_positive("limit", limit)
    )

    def pay(t: Transition, params: PyTree) -> jax.Array:
        scale, limit = values(params).values()
        gain = scale * (read(t.features, feature, t) - read(t.next_features, feature, t))
        return gain if limit is None else jnp.clip(gain, -limit, limit)

    return from_function(pay, name or f"progress_{feature}", params)


def best_progress(feature: str, scale: Scalar = 1.0, name: str | None = None) -> Reward:
    """Progress beyond the episode's smallest distance so far, ``scale * max(0, best - d')``.

    Going back and forth pays nothing, and an episode pays at most ``scale`` times the distance at
    its start. The definition is ours. The memory is the smallest distance (float32), set to ``d``
    where ``transition.first``.
    """
    check_feature_name(feature)
    params, values = parameters(scale=check_number("scale", scale))
    term = check_term_name(name or f"best_progress_{feature}")

    def init(key: Key) -> PyTree:
        return jnp.full((), jnp.inf, jnp.float32)

    def apply(memory: PyTree, t: Transition, params: PyTree) -> Paid:
        before, after = read(t.features, feature, t), read(t.next_features, feature, t)
        best = jnp.where(t.first, before, jnp.minimum(memory.astype(before.dtype), before))
        value = as_scalar(term, values(params)["scale"] * jnp.maximum(best - after, 0.0), t)
        return jnp.minimum(best, after).astype(memory.dtype), value, {term: value}

    return Reward(init, apply, params)


def distance(
    feature: str, transform: str = "linear", temperature: Scalar = 1.0, name: str | None = None
) -> Reward:
    """Closeness after the step, a decreasing function of ``x = d' / temperature``.

    Args:
      feature: a distance, not negative, smaller is better.
      transform: ``"linear"`` pays ``-x``; the others are 1 at distance 0 and fall towards 0:
        ``"exp"`` pays ``exp(-x)``, ``"tanh"`` ``1 - tanh(x)``, ``"reciprocal"`` ``1 / (1 + x)``.
      temperature: the distance at which ``x`` is 1, in units of the feature.
      name: of the term; ``distance_<feature>`` by default.
    """
    check_feature_name(feature)
    params, values = parameters(temperature=check_positive("temperature", temperature))
    if transform not in _CLOSENESS:
        raise unknown_name("transform", transform, _CLOSENESS)
    closeness = _CLOSENESS[transform]
    return from_function(
        lambda t, p: closeness(read(t.next_features, feature, t) / values(p)["temperature"]),
        name or f"distance_{feature}",
        params,
    )


def reached(feature: str, threshold: Scalar, name: str | None = None) -> Reward:
    """Goal bonus: 1 on steps that end with ``d' <= threshold``, else 0."""
    check_feature_name(feature)
    params, values = parameters(threshold=check_number("threshold", threshold))
    return from_function(
        lambda t, p: read(t.next_features, feature, t) <= values(p)["threshold"],
        name or f"reached_{feature}",
        params,
    )


def control_cost(name: str = "control_cost") -> Reward:
    """Sum of squared actions, in the environment's units: a cost, weight it negatively.

    Raises:
      UsageError: (when traced) actions are discrete.
    """

    def pay(t: Transition) -> jax.Array:
        if not jnp.issubdtype(t.action.dtype, jnp.floating):
            raise UsageError(
                f"control_cost needs continuous actions; these are {t.action.dtype}: leave it out"
            )
        return jnp.sum(t.action.astype(t.reward.dtype) ** 2)

    return from_function(pay, name)


def survival(name: str = "survival") -> Reward:
    """1 on every step that does not end the episode by itself, else 0; a time limit still pays."""
    return from_function(lambda t: ~t.terminated, name)


def time_penalty(name: str = "time_penalty") -> Reward:
    """-1 on every step."""
    return from_function(lambda t: jnp.full((), -1.0, t.reward.dtype), name)
