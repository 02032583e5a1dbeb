"""Potential-based shaping (Ng, Harada & Russell 1999)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.rewards.algebra import add, from_function
from rlkit.rewards.arguments import Scalar, as_scalar, check_feature_name, check_number, parameters, read
from rlkit.types import Features, PyTree, Reward, Transition

Potential = str | Callable[[Features], jax.Array]
"""Φ: a function of the features to a scalar, or the name of a feature, negated by a leading ``-``."""


def _evaluate(potential: Potential, features: Features, t: Transition) -> jax.Array:
    if callable(potential):
        return as_scalar("the potential", potential(features), t)
    value = read(features, potential.removeprefix("-"), t)
    return -value if potential.startswith("-") else value


def potential_difference(potential: Potential, discount: Scalar, name: str = "shaping") -> Reward:
    """The source ``F = γ Φ(s') [not terminated] - Φ(s)``.

    The potential of a terminal state counts as 0, without which shaping changes which policies
    are optimal. A time limit is not a terminal state: there Φ(s') counts in full, as the value of
    the true successor does in the learner's bootstrap.

    Args:
      potential: Φ, a function of the features to a scalar, or the name of a feature, which is
        negated by a leading ``-`` (``"-path_distance"``).
      discount: γ in [0, 1], the learner's.
      name: of the term.

    Raises:
      UsageError: the discount is out of range, or ``potential`` is neither name nor function.
    """
    params, values = parameters(discount=check_number("discount", discount, 0.0, 1.0))
    if not callable(potential):
        if not isinstance(potential, str):
            raise UsageError(
                f"potential={potential!r}: expected a function of the features or a feature's name"
            )
        check_feature_name(potential.removeprefix("-"))

    def pay(t: Transition, params: PyTree) -> jax.Array:
        after = jnp.where(t.terminated, 0.0, _evaluate(potential, t.next_features, t))
        return values(params)["discount"] * after - _evaluate(potential, t.features, t)

    return from_function(pay, name, params)


def potential_shaping(potential: Potential, discount: Scalar, name: str = "shaping") -> Reward:
    """The transform that adds :func:`potential_difference` to the reward so far.

    Every policy gains ``-Φ(s_0)`` per episode, so the optimal policies are those without shaping
    (Ng, Harada & Russell 1999, theorem 1). Arguments and errors as there.
    """
    return add(potential_difference(potential, discount, name))
