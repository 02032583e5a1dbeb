"""What rewards pay for steps and trajectories, as checks ask: with fresh memory, on the host.

A reward of which many candidates are parameters is paid by programs that are kept (:func:`kept`): each is
compiled once for all of them. What one candidate alone pays is computed operation by operation, because its
operations are compiled once for all candidates, but its whole would be for it alone.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Wrapped

from rlkit.rewards import init_slots, relabel
from rlkit.types import PyTree, Reward, Trajectory, Transition

FEW = 64  # columns of a trajectory below which they are filled up to a power of two


def kept(reward: Reward) -> Reward:
    """The same reward, of which candidates differ in ``params`` alone: its programs are kept."""
    return reward._replace(apply=jax.jit(reward.apply))


def is_kept(reward: Reward) -> bool:
    """Whether programs of the reward are kept."""
    return isinstance(reward.apply, Wrapped)


def on_steps(reward: Reward, steps: Transition) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What a reward pays for single steps, each with fresh memory: ``([M], terms [M])``, float64."""
    with np.errstate(all="ignore"):
        run = _kept_steps if is_kept(reward) else _steps
        total, terms = jax.device_get(run(*reward, jax.tree.map(jnp.asarray, steps)))
    return np.asarray(total, np.float64), {n: np.asarray(x, np.float64) for n, x in terms.items()}


def _steps(init: Callable, apply: Callable, params: PyTree, steps: Transition) -> Any:
    memory = init(jax.random.key(0))
    return jax.vmap(lambda t: apply(memory, t, params)[1:], axis_name="slots")(steps)


def on_trajectories(reward: Reward, trajectory: Trajectory) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What a reward pays along trajectories, with fresh memory at their start, float64 ``[T, N]``."""
    number = trajectory.transition.reward.shape[1]
    if not is_kept(reward):
        paid, terms = _along(*reward, trajectory)
    else:
        size = number if number >= FEW else 1 << (number - 1).bit_length()
        filled = np.minimum(np.arange(size), number - 1)
        wide = jax.tree.map(lambda x: np.asarray(x)[:, filled], trajectory) if size > number else trajectory
        paid, terms = _kept_along(*reward, wide)
    host = lambda x: np.asarray(x, np.float64)[:, :number]
    return host(paid), {name: host(x) for name, x in terms.items()}


def _along(init: Callable, apply: Callable, params: PyTree, trajectory: Trajectory) -> Any:
    reward = Reward(init, apply, params)
    memory = init_slots(reward, jax.random.key(0), trajectory.transition.reward.shape[1])
    _, paid = relabel(reward, memory, trajectory)
    return paid.reward, paid.terms


def after(reward: Reward, before: Transition, steps: Transition) -> np.ndarray:
    """The pay for steps after others, whose memory they find, float64 ``[M]``."""
    run = _kept_after if is_kept(reward) else _after
    return np.asarray(run(*reward, before, steps), np.float64)


def _after(init: Callable, apply: Callable, params: PyTree, before: Transition, steps: Transition) -> Any:
    def both(a: Transition, b: Transition) -> jax.Array:
        memory, _, _ = apply(init(jax.random.key(0)), a, params)
        return apply(memory, b._replace(first=jnp.zeros((), bool)), params)[1]

    return jax.vmap(both, axis_name="slots")(before, steps)


def repeated(reward: Reward, steps: Transition, times: int) -> np.ndarray:
    """The pay for each step when it is repeated, float64 ``[M, times]``."""
    steps = jax.tree.map(jnp.asarray, steps)
    if is_kept(reward):
        return np.asarray(_kept_repeated(*reward, steps, times), np.float64)
    # A loop must be compiled; in a function of its own, the program goes when the candidate does.
    run = jax.jit(lambda params, steps: _repeated(reward.init, reward.apply, params, steps, times))
    return np.asarray(run(reward.params, steps), np.float64)


def _repeated(init: Callable, apply: Callable, params: PyTree, steps: Transition, times: int) -> Any:
    def one(t: Transition) -> jax.Array:
        def body(memory: PyTree, i: jax.Array) -> tuple[PyTree, jax.Array]:
            memory, paid, _ = apply(memory, t._replace(first=i == 0), params)
            return memory, paid

        return jax.lax.scan(body, init(jax.random.key(0)), jnp.arange(times))[1]

    return jax.vmap(one, axis_name="slots")(steps)


_kept_steps = jax.jit(_steps, static_argnums=(0, 1))
_kept_along = jax.jit(_along, static_argnums=(0, 1))
_kept_after = jax.jit(_after, static_argnums=(0, 1))
_kept_repeated = jax.jit(_repeated, static_argnums=(0, 1, 4))
