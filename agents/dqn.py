"""Deep Q-learning (Mnih et al. 2013, arXiv 1312.5602), for a choice among actions.

Values of actions are learned from a replay buffer: double (van Hasselt et al. 2016, arXiv 1509.06461) unless
turned off, over returns of ``n_step`` steps, with a target network that follows slowly or in jumps.
Behaviour is epsilon-greedy. Time limits bootstrap from the true final observation.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rlkit.agents.acting import Policy, acting, collecting, exploring, looking
from rlkit.agents.collecting import Collector, Experience, agent_of, collector
from rlkit.agents.demonstrations import check_experience
from rlkit.agents.hyperparameters import shared
from rlkit.agents.replaying import buffer_for, check_memoryless, gradient_steps, learn_from, store
from rlkit.critics import headed_network
from rlkit.distributions import ActionDistribution, epsilon_greedy
from rlkit.draws import Draw, raw, split
from rlkit.encoding import action_decoder
from rlkit.envs import AutoReset
from rlkit.envs.check import check_environment
from rlkit.errors import UsageError
from rlkit.fields import Config, leaf, settled, static
from rlkit.keys import typed_key
from rlkit.normalize import RunningMoments
from rlkit.optimisers import check_optimiser, decayed_adam, descend
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.policies import Network, check_network, chosen_network
from rlkit.q_learning import action_value, double_q_value, last_of, n_step_return, track
from rlkit.reads import latent_offer, value_offer
from rlkit.replay import Replay
from rlkit.rewards import task
from rlkit.spaces import Discrete
from rlkit.types import Agent, Environment, Key, Metrics, PyTree, Reward, Trajectory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DQNConfig(Config):
    """Hyper-parameters of DQN. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(5e-4, "step size of Adam", low=0.0)
    decay_updates: float = leaf(
        0.0, "gradient steps until the learning rate has fallen linearly to 0; 0: constant", low=0.0
    )
    discount: float = shared("discount", 0.99)
    tau: float = leaf(1.0, "how far the target network moves each time: 1 is a copy", above=0.0, high=1.0)
    epsilon_start: float = shared("epsilon_start", 1.0)
    epsilon_end: float = shared("epsilon_end", 0.05)
    epsilon_steps: float = shared("epsilon_steps", 25_000)
    max_grad_norm: float = shared("max_grad_norm", 10.0)
    target_every: int = static(250, "gradient steps between two moves of the target network", low=1)
    double: bool = static(True, "let the learning network choose the action that the target network judges")
    n_step: int = static(1, "steps of reward before bootstrapping", low=1)
    num_envs: int = shared("num_envs", 8)
    num_steps: int = shared("num_steps", 1)
    updates_to_data: float = shared("updates_to_data", 0.125)
    batch_size: int = shared("batch_size", 128)
    buffer_size: int = shared("buffer_size", 100_000)
    learning_starts: int = static(1000, "transitions that are collected before learning", low=1)
    torso: str = static("mlp", "feature extractor: mlp or cnn (images)", choices=("mlp", "cnn"))
    sizes: tuple[int, ...] = shared("sizes", (64, 64))
    activation: str = shared("activation", "relu")
    layer_norm: bool = shared("layer_norm", False)
    precision: str = shared("precision", "float32")
    normalize_obs: bool = shared("normalize_obs", False)


class Learner(NamedTuple):
    """What gradient steps change."""

    params: PyTree
    target: PyTree  # parameters that lag
    optimiser: PyTree
    updates: jax.Array  # int32 []: gradient steps made


class DQNState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: DQNConfig
    experience: Experience
    learner: Learner
    buffer: Replay  # of steps, see `rlkit.agents.replaying`
    key: Key  # of the next update
    update: jax.Array  # int32 []: updates made, with gradient steps or without


class _Spec(NamedTuple):
    """The static side of the agent."""

    collector: Collector
    network: Network
    dist: ActionDistribution
    optimiser: Callable[[DQNConfig, jax.Array], optax.GradientTransformation]
    static: DQNConfig
    updates: int  # gradient steps per update
    axis_name: str | None


