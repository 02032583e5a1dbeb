"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), with MLP or GRU torsos.

One ``step`` collects ``num_steps`` from each of ``num_envs`` environments, pays them with the
given reward, and makes ``epochs`` passes of minibatch updates. Time limits bootstrap from the true
final observation. The state is one pytree; hyper-parameters that are numbers are leaves of it.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlkit.distributions import ActionDistribution, action_distribution
from rlkit.draws import as_keys, draw_bits, key_shape
from rlkit.encoding import ObservationEncoder, observation_encoder
from rlkit.envs import AutoReset, Slots, rollout, start
from rlkit.envs.check import check_environment
from rlkit.envs.rollout import start_keys
from rlkit.fields import check, leaf, static
from rlkit.initialisers import Initialiser, orthogonal
from rlkit.keys import typed_key
from rlkit.minibatches import minibatch_indices
from rlkit.networks import ACTIVATIONS, TORSOS, ActorCritic
from rlkit.normalize import RunningMoments, normalise, update_moments
from rlkit.packing import PackedTree, Packing, packing, stacked
from rlkit.parameters import resolve
from rlkit.reads import AGENT_LATENT, reward_reads, with_latent
from rlkit.returns import linear_recurrence, td_error
from rlkit.rewards import chain, init_slots, relabel, task
from rlkit.rewards import normalise as normalise_reward
from rlkit.spaces import Box
from rlkit.types import ActInfo, Agent, Auxiliary, Environment, Key, PyTree, Reward, Trajectory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of PPO. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(2.5e-4, "step size of Adam", low=0.0)
    decay_updates: float = leaf(
        0.0, "updates until the learning rate has fallen linearly to 0; 0: constant", low=0.0
    )
    discount: float = leaf(0.99, "discount factor γ", low=0.0, high=1.0)
    gae_lambda: float = leaf(0.95, "λ of generalised advantage estimation", low=0.0, high=1.0)
    clip: float = leaf(
        0.2, "clipping range ε of the probability ratio, and of the value if clip_value", above=0.0
    )
    entropy_coef: float = leaf(0.01, "weight of the entropy bonus", low=-1e6, high=1e6)
    value_coef: float = leaf(0.5, "weight of the value loss", low=0.0, high=1e6)
    max_grad_norm: float = leaf(0.5, "largest global norm of a gradient", above=0.0)
    num_envs: int = static(16, "environments that run side by side (per device)", low=1)
    num_steps: int = static(128, "steps of each environment per update", low=1)
    epochs: int = static(4, "passes over the collected steps", low=1)
    minibatches: int = static(4, "gradient steps per pass", low=1)
    torso: str = static("mlp", "feature extractor: mlp or gru", choices=TORSOS)
    sizes: tuple[int, ...] = static((64, 64), "layer sizes of the torso; the last is the latent's", low=1)
    activation: str = static("tanh", "tanh, relu, silu, gelu or elu", choices=ACTIVATIONS)
    shared_torso: bool = static(False, "one torso for policy and value instead of one each")
    clip_value: bool = static(False, "clip the change of the value prediction too")
    normalize_obs: bool = static(False, "normalise observations by their running mean and deviation")
    normalize_reward: bool = static(False, "divide rewards by the running deviation of their discounted sum")

    def replace(self, **changes: Any) -> "PPOConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


class Policy(NamedTuple):
    """What acting needs."""

    params: PyTree
    obs_moments: RunningMoments | None


class PPOState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: PPOConfig
    env_params: PyTree
    reward_params: PyTree
    params: jax.Array  # float32 [P]: the network's, packed; `agent.policy(state).params` is the tree
    obs_moments: RunningMoments | None
    optimiser: PyTree  # Adam on `params`
    reward: PyTree  # state of the reward, leaves [B, ...]
    slots: Slots  # the environments
    carry: PyTree  # the policy's memory, leaves [B, ...]
    unfinished: jax.Array  # float32 [4, B]: sums over the episodes in progress, see `_look_back`
    key: Key  # of the next update
    update: jax.Array  # int32 []: updates made
    auxiliary: PyTree = ()  # state of the auxiliary loss


