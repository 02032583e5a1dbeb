"""Learning from experience that came from elsewhere: data sets, demonstrations, another agent's steps.

``Agent.learn`` takes a trajectory with the extras that ``Agent.needs`` names, which ``Agent.collect``
records; ``Agent.adopt(state, trajectory)`` adds them to any other. :func:`trajectory_from` does all of it for
plain arrays::

    demonstrations = trajectory_from(agent, state, obs=obs, action=action, next_obs=next_obs, reward=reward,
                                     terminated=terminated, truncated=truncated)
    state, metrics = agent.learn(state, demonstrations)
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.agents.acting import MEMORIES, RAW, Look, Policy
from rlkit.distributions import ActionDistribution
from rlkit.errors import UsageError
from rlkit.memory import restart, side_by_side
from rlkit.spaces import Discrete
from rlkit.types import Agent, PyTree, Trajectory, Transition


def check_experience(trajectory: Trajectory, config: Any, needs: tuple[str, ...], *, whole: bool) -> None:
    """Check that an agent can learn from a trajectory; costs nothing in the compiled program.

    Args:
      trajectory: leaves ``[T, B, ...]``.
      config: of the agent; has the fields ``num_steps`` and ``num_envs``.
      needs: extras that learning reads.
      whole: ``T`` has to be ``num_steps``; otherwise only ``B`` has to be ``num_envs``.

    Raises:
      UsageError: an extra is missing, or the leading axes are others.
    """
    name = type(config).__name__.removesuffix("Config")
    if not isinstance(trajectory, Trajectory):
        raise UsageError(
            f"{name} learns from a rlkit.types.Trajectory, not from a {type(trajectory).__name__}; "
            "rlkit.agents.trajectory_from makes one of plain arrays"
        )
    missing = [need for need in needs if need not in trajectory.extras]
    if missing:
        raise UsageError(
            f"{name} learns from the extras {', '.join(needs)} of a trajectory, and this one has no "
            f"{', '.join(missing)}: agent.collect records them, and agent.adopt(state, trajectory) adds "
            "them to experience from elsewhere"
        )
    found, wanted = trajectory.reward.shape, (config.num_steps, config.num_envs)
    if len(found) != 2 or found[1] != wanted[1] or (whole and found != wanted):
        steps = f"num_steps={wanted[0]}" if whole else "any number of steps"
        raise UsageError(
            f"the trajectory has the leading axes {list(found)}; this {name} learns from [T, B] with {steps} "
            f"and num_envs={wanted[1]}: cut the data so, or build the agent for it"
        )


def retraced(look: Look, policy: Policy, fresh: PyTree, seen: Transition) -> tuple[Any, dict[str, PyTree]]:
    """What a policy makes of the observations of a trajectory, as if it had acted.

    Args:
      look: see :data:`rlkit.agents.acting.Look`.
      policy: the policy.
      fresh: its memory at the start of an episode; with memory, time begins with it too.
      seen: leaves ``[T, B, ...]``.

    Returns:
      Outputs ``[T, B, ...]``; the extras ``memory`` and ``carry`` if there is memory.
    """
    if not jax.tree.leaves(fresh):
        return look(policy, fresh, seen.obs), {}

    def body(carry: PyTree, step: tuple[jax.Array, jax.Array]):
        before = restart(carry, step[1], fresh)
        out = look(policy, before, step[0])
        return out.carry, (out, {"memory": before, "carry": out.carry})

    _, found = jax.lax.scan(body, side_by_side(fresh, seen.first.shape[1]), (seen.obs, seen.first))
    return found


def adopting(
    dist: ActionDistribution,
    look: Look,
    memory: Callable[[], PyTree],
    policy: Callable[[PyTree], Policy],
    needs: tuple[str, ...],
) -> Callable[[PyTree, Trajectory], Trajectory]:
    """``Agent.adopt`` of an agent whose actions follow a distribution.

    Args:
      dist: the family of its actions.
      look: what its policy makes of observations.
      memory: as ``Agent.carry``.
      policy: as ``Agent.policy``.
      needs: extras that learning reads: of :class:`rlkit.networks.Outputs`, ``raw``, ``memory``, ``carry``.
    """

    def adopt(state: PyTree, trajectory: Trajectory) -> Trajectory:
        seen = trajectory.transition
        out, memories = retraced(look, policy(state), memory(), seen)
        known = {name: getattr(out, name) for name in needs if name not in (RAW, *MEMORIES)} | memories
        if RAW in needs:
            known[RAW] = dist.from_env(seen.action)
        return trajectory._replace(extras=trajectory.extras | known)

    return adopt


def trajectory_from(
    agent: Agent,
    state: PyTree,
    *,
    obs: Any,
    action: Any,
    next_obs: Any,
    reward: Any,
    terminated: Any,
    truncated: Any = None,
    first: Any = None,
    success: Any = None,
    features: Mapping[str, Any] | None = None,
    next_features: Mapping[str, Any] | None = None,
) -> Trajectory:
    """A trajectory that an agent can learn from, of plain arrays ``[T, B, ...]``.

    Time leads, then ``B`` stretches side by side, as many as the agent has environments. An agent that learns
    from probabilities (PPO) takes them from its present policy: it treats the actions as its own.

    Args:
      agent: the agent.
      state: its state, for what ``agent.adopt`` computes.
      obs: observations, as the environment gives them.
      action: in the environment's units.
      next_obs: the true successor of each observation, not the first of the next episode.
      reward: what the agent is paid.
      terminated: bool: the episode ended by itself.
      truncated: bool: it was cut off, or the data goes on elsewhere; None: never.
      first: bool: the observation is the first of an episode; None: at the beginning, and after each end.
      success: bool: the sparse task signal; None: never.
      features: by name, those that the agent's trajectories keep; those not given are NaN (0 if they are no
        floats), so that a reward that reads them cannot pay the trajectory anew.
      next_features: the same after the action.

    Returns:
      The trajectory, with the extras that ``agent.needs`` names.

    Raises:
      UsageError: the agent cannot learn from others' experience; an array has another shape than the
        environment says, holds no numbers, or an action that does not exist; a successor is not the next
        observation within an episode.
    """
    name = type(agent.config).__name__.removesuffix("Config")
    if agent.collect is None or agent.learn is None or agent.adopt is None:
        raise UsageError(f"{name} cannot learn from experience that is not its own (agent.adopt is None)")
    paid = np.asarray(reward)
    if paid.ndim != 2:
        raise UsageError(
            f"reward has the shape {paid.shape}; expected [T, B], time first: reshape one long stretch to "
            "[T, 1], or cut it into stretches side by side"
        )
    shape, spec = paid.shape, agent.env.spec
    collect: Any = agent.collect
    like = jax.eval_shape(lambda key: collect(agent.init(key))[1], jax.random.key(0)).transition
    of = lambda what, values, leaf: _array(what, values, (*shape, *leaf.shape[2:]), leaf.dtype)
    no = np.zeros(shape, bool)
    ended = of("terminated", terminated, like.terminated)
    cut = of("truncated", no if truncated is None else truncated, like.truncated)
    done = ended | cut
    begins = np.concatenate([np.ones_like(no[:1]), done[:-1]]) if first is None else first
    seen = Transition(
        obs=of("obs", obs, like.obs),
        action=of("action", action, like.action),
        next_obs=of("next_obs", next_obs, like.next_obs),
        features=_features("features", features, like.features, shape),
        next_features=_features("next_features", next_features, like.next_features, shape),
        reward=of("reward", paid, like.reward),
        terminated=ended,
        truncated=cut,
        success=of("success", no if success is None else success, like.success),
        first=of("first", begins, like.first),
    )
    if isinstance(spec.action_space, Discrete):
        _check_choices(seen.action, spec.action_space)
    _check_successors(seen)
    whole = jax.tree.map(jnp.asarray, seen)
    return agent.adopt(state, Trajectory(whole, whole.reward, {}, {}))


def _array(what: str, values: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Values as an array of this shape and dtype, which has to hold them."""
    found = np.asarray(values)
    if found.shape != shape:
        raise UsageError(
            f"{what} has the shape {found.shape}; expected {shape}, [T, B, ...] as reward has it"
        )
    if found.dtype.kind not in "biuf":
        raise UsageError(f"{what} has the dtype {found.dtype}; expected numbers, {np.dtype(dtype).name}")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise UsageError(f"{what} has entries that are not finite; leave those steps out")
    cast = found.astype(dtype)
    if np.dtype(dtype).kind != "f" and not np.array_equal(cast, found):
        raise UsageError(f"{what} has the dtype {found.dtype}, and values that are no {np.dtype(dtype).name}")
    return cast


