"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1801.01290, 1812.05905), for actions of real numbers.

Two critics, whose smaller value counts, learn from a replay buffer; a squashed Gaussian policy follows them,
and a temperature holds its entropy at a target. One ``step`` collects ``num_steps`` from each of ``num_envs``
environments and makes ``updates_to_data`` gradient steps for each environment step. Time limits bootstrap
from the true final observation.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rlkit.agents.acting import Policy, acting, collecting, looking
from rlkit.agents.collecting import Collector, Experience, agent_of, collector
from rlkit.agents.demonstrations import check_experience
from rlkit.agents.hyperparameters import shared
from rlkit.agents.replaying import buffer_for, check_memoryless, gradient_steps, learn_from, store
from rlkit.critics import chosen_critics, headed_network
from rlkit.distributions import ActionDistribution, squashed_gaussian
from rlkit.draws import Draw, raw, split
from rlkit.encoding import action_encoder, observation_encoder
from rlkit.envs import AutoReset
from rlkit.envs.check import check_environment
from rlkit.errors import UsageError
from rlkit.fields import Config, leaf, settled, static
from rlkit.initialisers import Initialiser
from rlkit.keys import typed_key
from rlkit.normalize import RunningMoments
from rlkit.optimisers import adam, check_optimiser, descend
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.policies import Network, check_network, given_network
from rlkit.q_learning import soft_value, temperature_loss, track
from rlkit.reads import latent_offer
from rlkit.replay import Replay
from rlkit.rewards import task
from rlkit.spaces import Box
from rlkit.types import Agent, Environment, Key, Metrics, PyTree, Reward, Trajectory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SACConfig(Config):
    """Hyper-parameters of SAC. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(3e-4, "step size of Adam, for policy, critics and temperature", low=0.0)
    discount: float = shared("discount", 0.99)
    tau: float = leaf(0.005, "rate τ at which the target critics follow", above=0.0, high=1.0)
    temperature: float = leaf(1.0, "temperature α, or what it starts from if it adapts", above=0.0)
    target_entropy: float = leaf(
        -1.0,
        "entropy that the temperature holds, in nats per entry of an action in (-1, 1)",
        low=-1e3,
        high=1.0,
    )
    adapt_temperature: bool = static(True, "learn the temperature")
    num_envs: int = shared("num_envs", 1)
    num_steps: int = shared("num_steps", 1)
    updates_to_data: float = shared("updates_to_data", 1.0)
    batch_size: int = shared("batch_size", 256)
    buffer_size: int = shared("buffer_size", 1_000_000)
    learning_starts: int = static(
        1000, "transitions that the initial policy, which is wide, collects before learning", low=1
    )
    sizes: tuple[int, ...] = static((256, 256), "layer sizes; the policy's last is the latent's", low=1)
    activation: str = shared("activation", "relu")
    layer_norm: bool = shared("layer_norm", False)
    precision: str = shared("precision", "float32")
    normalize_obs: bool = shared("normalize_obs", False)


class Parts(NamedTuple):
    """Something for each part of the agent that learns."""

    policy: Any
    critics: Any
    temperature: Any  # its parameter is log α, float32 []


class Learner(NamedTuple):
    """What gradient steps change."""

    params: Parts
    target: PyTree  # critics that lag
    optimiser: Parts
    updates: jax.Array  # int32 []: gradient steps made


class SACState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: SACConfig
    experience: Experience
    learner: Learner
    buffer: Replay  # of steps, see `rlkit.agents.replaying`
    key: Key  # of the next update


class _Spec(NamedTuple):
    """The static side of the agent."""

    collector: Collector
    network: Network  # of the policy
    critics: Callable[..., jax.Array]
    critics_initialiser: Initialiser
    dist: ActionDistribution
    seen: Callable[[jax.Array], jax.Array]  # how critics see actions
    optimiser: Callable[[SACConfig, jax.Array], optax.GradientTransformation]
    static: SACConfig
    updates: int  # gradient steps per update
    axis_name: str | None


def sac(
    env: Environment,
    config: SACConfig | None = None,
    reward: Reward | None = None,
    *,
    network: nn.Module | Network | None = None,
    critic: nn.Module | None = None,
    optimiser: Callable[[SACConfig, jax.Array], optax.GradientTransformation] = adam,
    record: tuple[str, ...] | None = (),
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
    latents: bool = False,
) -> Agent:
    """Build a SAC agent.

    Args:
      env: an environment whose actions are a box of real numbers.
      config: hyper-parameters; static ones are fixed here, numbers are defaults of ``init``.
      reward: what the agent is paid; None pays the environment's own reward. It may read the agent's
        latent as the feature ``"agent_latent"``.
      network: the policy, a flax module or functions that return :class:`rlkit.networks.Outputs` (see
        :func:`rlkit.policies.network_of`) without memory, whose distribution are means and log standard
        deviations; None builds one as ``config`` says.
      critic: a flax module ``(obs [d], action [k]) -> values [critics]``, called with one of each at a time;
        None takes two (:func:`rlkit.critics.critics`).
      optimiser: ``optimiser(config, update) -> transformation`` of the gradients of each part; ``update``
        counts gradient steps.
      record: features that stored transitions keep beside those that the reward reads, None for all: the
        buffer can be paid anew (:func:`rlkit.rewards.relabel_replay`) by rewards that read what it keeps.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis over which gradients and statistics are averaged; environments and buffers
        differ along it, parameters do not.
      latents: also return the latents of each update as the metric array ``"latent"`` ``[T, B, latent]``.

    Returns:
      The agent. Its metrics are float32 scalars; those of learning are NaN until it starts.

    Raises:
      UsageError: a hyper-parameter is out of range, actions are no box of real numbers, a network returns
        the wrong thing, or the buffer is too large for the memory there is.
      UnknownNameError: the reward or ``record`` names a feature that does not exist.
    """
    check_environment(env)
    config, reward, space = settled(config, SACConfig), reward or task(), env.spec.action_space
    if not isinstance(space, Box):
        raise UsageError(
            f"{env.spec.id} has the actions {space}; SAC needs a Box of real numbers: take DQN, PQN or PPO"
        )
    dist, encoder = squashed_gaussian(space), observation_encoder(env.spec.observation_space)
    if network is None:
        # A small gain: at first actions of all sizes are tried, whatever is seen.
        network = headed_network(dist.size, encoder.shape, config, values=False, gain=0.01)
    else:
        network = given_network(network, encoder.shape)
    check_memoryless(network)
    offers = (latent_offer(check_network(network, encoder.shape, dist.size)),)
    values, first = chosen_critics(critic, encoder.shape, dist.width, config)
    collects = collector(
        env, reward, num_envs=config.num_envs, num_steps=config.num_steps, offers=offers, record=record,
        normalize_obs=config.normalize_obs, auto_reset=auto_reset, axis_name=axis_name,
    )  # fmt: skip
    check_optimiser(optimiser, config, network.initialiser.shapes)
    look, seen = looking(network, collects.encode), action_encoder(space)
    spec = _Spec(
        collects, network, values, first, dist, seen, optimiser, config, gradient_steps(config), axis_name
    )
    jax.eval_shape(lambda: buffer_for(collects.row, config))  # an error now if it is too large
    drawn, learn = functools.partial(_drawn, spec), functools.partial(_learn, spec)
    return agent_of(
        env, reward, config, init=functools.partial(_init, spec), learn=learn, policy=_policy,
        collect=collecting(collects, dist, look, _policy, drawn, latents=latents),
        carry=network.memory, act=acting(dist, look), offers=offers, bulk=("buffer.stored",),
        undefined=("episode/", "loss/", "policy/", "value/"), adopt=lambda state, trajectory: trajectory,
    )  # fmt: skip


def _policy(state: SACState) -> Policy:
    return Policy(state.learner.params.policy, state.experience.moments)


def _init(
    spec: _Spec,
    key: Key,
    config: SACConfig | None = None,
    env_params: PyTree = None,
    reward_params: PyTree = None,
) -> SACState:
    """See :class:`rlkit.types.Agent`; ``config`` must not differ from the agent's in static fields."""
    key, config = typed_key(key), hyperparameters(spec.static, config)
    drawn = split(
        key,
        policy=Draw((spec.network.initialiser.words,), raw),
        critics=Draw((spec.critics_initialiser.words,), raw),
        run=Draw(),
        **spec.collector.draws,
    )
    critic = spec.critics_initialiser.build(drawn["critics"])
    params = Parts(spec.network.initialiser.build(drawn["policy"]), critic, jnp.log(config.temperature))
    target = jax.tree.map(jnp.copy, critic)  # a state whose leaves share a buffer cannot be donated
    optimiser = spec.optimiser(config, jnp.int32(0))
    learner = Learner(params, target, Parts(*(optimiser.init(part) for part in params)), jnp.int32(0))
    return SACState(
        config=config,
        experience=spec.collector.init(drawn, env_params, reward_params),
        learner=learner,
        buffer=buffer_for(spec.collector.row, spec.static),
        key=replica_keys(drawn["run"], spec.axis_name),
    )


