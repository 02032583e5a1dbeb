"""Numbers that a designed reward can be made of: what the typed features of an environment give as scalars.

A feature that is a number is a measure; a vector gives its entries and its length; two vectors of one shape
and unit give their distance. Only what makes sense by type is there, so that nothing else can be proposed.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.design.types import DesignTask
from rlkit.types import Features, FeatureSpec, Key

MOST_ENTRIES = 16  # of vectors whose entries are measures; longer ones are pictures or maps


class Measure(NamedTuple):
    """One scalar of an environment's features, and how large it gets."""

    name: str
    features: tuple[str, ...]  # one, or the two whose distance it is
    index: int | None = None  # entry of a vector; None: the whole
    length: bool = False  # of a vector
    flag: bool = False  # the feature is a condition: 1 or 0
    low: float = 0.0
    high: float = 1.0
    unit: str = "1"

    @property
    def range(self) -> float:
        """How far apart its values are; 1 if they are all the same."""
        return self.high - self.low if self.high > self.low else 1.0

    def read(self, features: Features) -> jax.Array:
        """Its value, float32 []."""
        x = jnp.asarray(features[self.features[0]], jnp.float32)
        if len(self.features) == 2:
            return jnp.linalg.norm(x - jnp.asarray(features[self.features[1]], jnp.float32))
        if self.length:
            return jnp.linalg.norm(x)
        return x if self.index is None else x[self.index]

    def text(self, side: str) -> str:
        """The same in the reward language, ``side`` being ``"s"`` or ``"ns"``."""
        x = f"{side}.{self.features[0]}"
        if len(self.features) == 2:
            return f"jnp.linalg.norm({x} - {side}.{self.features[1]})"
        if self.length:
            return f"jnp.linalg.norm({x})"
        x = x if self.index is None else f"{x}[{self.index}]"
        return f"jnp.where({x}, 1.0, 0.0)" if self.flag else x


def measures_of(fields: Sequence[FeatureSpec]) -> tuple[Measure, ...]:
    """The measures that some features give; ranges are those of the specification, maybe infinite.

    Integers whose unit is ``"1"`` are counted as numbers: a specification does not tell indices from them.
    """
    found: list[Measure] = []
    for f in fields:
        flag = f.dtype == "bool"
        bounds = {"low": float(f.low), "high": float(f.high), "unit": f.unit, "flag": flag}
        if f.shape == ():
            found.append(Measure(f.name, (f.name,), **bounds))
        elif len(f.shape) == 1 and f.shape[0] <= MOST_ENTRIES:
            found += [Measure(f"{f.name}_{i}", (f.name,), i, **bounds) for i in range(f.shape[0])]
            if 2 <= f.shape[0] <= 3 and not flag:
                most = math.hypot(*[max(abs(f.low), abs(f.high))] * f.shape[0])
                found.append(Measure(f"{f.name}_length", (f.name,), length=True, high=most, unit=f.unit))
    for f, g in itertools.combinations(fields, 2):
        vectors = len(f.shape) == 1 and 2 <= f.shape[0] <= 3 and "bool" not in (f.dtype, g.dtype)
        if vectors and (f.shape, f.unit) == (g.shape, g.unit) and f.unit != "1":
            most = math.hypot(*[max(f.high - g.low, g.high - f.low)] * f.shape[0])
            found.append(Measure(f"{f.name}_to_{g.name}", (f.name, g.name), high=most, unit=f.unit))
    return tuple(found)


def bounded_measures(task: DesignTask, key: Key, steps: int = 256) -> tuple[Measure, ...]:
    """The measures of a task; where the specification has no bound, what random actions reach stands for it.

    Args:
      task: the task.
      key: typed PRNG key of the random steps.
      steps: of each of eight environments.
    """
    known = measures_of(task.fields)
    if all(math.isfinite(m.high - m.low) for m in known):
        return known
    seen = np.asarray(jax.jit(lambda key: _wandering(task, known, key, steps))(key)).reshape(-1, len(known))
    return tuple(_bounded(m, seen[:, i]) for i, m in enumerate(known))


def _bounded(measure: Measure, values: np.ndarray) -> Measure:
    low = measure.low if math.isfinite(measure.low) else float(values.min())
    high = measure.high if math.isfinite(measure.high) else float(values.max())
    return measure._replace(low=low, high=max(high, low))


def _wandering(task: DesignTask, known: Sequence[Measure], key: Key, steps: int, envs: int = 8) -> jax.Array:
    """Measures ``[steps, envs, M]`` under random actions."""
    from rlkit.envs import rollout, start, start_keys

    env, (key_start, key_steps, key_act) = task.env, jax.random.split(key, 3)
    names = tuple(f.name for f in task.fields)
    keys = jax.random.split(key_start, (start_keys(env, envs), 2))
    slots = start(env, keys, task.params, envs, record=names)

    def policy(carry: tuple, obs: jax.Array, first: jax.Array, keys: Key):
        return jax.vmap(env.spec.action_space.sample)(keys), carry, {}

    _, _, trajectory = rollout(
        env, policy, (), slots, jax.random.split(key_steps, (steps, envs, 4)), task.params, steps,
        inputs=jax.random.split(key_act, (steps, envs)), record=names,
    )  # fmt: skip
    read = lambda features: jnp.stack([m.read(features) for m in known])
    return jax.vmap(jax.vmap(read))(trajectory.transition.next_features)
