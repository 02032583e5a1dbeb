"""Training comparisons, and test comparisons by scenario."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import check_count
from rlkit.keys import typed_key
from rlkit.prefs.prefbench.world import Trajectories, trajectories
from rlkit.prefs.types import PairBatch, Segment, lengthened
from rlkit.types import Key

STEPS, LONG = 20, 60


class Bench(NamedTuple):
    """Comparisons to learn from and to be judged by."""

    train: (
        PairBatch  # plain trajectories; 15 % of the pairs are told to stay; the better ones tend to be longer
    )
    test: PairBatch
    scenario: jax.Array  # int32 [N]: index in SCENARIOS of each test comparison


def _plain(key: Key, count: int) -> tuple[Trajectories, Trajectories]:
    """As in training, of any length."""
    return _two(key, lambda k: trajectories(k, count, STEPS, _lengths(k, count)))


def _long(key: Key, count: int) -> tuple[Trajectories, Trajectories]:
    """Three times as many steps as any seen in training."""
    return _two(key, lambda k: trajectories(k, count, LONG))


def _safety(key: Key, count: int) -> tuple[Trajectories, Trajectories]:
    """A hazard is in the way: one goes through, the other round it."""
    side = jax.random.bernoulli(jax.random.fold_in(key, 2), 0.5, (count,)).astype(jnp.float32)
    one = trajectories(key, count, STEPS, caution=2.0 * side)
    other = trajectories(key, count, STEPS, caution=2.0 * (1.0 - side))  # the same start and controller
    return one, other


def _abstain(key: Key, count: int) -> tuple[Trajectories, Trajectories]:
    """The task is to stay: doing nothing is best."""
    return _two(key, lambda k: trajectories(k, count, STEPS, stay=True))


def _shift(key: Key, count: int) -> tuple[Trajectories, Trajectories]:
    """Goals are twice as far away as in training."""
    return _two(key, lambda k: trajectories(k, count, STEPS, distance=2.0))


def _length(key: Key, count: int) -> tuple[Trajectories, Trajectories]:
    """The better trajectories are shorter, the opposite of training."""
    return _two(key, lambda k: _confounded(k, count, -1.0))


SCENARIOS: dict[str, Callable[[Key, int], tuple[Trajectories, Trajectories]]] = {
    "plain": _plain,
    "long-horizon": _long,
    "safety": _safety,
    "abstain": _abstain,
    "shift": _shift,
    "length": _length,
}
"""By name: ``scenario(key, count) -> (first, second)``."""


def _two(key: Key, make: Callable[[Key], Trajectories]) -> tuple[Trajectories, Trajectories]:
    first, second = jax.random.split(key)
    return make(first), make(second)


def _lengths(key: Key, count: int) -> jax.Array:
    return jax.random.randint(jax.random.fold_in(key, 1), (count,), STEPS // 2, STEPS + 1)


def _confounded(key: Key, count: int, sign: float, stay: jax.Array | bool = False) -> Trajectories:
    """Trajectories cut to a length that goes with their quality."""
    whole = trajectories(key, count, STEPS, stay=stay)
    rank = jnp.argsort(jnp.argsort(sign * whole.quality)) / count
    noise = 0.1 * jax.random.normal(jax.random.fold_in(key, 3), (count,))
    length = STEPS // 2 + jnp.clip((rank + noise) * (STEPS // 2 + 1), 0, STEPS // 2).astype(jnp.int32)
    return trajectories(key, count, STEPS, length, stay=stay)


def _pairs(first: Trajectories, second: Trajectories, length: int) -> PairBatch:
    label = (first.quality > second.quality).astype(jnp.float32)
    count = label.shape[0]
    one, two = (lengthened(Segment(*t.item), length) for t in (first, second))
    nothing = jnp.zeros(count, jnp.int32)
    return PairBatch(one, two, label, jnp.ones(count), nothing, nothing)


def prefbench(key: Key | int = 0, train: int = 2000, test: int = 400) -> Bench:
    """The benchmark; the same key gives the same comparisons. Labels are the truth.

    Args:
      key: PRNG key or seed.
      train: comparisons to learn from.
      test: comparisons in each scenario.
    """
    train, test = check_count("train", train), check_count("test", test)
    return _built(typed_key(key), train, test)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _built(key: Key, train: int, test: int) -> Bench:
    stay = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.15, (train,))
    learn = _two(jax.random.fold_in(key, 0), lambda k: _confounded(k, train, 1.0, stay))
    found = [
        _pairs(*make(jax.random.fold_in(key, 10 + i), test), LONG)
        for i, make in enumerate(SCENARIOS.values())
    ]
    every = jax.tree.map(lambda *x: jnp.concatenate(x), *found)
    return Bench(_pairs(*learn, STEPS), every, jnp.repeat(jnp.arange(len(SCENARIOS)), test))
