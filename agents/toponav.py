"""TopoNav: exploring on a topological map that grows meanwhile (Hossain et al. 2024, arXiv 2402.04061).

A meta-controller chooses nodes of the map (:mod:`rlkit.agents.topological_map`) as sub-goals, a
sub-controller walks to them (h-DQN, Kulkarni et al. 2016, arXiv 1604.06057). The map is the policy's memory.
Both controllers learn values by Q(λ) without buffer or targets (PQN, arXiv 2407.04811): the meta-controller
over choices that last for many steps each, paid the task's reward and new cells; the sub-controller over
steps, paid to avoid obstacles, to reach its waypoint, and to discover, in this order
(:mod:`rlkit.agents.objectives`). Values of sub-goals start as a score of frontier, novelty and distance
(:mod:`rlkit.agents.subgoals`), which learning corrects. The paper publishes no coefficients, formulas or
code; these are ours.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlkit.agents.collecting import Collector, Experience, agent_of, collector
from rlkit.agents.demonstrations import check_experience
from rlkit.agents.hyperparameters import shared
from rlkit.agents.objectives import Incentives, hierarchical_objective, intrinsic_reward
from rlkit.agents.subgoals import (
    NODE_FEATURES,
    REACHED,
    Preferences,
    Pursuit,
    Sight,
    candidates,
    choose,
    no_pursuit,
    node_features,
    note_goal,
    over,
    pursue,
    subgoal_score,
)
from rlkit.agents.topological_map import TopologicalMap, empty_map, look_around
from rlkit.critics import headed_network
from rlkit.distributions import ActionDistribution, epsilon_greedy
from rlkit.draws import Draw, draw_bits, raw, split, uniform
from rlkit.encoding import action_decoder
from rlkit.envs import AutoReset
from rlkit.envs.check import check_environment
from rlkit.envs.maze_view import FREE, WALL
from rlkit.envs.wrappers import observe_features
from rlkit.errors import UsageError
from rlkit.fields import Config, check, leaf, static
from rlkit.keys import typed_key
from rlkit.minibatches import check_minibatches, epochs, minibatch_indices
from rlkit.optimisers import decayed_radam, descend
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.policies import Network, check_network
from rlkit.q_learning import action_value, linear_epsilon
from rlkit.reads import latent_offer, value_offer
from rlkit.returns import lambda_returns
from rlkit.rewards import task
from rlkit.spaces import Discrete
from rlkit.types import ActInfo, Agent, Environment, FeatureSpec, Key, Metrics, PyTree, Reward, Trajectory

_SEES = ("odometry", "view", "clearance", "collision", "goal_visible", "goal_offset")
NEEDS = ("decision",)
_BEARING = "goal_direction"  # of environments that give one


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TopoNavConfig(Config):
    """Hyper-parameters of TopoNav. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(1e-3, "step size of RAdam", low=0.0)
    decay_updates: float = shared("decay_updates", 0.0)
    discount: float = leaf(0.99, "discount factor γ of the meta-controller, per step", low=0.0, high=1.0)
    sub_discount: float = leaf(0.85, "discount factor of the sub-controller", low=0.0, high=1.0)
    lambda_: float = shared("lambda_", 0.65)
    epsilon_start: float = shared("epsilon_start", 1.0)
    epsilon_end: float = shared("epsilon_end", 0.02)
    epsilon_steps: float = shared("epsilon_steps", 50_000)
    subgoal_epsilon: float = leaf(0.01, "share of random sub-goals", low=0.0, high=1.0)
    spacing: float = leaf(4.0, "cells from which a place becomes a node of its own", low=0.5)
    patience: float = leaf(60.0, "steps after which a sub-goal is given up", low=1.0)
    explore: float = leaf(0.05, "what a new cell is worth to the meta-controller", low=0.0)
    frontier_weight: float = leaf(1.0, "of the score: frontier cells of a node, up to three", low=0.0)
    novelty_weight: float = leaf(0.5, "of the score: 1 / (1 + visits of a node); 0 hides visits", low=0.0)
    distance_weight: float = leaf(0.2, "of the score, subtracted: per cell of the way", low=0.0)
    bearing_weight: float = leaf(0.5, "of the score: direction of the goal, where the task gives it", low=0.0)
    score_weight: float = leaf(0.1, "of the score in the value of a sub-goal", low=0.0)
    node_bonus: float = leaf(0.5, "what a new node is worth to the sub-controller", low=0.0)
    subgoal_bonus: float = leaf(1.0, "what it is worth to reach the waypoint", low=0.0)
    progress_bonus: float = leaf(0.2, "what it is worth to come one cell nearer to it", low=0.0)
    novelty_bonus: float = leaf(0.1, "what it is worth to enter a node, divided by √(1 + visits)", low=0.0)
    step_cost: float = leaf(0.01, "what a step costs the sub-controller", low=0.0)
    safe_clearance: float = leaf(0.3, "cells of free space below which safety rules", above=0.0)
    safe_softness: float = leaf(0.05, "how gradually it does, cells", above=0.0)
    max_grad_norm: float = shared("max_grad_norm", 10.0)
    num_envs: int = shared("num_envs", 16)
    num_steps: int = static(64, "steps of each environment per update", low=2)
    epochs: int = shared("epochs", 4)
    minibatches: int = shared("minibatches", 8)
    capacity: int = static(64, "nodes of the map", low=2)
    extent: int = static(51, "cells along a side of the memory, the start in the middle; odd", low=3)
    line_of_sight: bool = static(True, "merge places with nodes that are seen from them, not through walls")
    owned_frontier: bool = static(True, "frontier cells belong to a node; off: to all that are near")
    sizes: tuple[int, ...] = static((64, 64), "layers of the sub-controller; the last is the latent's", low=1)
    meta_sizes: tuple[int, ...] = static((32,), "layers of the meta-controller", low=1)
    activation: str = shared("activation", "relu")
    layer_norm: bool = shared("layer_norm", True)
    precision: str = shared("precision", "float32")


