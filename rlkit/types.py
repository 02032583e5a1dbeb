"""The contracts: environments, rewards, agents, and the data that flows between them.

Everything with behaviour is a bundle of pure functions over an explicit state pytree. An
:class:`Environment` is a frozen hashable object whose fields are static choices; a
:class:`Reward` and an :class:`Agent` are named tuples of functions. Functions are written for
one environment, one transition, one seed: batch them with ``jax.vmap``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from rlkit.errors import UsageError, unknown_name
from rlkit.spaces import Space

Key = jax.Array
PyTree = Any
Features = dict[str, jax.Array]
Terms = dict[str, jax.Array]


@dataclass(frozen=True)
class FeatureSpec:
    """One named quantity that a reward may read.

    Attributes:
      name: key in the dictionary that ``Environment.features`` returns.
      shape: shape of the value.
      dtype: dtype name of the value.
      low: smallest value it takes (all entries).
      high: largest value it takes (all entries).
      unit: physical unit, ``"1"`` if it has none.
      meaning: one sentence for a person, or a language model, that designs a reward.
      observable: False for privileged quantities that the agent itself cannot see.
    """

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    low: float = -float("inf")
    high: float = float("inf")
    unit: str = "1"
    meaning: str = ""
    observable: bool = True


@dataclass(frozen=True)
class EnvSpec:
    """What there is to know about an environment without running it.

    Attributes:
      id: registry name, e.g. ``"nav/pointmaze-umaze"``.
      observation_space: space of what the agent sees.
      action_space: space of actions, in the environment's own units.
      features: what a reward may read; names, shapes, ranges, units and meaning.
      max_steps: default time limit in environment steps (``params.max_steps`` may differ).
      task: the task in words: goal, hazards, what the agent can do.
      success: the sparse success signal in words.
      fitness: the scalar that ranks trained agents, in words (never shown to a learner).
      native_reward: the environment's own reward in words.
      fitness_over: how an episode's fitness follows from its states': ``"mean"``, ``"final"`` or ``"max"``.
      partial_obs: whether the observation hides part of the state.
      pure: True if every method is traceable by JAX.
      auto_reset: the default reset strategy, see :mod:`rlkit.envs.autoreset`.
      forbidden: names of features that exist and that rewards may not read, see
        :func:`rlkit.envs.privileged.forbid_privileged`.
    """

    id: str
    observation_space: Space
    action_space: Space
    features: tuple[FeatureSpec, ...]
    max_steps: int
    task: str
    success: str
    fitness: str
    native_reward: str
    fitness_over: str = "mean"
    partial_obs: bool = False
    pure: bool = True
    auto_reset: Any = field(default=None)
    forbidden: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The part of the id before the slash; of ``"host:..."`` it is ``"host"``."""
        return re.split("[/:]", self.id, maxsplit=1)[0]

    def feature(self, name: str) -> FeatureSpec:
        """The specification of one feature; an unknown name raises with a suggestion."""
        for spec in self.features:
            if spec.name == name:
                return spec
        raise self.no_feature(name)

    def no_feature(self, name: str) -> UsageError:
        """The error for a name that is not among ``features``: forbidden, or unknown with a suggestion."""
        if name in self.forbidden:
            return UsageError(
                f"the feature {name!r} of {self.id} is privileged: the agent cannot see it in this task, and "
                f"rewards are forbidden to read it; allowed: {', '.join(spec.name for spec in self.features)}"
            )
        return unknown_name("feature", name, [spec.name for spec in self.features], where=f"of {self.id}")


class EnvState(NamedTuple):
    """State of one environment between two calls of :func:`rlkit.envs.step`."""

    inner: PyTree  # the environment's own state
    t: jax.Array  # int32 []: steps since reset


