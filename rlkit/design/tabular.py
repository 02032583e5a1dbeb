"""Exact optima in small worlds: all reachable states are listed, and values are iterated."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.design.paying import on_steps
from rlkit.envs.core import advance, features, observe, task_reward
from rlkit.spaces import Discrete
from rlkit.types import Environment, EnvState, Key, PyTree, Reward, Transition


class World(NamedTuple):
    """A deterministic environment as a table of ``S`` states and ``A`` actions."""

    successor: np.ndarray  # int [S, A]
    steps: Transition  # of every state and action, leaves [S * A, ...]
    terminated: np.ndarray  # bool [S, A]
    success: np.ndarray  # bool [S, A]
    initial: np.ndarray  # int [I]: states in which episodes begin


def tabulate(
    env: Environment, params: PyTree, key: Key, *, states: int = 4096, starts: int = 16
) -> World | None:
    """List all states that can be reached.

    Args:
      env: the environment.
      params: its parameters.
      key: typed PRNG key.
      states: the most states.
      starts: initial states that are drawn.

    Returns:
      The table; None if there is none: actions are not discrete, a step depends on chance, or there are more
      states.
    """
    space = env.spec.action_space
    if not isinstance(space, Discrete):
        return None
    actions = space.start + jnp.arange(space.n, dtype=jnp.int32)
    chances = [jax.random.fold_in(key, i) for i in range(2)]
    begin = jax.jit(jax.vmap(lambda k: env.initial(k, params)))(jax.random.split(key, starts))
    states_of: list[PyTree] = []
    index: dict[bytes, int] = {}

    def number(tree: PyTree, row: int) -> int:
        one = jax.tree.map(lambda x: x[row], tree)
        name = b"|".join(np.asarray(x).tobytes() for x in jax.tree.leaves(one))
        if name not in index:
            index[name] = len(states_of)
            states_of.append(one)
        return index[name]

    @jax.jit
    def expand(batch: PyTree) -> tuple[PyTree, Transition, jax.Array]:
        def one(inner: PyTree, action: jax.Array) -> tuple[PyTree, Transition, jax.Array]:
            state = EnvState(inner, jnp.zeros((), jnp.int32))
            outs = [advance(env, k, state, action, params) for k in chances]
            same = [jnp.all(x == y) for x, y in zip(*(jax.tree.leaves(o.state) for o in outs), strict=True)]
            out = outs[0]
            before, after = (features(env, s.inner, params) for s in (state, out.state))
            reward, _ = task_reward(env, before, action, after, params)
            public = lambda seen: {f.name: seen[f.name] for f in env.spec.features}
            no = jnp.zeros((), bool)
            step = Transition(
                observe(env, chances[1], inner, params), action, out.obs,
                public(before), public(after), reward, out.terminated, no, out.success, no,
            )  # fmt: skip
            return out.state.inner, step, jnp.all(jnp.stack(same))

        return jax.vmap(lambda s: jax.vmap(lambda a: one(s, a))(actions))(batch)

    begin = jax.device_get(begin)
    initial = np.unique([number(begin, i) for i in range(starts)])
    rows, seen, done = [], [], 0
    width = 64
    while done < len(states_of):
        if len(states_of) > states:
            return None
        batch = states_of[done : done + width]
        padded = batch + [batch[0]] * (width - len(batch))
        after, steps, same = jax.device_get(expand(jax.tree.map(lambda *x: np.stack(x), *padded)))
        if not same[: len(batch)].all():
            return None
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), after)
        # What follows an end is of no concern: it is no state of an episode.
        ends = steps.terminated.reshape(-1)
        ids = [0 if ends[i] else number(flat, i) for i in range(len(batch) * space.n)]
        rows.append(np.reshape(ids, (len(batch), space.n)))
        seen.append(jax.tree.map(lambda x, n=len(batch): x[:n].reshape(-1, *x.shape[2:]), steps))
        done += len(batch)
    table = np.concatenate(rows)
    steps = jax.tree.map(lambda *x: np.concatenate(x), *seen)
    terminated, success = (np.asarray(x).reshape(table.shape) for x in (steps.terminated, steps.success))
    return World(table, steps, terminated, success, initial)


class Optimum(NamedTuple):
    """What the best policies for a reward do, from each initial state ``[I]``."""

    value: np.ndarray  # float64 [S]: optimal discounted return
    best: np.ndarray  # bool [S, A]: the optimal actions
    solves: np.ndarray  # bool [I]: every optimal policy succeeds
    can_solve: np.ndarray  # bool [I]: some optimal policy does
    returned: np.ndarray  # float64 [I]: the optimal discounted return


def optimum(world: World, paid: np.ndarray, discount: float, *, tolerance: float = 1e-5) -> Optimum:
    """Value iteration, without a time limit.

    Args:
      world: the table.
      paid: reward of each state and action ``[S, A]``.
      discount: γ below 1.
      tolerance: actions whose values differ by less (relative to the largest) are both optimal.
    """
    discount = min(discount, 0.999)
    go_on = np.where(world.terminated, 0.0, discount)
    value = np.zeros(paid.shape[0])
    scale = max(float(np.abs(paid).max()), 1e-12)
    for _ in range(20_000):
        q = paid + go_on * value[world.successor]
        new = q.max(1)
        change, value = np.abs(new - value).max(), new
        if change < 1e-9 * scale:
            break
    q = paid + go_on * value[world.successor]
    best = q >= q.max(1, keepdims=True) - tolerance * max(scale, float(np.abs(q).max()))
    can = _reaches(world, best, every=False)
    every = _reaches(world, best, every=True)
    at = world.initial
    return Optimum(value, best, every[at], can[at], value[at])


def _reaches(world: World, allowed: np.ndarray, *, every: bool) -> np.ndarray:
    """States from which success is reached by allowed actions: by some choice of them, or by every one."""
    reached = np.zeros(allowed.shape[0], bool)
    while True:
        there = world.success | (~world.terminated & reached[world.successor])
        new = (there | ~allowed).all(1) if every else (there & allowed).any(1)
        new |= reached
        if (new == reached).all():
            return reached
        reached = new


def pay_table(reward: Reward, world: World) -> np.ndarray:
    """What a reward pays for every state and action, float64 ``[S, A]``.

    A reward with memory is paid as if each step began an episode; it has no exact optimum over
    these states.
    """
    return on_steps(reward, world.steps)[0].reshape(world.successor.shape)
