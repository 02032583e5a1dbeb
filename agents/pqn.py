"""Parallelised Q-network (Gallici et al. 2025, arXiv 2407.04811), for a choice among actions.

Q-learning without a replay buffer and without a target network: many environments, λ-returns, and layer
normalisation, which is what keeps it stable. Behaviour is epsilon-greedy; MLP or GRU torsos. One ``step``
collects ``num_steps`` from each of ``num_envs`` environments and makes ``epochs`` passes of minibatch updates
towards returns that were computed before. Time limits bootstrap from the true final observation.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rlkit.agents.acting import MEMORIES, Policy, acting, collecting, exploring, looking
from rlkit.agents.collecting import Collector, Experience, agent_of, collector
from rlkit.agents.demonstrations import adopting, check_experience
from rlkit.agents.hyperparameters import shared
from rlkit.critics import headed_network
from rlkit.distributions import ActionDistribution, epsilon_greedy
from rlkit.draws import Draw, raw, split
from rlkit.encoding import action_decoder
from rlkit.envs import AutoReset
from rlkit.envs.check import check_environment
from rlkit.errors import UsageError
from rlkit.fields import Config, leaf, settled, static
from rlkit.keys import typed_key
from rlkit.minibatches import check_minibatches, epochs, minibatch_indices
from rlkit.networks import TORSOS
from rlkit.optimisers import check_optimiser, decayed_radam, descend
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.policies import Network, check_network, chosen_network, outputs_over
from rlkit.q_learning import action_value
from rlkit.reads import latent_offer, value_offer
from rlkit.returns import lambda_returns
from rlkit.rewards import task
from rlkit.spaces import Discrete
from rlkit.types import Agent, Environment, Key, Metrics, PyTree, Reward, Trajectory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PQNConfig(Config):
    """Hyper-parameters of PQN. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(5e-4, "step size of RAdam", low=0.0)
    decay_updates: float = shared("decay_updates", 0.0)
    discount: float = shared("discount", 0.99)
    lambda_: float = shared("lambda_", 0.65)
    epsilon_start: float = shared("epsilon_start", 1.0)
    epsilon_end: float = shared("epsilon_end", 0.05)
    epsilon_steps: float = shared("epsilon_steps", 50_000)
    max_grad_norm: float = shared("max_grad_norm", 10.0)
    num_envs: int = shared("num_envs", 32)
    num_steps: int = shared("num_steps", 64)
    epochs: int = shared("epochs", 4)
    minibatches: int = shared("minibatches", 16)
    torso: str = static("mlp", "feature extractor: mlp, gru or cnn (images)", choices=TORSOS)
    sizes: tuple[int, ...] = shared("sizes", (64, 64))
    activation: str = shared("activation", "relu")
    layer_norm: bool = shared("layer_norm", True)
    precision: str = shared("precision", "float32")
    normalize_obs: bool = shared("normalize_obs", False)
    normalize_reward: bool = shared("normalize_reward", False)


class PQNState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: PQNConfig
    experience: Experience
    params: PyTree
    optimiser: PyTree
    key: Key  # of the next update
    update: jax.Array  # int32 []: updates made


class _Spec(NamedTuple):
    """The static side of the agent."""

    collector: Collector
    network: Network
    dist: ActionDistribution
    optimiser: Callable[[PQNConfig, jax.Array], optax.GradientTransformation]
    static: PQNConfig
    recurrent: bool
    axis_name: str | None


class _Batch(NamedTuple):
    """What the loss sees, leaves ``[T, B, ...]``."""

    obs: jax.Array  # encoded and normalised
    action: jax.Array  # index
    target: jax.Array  # λ-return
    first: PyTree  # () without memory


def pqn(
    env: Environment,
    config: PQNConfig | None = None,
    reward: Reward | None = None,
    *,
    network: nn.Module | Network | None = None,
    optimiser: Callable[[PQNConfig, jax.Array], optax.GradientTransformation] = decayed_radam,
    record: tuple[str, ...] | None = (),
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
    latents: bool = False,
) -> Agent:
    """Build a PQN agent.

    Args:
      env: an environment with discrete actions.
      config: hyper-parameters; static ones are fixed here, numbers are defaults of ``init``.
      reward: what the agent is paid; None pays the environment's own reward. It may read what the agent
        offers: ``"agent_latent"``, the latent, and ``"agent_value"``, the largest value of an action.
      network: a flax module or functions that return :class:`rlkit.networks.Outputs` (see
        :func:`rlkit.policies.network_of`), whose distribution are the values of the actions and whose value
        is the largest of them; None builds one as ``config`` says.
      optimiser: ``optimiser(config, update) -> transformation`` of the gradients; ``update`` counts
        the calls of ``step``.
      record: features that trajectories keep beside those that the reward reads, None for all: they can
        be paid anew (:func:`rlkit.rewards.relabel`) by rewards that read what they keep.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis over which gradients and statistics are averaged; environments differ along
        it, parameters do not.
      latents: also return the latents of each update as the metric array ``"latent"`` ``[T, B, latent]``.

    Returns:
      The agent. Its metrics are float32 scalars.

    Raises:
      UsageError: a hyper-parameter is out of range, actions are not discrete, or the network returns the
        wrong thing.
      UnknownNameError: the reward reads a feature that the environment does not have.
    """
    check_environment(env)
    config, reward, space = settled(config, PQNConfig), reward or task(), env.spec.action_space
    if not isinstance(space, Discrete):
        raise UsageError(f"{env.spec.id} has the actions {space}; PQN needs Discrete ones: take SAC or PPO")
    usual = functools.partial(headed_network, space.n, config=config, torso=config.torso)
    network, shape = chosen_network(network, env.spec.observation_space, config.torso, usual)
    recurrent = bool(jax.tree.leaves(network.memory()))
    check_minibatches(config, recurrent)
    offers = (latent_offer(check_network(network, shape, space.n)), value_offer())
    dist = epsilon_greedy(space.n, action_decoder(space))
    collects = collector(
        env, reward, num_envs=config.num_envs, num_steps=config.num_steps, carry=network.memory,
        offers=offers, normalize_obs=config.normalize_obs, normalize_reward=config.normalize_reward,
        flat=len(shape) == 1, record=record, auto_reset=auto_reset, axis_name=axis_name,
    )  # fmt: skip
    look, needs = looking(network, collects.encode), MEMORIES if recurrent else ()
    check_optimiser(optimiser, config, network.initialiser.shapes)
    spec = _Spec(collects, network, dist, optimiser, config, recurrent, axis_name)
    drawn, learn = functools.partial(_drawn, spec), functools.partial(_learn, spec)
    return agent_of(
        env, reward, config, init=functools.partial(_init, spec), learn=learn, policy=_policy,
        collect=collecting(collects, dist, look, _policy, drawn, needs=needs, latents=latents),
        carry=network.memory, act=acting(dist, look), offers=offers, needs=needs,
        adopt=adopting(dist, look, network.memory, _policy, needs),
    )  # fmt: skip


