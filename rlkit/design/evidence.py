"""What can happen in an environment, gathered once before any candidate is checked."""

from typing import NamedTuple

import jax
import numpy as np

from rlkit.design.episodes import Episodes, join, play
from rlkit.design.search import held, periodic, search, still_action
from rlkit.design.types import DesignTask
from rlkit.errors import UsageError, check_count
from rlkit.keys import typed_key
from rlkit.spaces import Discrete
from rlkit.types import Environment, FeatureSpec, Key, Transition

STILL, LOOP, WANDER, SOUGHT = "still", "loop", "wander", "sought"
"""Kinds of episodes: one action kept up, a short pattern repeated, random actions, and those that a search
for success found."""


_MOST_BYTES = 128_000_000


class Evidence(NamedTuple):
    """Episodes that checks pay with a candidate's reward.

    Attributes:
      episodes: of all kinds, some with success if the search found any; from the same few starts.
      actions: of those that the search for success found ``[T, starts, ...]``.
      discount: γ of the learner.
      max_steps: the time limit.
      exploits: episodes that some reward was found to pay for without success.
    """

    episodes: Episodes
    actions: np.ndarray
    discount: float
    max_steps: int
    exploits: Episodes | None = None


def success_first(episodes: Episodes) -> np.ndarray:
    """Objective of a search for success: the earlier the better, and the environment's fitness before it."""
    reached = episodes.valid & episodes.trajectory.transition.success
    when = np.where(reached.any(0), reached.argmax(0), 0)
    best = np.where(episodes.valid, episodes.fitness, -np.inf).max(0)
    return np.where(reached.any(0), 1e6 - when, best)


