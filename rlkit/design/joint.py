"""Observations that are designed together with the reward, after LIMEN (arXiv 2605.03408).

LIMEN evolves code that computes observations. Here the agent sees the environment's observation and those of
its observable measures that a candidate chooses: a mask, which is a parameter of the environment, so that one
compiled program trains all choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.design.evolution import Chance, chance_of
from rlkit.design.measures import Measure, bounded_measures
from rlkit.design.types import Candidate, Designer, DesignTask, History
from rlkit.envs import core
from rlkit.envs.wrapping import Wrapper
from rlkit.errors import UsageError, unknown_name
from rlkit.spaces import Box
from rlkit.types import Environment, EnvSpec, Features, Key, PyTree, Terms


class Shown(NamedTuple):
    """Parameters of an environment that shows chosen measures."""

    max_steps: jax.Array  # int32 []: stands for the inner one
    mask: jax.Array  # float32 [M]: 1 where a measure is shown
    inner: PyTree


def _own(params: Shown) -> Any:
    return params.inner._replace(max_steps=params.max_steps)


@dataclass(frozen=True)
class _Showing(Wrapper):
    measures: tuple[Measure, ...]
    default: tuple[float, ...]

    @property
    def spec(self) -> EnvSpec:
        space = self.env.spec.observation_space
        assert isinstance(space, Box)
        ends = ((np.ravel(bound), end) for bound, end in zip(space.bounds(), (-1.0, 1.0), strict=True))
        low, high = ((*bound.tolist(), *[end] * len(self.measures)) for bound, end in ends)
        box = Box((len(low),), low, high)
        return self.respec("shown", observation_space=box)

    def default_params(self) -> Shown:
        inner = self.env.default_params()
        return Shown(jnp.asarray(inner.max_steps), jnp.array(self.default, jnp.float32), inner)

    def observe(self, key: Key, state: PyTree, params: Shown) -> jax.Array:
        own = _own(params)
        features = core.features(self.env, state, own)
        scaled = [2.0 * (m.read(features) - m.low) / m.range - 1.0 for m in self.measures]
        seen = jnp.clip(jnp.stack(scaled), -1.0, 1.0) * params.mask
        return jnp.concatenate([jnp.ravel(self.env.observe(key, state, own)), seen])

    def initial(self, key: Key, params: Shown) -> PyTree:
        return self.env.initial(key, _own(params))

    def transition(self, key: Key, state: PyTree, action: jax.Array, params: Shown) -> PyTree:
        return self.env.transition(key, state, action, _own(params))

    def features(self, state: PyTree, params: Shown) -> Features:
        return self.env.features(state, _own(params))

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Shown
    ) -> tuple[jax.Array, Terms]:
        return self.env.task_reward(features, action, next_features, _own(params))

    def terminated(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Shown) -> jax.Array:
        return self.env.terminated(state, action, next_state, _own(params))

    def success(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Shown) -> jax.Array:
        return self.env.success(state, action, next_state, _own(params))

    def fitness(self, state: PyTree, params: Shown) -> jax.Array:
        return self.env.fitness(state, _own(params))

    def render(self, state: PyTree, params: Shown, size: int = 256) -> Any:
        return self.env.render(state, _own(params), size)


def observable(task: DesignTask, key: Key) -> tuple[Measure, ...]:
    """The measures of a task that its agent may see and that no reward is forbidden to read."""
    hidden = {f.name for f in task.env.spec.features if not f.observable}
    return tuple(m for m in bounded_measures(task, key) if not hidden & set(m.features))


def showing(env: Environment, measures: Sequence[Measure], names: Sequence[str] = ()) -> Environment:
    """The environment with measures beside its observation: from -1 to 1, and 0 where they are not shown.

    Args:
      env: a pure environment whose observations are vectors and whose parameters are a named tuple.
      measures: what may be shown.
      names: what is shown by default: the choice of a winner, for instance.

    Raises:
      UsageError: the environment's observations are no vectors, or there is nothing to show.
      UnknownNameError: there is no such measure.
    """
    space = env.spec.observation_space
    if not isinstance(space, Box) or len(space.shape) != 1 or not hasattr(env.default_params(), "_replace"):
        raise UsageError(f"{env.spec.id}: expected vectors as observations, and parameters in a named tuple")
    if not measures:
        raise UsageError(f"{env.spec.id}: no measure that the agent may see")
    known = [m.name for m in measures]
    for name in names:
        if name not in known:
            raise unknown_name("measure", name, known)
    return _Showing(env, tuple(measures), tuple(float(name in names) for name in known))


def shown_names(env: Environment) -> tuple[str, ...]:
    """What an environment of :func:`showing` may show, in the order of its mask.

    Raises:
      UsageError: it is another environment.
    """
    if not isinstance(env, _Showing):
        raise UsageError(f"{env.spec.id}: expected an environment of rlkit.design.joint.showing")
    return tuple(m.name for m in env.measures)


@dataclass(frozen=True)
class Joint:
    """A designer whose candidates also choose what the agent sees.

    A choice comes from the parents', each measure from a random one of them, and then about one of them
    changes; without parents any number of measures is as likely as any other. It stands in the candidate's
    notes: ``"observes"`` names the measures, ``"env_params"`` holds the mask.

    Attributes:
      designer: what proposes the rewards.
      names: of the measures that may be shown, in the order of :func:`showing`.
    """

    designer: Designer
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"joint {self.designer.name}"

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        found = self.designer.propose(task, history, key, count)
        chance = chance_of(jax.random.fold_in(key, 1))
        return [self._chosen(chance, candidate, history) for candidate in found]

    def _chosen(self, chance: Chance, candidate: Candidate, history: History) -> Candidate:
        notes = [history.find(id).candidate.notes for id in candidate.parents]
        parents = [n["env_params"]["mask"] for n in notes if "env_params" in n]
        size = len(self.names)
        if parents:
            mask = np.asarray(parents)[chance.integers(len(parents), size=size), np.arange(size)]
            mask = np.where(chance.random(size) < 1.0 / size, 1.0 - mask, mask)
        else:
            mask = (chance.random(size) < chance.random()).astype(float)
        shown = [name for name, on in zip(self.names, mask, strict=True) if on]
        chosen = {"env_params": {"mask": mask.tolist()}, "observes": shown}
        return replace(candidate, notes={**candidate.notes, **chosen})