class TopoNavState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: TopoNavConfig
    experience: Experience
    params: PyTree  # of both controllers
    optimiser: PyTree
    key: Key  # of the next update
    update: jax.Array  # int32 []: updates made


class Policy(NamedTuple):
    """What acting needs."""

    params: PyTree
    epsilon: jax.Array  # float32 []: share of random actions
    preferences: Preferences
    score_weight: jax.Array


class Mind(NamedTuple):
    """The policy's memory."""

    graph: TopologicalMap
    pursuit: Pursuit


class Decision(NamedTuple):
    """What was seen, known and chosen before an action: what learning needs of it."""

    value: jax.Array  # float32 []: of the sub-goal, by the meta-controller
    nodes: jax.Array  # float32 [N, NODE_FEATURES]: what it saw of the nodes
    score: jax.Array  # float32 [N]: what values begin with
    mask: jax.Array  # bool [N]: nodes that could be chosen
    target: jax.Array  # int32 []: the sub-goal
    chose: jax.Array  # bool []: it was chosen just now
    waypoint: jax.Array  # float32 [2]
    new_node: jax.Array  # bool []: of the step before
    entered: jax.Array  # bool []: likewise
    visits: jax.Array  # float32 []: of the node, before it was entered
    new_cell: jax.Array  # bool []


class _Spec(NamedTuple):
    """The static side of the agent."""

    collector: Collector
    look: Callable[[jax.Array], Sight]
    sub: Network
    meta: Network
    dist: ActionDistribution
    memory: Callable[[], Mind]
    optimiser: Callable[[TopoNavConfig, jax.Array], optax.GradientTransformation]
    static: TopoNavConfig
    axis_name: str | None
    latents: bool