class _Spec(NamedTuple):
    """The static side of the agent."""

    env: Environment
    net: ActorCritic
    initialiser: Initialiser
    layout: Packing  # of the network's parameters
    encoder: ObservationEncoder
    dist: ActionDistribution
    reward: Reward
    record: tuple[str, ...]
    auto_reset: AutoReset | None
    axis_name: str | None
    latents: bool
    pays_latents: bool  # the reward reads the agent's latents
    auxiliary: Auxiliary | None


def _validate(config: PPOConfig) -> None:
    check(config)
    rows = config.num_envs * (1 if config.torso == "gru" else config.num_steps)
    if rows % config.minibatches:
        unit = "num_envs" if config.torso == "gru" else "num_envs * num_steps"
        raise ValueError(
            f"{unit} = {rows} is not a multiple of minibatches={config.minibatches}; choose a divisor"
        )


def ppo(
    env: Environment,
    config: PPOConfig | None = None,
    reward: Reward | None = None,
    *,
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
    latents: bool = False,
    auxiliary: Auxiliary | None = None,
) -> Agent:
    """Build a PPO agent.

    Args:
      env: a pure environment.
      config: hyper-parameters; static ones are fixed here, numbers are defaults of ``init``.
      reward: what the agent is paid; None pays the environment's own reward. It may read the agent's
        latents as the feature ``"agent_latent"``.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis over which gradients and statistics are averaged (data parallelism
        under ``shard_map``, ``pmap`` or ``vmap``); environments differ along it, parameters do not.
      latents: also return the latents of each update as the metric array ``"latent"``
        ``[T, B, sizes[-1]]``; off, the compiled program is the same as if the option did not exist.
      auxiliary: a loss on the torso's latents, added to each minibatch's and reported as
        ``"loss/auxiliary"``. Without it the compiled program is the same as if the option did not exist.
        Under ``axis_name`` its state must come out equal along the axis, so it has to reduce over it.

    Returns:
      The agent. Its metrics are float32 scalars: ``episode/*`` describe episodes that ended in the
      update (NaN if none did): ``return`` is the environment's own reward, ``paid`` the agent's (after
      normalisation, if that is on).

    Raises:
      ValueError: a hyper-parameter is out of range, or the environment is not pure.
      UnknownNameError: the reward reads a feature that the environment does not have.
    """
    config = config or PPOConfig()
    _validate(config)
    check_environment(env)
    if not env.spec.pure:
        raise ValueError(f"{env.spec.id} is not a pure JAX environment; PPO needs one")
    reward = reward or task()
    encoder, dist = (
        observation_encoder(env.spec.observation_space),
        action_distribution(env.spec.action_space),
    )
    continuous = isinstance(env.spec.action_space, Box)
    outputs = dist.size // 2 if continuous else dist.size
    net = ActorCritic(outputs, continuous, config.torso, config.sizes, config.activation, config.shared_torso)
    reads = reward_reads(reward, with_latent(env.spec, config.sizes[-1]))
    record = tuple(name for name in reads if name != AGENT_LATENT)
    initialiser = _initialiser(encoder.size, net)
    spec = _Spec(
        env=env,
        net=net,
        initialiser=initialiser,
        layout=packing(initialiser.shapes),
        encoder=encoder,
        dist=dist,
        reward=reward,
        record=record,
        auto_reset=auto_reset,
        axis_name=axis_name,
        latents=latents,
        pays_latents=AGENT_LATENT in reads,
        auxiliary=auxiliary,
    )
    return Agent(
        init=functools.partial(_init, spec, config),
        step=functools.partial(_step, spec),
        policy=functools.partial(_policy, spec),
        carry=net.memory,
        act=functools.partial(_act, spec),
        env=env,
        reward=reward,
        config=config,
        steps_per_update=config.num_envs * config.num_steps,
    )


