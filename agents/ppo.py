"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

One ``step`` collects ``num_steps`` from each of ``num_envs`` environments, pays them with the given reward,
and makes ``epochs`` passes of minibatch updates. Time limits bootstrap from the true final observation. The
state is one pytree; hyper-parameters that are numbers are leaves of it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rlkit.agents.acting import MEMORIES, RAW, Policy, acting, collecting, looking
from rlkit.agents.collecting import Collector, Experience, agent_of, collector
from rlkit.agents.demonstrations import adopting, check_experience
from rlkit.agents.hyperparameters import shared
from rlkit.distributions import ActionDistribution, action_distribution
from rlkit.draws import Draw, raw, split
from rlkit.elementary import bounded, means
from rlkit.envs import AutoReset
from rlkit.envs.check import check_environment
from rlkit.fields import Config, leaf, settled, static
from rlkit.keys import typed_key
from rlkit.minibatches import check_minibatches, epochs, minibatch_indices
from rlkit.networks import TORSOS
from rlkit.normalize import standardise
from rlkit.optimisers import check_optimiser, decayed_adam
from rlkit.packing import stacked
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.policies import Network, actor_critic, check_network, chosen_network, latent_pairs, outputs_over
from rlkit.reads import latent_offer, value_offer
from rlkit.returns import explained_variance, gae
from rlkit.rewards import task
from rlkit.types import Agent, Auxiliary, Environment, Key, Metrics, PyTree, Reward, Trajectory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PPOConfig(Config):
    """Hyper-parameters of PPO. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(2.5e-4, "step size of Adam", low=0.0)
    decay_updates: float = shared("decay_updates", 0.0)
    discount: float = shared("discount", 0.99)
    gae_lambda: float = leaf(0.95, "λ of generalised advantage estimation", low=0.0, high=1.0)
    clip: float = leaf(
        0.2, "clipping range ε of the probability ratio, and of the value if clip_value", above=0.0
    )
    entropy_coef: float = leaf(0.01, "weight of the entropy bonus", low=-1e6, high=1e6)
    value_coef: float = leaf(0.5, "weight of the value loss", low=0.0, high=1e6)
    max_grad_norm: float = shared("max_grad_norm", 0.5)
    num_envs: int = shared("num_envs", 16)
    num_steps: int = shared("num_steps", 128)
    epochs: int = shared("epochs", 4)
    minibatches: int = shared("minibatches", 4)
    torso: str = static("mlp", "feature extractor: mlp, gru or cnn (images)", choices=TORSOS)
    sizes: tuple[int, ...] = shared("sizes", (64, 64))
    activation: str = shared("activation", "tanh")
    shared_torso: bool = static(False, "one torso for policy and value instead of one each")
    layer_norm: bool = shared("layer_norm", False)
    precision: str = shared("precision", "float32")
    clip_value: bool = static(False, "clip the change of the value prediction too")
    normalize_obs: bool = shared("normalize_obs", False)
    normalize_reward: bool = shared("normalize_reward", False)


class PPOState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: PPOConfig
    experience: Experience
    params: PyTree  # of the network
    optimiser: PyTree
    key: Key  # of the next update
    update: jax.Array  # int32 []: updates made
    auxiliary: PyTree = ()  # state of the auxiliary loss


class _Spec(NamedTuple):
    """The static side of the agent."""

    network: Network
    dist: ActionDistribution
    collector: Collector
    needs: tuple[str, ...]  # reports that learning reads
    optimiser: Callable[[PPOConfig, jax.Array], optax.GradientTransformation]
    auxiliary: Auxiliary | None
    axis_name: str | None
    latent: int  # length of the latent
    recurrent: bool


class _Batch(NamedTuple):
    """What the losses see, leaves ``[T, B, ...]``."""

    obs: jax.Array  # encoded and normalised
    raw: jax.Array  # the policy's own actions
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    weight: PyTree  # the advantage, normalised in each minibatch
    first: PyTree  # () without memory
    next_obs: PyTree  # () unless an auxiliary loss without memory needs it


def ppo(
    env: Environment,
    config: PPOConfig | None = None,
    reward: Reward | None = None,
    *,
    network: nn.Module | Network | None = None,
    optimiser: Callable[[PPOConfig, jax.Array], optax.GradientTransformation] = decayed_adam,
    record: tuple[str, ...] | None = (),
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
    latents: bool = False,
    auxiliary: Auxiliary | None = None,
) -> Agent:
    """Build a PPO agent.

    Args:
      env: the environment, pure or on the host.
      config: hyper-parameters; static ones are fixed here, numbers are defaults of ``init``.
      reward: what the agent is paid; None pays the environment's own reward. It may read what the agent
        offers: ``"agent_latent"``, the latent, and ``"agent_value"``, the value estimate.
      network: a flax module or functions that return :class:`rlkit.networks.Outputs`, see
        :func:`rlkit.policies.network_of`; None builds one as ``config`` says.
      optimiser: ``optimiser(config, update) -> transformation`` of the gradients; ``update`` counts
        the calls of ``step``.
      record: features that trajectories keep beside those that the reward reads, None for all: they can
        be paid anew (:func:`rlkit.rewards.relabel`) by rewards that read what they keep.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis over which gradients and statistics are averaged (data parallelism
        under ``shard_map``, ``pmap`` or ``vmap``); environments differ along it, parameters do not.
      latents: also return the latents of each update as the metric array ``"latent"``
        ``[T, B, latent]``; off, the compiled program is the same as if the option did not exist.
      auxiliary: a loss on the latents, added to each minibatch's and reported as
        ``"loss/auxiliary"``. Without it the compiled program is the same as if the option did not exist.
        Under ``axis_name`` its state must come out equal along the axis, so it has to reduce over it.

    Returns:
      The agent. Its metrics are float32 scalars: ``episode/*`` describe episodes that ended in the
      update (NaN if none did): ``return`` is the environment's own reward, ``paid`` the agent's (after
      normalisation, if that is on).

    Raises:
      UsageError: a hyper-parameter is out of range, or the network returns the wrong thing.
      UnknownNameError: the reward reads a feature that the environment does not have.
    """
    config, reward = settled(config, PPOConfig), reward or task()
    check_environment(env)
    dist = action_distribution(env.spec.action_space)
    usual = functools.partial(actor_critic, outputs=dist.size, actions=env.spec.action_space, config=config)
    network, shape = chosen_network(network, env.spec.observation_space, config.torso, usual)
    latent, recurrent = check_network(network, shape, dist.size), bool(jax.tree.leaves(network.memory()))
    check_minibatches(config, recurrent)
    offers = (latent_offer(latent), value_offer())
    collects = collector(
        env, reward, num_envs=config.num_envs, num_steps=config.num_steps, carry=network.memory,
        offers=offers, normalize_obs=config.normalize_obs, normalize_reward=config.normalize_reward,
        flat=len(shape) == 1, record=record, auto_reset=auto_reset, axis_name=axis_name,
    )  # fmt: skip
    needs = ("distribution", RAW, *(("value", *MEMORIES) if recurrent else ()))
    check_optimiser(optimiser, config, network.initialiser.shapes)
    look = looking(network, collects.encode)
    spec = _Spec(network, dist, collects, needs, optimiser, auxiliary, axis_name, latent, recurrent)
    drawn, learn = functools.partial(_drawn, spec), functools.partial(_learn, spec)
    return agent_of(
        env, reward, config, init=functools.partial(_init, spec, config), learn=learn, policy=_policy,
        collect=collecting(collects, dist, look, _policy, drawn, needs=needs, latents=latents),
        carry=network.memory, act=acting(dist, look), offers=offers, needs=needs,
        adopt=adopting(dist, look, network.memory, _policy, needs),
    )  # fmt: skip


def _init(
    spec: _Spec,
    default: PPOConfig,
    key: Key,
    config: PPOConfig | None = None,
    env_params: PyTree = None,
    reward_params: PyTree = None,
) -> PPOState:
    """See :class:`rlkit.types.Agent`; ``config`` must not differ from the agent's in static fields."""
    key, config = typed_key(key), hyperparameters(default, config)
    words = Draw((spec.network.initialiser.words,), raw)
    drawn = split(key, network=words, **spec.collector.draws, run=Draw())
    params = spec.network.initialiser.build(drawn["network"])
    return PPOState(
        config=config,
        experience=spec.collector.init(drawn, env_params, reward_params),
        params=params,
        optimiser=spec.optimiser(config, jnp.zeros((), jnp.int32)).init(params),
        key=replica_keys(drawn["run"], spec.axis_name),
        update=jnp.zeros((), jnp.int32),
        auxiliary=() if spec.auxiliary is None else spec.auxiliary.init(spec.latent),
    )


def _drawn(spec: _Spec, state: PPOState) -> dict[str, jax.Array]:
    """The random numbers of an update, of one draw. Both halves of a step make it; compilers see one."""
    config = state.config
    rows = config.num_envs * (1 if spec.recurrent else config.num_steps)
    noise = Draw((config.num_steps, config.num_envs, spec.dist.width), spec.dist.noise)
    order = Draw((config.epochs, rows), raw)
    return split(state.key, steps=spec.collector.steps, acting=noise, order=order, next=Draw())


def _policy(state: PPOState) -> Policy:
    return Policy(state.params, state.experience.moments)


def _batch(spec: _Spec, state: PPOState, trajectory: Trajectory) -> _Batch:
    """What the losses need of a trajectory: values, advantages, probabilities."""
    config, (seen, extras) = state.config, (trajectory.transition, trajectory.extras)
    encode = functools.partial(spec.collector.encode, state.experience.moments)
    obs, next_obs = encode(seen.obs), encode(seen.next_obs)
    if spec.recurrent:
        value = extras["value"]
        next_value = spec.network.apply(state.params, extras["carry"], next_obs).value
    else:
        value, next_value = spec.network.apply(
            state.params, state.experience.carry, stacked([obs, next_obs])
        ).value
    advantage = gae(
        trajectory.reward, value, next_value, seen.terminated, seen.done, config.discount, config.gae_lambda
    )
    log_prob = spec.dist.log_prob(extras["distribution"], extras[RAW])
    first = seen.first if spec.recurrent else ()
    after = next_obs if spec.auxiliary is not None and not spec.recurrent else ()
    return _Batch(obs, extras[RAW], log_prob, value, advantage, (), first, after)


_LOSSES = ("loss/policy", "loss/value", "loss/entropy", "policy/kl", "policy/clip_fraction")


def _loss(spec: _Spec, config: PPOConfig, params: PyTree, memory: PyTree, batch: _Batch):
    """The clipped surrogate (eq. 7 and 9), value loss and entropy bonus of one minibatch."""
    out = outputs_over(spec.network, params, memory, batch.obs, batch.first)
    log_prob, entropy = spec.dist.log_prob_and_entropy(out.distribution, batch.raw)
    log_ratio = log_prob - batch.log_prob
    ratio = jnp.exp(log_ratio)
    gain = ratio * batch.weight
    clipped = (1.0 + bounded(ratio - 1.0, config.clip)) * batch.weight
    surrogate = jnp.where(gain < clipped, gain, clipped)
    target = batch.advantage + batch.value
    error = (out.value - target) ** 2
    if config.clip_value:
        near = (batch.value + bounded(out.value - batch.value, config.clip) - target) ** 2
        error = jnp.where(error > near, error, near)
    each = 0.5 * config.value_coef * error - surrogate - config.entropy_coef * entropy
    outside = jnp.abs(ratio - 1.0) > config.clip
    rows = (-surrogate, 0.5 * error, entropy, ratio - 1.0 - log_ratio, outside)
    return jnp.mean(each), means(jax.lax.stop_gradient(rows))


def _learn(spec: _Spec, state: PPOState, trajectory: Trajectory) -> tuple[PPOState, Metrics]:
    """Epochs of shuffled minibatch updates.

    With memory a minibatch is whole sequences of some environments, else steps of any.
    """
    config, axis_name = state.config, spec.axis_name
    check_experience(trajectory, config, spec.needs, whole=True)
    drawn = _drawn(spec, state)
    batch = _batch(spec, state, trajectory)
    begin = (
        jax.tree.map(lambda m: m[0], trajectory.extras["memory"])
        if spec.recurrent
        else state.experience.carry
    )
    optimiser = spec.optimiser(config, state.update)

    def loss(params: PyTree, auxiliary: PyTree, some: _Batch, memory: PyTree):
        total, found = _loss(spec, config, params, memory, some)
        if spec.auxiliary is not None:
            pairs = latent_pairs(spec.network, params, memory, some.obs, some.next_obs, some.first)
            extra, auxiliary = spec.auxiliary.apply(auxiliary, *pairs)
            total, found = total + extra, jnp.append(found, extra)
        return total, (found, auxiliary)

    def update(carry: tuple[PyTree, PyTree, PyTree], some: _Batch, index: jax.Array):
        params, moments, auxiliary = carry
        memory = jax.tree.map(lambda m: m[index], begin)
        grads, (losses, auxiliary) = jax.grad(loss, has_aux=True)(params, auxiliary, some, memory)
        if axis_name is not None:
            grads, losses = jax.lax.pmean((grads, losses), axis_name)
        updates, moments = optimiser.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments, auxiliary), losses

    (params, moments, auxiliary), losses = epochs(
        update,
        (state.params, state.optimiser, state.auxiliary),
        batch,
        minibatch_indices(drawn["order"], config.minibatches),
        sequences=spec.recurrent,
        large=("obs", "next_obs"),
        prepare=lambda some: {"weight": standardise(some.advantage, axis_name)},
    )
    names = _LOSSES if spec.auxiliary is None else (*_LOSSES, "loss/auxiliary")
    metrics = dict(zip(names, jnp.mean(losses, 0), strict=True))
    metrics["value/explained_variance"] = explained_variance(batch.advantage, batch.value, axis_name)
    learned = state._replace(
        experience=spec.collector.absorb(state.experience, trajectory),
        params=params,
        optimiser=moments,
        key=drawn["next"],
        update=state.update + 1,
        auxiliary=auxiliary,
    )
    return learned, metrics