@runtime_checkable
class Environment(Protocol):
    """A frozen, hashable object whose methods are pure.

    Fields of the object are static choices (sizes, backends, action kind). Every number that may
    vary is a leaf of ``params``, whose type is a NamedTuple with at least ``max_steps`` (int32);
    ``vmap`` over a leaf is domain randomisation. No method resets by itself, counts time or
    knows the time limit: :func:`rlkit.envs.step` does.
    """

    @property
    def spec(self) -> EnvSpec: ...

    def default_params(self) -> Any:
        """The default parameters; all leaves are strongly typed arrays."""
        ...

    def initial(self, key: Key, params: Any) -> PyTree:
        """Draw an initial inner state."""
        ...

    def transition(self, key: Key, state: PyTree, action: jax.Array, params: Any) -> PyTree:
        """The inner state after one step; same structure, shapes and dtypes as ``state``."""
        ...

    def observe(self, key: Key, state: PyTree, params: Any) -> jax.Array:
        """What the agent sees: an element of ``spec.observation_space``."""
        ...

    def features(self, state: PyTree, params: Any) -> Features:
        """The quantities of ``spec.features`` by name."""
        ...

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Any
    ) -> tuple[jax.Array, Terms]:
        """The environment's own reward (float32 []) and its terms, which sum to it."""
        ...

    def terminated(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Any) -> jax.Array:
        """Whether the episode ended by itself (bool []); never the time limit."""
        ...

    def success(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Any) -> jax.Array:
        """Whether this step achieved the task (bool []): the sparse signal that judges rewards."""
        ...

    def fitness(self, state: PyTree, params: Any) -> jax.Array:
        """Ground-truth score of a state (float32 []), averaged or read at the end of an episode."""
        ...

    def render(self, state: PyTree, params: Any, size: int = 256) -> Any:
        """A uint8 image ``[size, size, 3]`` (NumPy), drawn on the host."""
        ...


class Transition(NamedTuple):
    """One step as rewards and learners see it. With leading axes it is a batch or a trajectory.

    ``next_obs`` and ``next_features`` describe the true successor, also at the end of an episode:
    they never come from the state after an automatic reset.
    """

    obs: jax.Array  # what the agent saw
    action: jax.Array  # what it did, in the environment's units
    next_obs: jax.Array  # what it led to, before any reset
    features: Features  # named quantities before the action
    next_features: Features  # the same after it, before any reset
    reward: (
        jax.Array
    )  # float32: the environment's own reward, or that of the reward before this one in a chain
    terminated: jax.Array  # bool: the episode ended by itself, the future is worth 0
    truncated: jax.Array  # bool: the time limit was reached, the future still has value
    success: jax.Array  # bool: the sparse task signal
    first: jax.Array  # bool: `obs` is the first observation of an episode

    @property
    def done(self) -> jax.Array:
        """bool: the episode ended, by itself or by the time limit."""
        return self.terminated | self.truncated


class Trajectory(NamedTuple):
    """A stretch of experience; every leaf has a leading time axis ``[T, ...]`` or ``[T, B, ...]``."""

    transition: Transition
    reward: jax.Array  # float32: what the agent is paid; `transition.reward` stays the environment's own
    terms: Terms  # float32 each: named contributions to `reward`
    extras: dict[str, jax.Array]  # what the policy reported: "latent", "log_prob", ...


class Reward(NamedTuple):
    """What the agent is paid, as a pair of pure functions on one transition, and their parameters.

    ``apply`` receives the reward so far as ``transition.reward`` (the environment's own, unless
    another reward comes before it in a chain) and returns the new one. Memory that belongs to an
    episode is reset where ``transition.first`` is set; each environment slot has its own, while all
    share the parameters.
    """

    init: Callable[[Key], PyTree]
    """``init(key) -> memory``"""

    apply: Callable[[PyTree, Transition, PyTree], tuple[PyTree, jax.Array, Terms]]
    """``apply(memory, transition, params) -> (memory, reward, terms)``; float32 scalars, terms by name."""

    params: PyTree = ()
    """Arrays that a mapped axis, a search or a learner may vary: weights, a program, a model. Those given
    here are the defaults of whoever pays the reward."""


class Auxiliary(NamedTuple):
    """A differentiable loss on an agent's latents that is added to the agent's own, as pure functions."""

    init: Callable[[int], PyTree]
    """``init(latent_dim) -> state``"""

    apply: Callable[[PyTree, jax.Array, jax.Array, jax.Array], tuple[jax.Array, PyTree]]
    """``apply(state, latent [N, d], next_latent [N, d], mask [N]) -> (loss [], state)``: latents of a
    minibatch under the parameters that are being trained, and those one step later; rows where the mask is
    false are no pairs. Gradients flow through both."""


class ActInfo(NamedTuple):
    """What an agent reports beside its action."""

    latent: jax.Array  # float32 [latent_dim]: output of the policy's torso, z_t
    log_prob: jax.Array  # float32 []: log-probability (density) of the action
    value: jax.Array  # float32 []: value estimate of the observation, NaN for agents without one
    offered: dict[str, jax.Array] = {}  # noqa: RUF012 (never changed) what else the agent offers, by name

    def report(self) -> dict[str, jax.Array]:
        """Everything by name; the feature ``agent_x`` that an agent offers is the report ``x``."""
        return {"latent": self.latent, "log_prob": self.log_prob, "value": self.value, **self.offered}


