"""Collecting experience: everything about an agent's state and steps that is not its algorithm.

Running environments, the memory of the policy, paying, normalisation of observations and rewards, sums
over episodes, features that the agent offers, replicas. An agent keeps one :class:`Experience` in its
state and uses one :class:`Collector`::

    paying = collector(env, reward, num_envs=16, num_steps=128, offers=(latent_offer(64),))

    def init(key, config=None, env_params=None, reward_params=None):
        drawn = split(key, network=Draw((words,), raw), run=Draw(), **paying.draws)
        return State(paying.init(drawn, env_params, reward_params), build(drawn["network"]), drawn["run"])

    def collect(state):
        noise = Draw((128, 16, dist.width), dist.noise)
        drawn = split(state.key, steps=paying.steps, noise=noise, next=Draw())

        def behave(carry, obs, noise):
            out = network(state.params, paying.encode(state.experience.moments, obs))
            return dist.to_env(dist.sample(out, noise)), carry, {"latent": ...}

        experience, trajectory, metrics = paying.collect(
            state.experience, behave, drawn["steps"], drawn["noise"]
        )
        return state._replace(experience=experience), trajectory, metrics

    def learn(state, trajectory):
        ...  # updates of the parameters, then statistics of observations, which were frozen until now:
        return state._replace(experience=paying.absorb(state.experience, trajectory), ...), metrics
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.draws import Draw
from rlkit.elementary import means
from rlkit.encoding import observation_encoder
from rlkit.envs import AutoReset, rollout, start, start_keys
from rlkit.envs.check import check_environment
from rlkit.episode_sums import episode_sums, no_sums
from rlkit.errors import UsageError, check_count
from rlkit.memory import restart, side_by_side
from rlkit.normalize import RunningMoments, normalise, update_moments
from rlkit.parallel import replica_keys
from rlkit.parameters import resolve
from rlkit.reads import example_transition, offer, offered_reads, reward_reads, task_reads, with_offers
from rlkit.rewards import chain, init_slots, relabel
from rlkit.rewards import normalise as normalise_reward
from rlkit.types import Agent, Environment, FeatureSpec, Key, Metrics, PyTree, Reward, Settings, Trajectory

OBS_LIMIT = 10.0
"""Largest magnitude of a normalised observation."""


class Experience(NamedTuple):
    """The part of an agent's state that is not its algorithm."""

    env_params: PyTree
    reward_params: PyTree
    slots: PyTree  # the environments
    reward: PyTree  # the reward's memory, leaves [B, ...]
    carry: PyTree  # the policy's memory, leaves [B, ...]
    moments: RunningMoments | None  # of encoded observations; None: they are not normalised
    sums: jax.Array  # float32 [5, B]: see `rlkit.episode_sums`

    @property
    def settings(self) -> Settings:
        """What it was built with."""
        return Settings(self.env_params, self.reward_params)


Behave = Callable[[PyTree, jax.Array, Any], tuple[jax.Array, PyTree, dict[str, jax.Array]]]
"""``behave(carry, obs [B, ...], input) -> (action [B, ...], carry, report)``. The carry is already restarted
where an episode begins; what is reported becomes ``trajectory.extras``."""

Foresee = Callable[[PyTree, jax.Array], dict[str, jax.Array]]
"""``foresee(carry, obs [T, B, ...]) -> report``: what ``behave`` would report of observations seen with the
carry after a step (leaves ``[T, B, ...]``)."""


class Collector(NamedTuple):
    """How experience is collected; made by :func:`collector`."""

    draws: dict[str, Draw]
    """What ``init`` takes of :func:`rlkit.draws.split`."""

    steps: Draw
    """The keys that ``collect`` takes, ``[T, B, 4]``."""

    shape: tuple[int, ...]
    """Shape of an encoded observation."""

    offered: tuple[str, ...]
    """Which of the offers the reward reads, without ``agent_``: ``behave`` has to report them."""

    row: Trajectory
    """One step of what is collected, as ``jax.ShapeDtypeStruct``, without terms and extras."""

    init: Callable[..., Experience]
    """``init(drawn, env_params=None, reward_params=None) -> experience``"""

    collect: Callable[..., tuple[Experience, Trajectory, Metrics]]
    """``collect(experience, behave, keys, inputs=None, *, foresee=None, discount=None)``
    ``-> (experience, trajectory, metrics)``: ``num_steps`` steps of each environment, leaves ``[T, B, ...]``.

    ``inputs`` (leaves ``[T, ...]``) go to ``behave``; ``foresee`` is needed where the reward reads what the
    agent offers; ``discount`` where rewards are normalised. With memory, extras hold ``memory`` and
    ``carry``, before and after each observation. Metrics: ``episode/*`` (:mod:`rlkit.episode_sums`) and
    ``reward/*``, the means of the reward's terms."""

    encode: Callable[[RunningMoments | None, jax.Array], jax.Array]
    """``encode(moments, obs [..., *space.shape]) -> float32 [..., *shape]``: what networks see."""

    absorb: Callable[[Experience, Trajectory], Experience]
    """``absorb(experience, trajectory)``: its observations enter the running moments. Until then the moments
    stay as they were, so that collecting and learning see the same numbers."""


