"""Which features a function of transitions reads.

Rewards and task rewards see features by name. Tracing them once with abstract values tells which
names they read, so that only those are recorded, and so that a name which the environment does
not have is an error before anything compiles.
"""

import contextlib
import dataclasses
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.types import Environment, EnvSpec, Features, FeatureSpec, Reward, Trajectory, Transition

_PREFIX = "agent_"
AGENT_LATENT = "agent_latent"
"""A feature by which a reward reads the agent: the torso's latent of ``obs`` in ``features``, that of
``next_obs`` in ``next_features``. Agents offer it; environments do not have it."""


class _Recorder(dict):
    """A feature dictionary that notes what is asked of it."""

    def __init__(self, features: Features, seen: set[str], spec: EnvSpec):
        super().__init__(features)
        self._seen = seen
        self._spec = spec

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise self._spec.no_feature(name)
        self._seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 (the lookup must be noted)

    def __iter__(self) -> Iterator[str]:
        self._seen.update(super().keys())
        return super().__iter__()

    def items(self):
        self._seen.update(super().keys())
        return super().items()

    def values(self):
        self._seen.update(super().keys())
        return super().values()


def example_transition(spec: EnvSpec) -> Transition:
    """A transition of ``jax.ShapeDtypeStruct`` leaves with the shapes and dtypes of an environment."""

    def struct(shape: Iterable[int], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))

    obs = struct(spec.observation_space.shape, spec.observation_space.dtype)
    action = struct(spec.action_space.shape, spec.action_space.dtype)
    features = {f.name: struct(f.shape, f.dtype) for f in spec.features}
    flag = struct((), bool)
    return Transition(
        obs, action, obs, features, dict(features), struct((), "float32"), flag, flag, flag, flag
    )


def latent_offer(size: int) -> FeatureSpec:
    """The latent of an agent, ``[size]``, as a feature that it offers."""
    meaning = "output of the policy's torso, which acts on it"
    return FeatureSpec(AGENT_LATENT, (size,), meaning=meaning, observable=False)


def value_offer() -> FeatureSpec:
    """An agent's estimate of the value of the observation, as a feature that it offers."""
    return FeatureSpec("agent_value", meaning="the agent's estimate of the return to come", observable=False)


def with_offers(spec: EnvSpec, offers: Iterable[FeatureSpec]) -> EnvSpec:
    """The specification of an environment as an agent presents it to rewards.

    Args:
      spec: of the environment.
      offers: features that the agent adds; their names begin with ``agent_``.

    Raises:
      UsageError: an offer has another name, or the environment has a feature of that name.
    """
    for offered in offers:
        if not offered.name.startswith(_PREFIX):
            raise UsageError(
                f"an agent offers {offered.name!r}: expected a name that begins with {_PREFIX!r}"
            )
        if any(feature.name == offered.name for feature in spec.features):
            raise UsageError(
                f"{spec.id} has a feature named {offered.name!r}, which is kept for agents; rename it"
            )
    return dataclasses.replace(spec, features=(*spec.features, *offers))


def offered_reads(reads: Iterable[str]) -> tuple[str, ...]:
    """Of the features that a reward reads those of the agent, without the prefix ``agent_``."""
    return tuple(name.removeprefix(_PREFIX) for name in reads if name.startswith(_PREFIX))


def offer(trajectory: Trajectory, names: Iterable[str], before: Features, after: Features) -> Trajectory:
    """The trajectory with what an agent offers among its features.

    Args:
      trajectory: leaves ``[T, ...]`` or ``[T, B, ...]``.
      names: from :func:`offered_reads`.
      before: what the agent reported of ``obs``, by name; further entries are ignored.
      after: the same of ``next_obs``, the true successors.
    """
    seen = trajectory.transition
    named = lambda report: {_PREFIX + name: _lookup(report, name) for name in names}
    return trajectory._replace(
        transition=seen._replace(
            features=seen.features | named(before), next_features=seen.next_features | named(after)
        )
    )


def _lookup(report: Features, name: str) -> jax.Array:
    """What an agent reported under a name that it offers."""
    if name not in report:
        raise unknown_name("report", name, report, where=f"of an agent that offers {_PREFIX + name!r}")
    return report[name]


