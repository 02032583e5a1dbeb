"""Functions that take an environment and return one.

A wrapper forwards whatever it does not change. State that it needs is added to the inner state.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import core
from rlkit.envs.wrapping import StatefulWrapper, Wrapped, Wrapper, wrapped
from rlkit.errors import UsageError, check_count
from rlkit.fields import Range, check_value
from rlkit.reads import private_features, task_terms
from rlkit.spaces import Box, Discrete, Space
from rlkit.types import Environment, EnvSpec, Features, FeatureSpec, Key, PyTree, Terms

_STICK, _LOOK = 1, 2  # folded into a key for what the wrapped environment does not draw


def _box_of(space: Space, who: str) -> Box:
    if not isinstance(space, Box):
        raise UsageError(f"{who} needs a box, but got {space}")
    return space


def _vector_box(env: Environment, wrapper: str) -> Box:
    space = wrapped(env).spec.observation_space
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise UsageError(f"{wrapper} needs observations that are vectors; {env.spec.id} has {space}")
    return space


def _box(shape: tuple[int, ...], low: np.ndarray, high: np.ndarray, dtype: str) -> Box:
    return Box(shape, tuple(map(float, np.ravel(low))), tuple(map(float, np.ravel(high))), dtype)


@dataclass(frozen=True)
class _SelectObservation(Wrapper):
    indices: tuple[int, ...]

    @property
    def spec(self) -> EnvSpec:
        space = _vector_box(self.env, "select_observation")
        low, high = (bound[list(self.indices)] for bound in space.bounds())
        box = _box((len(self.indices),), low, high, space.dtype)
        return self.respec("select", observation_space=box, partial_obs=True)

    def observe(self, key: Key, state: PyTree, params: Any) -> jax.Array:
        return self.env.observe(key, state, params)[np.array(self.indices)]


def select_observation(env: Environment, indices: Sequence[int]) -> Environment:
    """Show only some entries of the observation vector, in the given order.

    ``select_observation(make("classic/cartpole"), (0, 2))`` hides the velocities.

    Raises:
      UsageError: observations are not vectors, or an index is out of range.
    """
    size = _vector_box(env, "select_observation").shape[0]
    try:
        chosen = tuple(check_count("index", i, 0) for i in indices)
    except (TypeError, UsageError):
        chosen = ()
    if not chosen or max(chosen) >= size:
        raise UsageError(f"indices={indices!r:.80}: expected one or more of 0 .. {size - 1}")
    return _SelectObservation(env, chosen)


@dataclass(frozen=True)
class _TimeInObservation(StatefulWrapper):
    @property
    def spec(self) -> EnvSpec:
        space = _vector_box(self.env, "time_in_observation")
        low, high = (np.append(bound, end) for bound, end in zip(space.bounds(), (0.0, 1.0), strict=True))
        return self.respec("time", observation_space=_box((len(low),), low, high, space.dtype))

    def initial(self, key: Key, params: Any) -> Wrapped:
        return Wrapped(self.env.initial(key, params), jnp.zeros((), jnp.int32))

    def transition(self, key: Key, state: Wrapped, action: jax.Array, params: Any) -> Wrapped:
        return Wrapped(self.env.transition(key, state.inner, action, params), state.memory + 1)

    def observe(self, key: Key, state: Wrapped, params: Any) -> jax.Array:
        obs = self.env.observe(key, state.inner, params)
        share = jnp.minimum(state.memory / jnp.maximum(params.max_steps, 1), 1.0)
        return jnp.append(obs, share.astype(obs.dtype))


def time_in_observation(env: Environment) -> Environment:
    """Append the share of the time limit that has passed (0 to 1) to the observation vector.

    It makes tasks with a time limit Markov (Pardo et al. 2018, arXiv 1712.00378, section 3).

    Raises:
      UsageError: observations are not vectors.
    """
    _vector_box(env, "time_in_observation")
    return _TimeInObservation(env)


_REWARD = "_repeated_reward"  # private features of action_repeat


class _Repeated(NamedTuple):
    """What happened in one outer step."""

    t: jax.Array  # int32 []: outer steps
    ended: jax.Array  # bool []
    succeeded: jax.Array  # bool []
    reward: jax.Array  # float32 []: sum over the inner steps
    terms: Terms  # likewise


@dataclass(frozen=True)
class _ActionRepeat(StatefulWrapper):
    n: int

    @property
    def spec(self) -> EnvSpec:
        return self.respec(f"repeat{self.n}", max_steps=-(-self.env.spec.max_steps // self.n))

    @property
    def private_features(self) -> tuple[FeatureSpec, ...]:
        inherited = private_features(self.env)
        return (*inherited, *(FeatureSpec(name) for name in (_REWARD, *map(_term, task_terms(self.env)))))

    def default_params(self) -> Any:
        return self.env.default_params()._replace(max_steps=jnp.int32(self.spec.max_steps))

    def _last(self) -> int:
        """Inner steps of the last outer step that the time limit allows."""
        return (self.env.spec.max_steps - 1) % self.n + 1

    def _inner(self, params: Any) -> Any:
        """Parameters whose time limit counts inner steps."""
        limit = params.max_steps * self.n - (self.n - self._last())
        return params._replace(max_steps=jnp.asarray(limit, jnp.int32))

    def _begin(self, t: jax.Array) -> _Repeated:
        zero, no = jnp.zeros((), jnp.float32), jnp.zeros((), bool)
        return _Repeated(t, no, no, zero, dict.fromkeys(task_terms(self.env), zero))

    def initial(self, key: Key, params: Any) -> Wrapped:
        return Wrapped(self.env.initial(key, self._inner(params)), self._begin(jnp.zeros((), jnp.int32)))

    def transition(self, key: Key, state: Wrapped, action: jax.Array, params: Any) -> Wrapped:
        env, inner_params = self.env, self._inner(params)
        t = state.memory.t + 1
        most = jnp.where(t < params.max_steps, self.n, self._last())

        def once(running: tuple[PyTree, _Repeated], x: tuple[Key, jax.Array]):
            (inner, seen), (key, index) = running, x
            following = env.transition(key, inner, action, inner_params)
            before, after = (core.features(env, s, inner_params) for s in (inner, following))
            reward, terms = core.task_reward(env, before, action, after, inner_params)
            advanced = (
                following,
                _Repeated(
                    t,
                    jnp.asarray(env.terminated(inner, action, following, inner_params), bool),
                    seen.succeeded | env.success(inner, action, following, inner_params),
                    seen.reward + reward,
                    {name: seen.terms[name] + value for name, value in terms.items()},
                ),
            )
            over = seen.ended | (index >= most)
            return jax.tree.map(lambda old, new: jnp.where(over, old, new), running, advanced), None

        keys = jax.random.split(key, self.n)
        return Wrapped(*jax.lax.scan(once, (state.inner, self._begin(t)), (keys, jnp.arange(self.n)))[0])

    def observe(self, key: Key, state: Wrapped, params: Any) -> jax.Array:
        return self.env.observe(key, state.inner, self._inner(params))

    def features(self, state: Wrapped, params: Any) -> Features:
        paid = {_REWARD: state.memory.reward, **{_term(k): v for k, v in state.memory.terms.items()}}
        return {**self.env.features(state.inner, self._inner(params)), **paid}

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Any
    ) -> tuple[jax.Array, Terms]:
        terms = {name: next_features[_term(name)] for name in task_terms(self.env)}
        return next_features[_REWARD], terms

    def terminated(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        return next_state.memory.ended

    def success(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        return next_state.memory.succeeded

    def fitness(self, state: Wrapped, params: Any) -> jax.Array:
        return self.env.fitness(state.inner, self._inner(params))


def _term(name: str) -> str:
    return f"{_REWARD}/{name}"


def action_repeat(env: Environment, n: int) -> Environment:
    """Take every action ``n`` times, or until the episode ends by itself.

    One step then is up to ``n`` inner steps and pays the sum of their rewards; other rewards see the features
    before the first and after the last of them.

    ``max_steps`` counts outer steps: the wrapped environment's limit divided by ``n``, rounded up. The last
    one has only the inner steps that are left, so that an episode is never longer than before. Changed to
    ``m``, the limit is ``m`` outer steps, the last as short as by default. The wrapped environment sees its
    limit in inner steps.

    Raises:
      UsageError: ``n`` is not a positive integer.
    """
    return _ActionRepeat(wrapped(env), check_count("n", n))


@dataclass(frozen=True)
class _StickyActions(StatefulWrapper):
    p: float

    @property
    def spec(self) -> EnvSpec:
        return self.respec("sticky")

    def initial(self, key: Key, params: Any) -> Wrapped:
        space = self.env.spec.action_space
        nothing = jnp.zeros(space.shape, space.dtype)
        return Wrapped(self.env.initial(key, params), (nothing, jnp.zeros((), bool)))

    def transition(self, key: Key, state: Wrapped, action: jax.Array, params: Any) -> Wrapped:
        last, started = state.memory
        stick = jax.random.bernoulli(jax.random.fold_in(key, _STICK), self.p) & started
        action = jnp.where(stick, last, action).astype(last.dtype)
        return Wrapped(self.env.transition(key, state.inner, action, params), (action, jnp.ones((), bool)))

    def terminated(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        return self.env.terminated(state.inner, next_state.memory[0], next_state.inner, params)

    def success(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        return self.env.success(state.inner, next_state.memory[0], next_state.inner, params)


def sticky_actions(env: Environment, p: float = 0.25) -> Environment:
    """Repeat the action that was carried out last with probability ``p`` instead of the new one.

    Machado et al. 2018 (arXiv 1709.06009, section 5.2). The first action of an episode is never
    replaced. The task reward sees the action that was asked for.

    Raises:
      UsageError: ``p`` is not in ``[0, 1)``.
    """
    wrapped(env)
    check_value("p", p, 0.25, Range(0.0, None, 1.0))
    if p == 1:
        raise UsageError(f"p={p!r}: expected a probability below 1, or no new action is ever carried out")
    return _StickyActions(env, float(p))


@dataclass(frozen=True)
class _Discretise(Wrapper):
    bins: int | None

    @property
    def spec(self) -> EnvSpec:
        return self.respec("discrete", action_space=Discrete(len(self._table())))

    def _table(self) -> np.ndarray:
        space = _box_of(self.env.spec.action_space, "discretise")
        axes = _axes(space, self.bins)
        return np.array(list(itertools.product(*axes)), _numpy_dtype(space)).reshape(-1, *space.shape)

    def transition(self, key: Key, state: PyTree, action: jax.Array, params: Any) -> PyTree:
        return self.env.transition(key, state, jnp.asarray(self._table())[action], params)

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Any
    ) -> tuple[jax.Array, Terms]:
        return self.env.task_reward(features, jnp.asarray(self._table())[action], next_features, params)

    def terminated(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Any) -> jax.Array:
        return self.env.terminated(state, jnp.asarray(self._table())[action], next_state, params)

    def success(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Any) -> jax.Array:
        return self.env.success(state, jnp.asarray(self._table())[action], next_state, params)


def _numpy_dtype(space: Box) -> np.dtype:
    return jax.dtypes.canonicalize_dtype(space.dtype)


def _axes(space: Box, bins: int | None) -> list[np.ndarray]:
    """The values of each entry that can be chosen."""
    low, high = (np.ravel(bound) for bound in space.bounds())
    if bins is None:
        return [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    axes = [np.linspace(a, b, bins) for a, b in zip(low, high, strict=True)]
    return [np.unique(np.rint(axis)) for axis in axes] if space.integer else axes


def discretise(env: Environment, bins: int | None = None) -> Environment:
    """Replace an action in a bounded box by a choice among even values per entry.

    The actions are all combinations, the last entry varying fastest.

    Args:
      env: the environment.
      bins: values per entry, rounded in a box of integers; None takes every integer of such a box.

    Raises:
      UsageError: actions are not a bounded box, ``bins < 2`` (or None for real numbers), or there were more
        than 4096 actions.
    """
    space = wrapped(env).spec.action_space
    if not isinstance(space, Box) or not space.bounded:
        raise UsageError(f"discretise needs actions in a bounded box; {env.spec.id} has {space}")
    if bins is not None or not space.integer:
        bins = check_count("bins", bins, 2)
    if bins is None:
        count = math.prod(float(b - a + 1) for a, b in zip(*map(np.ravel, space.bounds()), strict=True))
    else:
        count = float(bins) ** math.prod(space.shape)
    if count > 4096:
        raise UsageError(
            f"bins={bins} on {math.prod(space.shape)} entries makes {count:.0f} actions; "
            "expected at most 4096"
        )
    return _Discretise(env, bins)


@dataclass(frozen=True)
class _FrameStack(StatefulWrapper):
    n: int

    @property
    def spec(self) -> EnvSpec:
        space = _box_of(self.env.spec.observation_space, "frame_stack")
        low, high = (np.broadcast_to(bound, (self.n, *space.shape)) for bound in space.bounds())
        box = _box((self.n, *space.shape), low, high, space.dtype)
        return self.respec(f"stack{self.n}", observation_space=box)

    def _look(self, key: Key, inner: PyTree, params: Any) -> jax.Array:
        return self.env.observe(jax.random.fold_in(key, _LOOK), inner, params)

    def initial(self, key: Key, params: Any) -> Wrapped:
        inner = self.env.initial(key, params)
        obs = self._look(key, inner, params)
        return Wrapped(inner, jnp.broadcast_to(obs, (self.n, *obs.shape)))

    def transition(self, key: Key, state: Wrapped, action: jax.Array, params: Any) -> Wrapped:
        inner = self.env.transition(key, state.inner, action, params)
        obs = self._look(key, inner, params)
        return Wrapped(inner, jnp.concatenate([state.memory[1:], obs[None]]))

    def observe(self, key: Key, state: Wrapped, params: Any) -> jax.Array:
        return state.memory


def frame_stack(env: Environment, n: int) -> Environment:
    """Show the last ``n`` observations as one array ``[n, ...]``, the newest last.

    At the start of an episode the first observation stands for those before it.

    Raises:
      UsageError: ``n < 1``, or observations are not a box.
    """
    _box_of(wrapped(env).spec.observation_space, "frame_stack")
    return _FrameStack(env, check_count("n", n))


@dataclass(frozen=True)
class _ObserveFeatures(Wrapper):
    names: tuple[str, ...]
    keep: bool

    @property
    def spec(self) -> EnvSpec:
        chosen = [self.env.spec.feature(name) for name in self.names]
        low, high = (
            np.concatenate([np.full(math.prod(f.shape), getattr(f, bound), np.float32) for f in chosen])
            for bound in ("low", "high")
        )
        if self.keep:
            low, high = (
                np.concatenate(pair)
                for pair in zip(_vector_box(self.env, "observe_features").bounds(), (low, high), strict=True)
            )
        box = _box((len(low),), low, high, "float32")
        hidden = self.env.spec.partial_obs or not self.keep
        return self.respec("features", observation_space=box, partial_obs=hidden)

    def observe(self, key: Key, state: PyTree, params: Any) -> jax.Array:
        features = core.features(self.env, state, params)
        parts = [features[name].reshape(-1) for name in self.names]
        if self.keep:
            parts = [self.env.observe(key, state, params), *parts]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts])


def observe_features(
    env: Environment, names: Sequence[str], *, keep: bool = True, privileged: bool = False
) -> Environment:
    """Show features to the agent, flat, one after the other.

    Args:
      env: the environment.
      names: which features, in this order.
      keep: after the observation itself; False shows nothing but the features.
      privileged: allow features that the agent cannot see in this task, for teachers and upper bounds.

    Raises:
      UsageError: no names, or a feature that the agent cannot see.
      UnknownNameError: a feature that does not exist.
      UsageError: observations to be kept are not vectors.
    """
    known = ", ".join(feature.name for feature in wrapped(env).spec.features)
    names = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Iterable) else ()
    if not names:
        raise UsageError(f"names={names}: expected one or more of {known}")
    for name in names:
        if not env.spec.feature(name).observable and not privileged:
            raise UsageError(
                f"{name!r} is a privileged feature of {env.spec.id}: the agent cannot see it in this task; "
                "privileged=True shows it all the same"
            )
    if keep:
        _vector_box(env, "observe_features")
    return _ObserveFeatures(env, names, keep)