def collector(
    env: Environment,
    reward: Reward,
    *,
    num_envs: int,
    num_steps: int,
    carry: Callable[[], PyTree] = lambda: (),
    offers: tuple[FeatureSpec, ...] = (),
    record: tuple[str, ...] | None = (),
    normalize_obs: bool = False,
    normalize_reward: bool = False,
    flat: bool = True,
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
) -> Collector:
    """Build the functions that collect experience.

    Args:
      env: the environment.
      reward: what the agent is paid.
      num_envs: ``B``, environments side by side.
      num_steps: ``T``, steps of each environment in one ``collect``, at least 1.
      carry: the policy's memory at the start of an episode.
      offers: features that the agent adds for rewards, see ``Agent.offers``.
      record: features to record beside those that the reward reads (a stored trajectory can be paid anew by a
        reward that reads what was recorded); None records all.
      normalize_obs: normalise observations by their running moments, where the space allows.
      normalize_reward: divide rewards by the running deviation of their discounted sum.
      flat: encode observations as vectors; False keeps the shape of images.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis of replicas: parameters are equal along it, environments differ, statistics
        are shared.

    Raises:
      UnknownNameError: the reward reads, or ``record`` names, what neither environment nor agent has.
      UsageError: an offer clashes with a feature, or the space of observations suits no network.
    """
    check_environment(env)
    num_envs, num_steps = check_count("num_envs", num_envs), check_count("num_steps", num_steps)
    encoder = observation_encoder(env.spec.observation_space, flat=flat)
    reads = reward_reads(reward, with_offers(env.spec, offers))
    offered = offered_reads(reads)
    own = tuple(name for name in reads if name.removeprefix("agent_") not in offered)
    names = None if record is None else tuple(sorted({*own, *record}))
    fresh, recurrent = carry, bool(jax.tree.leaves(jax.eval_shape(carry)))
    pairs = start_keys(env, num_envs, auto_reset)
    for name in record or ():
        env.spec.feature(name)
    seen = example_transition(with_offers(env.spec, offers))
    kept = {*task_reads(env), *(f"agent_{name}" for name in offered)}
    kept |= {feature.name for feature in env.spec.features} if names is None else {*names}
    pick = lambda features: {name: leaf for name, leaf in features.items() if name in kept}
    seen = seen._replace(features=pick(seen.features), next_features=pick(seen.next_features))

    def init(drawn: Mapping[str, Key], env_params: PyTree = None, reward_params: PyTree = None) -> Experience:
        env_params = resolve("env_params", env.default_params(), env_params)
        params = resolve("reward_params", reward.params, reward_params)
        keys, key_reward = (replica_keys(drawn[name], axis_name) for name in ("start", "reward"))
        slots = start(env, keys, env_params, num_envs, auto_reset=auto_reset, record=names)
        moments = RunningMoments.zeros(encoder.shape) if normalize_obs and encoder.normalised else None
        memory = init_slots(paid(jnp.zeros(()))[0], key_reward, num_envs)
        carry = side_by_side(fresh(), num_envs)
        return Experience(env_params, params, slots, memory, carry, moments, no_sums(num_envs))

    def paid(discount: jax.Array | None) -> tuple[Reward, Callable[[PyTree], PyTree]]:
        """What is paid, and its parameters from those of the reward."""
        if not normalize_reward:
            return reward, lambda params: params
        assert discount is not None, "rewards are normalised by the deviation of their discounted sum"
        axes = "slots" if axis_name is None else ("slots", axis_name)
        normal = normalise_reward(discount, axis_name=axes)
        return chain(reward, normal), lambda params: (params, normal.params)

    def collect(
        experience: Experience,
        behave: Behave,
        keys: Key,
        inputs: PyTree = None,
        *,
        foresee: Foresee | None = None,
        discount: jax.Array | None = None,
    ) -> tuple[Experience, Trajectory, Metrics]:
        def policy(carry: PyTree, obs: jax.Array, first: jax.Array, inputs: PyTree):
            action, carry, report = behave(restart(carry, first, fresh()), obs, inputs)
            return action, carry, report | ({"carry": carry} if recurrent else {})

        slots, carry, trajectory = rollout(
            env, policy, experience.carry, experience.slots, keys, experience.env_params, num_steps,
            inputs=inputs, auto_reset=auto_reset, record=names,
        )  # fmt: skip
        if recurrent:
            trajectory = with_memory(experience, trajectory)
        if offered:
            assert foresee is not None, f"the reward reads {offered} of the agent, also of what is to come"
            after = foresee(trajectory.extras.get("carry", experience.carry), trajectory.transition.next_obs)
            trajectory = offer(trajectory, offered, trajectory.extras, after)
        pay, params = paid(discount)
        memory, trajectory = relabel(
            pay, experience.reward, trajectory, params=params(experience.reward_params), axis_name="slots"
        )
        sums, metrics = episode_sums(experience.sums, trajectory, axis_name)
        new = experience._replace(slots=slots, reward=memory, carry=carry, sums=sums)
        return new, trajectory, metrics | terms(trajectory)

    def with_memory(experience: Experience, trajectory: Trajectory) -> Trajectory:
        """Note the memory before each observation, which follows from that after the one before."""
        join = lambda start, after: jnp.concatenate([start[None], after[:-1]])
        before = jax.tree.map(join, experience.carry, trajectory.extras["carry"])
        before = restart(before, trajectory.transition.first, fresh())
        return trajectory._replace(extras=trajectory.extras | {"memory": before})

    def terms(trajectory: Trajectory) -> Metrics:
        """Mean of each term."""
        if not trajectory.terms:
            return {}
        mean = means([*trajectory.terms.values()])
        mean = mean if axis_name is None else jax.lax.pmean(mean, axis_name)
        return {f"reward/{name}": mean[i] for i, name in enumerate(trajectory.terms)}

    def encode(moments: RunningMoments | None, obs: jax.Array) -> jax.Array:
        x = encoder.encode(obs)
        return x if moments is None else normalise(x, moments, clip=OBS_LIMIT)

    def absorb(experience: Experience, trajectory: Trajectory) -> Experience:
        if experience.moments is None:
            return experience
        rows = encoder.encode(trajectory.transition.obs).reshape(-1, *encoder.shape)
        return experience._replace(moments=update_moments(experience.moments, rows, axis_name))

    return Collector(
        draws={"start": Draw((pairs, 2)), "reward": Draw()},
        steps=Draw((num_steps, num_envs, 4)),
        shape=encoder.shape,
        offered=offered,
        row=Trajectory(seen, seen.reward, {}, {}),
        init=init,
        collect=collect,
        encode=encode,
        absorb=absorb,
    )