def _drawn(spec: _Spec, state: SACState) -> dict[str, jax.Array]:
    """The random numbers of an update, of one draw."""
    config, noise, width = spec.static, spec.dist.noise, spec.dist.width
    return split(
        state.key,
        steps=spec.collector.steps,
        acting=Draw((config.num_steps, config.num_envs, width), noise),
        rows=Draw((spec.updates, config.batch_size), raw),
        noise=Draw((spec.updates, 2, config.batch_size, width), noise),
        next=Draw(),
    )


def _learn(spec: _Spec, state: SACState, trajectory: Trajectory) -> tuple[SACState, Metrics]:
    """Store the trajectory and make the gradient steps."""
    check_experience(trajectory, spec.static, (), whole=False)
    drawn, buffer = _drawn(spec, state), store(state.buffer, trajectory)
    update = functools.partial(_update, spec, state.config, state.experience.moments)
    ready = buffer.filled * spec.static.num_envs >= spec.static.learning_starts
    learner, metrics = learn_from(buffer, drawn["rows"], update, state.learner, drawn["noise"], ready=ready)
    experience = spec.collector.absorb(state.experience, trajectory)
    return SACState(state.config, experience, learner, buffer, drawn["next"]), metrics


def _update(
    spec: _Spec,
    config: SACConfig,
    moments: RunningMoments | None,
    learner: Learner,
    batch: Trajectory,
    noise: jax.Array,
) -> tuple[Learner, Metrics]:
    """One gradient step of critics, policy and temperature, in this order (arXiv 1812.05905, algorithm 1)."""
    batch = jax.tree.map(lambda x: x[0], batch)  # stretches of one step
    seen, params, states = batch.transition, learner.params, learner.optimiser
    obs, next_obs = (spec.collector.encode(moments, x) for x in (seen.obs, seen.next_obs))
    optimiser, temperature = spec.optimiser(config, learner.updates), jnp.exp(params.temperature)

    def drawn(policy: PyTree, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        out = spec.network.apply(policy, (), obs).distribution
        action = spec.dist.sample(out, noise)
        return spec.seen(spec.dist.to_env(action)), spec.dist.log_prob(out, action)

    next_action, next_log_prob = drawn(params.policy, next_obs, noise[0])
    worth = soft_value(spec.critics(learner.target, next_obs, next_action), next_log_prob, temperature)
    target = batch.reward + config.discount * jnp.where(seen.terminated, 0.0, worth)

    def critic_loss(critics: PyTree):
        q = spec.critics(critics, obs, spec.seen(seen.action))
        loss = 0.5 * jnp.sum(jnp.mean((q - target) ** 2, -1))
        return loss, {"loss/critic": loss, "value/mean": jnp.mean(q)}

    critics, critic_state, found = descend(
        critic_loss, optimiser, params.critics, states.critics, spec.axis_name
    )

    def policy_loss(policy: PyTree):
        action, log_prob = drawn(policy, obs, noise[1])
        loss = -jnp.mean(soft_value(spec.critics(critics, obs, action), log_prob, temperature))
        return loss, {"loss/policy": loss, "policy/entropy": -jnp.mean(log_prob)}

    policy, policy_state, more = descend(policy_loss, optimiser, params.policy, states.policy, spec.axis_name)
    log_temperature, temperature_state = params.temperature, states.temperature
    if spec.static.adapt_temperature:
        wanted = config.target_entropy * spec.dist.width
        loss = lambda x: (temperature_loss(x, -more["policy/entropy"], wanted), ())
        log_temperature, temperature_state, _ = descend(loss, optimiser, log_temperature, temperature_state)
    params = Parts(policy, critics, log_temperature)
    states = Parts(policy_state, critic_state, temperature_state)
    followed = track(learner.target, critics, config.tau, learner.updates + 1)
    metrics = found | more | {"policy/temperature": temperature}
    return Learner(params, followed, states, learner.updates + 1), metrics