def _initialiser(width: int, net: ActorCritic) -> Initialiser:
    """Orthogonal, with the gains that are usual for PPO."""
    gains = {"actor_head": 0.01, "critic_head": 1.0, "gates": 1.0}
    gains |= {f"recurrent_{gate}": 1.0 for gate in ("reset", "update", "new")}
    return orthogonal(net, net.memory(), jax.ShapeDtypeStruct((width,), jnp.float32), gains=gains)


def _unpacked(spec: _Spec, params: jax.Array) -> PyTree:
    """The parameters as the network takes them."""
    return spec.layout.unpack({"float32": params})


def _policy(spec: _Spec, state: PPOState) -> Policy:
    return Policy(_unpacked(spec, state.params), state.obs_moments)


def _observe(spec: _Spec, moments: RunningMoments | None, obs: jax.Array) -> jax.Array:
    """Encode and normalise observations."""
    x = spec.encoder.encode(obs)
    return x if moments is None else normalise(x, moments, clip=10.0)


def _restart(carry: PyTree, first: jax.Array) -> PyTree:
    """Forget what belongs to a finished episode; every memory starts at zero."""
    return jax.tree.map(lambda c: jnp.where(first[:, None], 0.0, c), carry)


def _net(spec: _Spec, params: PyTree, *args: Any, method: str = "__call__") -> Any:
    """Apply the network."""
    return spec.net.apply({"params": params}, *args, method=method)


def _act(spec: _Spec, policy: Policy, carry: PyTree, obs: jax.Array, key: Key | None = None):
    x = _observe(spec, policy.obs_moments, obs)
    carry, out, value, latent = _net(spec, policy.params, carry, x)
    raw = (
        spec.dist.mode(out)
        if key is None
        else spec.dist.sample(out, spec.dist.noise(draw_bits(typed_key(key), (spec.dist.width,))[0]))
    )
    return spec.dist.to_env(raw), carry, ActInfo(latent, spec.dist.log_prob(out, raw), value)


def _optimiser(config: PPOConfig, update: jax.Array | int = 0) -> optax.GradientTransformation:
    left = 1.0 - update / jnp.maximum(config.decay_updates, 1.0)
    rate = config.learning_rate * jnp.where(config.decay_updates > 0, jnp.maximum(left, 0.0), 1.0)
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(rate, eps=1e-5))


def _paid(spec: _Spec, config: PPOConfig) -> Reward:
    if not config.normalize_reward:
        return spec.reward
    axes = "slots" if spec.axis_name is None else ("slots", spec.axis_name)
    return chain(spec.reward, normalise_reward(config.discount, axis_name=axes))