def with_reward_params(state: PyTree, params: PyTree) -> PyTree:
    """The state of an agent that is paid by other parameters of its reward, e.g. newly learnt weights.

    Args:
      state: of an agent that keeps an :class:`Experience` in the field ``experience``.
      params: structured as ``agent.reward.params``.

    Raises:
      UsageError: the state has no such field, or the parameters do not fit.
    """
    experience = getattr(state, "experience", None)
    if not isinstance(experience, Experience):
        raise UsageError(
            f"{type(state).__name__} has no field `experience` with what a collector keeps; its reward can "
            "not be changed from outside"
        )
    params = resolve("params", experience.reward_params, params)
    return state._replace(experience=experience._replace(reward_params=params))


def agent_of(
    env: Environment,
    reward: Reward,
    config: Any,
    *,
    init: Callable[..., PyTree],
    collect: Callable[[PyTree], tuple[PyTree, Trajectory, Metrics]],
    learn: Callable[[PyTree, Trajectory], tuple[PyTree, Metrics]],
    **more: Any,
) -> Agent:
    """The agent of these functions, whose state keeps an :class:`Experience` in the field ``experience``.

    Args:
      env: the environment.
      reward: what it is paid.
      config: has the fields ``num_envs`` and ``num_steps``.
      init: see :class:`rlkit.types.Agent`, as all that follow.
      collect: one half of ``step``.
      learn: the other.
      **more: ``policy``, ``carry``, ``act``, and what has defaults.
    """
    return Agent(
        init=init,
        step=stepping(collect, learn),
        env=env,
        reward=reward,
        config=config,
        steps_per_update=config.num_envs * config.num_steps,
        collect=collect,
        learn=learn,
        settings=lambda state: state.experience.settings,
        **more,
    )


def stepping(collect: Callable[..., Any], learn: Callable[..., Any]) -> Callable[..., Any]:
    """``Agent.step``: ``learn`` after ``collect``."""

    def step(state: PyTree) -> tuple[PyTree, Metrics]:
        state, trajectory, metrics = collect(state)
        state, learned = learn(state, trajectory)
        return state, metrics | learned

    return step
