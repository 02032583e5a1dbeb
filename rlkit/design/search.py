"""Search over sequences of actions, without a policy, for the episodes that an objective likes best.

What such a search finds is something that *can* be done, not something that was learned, so that it needs no
training. Chances are fixed for each start: in an environment with chance it is an optimistic view.
"""

from collections.abc import Callable

import jax
import numpy as np

from rlkit.design.episodes import Episodes, play
from rlkit.spaces import Discrete, Space
from rlkit.types import Environment, Key, PyTree


def random_actions(space: Space, chance: np.random.Generator, size: int) -> np.ndarray:
    """``size`` actions ``[size, ...]``: uniform ones; of boxes also corners and the middle."""
    if isinstance(space, Discrete):
        return (space.start + chance.integers(0, space.n, size)).astype(np.int32)
    low, high = (np.clip(bound, -1e3, 1e3) for bound in space.bounds())
    shape = (size, *space.shape)
    unit = chance.random(shape)
    corner = chance.random((size,) + (1,) * len(space.shape)) < 0.4
    unit = np.where(corner, np.round(unit), unit)
    drawn = low + (high - low) * unit
    return (np.round(drawn) if space.integer else drawn).astype(space.dtype)


def still_action(space: Space) -> np.ndarray:
    """The action that is nearest to doing nothing: 0 of a box, the first of a list."""
    if isinstance(space, Discrete):
        return np.asarray(space.start, np.int32)
    return np.clip(np.zeros(space.shape), *space.bounds()).astype(space.dtype)


def held(space: Space, chance: np.random.Generator, steps: int, size: int) -> np.ndarray:
    """Random actions ``[steps, size, ...]``, each kept for a while (1 to 16 steps, other in each)."""
    drawn = random_actions(space, chance, steps * size).reshape(steps, size, *space.shape)
    hold = 2 ** chance.integers(0, 5, size)
    return drawn[np.arange(steps)[:, None] // hold, np.arange(size)]


def periodic(space: Space, chance: np.random.Generator, steps: int, size: int, period: int) -> np.ndarray:
    """``size`` sequences ``[steps, size, ...]`` that repeat a random pattern, going there and back.

    A pattern of ``period`` actions, each kept for 1 to 8 steps; of boxes the second half of it is
    the first one, mirrored.
    """
    drawn = random_actions(space, chance, period * size).reshape(period, size, *space.shape)
    if not isinstance(space, Discrete) and period > 1 and space.bounded:
        low, high = space.bounds()
        drawn[period // 2 :] = (low + high - drawn[: period - period // 2]).astype(drawn.dtype)
    hold = 2 ** chance.integers(0, 4, size)
    return drawn[np.arange(steps)[:, None] // hold % period, np.arange(size)]


def _children(space: Space, chance: np.random.Generator, parents: np.ndarray, size: int) -> np.ndarray:
    """Changed copies ``[T, size, ...]`` of some of the parents ``[T, P, ...]``."""
    steps, count = parents.shape[:2]
    out = parents[:, chance.integers(0, count, size)].copy()
    for i in range(size):
        a, b = np.sort(chance.integers(0, steps + 1, 2))
        how = chance.integers(0, 5)
        if how == 0:  # a stretch of one action
            out[a:b, i] = random_actions(space, chance, 1)[0]
        elif how == 1:  # single actions
            where = chance.random(steps) < 0.05
            out[where, i] = random_actions(space, chance, int(where.sum()))
        elif how == 2:  # the rest from another one
            out[a:, i] = parents[a:, chance.integers(0, count)]
        elif how == 3:  # a pattern from here on
            rest = periodic(space, chance, steps - a, 1, int(chance.integers(1, 5)))
            out[a:, i] = rest[:, 0]
        else:  # sooner or later
            out[:, i] = np.roll(out[:, i], int(chance.integers(-8, 9)), 0)
    return out


Objective = Callable[[Episodes], np.ndarray]
"""``objective(episodes) -> float [N]``, greater is better."""


def search(
    env: Environment,
    params: PyTree,
    key: Key,
    objective: Objective,
    *,
    steps: int,
    starts: int = 4,
    population: int = 48,
    generations: int = 24,
    patience: int = 8,
    begin: np.ndarray | None = None,
    reads: bool = False,
) -> tuple[Episodes, np.ndarray]:
    """The best episode found from each start, by an evolution of action sequences.

    Args:
      env: a pure environment.
      params: its parameters.
      key: typed PRNG key, which also draws the starts: the same key gives the same starts.
      objective: what is looked for; it is not shown observations.
      steps: length ``T`` of the sequences.
      starts: how many initial states.
      population: sequences per start.
      generations: the most rounds of play.
      patience: rounds without anything better from any start that end the search.
      begin: sequences ``[T, n, ...]`` to begin with, beside random ones; each is tried from every start.
      reads: whether the objective reads features; else they are not computed.

    Returns:
      One episode for each start, and its actions ``[T, starts, ...]``.
    """
    space = env.spec.action_space
    chance = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    start = np.repeat(np.arange(starts), population)
    pool = held(space, chance, steps, starts * population)
    for s in range(starts):
        columns = slice(s * population, s * population + population // 3)
        width = len(range(starts * population)[columns])
        pool[:, columns] = periodic(space, chance, steps, width, 1 + s % 4)
        if begin is not None:
            given = begin[:, : population // 2]
            pool[:, s * population : s * population + given.shape[1]] = given
    keep = max(population // 6, 2)
    record, since = np.full(starts, -np.inf), 0
    for generation in range(generations):
        played = play(env, params, key, pool, start, "sought", show="features" if reads else "nothing")
        value = np.where(np.isnan(v := np.asarray(objective(played), float)), -np.inf, v)
        best = [s * population + np.argsort(-value[start == s], kind="stable") for s in range(starts)]
        top = np.array([value[order[0]] for order in best])
        since = 0 if (top > record).any() else since + 1
        record = np.maximum(record, top)
        if generation == generations - 1 or since == patience:
            break
        for order in best:
            elite = pool[:, order[:keep]]
            children = _children(space, chance, elite, population - keep)
            pool[:, order] = np.concatenate([elite, children], 1)
    top = np.array([order[0] for order in best])
    return play(env, params, key, pool[:, top], np.arange(starts), "sought"), pool[:, top]
