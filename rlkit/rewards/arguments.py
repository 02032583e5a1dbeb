"""Checks of what reward constructors are given."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, WrongTypeError, unknown_name
from rlkit.fields import not_float32, shown
from rlkit.types import Features, PyTree, Reward, Transition

Scalar = float | jax.Array
_LONGEST = 100
_TERM = re.compile(rf"[^\W_][\w./:\[\]-]{{0,{_LONGEST - 1}}}")


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> Scalar:
    """Check a number at construction: finite in float32, within ``[low, high]``; arrays must be scalars.

    Arrays, traced ones included, are only checked for their shape and made floating.
    """
    if isinstance(value, jax.Array | np.ndarray):
        if value.shape != ():
            raise UsageError(f"{name} has shape {value.shape}; expected a scalar: vmap over the rest")
        floating = jnp.issubdtype(value.dtype, jnp.floating)
        dtype = jax.dtypes.canonicalize_dtype(value.dtype) if floating else jnp.result_type(float)
        return jax.lax.convert_element_type(
            value, dtype
        )  # not weakly typed: states that hold it keep its type
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise UsageError(f"{name}={shown(value)}: expected a number")
    problem = not_float32(value)
    if problem or not low <= value <= high:
        bounds = "a finite number" if math.isinf(high - low) else f"a number between {low} and {high}"
        bounds += f" of at least {low}" if math.isinf(high) and not math.isinf(low) else ""
        raise UsageError(f"{name}={shown(value)}{f' ({problem})' if problem else ''}: expected {bounds}")
    return float(value)


def check_positive(name: str, value: Any) -> Scalar:
    """Check that a number is finite and greater than 0."""
    value = check_number(name, value)
    if not isinstance(value, jax.Array) and value <= 0:
        raise UsageError(f"{name}={value!r}: expected a number greater than 0")
    return value


def parameters(**numbers: Scalar | None) -> tuple[PyTree, Callable[[PyTree], dict[str, Any]]]:
    """Tell the numbers of a constructor apart: arrays are parameters of the reward, others constants.

    Args:
      **numbers: as :func:`check_number` returns them; None stays a constant.

    Returns:
      ``params``, the arrays by name (``()`` if there are none), and ``values(params)``, all numbers by name.
    """
    arrays = {name: value for name, value in numbers.items() if isinstance(value, jax.Array)}
    return arrays or (), lambda params: numbers | dict(params)


def check_reward(where: str, value: Any) -> Reward:
    """Check that something is a reward."""
    if not isinstance(value, Reward):
        hint = "; call it to build one" if callable(value) else ""
        raise WrongTypeError(f"{where} got {shown(value)}; expected an rlkit Reward{hint}")
    return value


def check_term_name(name: Any) -> str:
    """Check the name of a term, which becomes a column of logs and a label of figures."""
    if not isinstance(name, str) or not _TERM.fullmatch(name):
        raise UsageError(
            f"name={shown(name)}: expected the name of a term: a letter or digit, followed by at most "
            f"{_LONGEST - 1} letters, digits and characters of _ . - / : [ ]"
        )
    return name


def check_feature_name(name: Any) -> str:
    """Check that the name of a feature is text."""
    if not isinstance(name, str) or not name:
        raise UsageError(
            f"feature={shown(name)}: expected the name of a feature, see the environment's spec.features"
        )
    return name


def as_scalar(what: str, value: Any, transition: Transition) -> jax.Array:
    """Cast to the dtype of rewards; anything but a scalar is an error."""
    value = jnp.asarray(value)
    if value.shape != ():
        raise UsageError(
            f"{what} has shape {value.shape} on one transition; expected a scalar (): reduce or index it"
        )
    return value.astype(transition.reward.dtype)


def lookup(features: Features, name: str) -> jax.Array:
    """A feature by name; an unknown name raises with a suggestion."""
    try:
        return features[name]
    except UsageError:  # an environment's own answer: unknown, or forbidden
        raise
    except KeyError:
        raise unknown_name("feature", name, features.keys(), where="among those at hand") from None


def read(features: Features, name: str, transition: Transition) -> jax.Array:
    """One scalar feature, in the dtype of rewards."""
    return as_scalar(f"feature {name!r}", lookup(features, name), transition)