class _Batch(NamedTuple):
    """What the losses see, leaves ``[T, B, ...]``."""

    x: jax.Array  # inputs of the sub-controller
    action: jax.Array  # index
    target: jax.Array  # its λ-return
    weight: jax.Array  # 0 where that is unknown
    node: jax.Array  # features of the chosen node [NODE_FEATURES]
    score: jax.Array  # of it
    meta_target: jax.Array  # λ-return of the choice
    meta_weight: jax.Array  # 1 where there was one


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
    config, reward, space = config or TopoNavConfig(), reward or task(), env.spec.action_space
    check(config)
    if not isinstance(space, Discrete):
        raise UsageError(f"{env.spec.id} has the actions {space}; TopoNav needs Discrete ones")
    _check_memory(env, config)
    names = _SEES + ((_BEARING,) if _gives_bearing(env) else ())
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
    spec = _Spec(
        collector=collects,
        look=_looking(env, names),
        sub=sub,
        meta=meta,
        dist=epsilon_greedy(space.n, action_decoder(space)),
        memory=memory,
        optimiser=optimiser,
        static=config,
        axis_name=axis_name,
        latents=latents,
    )
    collect, learn = functools.partial(_collect, spec), functools.partial(_learn, spec)
    return agent_of(
        env,
        reward,
        config,
        init=functools.partial(_init, spec),
        collect=collect,
        learn=learn,
        policy=_policy,
        carry=memory,
        act=functools.partial(_act, spec),
        needs=NEEDS,
        offers=offers,
    )


class _MetaSizes:
    """The configuration as a network of the meta-controller reads it."""

    def __init__(self, config: TopoNavConfig):
        self.sizes, self.activation = config.meta_sizes, config.activation
        self.layer_norm, self.precision = False, config.precision


def _gives_bearing(env: Environment) -> bool:
    return any(feature.name == _BEARING and feature.observable for feature in env.spec.features)


