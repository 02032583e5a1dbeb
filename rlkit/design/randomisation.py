"""Domain randomisation of a design, after DrEureka (arXiv 2406.01967).

A policy that was trained with a designed reward says how far each parameter of the environment may go: its
reward-aware physics prior (§3.2). Ranges inside those bounds are what candidates are trained with next
(:func:`rlkit.envs.randomised.randomised`); a person chooses them, or a model
(:func:`rlkit.design.ranges.choose_ranges`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.agents import evaluate
from rlkit.design.types import CURVES
from rlkit.errors import UsageError, unknown_name
from rlkit.types import Agent, Key, PyTree


class Bounds(NamedTuple):
    """How far one parameter may go."""

    low: float  # NaN if no value passed
    high: float
    values: tuple[float, ...]
    scores: tuple[float, ...]  # of each value


def feasible(
    agent: Agent,
    state: PyTree,
    key: Key,
    values: Mapping[str, Sequence[float]],
    *,
    passes: float = 0.5,
    curve: str = "success",
    episodes: int = 16,
) -> dict[str, Bounds]:
    """The smallest and largest value of each parameter at which a trained policy still passes.

    One parameter is changed at a time; all others are those of the state. Everything is played in one
    compiled program.

    Args:
      agent: the agent.
      state: of the agent.
      key: typed PRNG key; all values are judged with the same one.
      values: what is tried, by name of the parameter.
      passes: mean of the curve from which on a value passes.
      curve: of an evaluation: ``"success"``, ``"fitness"``, ``"returned"`` or ``"length"``.
      episodes: of each value.

    Raises:
      UsageError: nothing is to be tried, a number is not finite, or parameters are not in a named tuple.
      UnknownNameError: there is no such parameter or curve.
    """
    params = agent.settings(state).env_params
    params = agent.env.default_params() if params is None else params
    if not hasattr(params, "_replace") or not values or not all(map(len, values.values())):
        raise UsageError(f"values={dict(values)!r}: expected numbers by name, of parameters in a named tuple")
    for name, numbers in {"passes": [passes], **values}.items():
        if not np.isfinite(np.asarray(numbers, np.float64)).all():
            raise UsageError(f"{name}={numbers!r}: expected finite numbers")
    if curve not in CURVES:
        raise unknown_name("curve", curve, CURVES)
    settings = []
    for name, tried in values.items():
        if name not in params._fields:
            raise unknown_name("parameter", name, params._fields)
        own = jnp.asarray(getattr(params, name))
        settings += [params._replace(**{name: jnp.asarray(value, own.dtype)}) for value in tried]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *settings)
    policy = agent.policy(state)

    @jax.jit
    def judge(all_params: PyTree) -> jax.Array:
        def one(own: PyTree) -> jax.Array:
            found = evaluate(agent, policy, key, episodes, env_params=own)
            return jnp.mean(getattr(found, curve).astype(jnp.float32))

        return jax.lax.map(one, all_params)

    scores = np.asarray(judge(stacked), np.float64).tolist()
    out, at = {}, 0
    for name, tried in values.items():
        mine = scores[at : at + len(tried)]
        at += len(tried)
        good = [float(v) for v, score in zip(tried, mine, strict=True) if score >= passes]
        low, high = (min(good), max(good)) if good else (float("nan"), float("nan"))
        out[name] = Bounds(low, high, tuple(map(float, tried)), tuple(mine))
    return out