def gather(
    task: DesignTask,
    key: Key | int,
    *,
    steps: int = 200,
    starts: int = 4,
    each: int = 24,
    population: int = 48,
    generations: int = 24,
) -> Evidence:
    """Play episodes of all kinds, and look for some with success.

    Args:
      task: what rewards are designed for; its environment must be pure.
      key: PRNG key or seed.
      steps: the most steps of an episode.
      starts: initial states that all kinds of episodes share.
      each: episodes of each kind from each start; fewer where observations are large.
      population: of the search, per start.
      generations: of the search; 0 does not look for success.

    Raises:
      UsageError: the environment runs on the host, or a count is out of range.
    """
    env, params, key = task.env, task.params, typed_key(key)
    if not env.spec.pure:
        raise UsageError(f"{env.spec.id} runs on the host; checks need a pure environment")
    for name, value in (("steps", steps), ("starts", starts), ("each", each)):
        check_count(name, value)
    limit = int(params.max_steps)
    steps = min(steps, limit)
    each, places = _room(env, steps, starts, each)
    start = np.repeat(np.arange(starts), each)
    chance = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    space = env.spec.action_space
    parts = []
    sought = np.zeros((steps, 0, *space.shape), space.dtype if space.shape else np.int32)
    ways = [(np.zeros((steps, *space.shape), sought.dtype), 0)] * starts
    if generations:
        found, sought = search(
            env, params, key, success_first,
            steps=steps, starts=starts, population=population, generations=generations,
        )  # fmt: skip
        parts.append(found)
        # Where loops may begin: at the start, and anywhere before success or the best that was found.
        until = np.where(found.valid, found.fitness, -np.inf).argmax(0)
        ends = np.where(found.solved, found.length - 1, until)
        ways = [(sought[:, s], int(ends[s])) for s in range(starts)]
    loops = np.stack([periodic(space, chance, steps, -(-start.size // 3), p) for p in (2, 3, 4)], 2)
    loops = loops.reshape(steps, -1, *space.shape)[:, : start.size].copy()
    for i in range(0, start.size, 2):
        way, end = ways[start[i]]
        _behind(loops, i, way, int(chance.integers(0, end + 1)))
    still, still_start = _still(env, steps, chance, ways, places)
    kinds = {LOOP: loops, WANDER: held(space, chance, steps, start.size), STILL: still}
    order = np.concatenate([start, start, still_start])
    named = np.repeat(list(kinds), [x.shape[1] for x in kinds.values()])
    parts.append(play(env, params, key, np.concatenate(list(kinds.values()), 1), order, named))
    return Evidence(join(*parts), sought, task.discount, limit)


def _room(env: Environment, steps: int, starts: int, each: int) -> tuple[int, int]:
    """Episodes of each kind from each start, and places where one stays: fewer of large observations."""
    entries = int(np.prod(env.spec.observation_space.shape)) + sum(
        int(np.prod(f.shape)) for f in env.spec.features
    )
    columns = _MOST_BYTES // (8 * entries * steps)
    return max(4, min(each, columns // (4 * starts))), 8 if columns >= 16 * starts * 8 else 3


def _behind(actions: np.ndarray, column: int, way: np.ndarray, steps: int) -> None:
    """Let a sequence begin with some steps of a way."""
    rest = actions[: actions.shape[0] - steps, column].copy()
    actions[:steps, column], actions[steps:, column] = way[:steps], rest


def _still(
    env: Environment,
    steps: int,
    chance: np.random.Generator,
    ways: list[tuple[np.ndarray, int]],
    places: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Every action kept up (of a box, doing nothing and a few others), from places along each way."""
    space = env.spec.action_space
    if isinstance(space, Discrete) and space.n <= 16:
        kept = space.start + np.arange(space.n, dtype=np.int32)
    else:
        kept = np.concatenate([still_action(space)[None], periodic(space, chance, 1, 7, 1)[0]])
    # As many places for all ways, so that the number of episodes does not depend on what was found.
    where = [np.linspace(0, end, places).round().astype(int) for _, end in ways]
    rows = np.tile(kept, (len(ways) * places,) + (1,) * (kept.ndim - 1))
    actions = np.repeat(rows[None], steps, 0)
    for i in range(actions.shape[1]):
        which, place = divmod(i // len(kept), places)
        _behind(actions, i, ways[which][0], int(where[which][place]))
    return actions, np.repeat(np.arange(len(ways)), places * len(kept))


def steps_of(episodes: Episodes) -> Transition:
    """All steps that belong to episodes, leaves ``[M, ...]``."""
    valid = episodes.valid
    return jax.tree.map(lambda x: np.asarray(x)[valid], episodes.trajectory.transition)


def sample(steps: Transition, chance: np.random.Generator, size: int) -> Transition:
    """``size`` of some steps, those with success, endings and beginnings among them."""
    count = steps.reward.shape[0]
    rare = [np.flatnonzero(flag)[: size // 16] for flag in (steps.success, steps.terminated, steps.first)]
    special = np.unique(np.concatenate(rare)).astype(int)
    rest = chance.choice(count, size, replace=count < size)
    index = np.concatenate([special, rest])[:size]
    return jax.tree.map(lambda x: x[index], steps)


def extremes(steps: Transition, specs: tuple[FeatureSpec, ...]) -> tuple[Transition, list[str]]:
    """Steps into and out of states at the ends of the features' ranges, and what each of them is.

    Each feature in turn at its lowest, its highest and 0 as far as its range allows, the others as they
    were seen; then all features of one shape and unit equal, as in a goal where two places coincide.

    Args:
      steps: seen ones, leaves ``[M, ...]``, of which the first is changed.
      specs: of the features that rewards may read.
    """
    base = jax.tree.map(lambda x: x[0], steps)
    made, names = [], []

    def add(name: str, changes: dict[str, np.ndarray]) -> None:
        made.append(
            base._replace(features=base.features | changes, next_features=base.next_features | changes)
        )
        names.append(name)

    for spec in specs:
        values = {value for value in (spec.low, spec.high, 0.0) if np.isfinite(value) and abs(value) < 1e30}
        for value in sorted(v for v in values if spec.low <= v <= spec.high):
            add(f"{spec.name}={value:g}", {spec.name: np.full(spec.shape, value, spec.dtype)})
    groups: dict[tuple, list[FeatureSpec]] = {}
    for spec in specs:
        if spec.shape and np.issubdtype(np.dtype(spec.dtype), np.floating):
            groups.setdefault((spec.shape, spec.unit, spec.dtype), []).append(spec)
    for group in groups.values():
        if len(group) > 1:
            same = base.features[group[0].name]
            add(f"{' = '.join(spec.name for spec in group)}", {spec.name: same for spec in group})
    if not made:
        return jax.tree.map(lambda x: x[:0], steps), []
    return jax.tree.map(lambda *xs: np.stack(xs), *made), names