def dqn(
    env: Environment,
    config: DQNConfig | None = None,
    reward: Reward | None = None,
    *,
    network: nn.Module | Network | None = None,
    optimiser: Callable[[DQNConfig, jax.Array], optax.GradientTransformation] = decayed_adam,
    record: tuple[str, ...] | None = (),
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
    latents: bool = False,
) -> Agent:
    """Build a DQN agent.

    Args:
      env: an environment with discrete actions.
      config: hyper-parameters; static ones are fixed here, numbers are defaults of ``init``.
      reward: what the agent is paid; None pays the environment's own reward. It may read what the agent
        offers: ``"agent_latent"``, the latent, and ``"agent_value"``, the largest value of an action.
      network: a flax module or functions that return :class:`rlkit.networks.Outputs` (see
        :func:`rlkit.policies.network_of`) without memory, whose distribution are the values of the actions
        and whose value is the largest of them; None builds one as ``config`` says.
      optimiser: ``optimiser(config, update) -> transformation`` of the gradients; ``update`` counts
        gradient steps.
      record: features that stored transitions keep beside those that the reward reads, None for all: the
        buffer can be paid anew (:func:`rlkit.rewards.relabel_replay`) by rewards that read what it keeps.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis over which gradients and statistics are averaged; environments and buffers
        differ along it, parameters do not.
      latents: also return the latents of each update as the metric array ``"latent"`` ``[T, B, latent]``.

    Returns:
      The agent. Its metrics are float32 scalars; those of learning are NaN until it starts.

    Raises:
      UsageError: a hyper-parameter is out of range, actions are not discrete, the network returns the wrong
        thing, or the buffer is too large for the memory there is.
      UnknownNameError: the reward or ``record`` names a feature that does not exist.
    """
    check_environment(env)
    config, reward, space = settled(config, DQNConfig), reward or task(), env.spec.action_space
    if not isinstance(space, Discrete):
        raise UsageError(f"{env.spec.id} has the actions {space}; DQN needs Discrete ones: take SAC or PPO")
    usual = functools.partial(headed_network, space.n, config=config, torso=config.torso)
    network, shape = chosen_network(network, env.spec.observation_space, config.torso, usual)
    check_memoryless(network)
    offers = (latent_offer(check_network(network, shape, space.n)), value_offer())
    dist = epsilon_greedy(space.n, action_decoder(space))
    collects = collector(
        env, reward, num_envs=config.num_envs, num_steps=config.num_steps, offers=offers, record=record,
        normalize_obs=config.normalize_obs, flat=len(shape) == 1, auto_reset=auto_reset,
        axis_name=axis_name,
    )  # fmt: skip
    check_optimiser(optimiser, config, network.initialiser.shapes)
    look = looking(network, collects.encode)
    spec = _Spec(collects, network, dist, optimiser, config, gradient_steps(config), axis_name)
    jax.eval_shape(
        lambda: buffer_for(collects.row, config, length=config.n_step)
    )  # an error now if too large
    drawn, learn = functools.partial(_drawn, spec), functools.partial(_learn, spec)
    return agent_of(
        env, reward, config, init=functools.partial(_init, spec), learn=learn, policy=_policy,
        collect=collecting(collects, dist, look, _policy, drawn, latents=latents),
        carry=network.memory, act=acting(dist, look), offers=offers, bulk=("buffer.stored",),
        undefined=("episode/", "loss/", "value/"), adopt=lambda state, trajectory: trajectory,
    )  # fmt: skip


def _policy(state: DQNState) -> Policy:
    return exploring(state.config, state.learner.params, state.experience.moments, state.update)


def _init(
    spec: _Spec,
    key: Key,
    config: DQNConfig | None = None,
    env_params: PyTree = None,
    reward_params: PyTree = None,
) -> DQNState:
    """See :class:`rlkit.types.Agent`; ``config`` must not differ from the agent's in static fields."""
    key, config = typed_key(key), hyperparameters(spec.static, config)
    words = Draw((spec.network.initialiser.words,), raw)
    drawn = split(key, network=words, run=Draw(), **spec.collector.draws)
    params, count = spec.network.initialiser.build(drawn["network"]), jnp.int32(0)
    target = jax.tree.map(jnp.copy, params)  # a state whose leaves share a buffer cannot be donated
    return DQNState(
        config=config,
        experience=spec.collector.init(drawn, env_params, reward_params),
        learner=Learner(params, target, spec.optimiser(config, count).init(params), count),
        buffer=buffer_for(spec.collector.row, spec.static, length=spec.static.n_step),
        key=replica_keys(drawn["run"], spec.axis_name),
        update=jnp.int32(0),
    )


def _drawn(spec: _Spec, state: DQNState) -> dict[str, jax.Array]:
    """The random numbers of an update, of one draw."""
    config, dist = spec.static, spec.dist
    return split(
        state.key,
        steps=spec.collector.steps,
        acting=Draw((config.num_steps, config.num_envs, dist.width), dist.noise),
        rows=Draw((spec.updates, config.batch_size), raw),
        next=Draw(),
    )


def _learn(spec: _Spec, state: DQNState, trajectory: Trajectory) -> tuple[DQNState, Metrics]:
    """Store the trajectory and make the gradient steps."""
    check_experience(trajectory, spec.static, (), whole=False)
    config, drawn, buffer = spec.static, _drawn(spec, state), store(state.buffer, trajectory)
    update = functools.partial(_update, spec, state.config, state.experience.moments)
    ready = (buffer.filled * config.num_envs >= config.learning_starts) & (buffer.filled >= config.n_step)
    learner, metrics = learn_from(
        buffer, drawn["rows"], update, state.learner, ready=ready, length=config.n_step
    )
    experience = spec.collector.absorb(state.experience, trajectory)
    return DQNState(state.config, experience, learner, buffer, drawn["next"], state.update + 1), metrics


def _update(
    spec: _Spec,
    config: DQNConfig,
    moments: RunningMoments | None,
    learner: Learner,
    batch: Trajectory,
    _: None,
) -> tuple[Learner, Metrics]:
    """One gradient step on stretches ``[n_step, N, ...]``."""
    seen, encode = batch.transition, functools.partial(spec.collector.encode, moments)
    values = lambda params, obs: spec.network.apply(params, (), encode(obs)).distribution
    ahead = n_step_return(batch.reward, seen.terminated, seen.done, config.discount)
    next_obs = last_of(seen.next_obs, ahead.last)
    judged = values(learner.target, next_obs)
    chosen = values(learner.params, next_obs) if spec.static.double else judged
    target = ahead.reward + ahead.discount * double_q_value(chosen, judged)

    def loss(params: PyTree):
        q = action_value(values(params, seen.obs[0]), spec.dist.from_env(seen.action[0]))
        total = jnp.mean(optax.huber_loss(q, target))  # errors clipped to ±1, as in the paper of 2015
        return total, {"loss/value": total, "value/mean": jnp.mean(q)}

    optimiser = spec.optimiser(config, learner.updates)
    params, state, found = descend(loss, optimiser, learner.params, learner.optimiser, spec.axis_name)
    count = learner.updates + 1
    target = track(learner.target, params, config.tau, count, spec.static.target_every)
    return Learner(params, target, state, count), found