def _check_memory(env: Environment, config: TopoNavConfig) -> None:
    odometry: FeatureSpec = env.spec.feature("odometry")
    farthest = max(abs(odometry.low), abs(odometry.high))
    if config.extent % 2 == 0 or (math.isfinite(farthest) and farthest > config.extent // 2):
        need = f"{2 * math.ceil(farthest) + 1}" if math.isfinite(farthest) else "an odd number"
        raise UsageError(
            f"extent={config.extent} cells of memory, the start in the middle: {env.spec.id} needs {need} "
            "or more, odd"
        )


def _looking(env: Environment, names: tuple[str, ...]) -> Callable[[jax.Array], Sight]:
    """A function that takes an observation (one) apart."""
    shapes = {name: env.spec.feature(name).shape for name in names}

    def look(obs: jax.Array) -> Sight:
        found, begin = {}, 0
        for name, shape in shapes.items():
            end = begin + math.prod(shape)
            found[name] = obs[begin:end].reshape(shape)
            begin = end
        return Sight(
            place=found["odometry"],
            view=jnp.round(found["view"]).astype(jnp.int32),
            clearance=found["clearance"],
            collision=found["collision"] > 0.5,
            goal_visible=found["goal_visible"] > 0.5,
            goal_offset=found["goal_offset"],
            bearing=found.get(_BEARING, jnp.zeros(2, jnp.float32)),
        )

    return look


def _inputs(sight: Sight, waypoint: jax.Array) -> jax.Array:
    """What the sub-controller sees: free cells, walls and the waypoint around it, and the way to that."""
    side = sight.view.shape[0]
    offset = waypoint - sight.place
    there = jnp.round(waypoint).astype(jnp.int32) - jnp.round(sight.place).astype(jnp.int32) + side // 2
    grid = jnp.arange(side)
    spot = (grid == there[0]) & (grid == there[1])[:, None]
    length = jnp.linalg.norm(offset)
    numbers = jnp.concatenate([offset / jnp.maximum(length, 1e-6), jnp.clip(2 * offset / side, -2, 2)])
    channels = (sight.view == FREE, sight.view == WALL, spot, numbers, sight.collision)
    return jnp.concatenate([channel.reshape(-1).astype(jnp.float32) for channel in channels])


def _policy(state: TopoNavState) -> Policy:
    config = state.config
    steps = state.update * (config.num_envs * config.num_steps)
    return Policy(
        params=state.params,
        epsilon=linear_epsilon(config.epsilon_start, config.epsilon_end, config.epsilon_steps, steps),
        preferences=Preferences(
            *map(jnp.float32, (config.frontier_weight, config.novelty_weight, config.distance_weight)),
            *map(jnp.float32, (config.bearing_weight, config.subgoal_epsilon)),
            *map(jnp.float32, (config.patience, config.spacing)),
        ),
        score_weight=jnp.float32(config.score_weight),
    )


def _values(spec: _Spec, params: PyTree, nodes: jax.Array, score: jax.Array) -> jax.Array:
    """Values of sub-goals: their score and what the meta-controller adds to it, ``[...]``."""
    return score + spec.meta.apply(params["meta"], (), nodes).distribution[..., 0]


def _decide(
    spec: _Spec, policy: Policy, mind: Mind, obs: jax.Array, noise: jax.Array
) -> tuple[Mind, Decision, Any]:
    """Look, update the map, choose a sub-goal if none is pursued, and see what to do about it.

    ``noise``: float32 ``[2]``, uniform; for the choice of a sub-goal. The last result are the outputs of the
    sub-controller's network.
    """
    sight, prefer, within = spec.look(obs), policy.preferences, 0.0
    if not spec.static.owned_frontier:
        within = jnp.floor(prefer.spacing)
    before = mind.graph.visits
    graph, news = look_around(
        mind.graph, sight.place, sight.view, spacing=prefer.spacing,
        line_of_sight=spec.static.line_of_sight, owned=spec.static.owned_frontier,
    )  # fmt: skip
    pursuit = note_goal(graph, mind.pursuit, sight)
    chose = over(graph, pursuit, news, prefer.patience)
    nodes = node_features(graph, pursuit, sight.bearing, prefer.novelty)
    score = policy.score_weight * subgoal_score(graph, sight.bearing, prefer)
    mask = candidates(graph, pursuit)
    value = _values(spec, policy.params, nodes, score)
    known_goal = pursuit.goal_node >= 0  # nothing else is worth pursuing then
    target = jnp.where(known_goal, pursuit.goal_node, choose(value, mask, noise, prefer.epsilon))
    pursuit = pursue(graph, pursuit, sight, jnp.where(chose, target, pursuit.target), chose, within)
    decision = Decision(
        value=value[pursuit.target], nodes=nodes, score=score, mask=mask, target=pursuit.target, chose=chose,
        waypoint=pursuit.waypoint, new_node=news.new_node, entered=news.entered,
        visits=before[graph.here].astype(jnp.float32), new_cell=news.new_cell,
    )  # fmt: skip
    out = spec.sub.apply(policy.params["sub"], (), _inputs(sight, pursuit.waypoint))
    epsilon = jnp.reshape(policy.epsilon, (1,))
    out = out._replace(distribution=jnp.concatenate([out.distribution, epsilon]))
    return Mind(graph, pursuit), decision, out


def _act(spec: _Spec, policy: Policy, mind: Mind, obs: jax.Array, key: Key | None = None):
    """``Agent.act``: one observation, exploring with a key."""
    dist = spec.dist
    width = dist.width + 2
    noise = jnp.ones(width) if key is None else uniform(draw_bits(typed_key(key), (width,))[0])
    mind, decision, out = _decide(spec, policy, mind, obs, noise[dist.width :])
    action = dist.sample(out.distribution, noise[: dist.width])
    log_prob = dist.log_prob(out.distribution, action)
    return dist.to_env(action), mind, ActInfo(out.latent, log_prob, decision.value)


def _init(
    spec: _Spec,
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


def _networks(spec: _Spec) -> dict[str, Network]:
    return {"sub": spec.sub, "meta": spec.meta}


def _drawn(spec: _Spec, state: TopoNavState) -> dict[str, jax.Array]:
    """The random numbers of an update, of one draw."""
    config = spec.static
    rows = config.num_envs * config.num_steps
    return split(
        state.key,
        steps=spec.collector.steps,
        acting=Draw((config.num_steps, config.num_envs, spec.dist.width + 2), uniform),
        order=Draw((config.epochs, rows), raw),
        next=Draw(),
    )


def _collect(spec: _Spec, state: TopoNavState) -> tuple[TopoNavState, Trajectory, Metrics]:
    """Run the policy and pay it."""
    policy, drawn, dist = _policy(state), _drawn(spec, state), spec.dist
    reports = tuple(sorted({*spec.collector.offered, *(["latent"] if spec.latents else [])}))
    decide = jax.vmap(functools.partial(_decide, spec, policy))

    def behave(mind: Mind, obs: jax.Array, noise: jax.Array):
        mind, decision, out = decide(mind, obs, noise[:, dist.width :])
        action = dist.sample(out.distribution, noise[:, : dist.width])
        known = {"latent": out.latent, "value": decision.value}
        report = {name: known[name] for name in reports} | {"decision": decision}
        return dist.to_env(action), mind, report

    def foresee(mind: Mind, obs: jax.Array) -> dict[str, jax.Array]:
        _, decision, out = jax.vmap(decide)(mind, obs, jnp.ones((*obs.shape[:2], 2)))
        known = {"latent": out.latent, "value": decision.value}
        return {name: known[name] for name in reports}

    experience, trajectory, metrics = spec.collector.collect(
        state.experience, behave, drawn["steps"], drawn["acting"], foresee=foresee
    )
    metrics["policy/epsilon"] = policy.epsilon
    if spec.latents:
        metrics["latent"] = trajectory.extras["latent"]
    return state._replace(experience=experience), trajectory, metrics


def _decisions(trajectory: Trajectory) -> Decision:
    found: Any = trajectory.extras["decision"]
    return found


def _sub_targets(
    spec: _Spec, state: TopoNavState, trajectory: Trajectory
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Inputs of the sub-controller, λ-returns of its steps, where they are known, and the share of waypoints
    that were reached."""
    seen, config, decision = trajectory.transition, state.config, _decisions(trajectory)
    look = jax.vmap(jax.vmap(spec.look))
    sight, then = look(seen.obs), look(seen.next_obs)
    inputs = jax.vmap(jax.vmap(_inputs))
    x, after = inputs(sight, decision.waypoint), inputs(then, decision.waypoint)
    next_value = jnp.max(spec.sub.apply(state.params["sub"], (), after).distribution, -1)
    way, left = (jnp.linalg.norm(decision.waypoint - place, axis=-1) for place in (sight.place, then.place))
    reached = left < REACHED
    known = ~seen.done & (jnp.arange(len(way)) < len(way) - 1)[:, None]  # what the next look told
    following = jax.tree.map(lambda a: jnp.roll(a, -1, 0), decision)
    pursuit = intrinsic_reward(
        Incentives(config.node_bonus, config.subgoal_bonus, config.progress_bonus, config.novelty_bonus,
                   config.step_cost),
        distance=way, next_distance=left, reached=reached, new_node=following.new_node & known,
        entered=following.entered & known, visits=following.visits, discount=config.sub_discount,
    )  # fmt: skip
    reward = hierarchical_objective(
        trajectory.reward + pursuit, clearance=then.clearance, collision=then.collision,
        safe=config.safe_clearance, softness=config.safe_softness,
    )  # fmt: skip
    terminated = reached | seen.terminated
    changed = jnp.any(following.waypoint != decision.waypoint, -1)
    target = lambda_returns(
        reward, next_value, terminated, terminated | seen.done | changed, config.sub_discount, config.lambda_
    )
    return x, target, known | seen.done, jnp.mean(reached.astype(jnp.float32))


def _meta_targets(spec: _Spec, state: TopoNavState, trajectory: Trajectory) -> tuple[jax.Array, jax.Array]:
    """λ-returns of choices of sub-goals, which bootstrap where the next one is made, and values of the
    choices.

    At a time limit, and at the end of the rollout, the map after the last step is not known: there the value
    before that step stands for the return.
    """
    seen, config, decision = trajectory.transition, state.config, _decisions(trajectory)
    value = _values(spec, state.params, decision.nodes, decision.score)
    best = jnp.max(jnp.where(decision.mask, value, -jnp.inf), -1)
    current = action_value(value, decision.target)
    following = jax.tree.map(lambda a: jnp.roll(a, -1, 0), decision)
    stop = (seen.truncated & ~seen.terminated) | (jnp.arange(len(best)) == len(best) - 1)[:, None]
    stop = stop & ~seen.terminated
    paid = trajectory.reward + config.explore * (following.new_cell & ~seen.done)
    reward = jnp.where(stop, current, paid)
    next_value = jnp.roll(best, -1, 0)
    mix = jnp.where(following.chose, config.lambda_, 1.0)
    ended = stop | seen.done
    return lambda_returns(reward, next_value, ended, ended, config.discount, mix), current


def _learn(spec: _Spec, state: TopoNavState, trajectory: Trajectory) -> tuple[TopoNavState, Metrics]:
    """Epochs of shuffled minibatches towards returns that were computed before."""
    check_experience(trajectory, state.config, NEEDS, whole=True)
    config, decision, drawn = state.config, _decisions(trajectory), _drawn(spec, state)
    x, target, known, reached = _sub_targets(spec, state, trajectory)
    meta_target, value = _meta_targets(spec, state, trajectory)
    pick = lambda rows: jnp.take_along_axis(
        rows, decision.target.reshape(*decision.target.shape, *[1] * (rows.ndim - 2)), 2
    ).squeeze(2)
    batch = _Batch(
        x=x, action=spec.dist.from_env(trajectory.transition.action), target=target,
        weight=known.astype(x.dtype), node=pick(decision.nodes), score=pick(decision.score),
        meta_target=meta_target,
        meta_weight=decision.chose.astype(x.dtype),
    )  # fmt: skip
    optimiser = spec.optimiser(config, state.update)

    def update(carry: tuple[PyTree, PyTree], some: _Batch, _: jax.Array):
        def loss(params: PyTree):
            q = action_value(spec.sub.apply(params["sub"], (), some.x).distribution, some.action)
            sub = 0.5 * _mean((q - some.target) ** 2, some.weight)
            chosen = _values(spec, params, some.node, some.score)
            meta = 0.5 * _mean((chosen - some.meta_target) ** 2, some.meta_weight)
            return sub + meta, {"loss/sub": sub, "loss/meta": meta, "value/sub": jnp.mean(q)}

        params, moments, found = descend(loss, optimiser, *carry, spec.axis_name)
        return (params, moments), found

    (params, moments), found = epochs(
        update, (state.params, state.optimiser), batch,
        minibatch_indices(drawn["order"], spec.static.minibatches), sequences=False, large=("x",),
    )  # fmt: skip
    metrics = jax.tree.map(jnp.mean, found) | _told(spec, decision, value, reached)
    experience = spec.collector.absorb(state.experience, trajectory)
    return TopoNavState(config, experience, params, moments, drawn["next"], state.update + 1), metrics


def _told(spec: _Spec, decision: Decision, value: jax.Array, reached: jax.Array) -> Metrics:
    """Metrics of what the agent thought."""
    share = lambda flags: jnp.mean(flags.astype(jnp.float32))
    metrics = {
        "value/mean": jnp.mean(value),
        "subgoal/chosen": share(decision.chose),
        "subgoal/reached": reached,
        "map/candidates": jnp.mean(jnp.sum(decision.mask, -1, dtype=jnp.float32)),
        "map/new_node": share(decision.new_node),
    }
    return metrics if spec.axis_name is None else jax.lax.pmean(metrics, spec.axis_name)


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted mean, 0 if all weights are."""
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)