def _init(
    spec: _Spec,
    default: PPOConfig,
    key: Key,
    config: PPOConfig | None = None,
    env_params: Any = None,
    reward_params: PyTree = None,
) -> PPOState:
    """See :class:`rlkit.types.Agent`; ``config`` must not differ from the agent's in static fields."""
    key = typed_key(key)
    config = default if config is None else config
    if jax.tree.structure(config) != jax.tree.structure(default):
        raise ValueError(f"config={config}: its static fields must be those the agent was built with")
    config = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), config)
    env_params = resolve("env_params", spec.env.default_params(), env_params)
    reward_params = resolve("reward_params", spec.reward.params, reward_params)
    memory = spec.net.memory()
    pairs = start_keys(spec.env, config.num_envs, spec.auto_reset)
    net_bits, env_bits, rest = draw_bits(
        key, (spec.initialiser.words,), key_shape(key, (pairs, 2)), key_shape(key, (2,))
    )
    env_keys, (key_reward, key_run) = as_keys(env_bits, key), as_keys(rest, key)
    if spec.axis_name is not None:  # parameters are shared along the axis, experience is not
        index = jax.lax.axis_index(spec.axis_name)
        env_keys = jax.vmap(jax.vmap(lambda k: jax.random.fold_in(k, index)))(env_keys)
        key_reward, key_run = (jax.random.fold_in(k, index) for k in (key_reward, key_run))
    params = spec.layout.pack(spec.initialiser.build(net_bits))["float32"]
    normalised = config.normalize_obs and spec.encoder.normalised
    moments = RunningMoments.zeros(spec.encoder.size) if normalised else None
    slots = start(
        spec.env, env_keys, env_params, config.num_envs, auto_reset=spec.auto_reset, record=spec.record
    )
    return PPOState(
        config=config,
        env_params=env_params,
        reward_params=reward_params,
        params=params,
        obs_moments=moments,
        optimiser=_optimiser(config).init(params),
        reward=init_slots(_paid(spec, config), key_reward, config.num_envs),
        slots=slots,
        carry=jax.tree.map(lambda m: jnp.zeros((config.num_envs, *m.shape)), memory),
        unfinished=jnp.zeros((4, config.num_envs)),
        key=key_run,
        update=jnp.zeros((), jnp.int32),
        auxiliary=() if spec.auxiliary is None else spec.auxiliary.init(config.sizes[-1]),
    )


def _step(spec: _Spec, state: PPOState) -> tuple[PPOState, dict[str, jax.Array]]:
    """See :class:`rlkit.types.Agent`."""
    config = state.config
    key = state.key
    lead = (config.num_steps, config.num_envs)
    rows = config.num_envs if jax.tree.leaves(state.carry) else config.num_envs * config.num_steps
    key_bits, noise_bits, order_bits, next_key = draw_bits(
        key, key_shape(key, (*lead, 4)), (*lead, spec.dist.width), (config.epochs, rows), key_shape(key, ())
    )
    collected, trajectory = _collect(spec, state, as_keys(key_bits, key), spec.dist.noise(noise_bits))
    batch, unfinished, metrics = _evaluate(spec, state, trajectory)
    order = minibatch_indices(order_bits, config.minibatches)
    new, optimiser, auxiliary, losses = _learn(spec, state, batch, order)
    metrics |= losses
    if spec.latents:
        metrics["latent"] = trajectory.extras["latent"]
    moments = state.obs_moments
    if moments is not None:
        rows = spec.encoder.encode(trajectory.transition.obs)
        moments = update_moments(moments, rows.reshape(-1, spec.encoder.size), spec.axis_name)
    collected = collected._replace(
        params=new,
        obs_moments=moments,
        optimiser=optimiser,
        unfinished=unfinished,
        auxiliary=auxiliary,
        key=as_keys(next_key, key),
        update=state.update + 1,
    )
    return collected, metrics


def _collect(spec: _Spec, state: PPOState, keys: Key, noise: jax.Array) -> tuple[PPOState, Trajectory]:
    """Run the policy and pay it."""
    config, env = state.config, spec.env
    params = _unpacked(spec, state.params)
    recurrent = bool(jax.tree.leaves(state.carry))

    def act(carry: PyTree, obs: jax.Array, first: jax.Array, noise: jax.Array):
        x = _observe(spec, state.obs_moments, obs)
        extras = {}
        if recurrent:
            carry, out, extras["value"], latent = _net(spec, params, _restart(carry, first), x)
            extras["carry"] = carry
        else:
            carry, out, latent = _net(spec, params, carry, x, method="act")
        if spec.latents or spec.pays_latents:
            extras["latent"] = latent
        extras |= {"out": out, "raw": spec.dist.sample(out, noise)}
        return spec.dist.to_env(extras["raw"]), carry, extras

    slots, carry, trajectory = rollout(
        env,
        act,
        state.carry,
        state.slots,
        keys,
        state.env_params,
        config.num_steps,
        inputs=noise,
        auto_reset=spec.auto_reset,
        record=spec.record,
    )
    if spec.pays_latents:
        trajectory = _offer_latents(spec, state, trajectory)
    paid = _paid(spec, config)
    pay = state.reward_params
    if config.normalize_reward:
        pay = (pay, {"discount": config.discount})
    reward_state, trajectory = relabel(paid, state.reward, trajectory, params=pay, axis_name="slots")
    return state._replace(slots=slots, carry=carry, reward=reward_state), trajectory


