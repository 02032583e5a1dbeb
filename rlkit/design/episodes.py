"""Whole episodes under given actions: what checks and audits look at."""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.design.paying import on_trajectories
from rlkit.envs.core import advance_with, features, reset_with, task_reward
from rlkit.types import Environment, EnvState, Key, PyTree, Reward, Trajectory, Transition


class Episodes(NamedTuple):
    """``N`` episodes of at most ``T`` steps, on the host (NumPy)."""

    trajectory: Trajectory  # leaves [T, N, ...]; what follows the end of an episode is to be ignored
    fitness: np.ndarray  # float32 [T, N]: the environment's fitness of the state after each step
    start: np.ndarray  # int [N]: episodes of one number began in one state and meet the same chances
    kind: np.ndarray  # text [N]: how their actions came about

    @property
    def valid(self) -> np.ndarray:
        """bool ``[T, N]``: the step belongs to the episode."""
        done = np.asarray(self.trajectory.transition.done)
        return np.cumsum(done, 0) - done == 0

    @property
    def solved(self) -> np.ndarray:
        """bool ``[N]``: the sparse signal of success was seen."""
        return np.any(self.valid & np.asarray(self.trajectory.transition.success), 0)

    @property
    def terminated(self) -> np.ndarray:
        """bool ``[N]``: the episode ended by itself."""
        return np.any(self.valid & np.asarray(self.trajectory.transition.terminated), 0)

    @property
    def length(self) -> np.ndarray:
        """int ``[N]``: steps."""
        return self.valid.sum(0)

    def take(self, index: Any) -> "Episodes":
        """Some of them, by a mask or by numbers."""
        pick = lambda x: np.asarray(x)[:, index]
        trajectory = jax.tree.map(pick, self.trajectory)
        return Episodes(trajectory, self.fitness[:, index], self.start[index], self.kind[index])


def join(*parts: Episodes) -> Episodes:
    """All episodes of some sets; shorter ones are filled up behind their end with what is to be ignored.

    Sets whose episodes may end at different time limits cannot be told apart afterwards: a filled step counts
    as the end of the episode.
    """
    longest = max(part.fitness.shape[0] for part in parts)
    parts = tuple(_lengthened(part, longest) for part in parts)
    trajectory = jax.tree.map(lambda *xs: np.concatenate(xs, 1), *(part.trajectory for part in parts))
    rest = ((part.fitness, part.start, part.kind) for part in parts)
    fitness, start, kind = zip(*rest, strict=True)
    return Episodes(trajectory, np.concatenate(fitness, 1), np.concatenate(start), np.concatenate(kind))


def _lengthened(part: Episodes, length: int) -> Episodes:
    missing = length - part.fitness.shape[0]
    if not missing:
        return part
    fill = lambda x: np.concatenate([np.asarray(x), np.repeat(np.asarray(x)[-1:], missing, 0)])
    trajectory = jax.tree.map(fill, part.trajectory)
    truncated = np.array(trajectory.transition.truncated)
    truncated[part.fitness.shape[0] - 1] = True
    transition = trajectory.transition._replace(truncated=truncated)
    return part._replace(trajectory=trajectory._replace(transition=transition), fitness=fill(part.fitness))


@functools.partial(jax.jit, static_argnums=(0, 5))
def _play(
    env: Environment,
    params: PyTree,
    starts: Key,
    steps: Key,
    actions: jax.Array,
    show: Literal["all", "features", "nothing"],
) -> Any:
    obs, state = jax.vmap(reset_with, (None, 0, None))(env, starts, params)
    of = jax.vmap(lambda s: features(env, s.inner, params))
    pay = jax.vmap(lambda before, a, after: task_reward(env, before, a, after, params))
    names = [] if show == "nothing" else [f.name for f in env.spec.features]
    public = lambda seen: {name: seen[name] for name in names}
    see = (lambda x: x) if show == "all" else lambda x: x.reshape(x.shape[0], -1)[:, :0]

    def body(at: tuple[EnvState, jax.Array, Any, jax.Array], x: tuple[Key, jax.Array]):
        state, obs, before, first = at
        keys, action = x
        out = jax.vmap(advance_with, (None, 0, 0, 0, None))(env, keys, state, action, params)
        # What is not carried is computed again, so that features which nobody reads are not computed at all.
        before, after = of(state) if before is None else before, of(out.state)
        reward, _ = pay(before, action, after)
        ends = (out.terminated, out.truncated, out.success)
        seen = Transition(see(obs), action, see(out.obs), public(before), public(after), reward, *ends, first)
        fitness = jax.vmap(lambda s: jnp.asarray(env.fitness(s.inner, params), jnp.float32))(out.state)
        carried = (see(out.obs), after if names else None)
        return (out.state, *carried, jnp.zeros_like(first)), (seen, fitness)

    begin = (state, see(obs), of(state) if names else None, jnp.ones(starts.shape[0], bool))
    return jax.lax.scan(body, begin, (steps, actions))[1]


