"""TopoNav, put together: see :mod:`rlkit.agents.toponav`."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rlkit.agents.collecting import agent_of, collector
from rlkit.agents.toponav.config import TopoNavConfig
from rlkit.agents.toponav.deciding import BEARING, SEES, act, decide, looking, policy_of
from rlkit.agents.toponav.learning import NEEDS, draws_of, learn
from rlkit.agents.toponav.picture import picture
from rlkit.agents.toponav.state import Mind, Spec, TopoNavState
from rlkit.agents.toponav.subgoals import NODE_FEATURES, no_pursuit
from rlkit.agents.toponav.topological_map import empty_map
from rlkit.critics import headed_network
from rlkit.distributions import epsilon_greedy
from rlkit.draws import Draw, raw, split
from rlkit.encoding import action_decoder
from rlkit.envs import AutoReset
from rlkit.envs.check import check_environment
from rlkit.envs.wrappers import observe_features
from rlkit.errors import UsageError
from rlkit.fields import settled
from rlkit.keys import typed_key
from rlkit.minibatches import check_minibatches
from rlkit.optimisers import check_optimiser, decayed_radam
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.policies import Network, check_network
from rlkit.reads import latent_offer, value_offer
from rlkit.rewards import task
from rlkit.spaces import Discrete
from rlkit.types import Agent, Environment, FeatureSpec, Key, Metrics, PyTree, Reward, Trajectory


def toponav(
    env: Environment,
    config: TopoNavConfig | None = None,
    reward: Reward | None = None,
    *,
    optimiser: Callable[[TopoNavConfig, jax.Array], optax.GradientTransformation] = decayed_radam,
    auto_reset: AutoReset | None = None,
    axis_name: str | None = None,
    latents: bool = False,
) -> Agent:
    """Build a TopoNav agent.

    Args:
      env: an environment with discrete actions whose features ``odometry`` (cells), ``view``
        (:mod:`rlkit.envs.maze_view`), ``clearance``, ``collision``, ``goal_visible`` and ``goal_offset`` the
        agent may see, e.g. ``nav/treerooms``; ``goal_direction`` is used where it may. They are all that it
        sees.
      config: hyper-parameters; static ones are fixed here, numbers are defaults of ``init``.
      reward: what the task pays; None pays the environment's own reward. It may read what the agent offers:
        ``"agent_latent"``, the sub-controller's latent, and ``"agent_value"``, the value of the sub-goal.
      optimiser: ``optimiser(config, update) -> transformation`` of the gradients; ``update`` counts
        the calls of ``step``.
      auto_reset: reset strategy; None takes the environment's.
      axis_name: mapped axis over which gradients are averaged; environments differ along it, parameters do
      not.
      latents: also return the latents of each update as the metric array ``"latent"`` ``[T, B, latent]``.

    Returns:
      The agent; its ``env`` shows those features as observation. Its metrics are float32 scalars.

    Raises:
      UsageError: a hyper-parameter is out of range, actions are not discrete, features are privileged, or the
        memory is too small for the ways that odometry says there are.
      UnknownNameError: the environment lacks one of the features, or the reward reads one that does not
      exist.
    """
    check_environment(env)
    config, reward, space = settled(config, TopoNavConfig), reward or task(), env.spec.action_space
    if not isinstance(space, Discrete):
        raise UsageError(f"{env.spec.id} has the actions {space}; TopoNav needs Discrete ones")
    _check_memory(env, config)
    names = SEES + ((BEARING,) if _gives_bearing(env) else ())
    env = observe_features(env, names, keep=False)
    check_minibatches(config, sequences=False)
    inputs = 3 * env.spec.feature("view").shape[0] ** 2 + 5
    sub = headed_network(space.n, (inputs,), config)
    meta = headed_network(1, (NODE_FEATURES,), _MetaSizes(config), gain=0.01)
    offers = (latent_offer(check_network(sub, (inputs,), space.n)), value_offer())
    memory = lambda: Mind(empty_map(config.capacity, config.extent), no_pursuit())
    collects = collector(
        env, reward, num_envs=config.num_envs, num_steps=config.num_steps, carry=memory, offers=offers,
        auto_reset=auto_reset, axis_name=axis_name,
    )  # fmt: skip
    check_optimiser(optimiser, config, sub.initialiser.shapes)
    spec = Spec(
        collector=collects,
        look=looking(env, names),
        sub=sub,
        meta=meta,
        dist=epsilon_greedy(space.n, action_decoder(space)),
        memory=memory,
        optimiser=optimiser,
        static=config,
        axis_name=axis_name,
        latents=latents,
    )
    return agent_of(
        env,
        reward,
        config,
        init=functools.partial(_init, spec),
        collect=functools.partial(_collect, spec),
        learn=functools.partial(learn, spec),
        policy=policy_of,
        carry=memory,
        act=functools.partial(act, spec),
        needs=NEEDS,
        offers=offers,
        picture=lambda mind, size: picture(mind.graph, size),
    )


class _MetaSizes:
    """The configuration as a network of the meta-controller reads it."""

    def __init__(self, config: TopoNavConfig):
        self.sizes, self.activation = config.meta_sizes, config.activation
        self.layer_norm, self.precision = False, config.precision


def _gives_bearing(env: Environment) -> bool:
    return any(feature.name == BEARING and feature.observable for feature in env.spec.features)


def _check_memory(env: Environment, config: TopoNavConfig) -> None:
    odometry: FeatureSpec = env.spec.feature("odometry")
    farthest = max(abs(odometry.low), abs(odometry.high))
    if config.extent % 2 == 0 or (math.isfinite(farthest) and farthest > config.extent // 2):
        need = f"{2 * math.ceil(farthest) + 1}" if math.isfinite(farthest) else "an odd number"
        raise UsageError(
            f"extent={config.extent} cells of memory, the start in the middle: {env.spec.id} needs {need} "
            "or more, odd"
        )


def _init(
    spec: Spec,
    key: Key,
    config: TopoNavConfig | None = None,
    env_params: PyTree = None,
    reward_params: PyTree = None,
) -> TopoNavState:
    """See :class:`rlkit.types.Agent`; ``config`` must not differ from the agent's in static fields."""
    key, config = typed_key(key), hyperparameters(spec.static, config)
    words = {name: Draw((net.initialiser.words,), raw) for name, net in _networks(spec).items()}
    drawn = split(key, **words, run=Draw(), **spec.collector.draws)
    params = {name: net.initialiser.build(drawn[name]) for name, net in _networks(spec).items()}
    return TopoNavState(
        config=config,
        experience=spec.collector.init(drawn, env_params, reward_params),
        params=params,
        optimiser=spec.optimiser(config, jnp.int32(0)).init(params),
        key=replica_keys(drawn["run"], spec.axis_name),
        update=jnp.int32(0),
    )


