"""How episodes of a trained policy ended, and what happened before the end of those that failed.

For the trajectory analyser of Auto MC-Reward (arXiv 2312.09238). How many episodes and steps it sees was not
found; eight episodes and sixteen steps are ours, the latter because its policy sees sixteen frames.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rlkit.types import Agent, Key, PyTree, Trajectory

EPISODES, STEPS = 8, 16
_WIDEST = 16  # entries of a feature that are shown


def player(agent: Agent, steps: int, envs: int = EPISODES) -> Callable[[PyTree, Key], Trajectory]:
    """A function that plays greedily with the policy of a state, to be compiled once and called for many.

    Args:
      agent: the agent, bound to the designed reward.
      steps: of each environment; the time limit lets every episode end.
      envs: environments side by side.

    Returns:
      ``play(state, key)``: experience ``[steps, envs, ...]`` with what :func:`describe` reads, paid with the
      reward's parameters that are in the state.
    """
    from rlkit.agents import probe

    def play(state: PyTree, key: Key) -> Trajectory:
        settings = agent.settings(state)
        given: dict[str, PyTree] = {
            "env_params": settings.env_params,
            "reward_params": settings.reward_params,
        }
        seen = probe(agent, agent.policy(state), key, steps, envs, greedy=True, **given)
        small = {name: x for name, x in seen.transition.next_features.items() if x[0, 0].size <= _WIDEST}
        none: Any = ()  # pictures and the like stay on the device
        kept = seen.transition._replace(obs=none, next_obs=none, features={}, next_features=small)
        return Trajectory(kept, seen.reward, seen.terms, {})

    return play


def failures_of(
    agent: Agent,
    state: PyTree,
    key: Key,
    *,
    steps: int | None = None,
    envs: int = EPISODES,
    episodes: int = EPISODES,
    last: int = STEPS,
) -> dict[str, Any]:
    """Play greedily and describe the failures.

    Args:
      agent: the agent, bound to the designed reward.
      state: of the agent.
      key: typed PRNG key.
      steps: of each environment; None takes the time limit.
      envs: environments side by side.
      episodes: most failed episodes that are described.
      last: most steps of each.

    Returns:
      See :func:`describe`.
    """
    if steps is None:
        given = agent.settings(state).env_params
        steps = int((agent.env.default_params() if given is None else given).max_steps)
    found = jax.device_get(jax.jit(player(agent, steps, envs))(state, key))
    return describe(found, episodes, last)


def describe(trajectory: Trajectory, episodes: int = EPISODES, last: int = STEPS) -> dict[str, Any]:
    """Endings and failed episodes in experience, as JSON.

    Args:
      trajectory: leaves ``[T, B, ...]``; episodes without an end in it are left out.
      episodes: most failed ones that are described, in the order of environments, then time.
      last: most steps of each.

    Returns:
      ``{"endings": {"success", "terminated", "time limit": counts}, "episodes": [...]}``; an episode has its
      ``ending``, its ``length``, and ``steps``: of each of its last ones the features after it, the action
      and the terms of the reward.
    """
    t = trajectory.transition
    done = np.asarray(t.terminated) | np.asarray(t.truncated)
    endings = {"success": 0, "terminated": 0, "time limit": 0}
    shown: list[dict[str, Any]] = []
    for column in range(done.shape[1]):
        begin = 0
        for end in np.flatnonzero(done[:, column]):
            won = bool(np.asarray(t.success)[begin : end + 1, column].any())
            by_itself = bool(np.asarray(t.terminated)[end, column])
            ending = "success" if won else "terminated" if by_itself else "time limit"
            endings[ending] += 1
            if not won and len(shown) < episodes:
                rows = range(max(begin, int(end) - last + 1), int(end) + 1)
                steps = [_step(trajectory, row, column) for row in rows]
                shown.append({"ending": ending, "length": int(end) - begin + 1, "steps": steps})
            begin = int(end) + 1
    return {"endings": endings, "episodes": shown}


def _step(trajectory: Trajectory, row: int, column: int) -> dict[str, Any]:
    t = trajectory.transition
    at = lambda x: _short(np.asarray(x)[row, column])
    seen = {name: at(x) for name, x in t.next_features.items() if np.asarray(x)[row, column].size <= _WIDEST}
    terms = {name: at(x) for name, x in trajectory.terms.items()}
    return {**seen, "action": at(t.action), "paid": terms}


def _short(x: np.ndarray) -> Any:
    if x.ndim:
        return [_short(part) for part in x]
    if x.dtype == bool:
        return bool(x)
    if np.issubdtype(x.dtype, np.integer):
        return int(x)
    value = float(f"{float(x):.4g}")
    return value if math.isfinite(value) else str(value)