def _features(
    what: str, given: Mapping[str, Any] | None, like: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, Any]:
    """The features that are kept; NaN for those that were not given."""
    given = given or {}
    unknown = sorted(set(given) - set(like))
    if unknown:
        raise UsageError(
            f"{what} has {', '.join(unknown)}; this agent's trajectories keep "
            f"{', '.join(sorted(like)) or 'none'}: leave them out, or build the agent with record=(...)"
        )

    def one(name: str, leaf: Any) -> Any:
        wanted = (*shape, *leaf.shape[2:])
        if name in given:
            return _array(f"{what}[{name!r}]", given[name], wanted, leaf.dtype)
        return np.full(wanted, np.nan if jnp.issubdtype(leaf.dtype, jnp.floating) else 0, leaf.dtype)

    return {name: one(name, leaf) for name, leaf in like.items()}


def _check_choices(action: Any, space: Discrete) -> None:
    low, high = space.start, space.start + space.n - 1
    if action.size and not (low <= action.min() and action.max() <= high):
        raise UsageError(f"action lies in {action.min()} .. {action.max()}; expected {low} .. {high}")


def _check_successors(seen: Transition) -> None:
    """Within an episode each successor is the next observation."""
    flat = lambda x: np.asarray(x, np.float64).reshape(*x.shape[:2], -1)
    after, then = flat(seen.next_obs)[:-1], flat(seen.obs)[1:]
    wrong = (~np.isclose(after, then, rtol=1e-4, atol=1e-5)).any(-1) & ~seen.first[1:]
    if wrong.any():
        t, slot = (int(i) for i in np.argwhere(wrong)[0])
        raise UsageError(
            f"next_obs[{t}, {slot}] is not obs[{t + 1}, {slot}], though no episode begins there: give the "
            "true successors, and set truncated where the data goes on elsewhere"
        )
