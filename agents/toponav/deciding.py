"""What TopoNav does with an observation: map what is seen, choose a sub-goal, walk towards it."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.agents.toponav.state import Decision, Mind, Policy, Spec, TopoNavState
from rlkit.agents.toponav.subgoals import (
    Preferences,
    Sight,
    candidates,
    choose,
    node_features,
    note_goal,
    over,
    pursue,
    subgoal_score,
)
from rlkit.agents.toponav.topological_map import look_around
from rlkit.draws import draw_bits, uniform
from rlkit.envs.maze_view import FREE, WALL
from rlkit.keys import typed_key
from rlkit.q_learning import linear_epsilon
from rlkit.types import ActInfo, Environment, Key, PyTree

SEES = ("odometry", "view", "clearance", "collision", "goal_visible", "goal_offset")
BEARING = "goal_direction"  # of environments that give one


def looking(env: Environment, names: tuple[str, ...]) -> Callable[[jax.Array], Sight]:
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
            bearing=found.get(BEARING, jnp.zeros(2, jnp.float32)),
        )

    return look


def inputs(sight: Sight, waypoint: jax.Array) -> jax.Array:
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


def policy_of(state: TopoNavState) -> Policy:
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


def values(spec: Spec, params: PyTree, nodes: jax.Array, score: jax.Array) -> jax.Array:
    """Values of sub-goals: their score and what the meta-controller adds to it, ``[...]``."""
    return score + spec.meta.apply(params["meta"], (), nodes).distribution[..., 0]


def decide(
    spec: Spec, policy: Policy, mind: Mind, obs: jax.Array, noise: jax.Array
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
    value = values(spec, policy.params, nodes, score)
    known_goal = pursuit.goal_node >= 0  # nothing else is worth pursuing then
    target = jnp.where(known_goal, pursuit.goal_node, choose(value, mask, noise, prefer.epsilon))
    pursuit = pursue(graph, pursuit, sight, jnp.where(chose, target, pursuit.target), chose, within)
    decision = Decision(
        value=value[pursuit.target], nodes=nodes, score=score, mask=mask, target=pursuit.target, chose=chose,
        waypoint=pursuit.waypoint, new_node=news.new_node, entered=news.entered,
        visits=before[graph.here].astype(jnp.float32), new_cell=news.new_cell,
    )  # fmt: skip
    out = spec.sub.apply(policy.params["sub"], (), inputs(sight, pursuit.waypoint))
    epsilon = jnp.reshape(policy.epsilon, (1,))
    out = out._replace(distribution=jnp.concatenate([out.distribution, epsilon]))
    return Mind(graph, pursuit), decision, out


def act(spec: Spec, policy: Policy, mind: Mind, obs: jax.Array, key: Key | None = None):
    """``Agent.act``: one observation, exploring with a key."""
    dist = spec.dist
    width = dist.width + 2
    noise = jnp.ones(width) if key is None else uniform(draw_bits(typed_key(key), (width,))[0])
    mind, decision, out = decide(spec, policy, mind, obs, noise[dist.width :])
    action = dist.sample(out.distribution, noise[: dist.width])
    log_prob = dist.log_prob(out.distribution, action)
    return dist.to_env(action), mind, ActInfo(out.latent, log_prob, decision.value)
