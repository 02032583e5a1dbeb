"""Domain randomisation: parameters of an environment that are other ones in every episode."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.envs.wrapping import StatefulWrapper, Wrapped
from rlkit.errors import UsageError, unknown_name
from rlkit.types import Environment, EnvSpec, Features, Key

_DRAW = 3  # folded into the key of a reset for what the wrapped environment does not draw

Range = tuple[str, float, float]
"""Name of a parameter, the smallest and the largest value."""


@dataclass(frozen=True)
class _Randomised(StatefulWrapper):
    ranges: tuple[Range, ...]

    @property
    def spec(self) -> EnvSpec:
        return self.respec("randomised")

    def initial(self, key: Key, params: Any) -> Wrapped:
        draws = jax.random.uniform(jax.random.fold_in(key, _DRAW), (len(self.ranges),), jnp.float32)
        drawn = {
            name: low + u * (high - low) for (name, low, high), u in zip(self.ranges, draws, strict=True)
        }
        return Wrapped(self.env.initial(key, params._replace(**drawn)), drawn)

    def transition(self, key: Key, state: Wrapped, action: jax.Array, params: Any) -> Wrapped:
        own = params._replace(**state.memory)
        return Wrapped(self.env.transition(key, state.inner, action, own), state.memory)

    def observe(self, key: Key, state: Wrapped, params: Any) -> jax.Array:
        return self.env.observe(key, state.inner, params._replace(**state.memory))

    def features(self, state: Wrapped, params: Any) -> Features:
        return self.env.features(state.inner, params._replace(**state.memory))

    def terminated(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        own = params._replace(**state.memory)
        return self.env.terminated(state.inner, action, next_state.inner, own)

    def success(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        own = params._replace(**state.memory)
        return self.env.success(state.inner, action, next_state.inner, own)

    def fitness(self, state: Wrapped, params: Any) -> jax.Array:
        return self.env.fitness(state.inner, params._replace(**state.memory))

    def render(self, state: Wrapped, params: Any, size: int = 256) -> Any:
        return self.env.render(state.inner, params._replace(**state.memory), size)


def randomised(env: Environment, ranges: Mapping[str, tuple[float, float]]) -> Environment:
    """Draw parameters anew, uniformly, where an episode begins (Tobin et al. 2017, arXiv 1703.06907).

    The agent is not told which ones. The task reward, which sees features alone, is computed with the
    parameters that were handed in. Drawn parameters take the place of those handed in; to compare settings
    that stay the same, map over the parameters instead.

    Args:
      env: a pure environment whose parameters are a named tuple.
      ranges: ``{name: (low, high)}`` of floating-point parameters, each a number.

    Raises:
      UsageError: no ranges, one without a width, or a parameter that is no floating-point number.
      UnknownNameError: there is no such parameter.
    """
    params: Any = env.default_params() if env.spec.pure else None
    if not hasattr(params, "_replace"):
        raise UsageError(f"{env.spec.id}: expected an environment with parameters in a named tuple")
    if not ranges:
        raise UsageError(f"ranges={{}}: expected one or more of {', '.join(params._fields)}")
    for name, (low, high) in ranges.items():
        if name not in params._fields:
            raise unknown_name("parameter", name, params._fields)
        own = jnp.asarray(getattr(params, name))
        if own.shape != () or not jnp.issubdtype(own.dtype, jnp.floating):
            raise UsageError(
                f"ranges[{name!r}]: {own.dtype} of shape {own.shape}; expected a floating-point number"
            )
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"ranges[{name!r}]=({low!r}, {high!r}): expected two numbers, the smaller first")
    return _Randomised(env, tuple((name, float(low), float(high)) for name, (low, high) in ranges.items()))
