"""Training a policy of tokens by a method of groups: write, judge, credit, and follow the gradient.

One ``step`` lets the policy write ``G`` completions of each of ``P`` prompts, has them judged, and makes the
gradient steps that the method plans. It is a :class:`rlkit.types.Learner`: the driver of agents trains it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlkit.envs.tokens import TokenTask
from rlkit.errors import RlkitError, UsageError
from rlkit.footprint import Memory, check_room, predict_memory
from rlkit.group.binding import check_fit, method_named, needs_reference, paid_terms, with_loss_fields
from rlkit.group.evaluation import evaluate_policy
from rlkit.group.filters import mask_truncated
from rlkit.group.gradients import Step, descend_plan
from rlkit.group.judging import RewardFunction, check_functions
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.rewards import check_batch
from rlkit.group.rollout import Rollout, collect_groups
from rlkit.group.stages import chain
from rlkit.group.trainable import Split, join, split
from rlkit.group.trainer_config import GroupConfig, adamw
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

    config: GroupConfig
    learnt: PyTree  # leaves that learn, None for the others
    frozen: Frozen  # the others
    reference: PyTree  # `learnt` as it was; () if nothing needs it
    optimiser: PyTree
    pipeline: PyTree  # state of the method's stages
    control: PyTree  # state of its controller
    update: jax.Array  # int32 []: updates made
    steps: jax.Array  # int32 []: gradient steps made
    key: Key  # of the next update; the same on all devices


_HINTS = {
    "reward/mean": "no reward function applies to some completion (all gave NaN or None), or a weight is not "
    "finite; let one of them judge every completion"
}


class GroupTrainer(NamedTuple):
    """A method bound to a task and a policy, as pure functions: a :class:`rlkit.types.Learner`."""

    init: Callable[..., GroupState]
    """``init(key, config=None) -> state``"""

    step: Callable[[GroupState], tuple[GroupState, Metrics]]
    """``step(state) -> (state, metrics)``: ``learn`` after ``collect``"""

    collect: Callable[[GroupState], tuple[GroupState, Completions, Metrics]]
    """``collect(state) -> (state, batch, metrics)``: completions of the present policy, judged"""

    learn: Callable[[GroupState, Completions], tuple[GroupState, Metrics]]
    """``learn(state, batch) -> (state, metrics)``; also for completions that came from elsewhere"""

    params: Callable[[GroupState], PyTree]
    """``params(state)``: the policy's parameters"""

    task: TokenTask
    policy: TokenPolicy
    method: Method
    config: GroupConfig
    steps_per_update: int  # completions of an update
    title: str
    judge: Callable[[GroupState, Key, int], Metrics]
    """``judge(state, key, prompts) -> means by name``, see :func:`rlkit.group.evaluation.evaluate_policy`"""

    record: Callable[[GroupState, Key, int], dict[str, jax.Array]]
    """``record(state, key, prompts) -> arrays``: completions and what they earn, for people to read"""

    memory: Callable[[], Memory]
    """``memory()``: what a step will need on one device, estimated before anything compiles"""

    room: Callable[[int], str]
    """``room(seeds)``: that as a sentence, where states of all seeds are kept; an error if it does not fit"""

    failure: Callable[[], RlkitError | None] = lambda: None
    """what a reward function said when it failed, if one did"""

    hints: Mapping[str, str] = _HINTS
    """what it means if a metric is the first that is not finite"""

    undefined: tuple[str, ...] = ("length/ended",)
    bulk: tuple[str, ...] = ()
    axis_name: str | None = None


SMALLER = (
    "Take more micro_batches (they change no gradient) and rollout_batches, packed completions, fewer "
    "prompts, or a decoder with remat=True"
)


class _Spec(NamedTuple):
    """The static side of a trainer."""

    rollout: Rollout
    policy: TokenPolicy
    method: Method
    optimiser: Callable[[GroupConfig, jax.Array], optax.GradientTransformation]
    static: GroupConfig
    params: PyTree  # which leaves learn
    axis_name: str | None


