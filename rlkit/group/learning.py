"""What trainers of groups share: their state, and the gradient steps that a method plans for a batch."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlkit.footprint import Memory, predict_memory
from rlkit.group.gradients import Step, descend_plan
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.trainable import Split, join, split
from rlkit.group.types import Completions, Context, Method
from rlkit.keys import typed_key
from rlkit.parallel import replica_keys
from rlkit.parameters import hyperparameters
from rlkit.types import Key, Metrics, PyTree


class Frozen(NamedTuple):
    """What a training does not change."""

    weights: PyTree


class GroupState(NamedTuple):
    """Everything that training needs; save it whole and the run continues to the bit."""

    config: Any  # a GroupConfig, or a RecordedConfig
    learnt: PyTree  # leaves that learn, None for the others
    frozen: Frozen  # the others
    reference: PyTree  # `learnt` as it was; () if nothing needs it
    optimiser: PyTree
    pipeline: PyTree  # state of the method's stages
    control: PyTree  # state of its controller
    update: jax.Array  # int32 []: updates made
    steps: jax.Array  # int32 []: gradient steps made
    key: Key  # of the next update; the same on all devices


class Learning(NamedTuple):
    """The static side of learning."""

    policy: TokenPolicy
    method: Method
    optimiser: Callable[[Any, jax.Array], optax.GradientTransformation]
    static: Any  # the configuration
    params: PyTree  # which leaves learn
    reference: bool  # whether a copy of the first parameters is kept
    axis_name: str | None


def init_state(spec: Learning, batch: Completions, key: Key, config: Any = None) -> GroupState:
    """The state before the first update; ``batch`` gives shapes and dtypes."""
    own = hyperparameters(spec.static, config)
    one, two = jax.random.split(typed_key(key))
    parts: Split = split(spec.policy.init(one), spec.params)
    return GroupState(
        config=own,
        learnt=parts.learnt,
        frozen=Frozen(parts.frozen),
        reference=jax.tree.map(jnp.copy, parts.learnt) if spec.reference else (),
        optimiser=spec.optimiser(own, jnp.int32(0)).init(parts.learnt),
        pipeline=spec.method.pipeline.init(),
        control=spec.method.controller.init(batch),
        update=jnp.int32(0),
        steps=jnp.int32(0),
        key=two,
    )


def policy_params(state: GroupState) -> PyTree:
    """The policy's parameters."""
    return join(state.learnt, state.frozen.weights)


def update_keys(state: GroupState) -> tuple[Key, Key, Key]:
    """Keys of an update: of its prompts and completions, of its stages, of its order."""
    one, two, three = jax.random.split(jax.random.fold_in(state.key, state.update), 3)
    return one, two, three


def context(spec: Learning, state: GroupState) -> Context:
    """What the stages of a method are told of an update."""
    key = replica_keys(update_keys(state)[1], spec.axis_name)
    return Context(state.update, jnp.int32(spec.static.total_updates), key)


def learn(spec: Learning, state: GroupState, batch: Completions) -> tuple[GroupState, Metrics]:
    """Credit a batch and make the gradient steps that the method plans."""
    ctx, config = context(spec, state), spec.static
    pipeline, credit, metrics = spec.method.pipeline.apply(state.pipeline, (), batch, ctx)
    plan = spec.method.controller.plan(state.control, spec.method.loss, batch, credit, ctx)
    step = Step(spec.policy, state.frozen.weights, plan.loss, config, spec.axis_name)
    optimiser = functools.partial(spec.optimiser, state.config)
    learnt, moments, steps, found = descend_plan(
        step, optimiser, state.learnt, state.optimiser, state.steps, plan.updates, update_keys(state)[2]
    )
    reference = state.reference
    if spec.reference and config.reference_every:
        now = (state.update + 1) % config.reference_every == 0
        reference = jax.tree.map(lambda old, new: jnp.where(now, new, old), reference, learnt)
    state = state._replace(
        learnt=learnt,
        reference=reference,
        optimiser=moments,
        pipeline=pipeline,
        control=spec.method.controller.observe(plan.state, found),
        update=state.update + 1,
        steps=steps,
    )
    told = metrics | plan.metrics | found
    return state, {name: jnp.asarray(value, jnp.float32) for name, value in told.items()}


def step_memory(
    init: Callable[[Key], PyTree],
    step: Callable[[PyTree], tuple[PyTree, Metrics]],
    axis_name: str | None,
) -> Memory:
    """What a step will need on one device, estimated from its trace."""
    state = jax.eval_shape(init, jax.random.key(0))
    if axis_name is None:
        return predict_memory(step, state)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), state)
    return predict_memory(jax.vmap(step, axis_name=axis_name), one)