def _offer_latents(spec: _Spec, state: PPOState, trajectory: Trajectory) -> Trajectory:
    """The trajectory with the latents of every observation and its true successor as features."""
    seen, extras = trajectory.transition, trajectory.extras
    next_obs = _observe(spec, state.obs_moments, seen.next_obs)
    params = _unpacked(spec, state.params)
    _, _, after = _net(spec, params, extras.get("carry", state.carry), next_obs, method="act")
    seen = seen._replace(
        features=seen.features | {AGENT_LATENT: extras["latent"]},
        next_features=seen.next_features | {AGENT_LATENT: after},
    )
    return trajectory._replace(transition=seen)


class _Batch(NamedTuple):
    """What the losses see, leaves ``[T, B, ...]``."""

    obs: jax.Array  # encoded and normalised
    raw: jax.Array
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    weight: PyTree  # the advantage, normalised in each minibatch; filled in by `_learn`
    first: PyTree  # needed with memory only
    next_obs: PyTree = ()  # needed by an auxiliary loss without memory only


def _evaluate(spec: _Spec, state: PPOState, trajectory: Trajectory):
    """Values and advantages of a trajectory, and what its episodes achieved."""
    seen, extras = trajectory.transition, trajectory.extras
    params = _unpacked(spec, state.params)
    obs, next_obs = (_observe(spec, state.obs_moments, o) for o in (seen.obs, seen.next_obs))
    value_of = functools.partial(_net, spec, params, method="value")
    if "carry" in extras:
        value, next_value = extras["value"], value_of(extras["carry"], next_obs)
    else:
        value, next_value = value_of(state.carry, stacked([obs, next_obs]))
    advantage, unfinished, metrics = _look_back(spec, state, trajectory, value, next_value)
    log_prob = spec.dist.log_prob(extras["out"], extras["raw"])
    first = seen.first if jax.tree.leaves(state.carry) else ()
    batch = _Batch(obs, extras["raw"], log_prob, value, advantage, (), first)
    if spec.auxiliary is not None and not jax.tree.leaves(state.carry):
        batch = batch._replace(next_obs=next_obs)
    target = advantage + value
    rows = (advantage, advantage**2, target, target**2, *trajectory.terms.values())
    means = _means(rows)
    if spec.axis_name is not None:
        means = jax.lax.pmean(means, spec.axis_name)
    residual, spread = means[1] - means[0] ** 2, means[3] - means[2] ** 2
    metrics["value/explained_variance"] = 1.0 - residual / jnp.maximum(spread, 1e-8)
    metrics |= {f"reward/{name}": means[4 + i] for i, name in enumerate(trajectory.terms)}
    return batch, unfinished, metrics