def trainer(
    task: TokenTask,
    policy: TokenPolicy,
    method: str | Method = "grpo",
    config: GroupConfig | None = None,
    *,
    rewards: Sequence[RewardFunction] = (),
    weights: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    optimiser: Callable[[GroupConfig, jax.Array], optax.GradientTransformation] = adamw,
    axis_name: str | None = None,
) -> GroupTrainer:
    """Build a trainer.

    Args:
      task: where prompts come from and what verifies completions.
      policy: what learns.
      method: a preset's name, or what one returned.
      config: hyper-parameters; those that are static are fixed here, numbers are defaults of ``init``.
      rewards: reward functions beside the task's terms, see :mod:`rlkit.group.judging`.
      weights: of the reward functions and of the task's terms, by name: numbers or schedules. None: 1 for
        each of ``rewards``, or, without any, the task's own weights. Only for methods that are named, and
        that sum terms; a method that reads certain columns finds those of all terms and functions.
      options: other arguments of the preset.
      loss: other arguments of the method's loss, by field of :class:`rlkit.group.LossConfig`, e.g.
        ``{"clip_high": 0.28, "entropy_coef": 0.01, "aggregation": "token_mean"}``.
      optimiser: ``optimiser(config, step) -> transformation`` of gradients; ``step`` counts gradient steps.
      axis_name: mapped axis over which prompts are spread: each member draws ``config.prompts`` of its own,
        gradients and statistics of the batch are those of all together, groups are never divided.

    Returns:
      The trainer. Its metrics are float32 scalars, see ``docs/group.md``.

    Raises:
      UsageError: something does not fit: a hyper-parameter, the context, the vocabulary, a column.
      UnknownNameError: no such preset, option, term or column; the message suggests the nearest.
    """
    config = config or GroupConfig()
    length = check_fit(task, policy, config)
    rewards = check_functions(rewards, task.spec)
    asked, weights = weights is not None, paid_terms(task, rewards, weights, config)
    if isinstance(method, str):
        method = method_named(method, weights, asked, dict(options or {}), axis_name)
    elif options:
        raise UsageError("options are arguments of a preset, which is to be given by name")
    if loss:
        method = with_loss_fields(method, loss, config)
    if config.mask_truncated:
        method = method._replace(pipeline=chain(method.pipeline, mask_truncated()))
    rollout = Rollout(
        task=task,
        policy=policy,
        functions=rewards,
        paid=tuple(weights),
        prompts=config.prompts,
        group=config.group_size,
        length=length,
        sampling=config.sampling,
        reference=needs_reference(method),
        overlong=config.overlong_buffer,
        pieces=config.rollout_batches,
        axis_name=axis_name,
    )
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    learns = policy.trainable(shapes)
    spec = _Spec(rollout, policy, method, optimiser, config, learns, axis_name)
    if not any(jax.tree.leaves(learns)):
        raise UsageError(f"{policy.title} has no parameters that learn")
    batch = _example(spec)
    check_batch(method, batch)
    collect, learn = functools.partial(_collect, spec), functools.partial(_learn, spec)
    frozen = not all(jax.tree.leaves(learns))
    params = lambda state: join(state.learnt, state.frozen.weights)

    def judge(state: GroupState, key: Key, prompts: int) -> Metrics:
        return evaluate_policy(
            task, policy, params(state), key, prompts=prompts, samples=config.eval_samples,
            how=config.sampling, length=length,
        )  # fmt: skip

    memory = functools.cache(functools.partial(_memory, spec, batch))
    return GroupTrainer(
        init=functools.partial(_init, spec, batch),
        step=functools.partial(_step, spec),
        collect=collect,
        learn=learn,
        params=params,
        task=task,
        policy=policy,
        method=method,
        config=config,
        steps_per_update=config.prompts * config.group_size,
        title=f"{task.spec.id}, {policy.title}",
        judge=judge,
        record=functools.partial(_record, spec),
        memory=memory,
        room=lambda seeds: check_room(memory(), seeds, SMALLER),
        failure=lambda: next((found for r in rewards if (found := r.failure()) is not None), None),
        bulk=("frozen.weights",) if frozen else (),
        axis_name=axis_name,
    )