def play(
    env: Environment,
    params: PyTree,
    key: Key,
    actions: np.ndarray,
    start: np.ndarray,
    kind: Any = "",
    *,
    show: Literal["all", "features", "nothing"] = "all",
) -> Episodes:
    """Run episodes open-loop.

    Args:
      env: the environment.
      params: its parameters.
      key: typed PRNG key; episodes of one ``start`` share initial state and chances.
      actions: ``[T, N, ...]``, in the environment's units.
      start: int ``[N]``.
      kind: text, or text ``[N]``: see :class:`Episodes`.
      show: what is kept of each step: everything; no observations (they have no entries then), which may be
        large; or neither these nor features, which may be slow to compute.
    """
    key_start, key_step = jax.random.split(key)
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    starts = jax.vmap(lambda k: jax.random.split(k, 2))(fold(key_start, jnp.asarray(start)))
    split = lambda k: jax.random.split(k, (actions.shape[0], 2))
    steps = jnp.swapaxes(jax.vmap(split)(fold(key_step, jnp.asarray(start))), 0, 1)
    seen, fitness = jax.device_get(_play(env, params, starts, steps, jnp.asarray(actions), show))
    kinds = np.broadcast_to(np.asarray(kind, dtype="<U16"), np.shape(start))
    return Episodes(Trajectory(seen, seen.reward, {}, {}), fitness, np.asarray(start), kinds)


class Paid(NamedTuple):
    """What a reward pays for episodes, float64."""

    reward: np.ndarray  # [T, N], 0 behind the end
    terms: dict[str, np.ndarray]  # each [T, N]


def pay(reward: Reward, episodes: Episodes) -> Paid:
    """Pay episodes, with the reward's memory as it is at the start of each."""
    paid, terms = on_trajectories(reward, episodes.trajectory)
    valid = episodes.valid
    keep = lambda x: np.where(valid, x, 0.0)
    return Paid(keep(paid), {name: keep(x) for name, x in terms.items()})


def discounted(paid: np.ndarray, episodes: Episodes, discount: float, *, goes_on: bool = False) -> np.ndarray:
    """Discounted return of each episode, float64 ``[N]``.

    Args:
      paid: ``[T, N]``, 0 behind the end.
      episodes: the episodes.
      discount: γ.
      goes_on: what the last quarter paid on average is paid for ever where an episode did not end by itself:
        a learner takes a time limit for no end.
    """
    steps = np.arange(paid.shape[0])[:, None]
    total = (paid * discount**steps).sum(0)
    if discount >= 1.0 or not goes_on:
        return total
    length = episodes.length
    size = np.maximum(length // 4, 1)
    rate = (paid * (steps >= length - size)).sum(0) / size
    return total + np.where(episodes.terminated, 0.0, discount**length * rate / (1 - discount))


class Loops(NamedTuple):
    """The closed loop of each episode that is worth most when it is gone round for ever, ``[N]``."""

    value: np.ndarray  # discounted return of the way there and the loop; -inf where there is none
    rate: np.ndarray  # mean pay per step in the loop
    resting: np.ndarray  # most that staying in one of its states would pay per step


def loops(
    paid: np.ndarray, resting: np.ndarray, episodes: Episodes, discount: float, *, longest: int = 32
) -> Loops:
    """Find closed loops: stretches whose observation comes back, twice in a row.

    Of the two rounds the one that pays less counts, so that what is paid once does not. Observations
    are equal if they differ by less than a thousandth of their standard deviation. The definition is ours.

    Args:
      paid: ``[T, N]``.
      resting: what staying in the state before each step would pay ``[T, N]``.
      episodes: the episodes.
      discount: γ; at 1 the value is that of as many rounds as 100 steps hold.
      longest: most steps of a loop; 1 is standing still.
    """
    gamma = min(discount, 0.99)
    transition = episodes.trajectory.transition
    seen = np.concatenate([transition.obs, transition.next_obs[-1:]]).astype(np.float64)
    seen = seen.reshape(*seen.shape[:2], -1)
    valid = np.concatenate([episodes.valid, np.zeros_like(episodes.valid[:1])])
    inside = episodes.valid & ~transition.terminated
    deviation = seen[valid].std(0)
    seen = seen / np.where(deviation > 0, deviation, 1.0)
    steps, number = paid.shape
    powers = gamma ** np.arange(steps + 1)[:, None]
    zero = np.zeros((1, number))
    worth = np.concatenate([zero, np.cumsum(paid * powers[:-1], 0)])
    plain = np.concatenate([zero, np.cumsum(paid, 0)])
    alive = np.concatenate([zero, np.cumsum(inside, 0)])
    best = Loops(*(np.full(number, -np.inf) for _ in Loops._fields))
    for k in range(1, min(longest, steps // 2) + 1):
        a, b, c = (slice(j * k, steps + 1 - (2 - j) * k) for j in range(3))
        same = lambda x, y: np.abs(seen[x] - seen[y]).max(-1, initial=0.0) < 1e-3
        closed = same(a, b) & same(b, c) & (alive[c] - alive[a] == 2 * k)
        if not closed.any():
            continue
        rounds = [(worth[y] - worth[x]) / powers[x] for x, y in ((a, b), (b, c))]
        value = worth[a] + powers[a] * np.minimum(*rounds) / (1 - gamma**k)
        value = np.where(closed, value, -np.inf)
        at = value.argmax(0)
        columns = np.arange(number)
        rate = np.minimum(*(plain[y] - plain[x] for x, y in ((a, b), (b, c)))) / k
        rest = np.stack([resting[j : j + value.shape[0]] for j in range(k)]).max(0)
        found = Loops(value[at, columns], rate[at, columns], rest[at, columns])
        best = Loops(
            *(np.where(found.value > best.value, new, old) for new, old in zip(found, best, strict=True))
        )
    return best