def _networks(spec: Spec) -> dict[str, Network]:
    return {"sub": spec.sub, "meta": spec.meta}


def _collect(spec: Spec, state: TopoNavState) -> tuple[TopoNavState, Trajectory, Metrics]:
    """Run the policy and pay it."""
    policy, drawn, dist = policy_of(state), draws_of(spec, state), spec.dist
    reports = tuple(sorted({*spec.collector.offered, *(["latent"] if spec.latents else [])}))
    each = jax.vmap(functools.partial(decide, spec, policy))

    def behave(mind: Mind, obs: jax.Array, noise: jax.Array):
        mind, decision, out = each(mind, obs, noise[:, dist.width :])
        action = dist.sample(out.distribution, noise[:, : dist.width])
        known = {"latent": out.latent, "value": decision.value}
        report = {name: known[name] for name in reports} | {"decision": decision}
        return dist.to_env(action), mind, report

    def foresee(mind: Mind, obs: jax.Array) -> dict[str, jax.Array]:
        _, decision, out = jax.vmap(each)(mind, obs, jnp.ones((*obs.shape[:2], 2)))
        known = {"latent": out.latent, "value": decision.value}
        return {name: known[name] for name in reports}

    experience, trajectory, metrics = spec.collector.collect(
        state.experience, behave, drawn["steps"], drawn["acting"], foresee=foresee
    )
    metrics["policy/epsilon"] = policy.epsilon
    if spec.latents:
        metrics["latent"] = trajectory.extras["latent"]
    return state._replace(experience=experience), trajectory, metrics
