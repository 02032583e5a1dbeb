"""Parameters of the environment that are others for a while, or for one candidate.

A curriculum is Eureka's (arXiv 2310.12931 §4.4): a policy first learns an easier setting with the same reward
and goes on from there in the task itself. A person chooses the settings. Judged is always the task itself.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, unknown_name
from rlkit.types import PyTree


class Stage(NamedTuple):
    """Until a share of the training, one parameter has another value."""

    until: float
    name: str
    value: tuple[float, ...]  # one number, or as many as the parameter has


def read_stage(text: str) -> Stage:
    """``SHARE:NAME=VALUE``, a value of several numbers with commas between them.

    Raises:
      UsageError: it does not read like this.
    """
    share, _, rest = text.partition(":")
    name, _, value = rest.partition("=")
    try:
        stage = Stage(float(share), name, tuple(float(x) for x in value.split(",")))
    except ValueError:
        stage = Stage(math.nan, name, ())
    if not (0.0 < stage.until < 1.0 and name and np.isfinite(stage.value).all()):
        raise UsageError(
            f"curriculum={text!r}: expected SHARE:NAME=VALUE with a share of the training between 0 and 1, "
            "e.g. 0.5:gravity=5"
        )
    return stage


def changed(params: PyTree, values: Mapping[str, Any], who: str) -> PyTree:
    """Parameters of an environment with some of them changed, in their own types.

    Args:
      params: a named tuple of arrays; those of a wrapped environment may stand in its field ``inner``.
      values: numbers or nested lists by name.
      who: for messages.

    Raises:
      UsageError: the parameters are in no named tuple, or a value does not fit.
      UnknownNameError: there is no such parameter.
    """
    if not hasattr(params, "_replace"):
        raise UsageError(f"{who}: expected an environment with parameters in a named tuple")
    own = {name: value for name, value in values.items() if name in params._fields}
    rest = {name: value for name, value in values.items() if name not in own}
    new = {name: _fitted(getattr(params, name), value, f"{who}: {name}") for name, value in own.items()}
    if rest and "inner" not in params._fields:
        raise unknown_name(f"{who}: parameter", next(iter(rest)), params._fields)
    if rest:
        new["inner"] = changed(params.inner, rest, who)
    return params._replace(**new)


def _fitted(old: Any, value: Any, what: str) -> jax.Array:
    """A value in the type of the one whose place it takes."""
    old, given = jnp.asarray(old), np.asarray(value, np.float64)
    given = given.reshape(()) if given.size == 1 and old.shape == () else given
    if given.shape != old.shape or (not jnp.issubdtype(old.dtype, jnp.floating) and (given % 1).any()):
        raise UsageError(f"{what}={value!r}: expected {old.dtype} of shape {old.shape}")
    return jnp.asarray(given, old.dtype)


def now(params: PyTree, stages: Sequence[Stage], done: float) -> PyTree:
    """The parameters to train with after a share of the training."""
    active = {stage.name: stage.value for stage in stages if done < stage.until}
    return changed(params, active, "curriculum") if active else params


def with_params(state: PyTree, env_params: PyTree) -> PyTree:
    """The state of an agent whose environment goes on with other parameters.

    They are where a named tuple in the state has a field ``env_params``, as that of the collector has.

    Raises:
      UsageError: the state does not hold any.
    """
    holds = lambda x: "env_params" in getattr(x, "_fields", ())
    found: list[PyTree] = []

    def put(x: Any) -> Any:
        if not holds(x):
            return x
        found.append(x)
        fit = lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype)
        return x._replace(env_params=jax.tree.map(fit, env_params, x.env_params))

    out = jax.tree.map(put, state, is_leaf=holds)
    if not found:
        raise UsageError("curriculum: the agent's state does not hold the environment's parameters")
    return out