def _look_back(spec: _Spec, state: PPOState, trajectory: Trajectory, value: jax.Array, next_value: jax.Array):
    """Advantages, running totals of unfinished episodes, and means over those that ended.

    One backward pass serves the advantages (:func:`rlkit.returns.gae`) and sums over episodes: at
    the first row of an episode the sums are its totals, and tell whether it ended.
    """
    config, seen = state.config, trajectory.transition
    success, done = (flag.astype(jnp.float32) for flag in (seen.success, seen.done))
    delta = td_error(trajectory.reward, value, next_value, seen.terminated, config.discount)
    zero, ones = jnp.zeros_like(state.unfinished[:1]), jnp.ones_like(done)
    begun = jnp.concatenate([zero, state.unfinished, zero])  # the first row continues what was begun
    is_first_row = (np.arange(len(done)) == 0)[:, None]
    x = stacked([delta, seen.reward, trajectory.reward, success, ones, done], 1)
    x = x + jnp.where(is_first_row[..., None], begun, 0.0)
    keep = jnp.where(np.arange(6) == 0, config.discount * config.gae_lambda, 1.0)
    sums = linear_recurrence(x, (1.0 - done)[:, None] * keep[:, None], jnp.zeros_like(x[0]), reverse=True)
    advantage, ends, begins = sums[:, 0], sums[:, 5], seen.first | is_first_row
    totals = jnp.where(_IS_COUNT, 1.0, jnp.minimum(sums[:, 1:], _MOST))  # [T, 5, B], the last one counts
    where = jnp.where(begins, stacked([ends, 1.0 - ends]), 0.0)  # [2, T, B]: ended, goes on
    slots = jnp.sum(totals * where[:, :, None], 1)  # [2, 5, B]
    sums = jnp.sum(slots[0], 1)
    if spec.axis_name is not None:
        sums = jax.lax.psum(sums, spec.axis_name)
    names = ("episode/return", "episode/paid", "episode/success", "episode/length")
    metrics = dict(zip(names, sums[:4] / sums[4], strict=True))  # NaN if none ended: nothing to report
    metrics["episode/count"] = sums[4]
    return advantage, slots[1, :4], metrics


_LOSSES = ("loss/policy", "loss/value", "loss/entropy", "policy/kl", "policy/clip_fraction")
_MOST = np.array([np.inf, np.inf, 1.0, np.inf, np.inf], np.float32)[:, None]  # success twice is one success
_IS_COUNT = np.arange(5)[:, None] == 4