def _example(spec: _Spec) -> Completions:
    """Shapes and dtypes of a batch."""

    def make() -> Completions:
        params = spec.policy.init(jax.random.key(0))
        return collect_groups(spec.rollout._replace(axis_name=None), params, params, jax.random.key(0))[0]

    return jax.eval_shape(make)


def _init(spec: _Spec, batch: Completions, key: Key, config: GroupConfig | None = None) -> GroupState:
    own: GroupConfig = hyperparameters(spec.static, config)
    one, two = jax.random.split(typed_key(key))
    parts: Split = split(spec.policy.init(one), spec.params)
    copied = jax.tree.map(jnp.copy, parts.learnt) if spec.rollout.reference else ()
    return GroupState(
        config=own,
        learnt=parts.learnt,
        frozen=Frozen(parts.frozen),
        reference=copied,
        optimiser=spec.optimiser(own, jnp.int32(0)).init(parts.learnt),
        pipeline=spec.method.pipeline.init(),
        control=spec.method.controller.init(batch),
        update=jnp.int32(0),
        steps=jnp.int32(0),
        key=two,
    )


def _memory(spec: _Spec, batch: Completions) -> Memory:
    state = jax.eval_shape(functools.partial(_init, spec, batch), jax.random.key(0))
    if spec.axis_name is None:
        return predict_memory(functools.partial(_step, spec), state)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), state)
    return predict_memory(jax.vmap(functools.partial(_step, spec), axis_name=spec.axis_name), one)


def _keys(state: GroupState) -> tuple[Key, Key, Key]:
    """Keys of an update: of its prompts and completions, of its stages, of its order."""
    one, two, three = jax.random.split(jax.random.fold_in(state.key, state.update), 3)
    return one, two, three


def _context(spec: _Spec, state: GroupState) -> Context:
    key = replica_keys(_keys(state)[1], spec.axis_name)
    return Context(state.update, jnp.int32(spec.static.total_updates), key)


def _collect(spec: _Spec, state: GroupState) -> tuple[GroupState, Completions, Metrics]:
    params = join(state.learnt, state.frozen.weights)
    reference = join(state.reference, state.frozen.weights) if spec.rollout.reference else None
    ctx = _context(spec, state)
    worth = lambda batch: spec.method.pipeline.apply(state.pipeline, (), batch, ctx)[1].reward
    batch, metrics = collect_groups(
        spec.rollout, params, reference, _keys(state)[0], worth, spec.static.dynamic_sampling
    )
    return state, batch, metrics


def _record(spec: _Spec, state: GroupState, key: Key, prompts: int) -> dict[str, jax.Array]:
    """Groups of completions of a few fresh prompts."""
    together = spec.rollout.task.spec.together
    few = spec.rollout._replace(
        prompts=-(-prompts // together) * together, pieces=1, reference=False, axis_name=None
    )
    batch, _ = collect_groups(few, join(state.learnt, state.frozen.weights), None, key)
    kept = {
        "prompt": batch.prompt,
        "prompt_mask": batch.prompt_mask,
        "tokens": batch.tokens,
        "mask": batch.mask,
    }
    return kept | {f"reward/{name}": value for name, value in batch.rewards.items()}


def _learn(spec: _Spec, state: GroupState, batch: Completions) -> tuple[GroupState, Metrics]:
    ctx, config = _context(spec, state), spec.static
    pipeline, credit, metrics = spec.method.pipeline.apply(state.pipeline, (), batch, ctx)
    plan = spec.method.controller.plan(state.control, spec.method.loss, batch, credit, ctx)
    step = Step(spec.policy, state.frozen.weights, plan.loss, config, spec.axis_name)
    optimiser = functools.partial(spec.optimiser, state.config)
    learnt, moments, steps, found = descend_plan(
        step, optimiser, state.learnt, state.optimiser, state.steps, plan.updates, _keys(state)[2]
    )
    reference = state.reference
    if config.reference_every and spec.rollout.reference:
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


def _step(spec: _Spec, state: GroupState) -> tuple[GroupState, Metrics]:
    state, batch, seen = _collect(spec, state)
    state, learnt = _learn(spec, state, batch)
    return state, seen | learnt