class Settings(NamedTuple):
    """The numbers with which a state was built, other than hyper-parameters; None stands for the defaults."""

    env_params: PyTree = None
    reward_params: PyTree = None


Metrics = dict[str, jax.Array]


@runtime_checkable
class Learner(Protocol):
    """Whatever can be trained by the same driver: agents, reward models, trainers of groups."""

    @property
    def init(self) -> Callable[..., PyTree]:
        """``init(key) -> state``"""
        ...

    @property
    def step(self) -> Callable[[PyTree], tuple[PyTree, Metrics]]:
        """``step(state) -> (state, metrics)``"""
        ...

    @property
    def steps_per_update(self) -> int:
        """What one ``step`` counts for on the axis of learning curves."""
        ...

    @property
    def title(self) -> str:
        """What is trained, in a few words."""
        ...

    @property
    def undefined(self) -> tuple[str, ...]:
        """Prefixes of metrics that may be NaN, when there is nothing to measure."""
        ...

    @property
    def bulk(self) -> tuple[str, ...]:
        """Dotted names of the state's fields that are large and cheap to lose."""
        ...


class Agent(NamedTuple):
    """A learning algorithm bound to an environment and a reward, as pure functions.

    ``jax.vmap(agent.init)(keys)`` is a population; ``jax.vmap(agent.init)(keys, configs)`` with array
    fields in ``configs`` is a sweep, as are environment and reward parameters with a leading axis.
    """

    init: Callable[..., PyTree]
    """``init(key, config=None, env_params=None, reward_params=None) -> state``: everything that learning
    needs, in one pytree; None takes the defaults of agent, environment and reward."""

    step: Callable[[PyTree], tuple[PyTree, dict[str, jax.Array]]]
    """``step(state) -> (state, metrics)``: ``learn`` after ``collect``; metrics are scalars."""

    policy: Callable[[PyTree], PyTree]
    """``policy(state) -> params``: the part of the state that acting needs."""

    carry: Callable[[], PyTree]
    """``carry() -> carry``: the policy's memory at the start of an episode (empty for feed-forward ones)."""

    act: Callable[..., tuple[jax.Array, PyTree, ActInfo]]
    """``act(params, carry, obs, key) -> (action, carry, info)``; ``key=None`` acts greedily."""

    env: Environment
    reward: Reward
    config: Any
    steps_per_update: int
    """Environment steps that one ``step`` takes."""

    collect: Callable[[PyTree], tuple[PyTree, Trajectory, Metrics]] | None = None
    """``collect(state) -> (state, trajectory, metrics)``: experience of the present policy, paid. Each is to
    be followed by one ``learn``, which moves the random numbers on. None: the agent cannot act by itself."""

    learn: Callable[[PyTree, Trajectory], tuple[PyTree, Metrics]] | None = None
    """``learn(state, trajectory) -> (state, metrics)``: the other half of ``step``, also for experience that
    came from elsewhere, with the extras that ``needs`` names. None: the halves cannot be told apart."""

    needs: tuple[str, ...] = ()
    """Extras of a trajectory that ``learn`` reads; ``collect`` records them."""

    adopt: Callable[[PyTree, Trajectory], Trajectory] | None = None
    """``adopt(state, trajectory) -> trajectory``: experience that came from elsewhere with the extras that
    ``learn`` reads, as if the present policy had acted so; :func:`rlkit.agents.trajectory_from` makes it of
    plain arrays. None: the agent learns from its own experience only."""

    settings: Callable[[PyTree], Settings] = lambda state: Settings()
    """``settings(state)``: the environment and reward parameters that the state was built with."""

    offers: tuple[FeatureSpec, ...] = ()
    """Features that rewards may read beside the environment's; their names begin with ``agent_``."""

    picture: Callable[[PyTree, int], Any] | None = None
    """``picture(carry, size)``: what the policy remembers, uint8 ``[size, size, 3]``, drawn beside the
    environment in reports and films. None: its memory is nothing to look at."""

    undefined: tuple[str, ...] = ("episode/",)
    """Prefixes of metrics that may be NaN: an episode need not end in every update."""

    bulk: tuple[str, ...] = ()
    """Dotted names of the state's fields that are large and cheap to lose, like the rows of a replay buffer:
    ``"buffer.stored"``, without what says which rows count, so that undoing an update undoes that. They are
    not checked for numbers that are not finite, and where they are lost, the field around them (``"buffer"``)
    begins anew. See :mod:`rlkit.bulk`."""

    @property
    def title(self) -> str:
        """What is trained: the environment."""
        return self.env.spec.id
