"""Training a policy of tokens by a method of groups: write, judge, credit, and follow the gradient.

One ``step`` lets the policy write ``G`` completions of each of ``P`` prompts, has them judged, and makes the
gradient steps that the method plans. It is a :class:`rlkit.types.Learner`: the driver of agents trains it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import optax

from rlkit.envs.tokens import TokenTask
from rlkit.errors import RlkitError, UsageError
from rlkit.footprint import Memory, check_room
from rlkit.group.binding import check_fit, method_named, needs_reference, paid_terms, with_loss_fields
from rlkit.group.evaluation import evaluate_policy
from rlkit.group.filters import mask_truncated
from rlkit.group.judging import RewardFunction, check_functions
from rlkit.group.learning import (
    GroupState,
    Learning,
    context,
    init_state,
    learn,
    policy_params,
    step_memory,
    update_keys,
)
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.rewards import check_batch
from rlkit.group.rollout import Rollout, collect_groups, record_groups
from rlkit.group.stages import chain
from rlkit.group.trainable import join
from rlkit.group.trainer_config import GroupConfig, adamw
from rlkit.group.types import Completions, Method
from rlkit.types import Key, Metrics, PyTree

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
    learning: Learning


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
    learning = Learning(policy, method, optimiser, config, learns, rollout.reference, axis_name)
    spec = _Spec(rollout, learning)
    if not any(jax.tree.leaves(learns)):
        raise UsageError(f"{policy.title} has no parameters that learn")
    batch = _example(spec)
    check_batch(method, batch)
    init, step = functools.partial(init_state, learning, batch), functools.partial(_step, spec)
    frozen = not all(jax.tree.leaves(learns))

    def judge(state: GroupState, key: Key, prompts: int) -> Metrics:
        return evaluate_policy(
            task, policy, policy_params(state), key, prompts=prompts, samples=config.eval_samples,
            how=config.sampling, length=length,
        )  # fmt: skip

    memory = functools.cache(functools.partial(step_memory, init, step, axis_name))
    return GroupTrainer(
        init=init,
        step=step,
        collect=functools.partial(_collect, spec),
        learn=functools.partial(learn, learning),
        params=policy_params,
        task=task,
        policy=policy,
        method=method,
        config=config,
        steps_per_update=config.prompts * config.group_size,
        title=f"{task.spec.id}, {policy.title}",
        judge=judge,
        record=lambda state, key, prompts: record_groups(rollout, policy_params(state), key, prompts),
        memory=memory,
        room=lambda seeds: check_room(memory(), seeds, SMALLER),
        failure=lambda: next((found for r in rewards if (found := r.failure()) is not None), None),
        bulk=("frozen.weights",) if frozen else (),
        axis_name=axis_name,
    )


def _example(spec: _Spec) -> Completions:
    """Shapes and dtypes of a batch."""

    def make() -> Completions:
        params = spec.learning.policy.init(jax.random.key(0))
        return collect_groups(spec.rollout._replace(axis_name=None), params, params, jax.random.key(0))[0]

    return jax.eval_shape(make)


def _collect(spec: _Spec, state: GroupState) -> tuple[GroupState, Completions, Metrics]:
    reference = join(state.reference, state.frozen.weights) if spec.rollout.reference else None
    ctx, pipeline = context(spec.learning, state), spec.learning.method.pipeline
    worth = lambda batch: pipeline.apply(state.pipeline, (), batch, ctx)[1].reward
    batch, metrics = collect_groups(
        spec.rollout, policy_params(state), reference, update_keys(state)[0], worth,
        spec.learning.static.dynamic_sampling,
    )  # fmt: skip
    return state, batch, metrics


def _step(spec: _Spec, state: GroupState) -> tuple[GroupState, Metrics]:
    state, batch, seen = _collect(spec, state)
    state, learnt = learn(spec.learning, state, batch)
    return state, seen | learnt