def _policy(state: PQNState) -> Policy:
    return exploring(state.config, state.params, state.experience.moments, state.update)


def _init(
    spec: _Spec,
    key: Key,
    config: PQNConfig | None = None,
    env_params: PyTree = None,
    reward_params: PyTree = None,
) -> PQNState:
    """See :class:`rlkit.types.Agent`; ``config`` must not differ from the agent's in static fields."""
    key, config = typed_key(key), hyperparameters(spec.static, config)
    words = Draw((spec.network.initialiser.words,), raw)
    drawn = split(key, network=words, run=Draw(), **spec.collector.draws)
    params = spec.network.initialiser.build(drawn["network"])
    return PQNState(
        config=config,
        experience=spec.collector.init(drawn, env_params, reward_params),
        params=params,
        optimiser=spec.optimiser(config, jnp.int32(0)).init(params),
        key=replica_keys(drawn["run"], spec.axis_name),
        update=jnp.int32(0),
    )


def _drawn(spec: _Spec, state: PQNState) -> dict[str, jax.Array]:
    """The random numbers of an update, of one draw."""
    config, dist = spec.static, spec.dist
    rows = config.num_envs * (1 if spec.recurrent else config.num_steps)
    return split(
        state.key,
        steps=spec.collector.steps,
        acting=Draw((config.num_steps, config.num_envs, dist.width), dist.noise),
        order=Draw((config.epochs, rows), raw),
        next=Draw(),
    )


def _batch(spec: _Spec, state: PQNState, trajectory: Trajectory) -> _Batch:
    """The returns that are learned from: those of the network before the update (eq. 3 to 5, Peng's Q(λ))."""
    seen, config = trajectory.transition, state.config
    encode = functools.partial(spec.collector.encode, state.experience.moments)
    after = trajectory.extras["carry"] if spec.recurrent else ()
    next_value = jnp.max(spec.network.apply(state.params, after, encode(seen.next_obs)).distribution, -1)
    target = lambda_returns(
        trajectory.reward, next_value, seen.terminated, seen.done, config.discount, config.lambda_
    )
    return _Batch(
        encode(seen.obs), spec.dist.from_env(seen.action), target, seen.first if spec.recurrent else ()
    )


def _learn(spec: _Spec, state: PQNState, trajectory: Trajectory) -> tuple[PQNState, Metrics]:
    """Epochs of shuffled minibatches; with memory these are whole sequences of some environments."""
    check_experience(trajectory, spec.static, MEMORIES if spec.recurrent else (), whole=True)
    drawn, batch = _drawn(spec, state), _batch(spec, state, trajectory)
    begin = jax.tree.map(lambda m: m[0], trajectory.extras["memory"]) if spec.recurrent else ()
    optimiser = spec.optimiser(state.config, state.update)

    def update(carry: tuple[PyTree, PyTree], some: _Batch, index: jax.Array):
        memory = jax.tree.map(lambda m: m[index], begin)

        def loss(params: PyTree):
            out = outputs_over(spec.network, params, memory, some.obs, some.first)
            q = action_value(out.distribution, some.action)
            total = 0.5 * jnp.mean((q - some.target) ** 2)
            return total, {"loss/value": total, "value/mean": jnp.mean(q)}

        params, moments, found = descend(loss, optimiser, *carry, spec.axis_name)
        return (params, moments), found

    (params, moments), found = epochs(
        update,
        (state.params, state.optimiser),
        batch,
        minibatch_indices(drawn["order"], spec.static.minibatches),
        sequences=spec.recurrent,
        large=("obs",),
    )
    experience = spec.collector.absorb(state.experience, trajectory)
    new = PQNState(state.config, experience, params, moments, drawn["next"], state.update + 1)
    return new, jax.tree.map(jnp.mean, found)
