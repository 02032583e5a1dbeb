"""How the two controllers of TopoNav learn: returns of both, then epochs of minibatches."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.agents.demonstrations import check_experience
from rlkit.agents.toponav.deciding import inputs as inputs_of
from rlkit.agents.toponav.deciding import values
from rlkit.agents.toponav.objectives import Incentives, hierarchical_objective, intrinsic_reward
from rlkit.agents.toponav.state import Decision, Spec, TopoNavState
from rlkit.agents.toponav.subgoals import REACHED
from rlkit.draws import Draw, raw, split, uniform
from rlkit.minibatches import epochs, minibatch_indices
from rlkit.optimisers import descend
from rlkit.q_learning import action_value
from rlkit.returns import lambda_returns
from rlkit.types import Metrics, PyTree, Trajectory

NEEDS = ("decision",)  # what experience must report


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


def draws_of(spec: Spec, state: TopoNavState) -> dict[str, jax.Array]:
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


def _decisions(trajectory: Trajectory) -> Decision:
    found: Any = trajectory.extras["decision"]
    return found


def _sub_targets(
    spec: Spec, state: TopoNavState, trajectory: Trajectory
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Inputs of the sub-controller, λ-returns of its steps, where they are known, and the share of waypoints
    that were reached."""
    seen, config, decision = trajectory.transition, state.config, _decisions(trajectory)
    look = jax.vmap(jax.vmap(spec.look))
    sight, then = look(seen.obs), look(seen.next_obs)
    inputs = jax.vmap(jax.vmap(inputs_of))
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


def _meta_targets(spec: Spec, state: TopoNavState, trajectory: Trajectory) -> tuple[jax.Array, jax.Array]:
    """λ-returns of choices of sub-goals, which bootstrap where the next one is made, and values of the
    choices.

    At a time limit, and at the end of the rollout, the map after the last step is not known: there the value
    before that step stands for the return.
    """
    seen, config, decision = trajectory.transition, state.config, _decisions(trajectory)
    value = values(spec, state.params, decision.nodes, decision.score)
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


def learn(spec: Spec, state: TopoNavState, trajectory: Trajectory) -> tuple[TopoNavState, Metrics]:
    """Epochs of shuffled minibatches towards returns that were computed before."""
    check_experience(trajectory, state.config, NEEDS, whole=True)
    config, decision, drawn = state.config, _decisions(trajectory), draws_of(spec, state)
    x, target, known, reached = _sub_targets(spec, state, trajectory)
    meta_target, value = _meta_targets(spec, state, trajectory)
    pick = lambda rows: jnp.take_along_axis(
        rows, decision.target.reshape(*decision.target.shape, *[1] * (rows.ndim - 2)), 2
    ).squeeze(2)
    batch = _Batch(
        x=x, action=spec.dist.from_env(trajectory.transition.action), target=target,
        weight=known.astype(x.dtype), node=pick(decision.nodes), score=pick(decision.score),
        meta_target=meta_target, meta_weight=decision.chose.astype(x.dtype),
    )  # fmt: skip
    optimiser = spec.optimiser(config, state.update)

    def update(carry: tuple[PyTree, PyTree], some: _Batch, _: jax.Array):
        def loss(params: PyTree):
            q = action_value(spec.sub.apply(params["sub"], (), some.x).distribution, some.action)
            sub = 0.5 * _mean((q - some.target) ** 2, some.weight)
            chosen = values(spec, params, some.node, some.score)
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


def _told(spec: Spec, decision: Decision, value: jax.Array, reached: jax.Array) -> Metrics:
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