def private_features(env: Environment) -> tuple[FeatureSpec, ...]:
    """What ``env.features`` returns beside ``env.spec.features``, for the environment's own reward alone.

    An environment that has some says so in an attribute ``private_features``; no other reward can read them.
    """
    return getattr(env, "private_features", ())


def task_reads(env: Environment) -> tuple[str, ...]:
    """Names of the features that the environment's own reward reads, sorted."""
    return _task(env)[0]


def recorded_names(env: Environment, record: tuple[str, ...] | None) -> tuple[str, ...]:
    """The features that a rollout records: those asked for (None: all), and what the task reward reads.

    Raises:
      UnknownNameError: ``record`` names a feature that the environment does not have.
    """
    asked = tuple(spec.name for spec in env.spec.features) if record is None else record
    for name in asked:
        env.spec.feature(name)
    return tuple(sorted({*asked, *task_reads(env)}))


def task_terms(env: Environment) -> tuple[str, ...]:
    """Names of the terms of the environment's own reward, sorted."""
    return _task(env)[1]


_Names = tuple[tuple[str, ...], tuple[str, ...]]


def _remembered(look: Callable[[Environment], _Names]) -> Callable[[Environment], _Names]:
    """A function that looks at each environment once, and keeps none: processes may end with it."""
    known: weakref.WeakKeyDictionary[Environment, _Names] = weakref.WeakKeyDictionary()

    @functools.wraps(look)
    def found(env: Environment) -> _Names:
        with contextlib.suppress(KeyError, TypeError):  # the second: a kind without weak references
            return known[env]
        names = look(env)
        with contextlib.suppress(TypeError):
            known[env] = names
        return names

    return found


@_remembered
def _task(env: Environment) -> _Names:
    """What the environment's own reward reads, and the names of its terms."""
    seen: set[str] = set()
    spec = env.spec
    example = example_transition(dataclasses.replace(spec, features=(*spec.features, *private_features(env))))

    def probe(transition: Transition, params: Any):
        before, after = (_Recorder(f, seen, spec) for f in (transition.features, transition.next_features))
        return env.task_reward(before, transition.action, after, params)

    _, terms = jax.eval_shape(probe, example, env.default_params())
    return tuple(sorted(seen)), tuple(sorted(terms))


def reward_reads(reward: Reward, spec: EnvSpec) -> tuple[str, ...]:
    """Names of the features that a reward reads, sorted; checks the reward against the environment.

    Args:
      reward: the reward.
      spec: specification of the environment it is to be used with.

    Raises:
      UnknownNameError: it reads a feature that the environment does not have.
      UsageError: it reads one that the environment forbids, is no reward, or does not return a scalar float
        and scalar terms.
    """
    _check_kind(reward)
    seen: set[str] = set()

    def probe(key: jax.Array, transition: Transition):
        recorded = transition._replace(
            features=_Recorder(transition.features, seen, spec),
            next_features=_Recorder(transition.next_features, seen, spec),
        )
        return reward.apply(reward.init(key), recorded, reward.params)

    # As `rlkit.rewards.relabel` does, name the axis of slots for rewards that share statistics over it.
    slots = jax.vmap(probe, in_axes=None, out_axes=0, axis_size=1, axis_name="slots")
    _, total, terms = jax.eval_shape(
        slots, jax.eval_shape(lambda: jax.random.key(0)), example_transition(spec)
    )
    for name, value in {"reward": total, **terms}.items():
        if value.shape != (1,):
            raise UsageError(
                f"the reward's {name!r} has shape {value.shape[1:]} on one transition; expected a scalar ()"
            )
    if not jnp.issubdtype(total.dtype, jnp.floating):
        raise UsageError(f"the reward is {total.dtype}; expected floats: .astype(jnp.float32)")
    return tuple(sorted(seen))


def _check_kind(reward: Any) -> None:
    """Raise a UsageError unless this is a reward, with what was probably meant."""
    if callable(getattr(reward, "init", None)) and callable(getattr(reward, "apply", None)):
        return
    hint = ""
    if isinstance(reward, str):
        hint = f"; did you mean rlkit.rewards.read({reward!r:.60})?"
    elif callable(reward):
        name = getattr(reward, "__name__", "f")
        hint = f"; did you mean {name}(), or rlkit.rewards.from_function({name}, name)?"
    raise UsageError(f"reward={reward!r:.80} is no reward; expected a rlkit.types.Reward{hint}")