def _clip(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    """``x`` clipped to ``±bound``; its derivative is 0 or 1, where the library's is a half at the bounds."""
    return jnp.where(jnp.abs(x) > bound, jnp.sign(x) * bound, x)


def _means(rows: tuple[jax.Array, ...]) -> jax.Array:
    """The mean of each of some arrays of one shape; one mean of all, because each is a program on the CPU."""
    return jnp.mean(stacked([row.reshape(-1).astype(jnp.float32) for row in rows]), 1)


def _loss(spec: _Spec, config: PPOConfig, params: PyTree, carry: PyTree, batch: _Batch):
    """The clipped surrogate (eq. 7 and 9), value loss and entropy bonus of one minibatch."""
    if jax.tree.leaves(carry):
        out, value, _ = _net(spec, params, carry, batch.obs, batch.first, method="unroll")
    else:
        _, out, value, _ = _net(spec, params, carry, batch.obs)
    log_prob, entropy = spec.dist.log_prob_and_entropy(out, batch.raw)
    log_ratio = log_prob - batch.log_prob
    ratio = jnp.exp(log_ratio)
    gain = ratio * batch.weight
    clipped = (1.0 + _clip(ratio - 1.0, config.clip)) * batch.weight
    surrogate = jnp.where(gain < clipped, gain, clipped)
    target = batch.advantage + batch.value
    error = (value - target) ** 2
    if config.clip_value:
        near = (batch.value + _clip(value - batch.value, config.clip) - target) ** 2
        error = jnp.where(error > near, error, near)
    each = 0.5 * config.value_coef * error - surrogate - config.entropy_coef * entropy
    outside = jnp.abs(ratio - 1.0) > config.clip
    rows = (-surrogate, 0.5 * error, entropy, ratio - 1.0 - log_ratio, outside)
    return jnp.mean(each), _means(jax.lax.stop_gradient(rows))


def _auxiliary_loss(spec: _Spec, params: PyTree, carry: PyTree, batch: _Batch, state: PyTree):
    """The auxiliary loss of one minibatch and its new state."""
    assert spec.auxiliary is not None
    if jax.tree.leaves(carry):  # the successor is the next step of the sequence
        *_, latent = _net(spec, params, carry, batch.obs, batch.first, method="unroll")
        latent, after, mask = latent[:-1], latent[1:], ~batch.first[1:]
    else:
        *_, latent = _net(spec, params, carry, batch.obs, method="act")
        *_, after = _net(spec, params, carry, batch.next_obs, method="act")
        mask = jnp.ones(latent.shape[:-1], bool)
    latent, after = (x.reshape(-1, x.shape[-1]) for x in (latent, after))
    return spec.auxiliary.apply(state, latent, after, mask.reshape(-1))


def _normalised(advantage: jax.Array, axis_name: str | None) -> jax.Array:
    """Advantages ``[minibatches, ...]`` with zero mean and unit deviation in each minibatch."""

    def mean(x: jax.Array) -> jax.Array:
        x = jnp.mean(x, tuple(range(1, x.ndim)), keepdims=True)
        return x if axis_name is None else jax.lax.pmean(x, axis_name)

    centred = advantage - mean(advantage)
    return centred / (jnp.sqrt(mean(centred**2)) + 1e-8)


def _learn(spec: _Spec, state: PPOState, batch: _Batch, order: jax.Array):
    """Epochs of shuffled minibatch updates; parameters travel as one vector.

    With memory a minibatch is whole sequences of some environments, else steps of any. What is
    small is packed and gathered for all minibatches before the loop, observations are gathered inside it.
    """
    config = state.config
    recurrent = bool(jax.tree.leaves(state.carry))
    if recurrent:
        rows = jax.tree.map(lambda a: a.swapaxes(0, 1), batch)  # [B, T, ...]
    else:
        rows = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), batch)  # [T B, ...]
    lead = 2 if recurrent else 1
    small = PackedTree.of(rows._replace(obs=(), next_obs=(), weight=()), lead)
    taken = jax.tree.map(lambda a: a[order], small)  # [minibatches, ..., size]
    weight = _normalised(taken.tree.advantage, spec.axis_name)
    optimiser = _optimiser(config, state.update)
    before = state.carry  # `state` is the one that collected the batch

    def loss(params: PyTree, auxiliary: PyTree, index: jax.Array, packed: PackedTree, weight: jax.Array):
        obs, next_obs = jax.tree.map(lambda a: a[index], (rows.obs, rows.next_obs))
        some: _Batch = packed.tree._replace(obs=obs, next_obs=next_obs, weight=weight)
        if recurrent:
            some = jax.tree.map(lambda a: a.swapaxes(0, 1), some)  # [T, b, ...]
        memory = jax.tree.map(lambda c: c[index], before)
        total, means = _loss(spec, config, params, memory, some)
        if spec.auxiliary is not None:
            extra, auxiliary = _auxiliary_loss(spec, params, memory, some, auxiliary)
            total, means = total + extra, jnp.append(means, extra)
        return total, (means, auxiliary)

    def body(carry: tuple[jax.Array, PyTree, PyTree], x: tuple[jax.Array, PackedTree, jax.Array]):
        params, opt_state, auxiliary = carry
        grads, (losses, auxiliary) = jax.grad(loss, has_aux=True)(_unpacked(spec, params), auxiliary, *x)
        grad = spec.layout.pack(grads)["float32"]  # by layer and packed once: cheaper than through slices
        if spec.axis_name is not None:
            grad, losses = jax.lax.pmean((grad, losses), spec.axis_name)
        updates, opt_state = optimiser.update(grad, opt_state)
        return (optax.apply_updates(params, updates), opt_state, auxiliary), losses

    start = (state.params, state.optimiser, state.auxiliary)
    (params, opt_state, auxiliary), losses = jax.lax.scan(body, start, (order, taken, weight))
    names = _LOSSES if spec.auxiliary is None else (*_LOSSES, "loss/auxiliary")
    metrics = dict(zip(names, jnp.mean(losses, 0), strict=True))
    return params, opt_state, auxiliary, metrics
