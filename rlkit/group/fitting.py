"""Learning from recorded rows: preferences, judged completions, demonstrations.

A :class:`Fitter` is a :class:`rlkit.types.Learner`: the driver of agents trains it. Each ``step`` takes the
next rows of a shuffled pass over the data and makes the gradient steps that a method plans for them; nothing
is sampled from the policy. What the reference thinks of the rows is computed once, when a state is made.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlkit.envs.tokens import TokenTask, tokenizer_of
from rlkit.envs.tokens.texts import TextTokenizer
from rlkit.errors import UsageError
from rlkit.fields import check
from rlkit.footprint import Memory, check_room
from rlkit.group.binding import needs_reference
from rlkit.group.evaluation import evaluate_policy
from rlkit.group.fit_binding import (
    LAYOUT,
    check_numbers,
    guided,
    recorded_data,
    recorded_method,
    written_task,
)
from rlkit.group.gradients import Step, loss_of
from rlkit.group.learning import GroupState, Learning, context, init_state, learn, policy_params, step_memory
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.recorded import check_lengths, check_tokenizer
from rlkit.group.recorded_batches import GUIDE, Opinions, Source, batch_of, next_rows, opinions, partners
from rlkit.group.rewards import check_batch
from rlkit.group.rollout import Rollout, record_groups
from rlkit.group.rows import Recorded, Rows
from rlkit.group.trainer_config import RecordedConfig, adamw
from rlkit.group.types import Completions, Method, Update
from rlkit.keys import typed_key
from rlkit.types import Key, Metrics, PyTree


class FitState(NamedTuple):
    """Everything that fitting needs; save it whole and the run continues to the bit."""

    group: GroupState
    order: Key  # of the passes over the rows
    reference: Opinions


class Fitter(NamedTuple):
    """A method bound to recorded rows and a policy, as pure functions: a :class:`rlkit.types.Learner`."""

    init: Callable[..., FitState]
    """``init(key, config=None) -> state``"""

    step: Callable[[FitState], tuple[FitState, Metrics]]
    """``step(state) -> (state, metrics)``: on the next ``config.batch`` rows"""

    params: Callable[[FitState], PyTree]
    """``params(state)``: the policy's parameters"""

    task: TokenTask
    policy: TokenPolicy
    method: Method
    config: RecordedConfig
    data: Recorded
    train: np.ndarray  # int [N]: rows of `data` that are learnt from
    held_out: np.ndarray  # int [H]: rows that are not
    steps_per_update: int  # rows of an update
    title: str
    judge: Callable[[FitState, Key, int], Metrics] | None
    """``judge(state, key, prompts) -> means by name``: on held-out rows and on fresh prompts of the task"""

    record: Callable[[FitState, Key, int], dict[str, jax.Array]]
    """``record(state, key, prompts) -> arrays``: completions that the policy writes, for people to read"""

    memory: Callable[[], Memory]
    """``memory()``: what a step will need on one device, estimated before anything compiles"""

    room: Callable[[int], str]
    """``room(seeds)``: that as a sentence, where states of all seeds are kept; an error if it does not fit"""

    failure: Callable[[], None] = lambda: None
    hints: Mapping[str, str] = {}
    undefined: tuple[str, ...] = ()
    bulk: tuple[str, ...] = ()
    axis_name: str | None = None


class _Spec(NamedTuple):
    """The static side of a fitter."""

    learning: Learning
    source: Source
    judging: Method  # the method, without an axis
    task: TokenTask


_SMALLER = (
    "Take more micro_batches (they change no gradient), packed pairs, shorter completions, or a decoder with "
    "remat=True"
)


def fitter(
    rows: Rows,
    policy: TokenPolicy | Callable[[TokenTask], TokenPolicy],
    method: str | Method = "dpo",
    config: RecordedConfig | None = None,
    *,
    task: TokenTask | None = None,
    tokenizer: TextTokenizer | None = None,
    held_out: float | Rows = 0.1,
    columns: Mapping[str, str] | None = None,
    chat: bool = False,
    guide: tuple[TokenPolicy, PyTree] | None = None,
    options: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    optimiser: Callable[[RecordedConfig, jax.Array], optax.GradientTransformation] = adamw,
    axis_name: str | None = None,
    file: str = "",
) -> Fitter:
    """Build a learner of recorded rows.

    Args:
      rows: texts, with the columns that the method learns from, as TRL has them: ``prompt`` with ``chosen``
        and ``rejected`` (``dpo``, ``ipo``, ``slic``, ``tgdpo``; ``kto`` takes them as well), with
        ``completion`` and ``label`` (``kto``), with ``completion`` (``sft``, ``implicit_bridge``).
      policy: what learns, or what makes it for a task; the reference is the policy as ``init`` makes it.
      method: a preset's name (:data:`OFFLINE`), or what one returned.
      config: hyper-parameters; those that are static are fixed here, numbers are defaults of ``init``.
      task: judges the policy on fresh prompts, if it verifies completions, and gives the tokenizer. None:
        the policy writes after the recorded prompts, and nothing is verified.
      tokenizer: of the policy; None takes the task's, or the words of its vocabulary.
      held_out: rows that judge the policy and are never learnt from: a share of ``rows``, the same for all
        seeds, or rows of their own.
      columns: names of the columns in the data, by those above: ``{"prompt": "question"}``.
      chat: put the prompts into the tokenizer's template of chats.
      guide: a policy and its parameters that were trained on preferences, for ``tgdpo``.
      options: other arguments of the preset.
      loss: other arguments of the method's loss, as of :func:`rlkit.group.trainer`.
      optimiser: ``optimiser(config, step) -> transformation`` of gradients.
      axis_name: mapped axis over which the rows of a batch are spread: each member takes ``config.batch``.
      file: that the rows were read from, for messages.

    Returns:
      The learner. Its metrics are float32 scalars; ``rlkit group metrics`` says what they mean.

    Raises:
      UsageError: something does not fit: rows (the message names the row), a number, the context, the
        tokenizer; the method learns from completions of its own; too few rows are left.
      UnknownNameError: no such preset, option or column; the message suggests the nearest.
    """
    config = config or RecordedConfig()
    check(config)
    given = method, config, dict(options or {}), dict(loss or {})
    method, alone = recorded_method(*given, axis_name), recorded_method(*given, None)
    if task is None and tokenizer is None:
        raise UsageError(
            "tokenizer=None, task=None: expected one of them: the policy's tokenizer, or a task with its own"
        )
    if task is not None and task.tool is not None:
        raise UsageError(
            f"{task.spec.id}: rows do not say which tokens a tool wrote; take a task without one"
        )
    reader: Any = tokenizer_of(task) if tokenizer is None and task is not None else tokenizer
    layout = LAYOUT[method.loss.objective]
    of = f" of {file}" if file else ""
    data, train, kept = recorded_data(rows, layout, reader, held_out, columns or {}, chat, config, of)
    task = task or written_task(data, reader)
    policy = policy if isinstance(policy, TokenPolicy) else policy(task)
    check_tokenizer(policy, reader)
    check_lengths(policy, data)
    check_numbers(config, policy, data, train)
    learns = policy.trainable(jax.eval_shape(policy.init, jax.random.key(0)))
    if not any(jax.tree.leaves(learns)):
        raise UsageError(f"{policy.title} has no parameters that learn")
    source = Source(
        policy=policy,
        data=jax.tree.map(jnp.asarray, data),
        train=train,
        held_out=kept,
        partners=partners(data, train, kept),
        guide=guided(guide, data, config) if GUIDE in method.reads else None,
        reference=needs_reference(method),
        mismatched=method.loss.objective == "kto",
        size=config.batch,
        temperature=config.temperature,
        axis_name=axis_name,
    )
    learning = Learning(policy, method, optimiser, config, learns, False, axis_name)
    spec = _Spec(learning, source, alone, task)
    example = jax.eval_shape(functools.partial(_example, source))
    check_batch(method, example)
    init, step = functools.partial(_init, spec, example), functools.partial(_step, spec)
    memory = functools.cache(functools.partial(step_memory, init, step, axis_name))
    frozen = not all(jax.tree.leaves(learns))
    return Fitter(
        init=init,
        step=step,
        params=lambda state: policy_params(state.group),
        task=task,
        policy=policy,
        method=method,
        config=config,
        data=data,
        train=train,
        held_out=kept,
        steps_per_update=config.batch,
        title=f"{len(train)} {layout}, {policy.title}",
        judge=functools.partial(_judge, spec) if len(kept) or _verifies(spec) else None,
        record=functools.partial(_record, spec),
        memory=memory,
        room=lambda seeds: check_room(memory(), seeds, _SMALLER),
        bulk=("reference", *(("group.frozen.weights",) if frozen else ())),
        axis_name=axis_name,
    )


def _example(source: Source) -> Completions:
    """Shapes and dtypes of a batch."""
    params, alone = source.policy.init(jax.random.key(0)), source._replace(axis_name=None)
    return batch_of(alone, params, opinions(alone, params), jnp.zeros(source.size, jnp.int32))


def _init(spec: _Spec, example: Completions, key: Key, config: RecordedConfig | None = None) -> FitState:
    one, two = jax.random.split(typed_key(key))
    state = init_state(spec.learning, example, one, config)
    return FitState(state, two, opinions(spec.source, policy_params(state)))


def _step(spec: _Spec, state: FitState) -> tuple[FitState, Metrics]:
    index, passes = next_rows(spec.source, state.order, state.group.update)
    batch = batch_of(spec.source, policy_params(state.group), state.reference, index)
    inner, told = learn(spec.learning, state.group, batch)
    # Rewards of recorded rows are 1 and 0: what the method reports of them says nothing.
    own = {name: x for name, x in told.items() if not name.startswith(("reward/", "frac_"))}
    return state._replace(group=inner), own | {"epoch": passes}


def _verifies(spec: _Spec) -> bool:
    """Whether the task says something about what the policy writes."""
    own = spec.task.spec
    return bool(spec.learning.static.eval_prompts and (own.success or any(t.weight for t in own.terms)))


def _judge(spec: _Spec, state: FitState, key: Key, _: int) -> Metrics:
    """What is held out, and fresh prompts of the task if it verifies what is written."""
    config, told = spec.learning.static, {}
    if len(spec.source.held_out):
        told = {f"held_out/{name}": value for name, value in _held_out(spec, state).items()}
        told["held_out/loss"] = told.pop("held_out/loss/policy")
    if _verifies(spec):
        told |= evaluate_policy(
            spec.task, spec.learning.policy, policy_params(state.group), key, prompts=config.eval_prompts,
            samples=config.eval_samples, how=config.sampling,
        )  # fmt: skip
    return told


def _held_out(spec: _Spec, state: FitState) -> Metrics:
    """Metrics of the loss on all held-out rows, some after the other: they add up."""
    method, params, rows = spec.judging, policy_params(state.group), spec.source.held_out
    source, learning = spec.source._replace(axis_name=None), spec.learning._replace(axis_name=None)
    ctx = context(learning, state.group)
    batch = batch_of(source, params, state.reference, jnp.asarray(rows, jnp.int32))
    credit = method.pipeline.apply(state.group.pipeline, (), batch, ctx)[1]
    plan = method.controller.plan(state.group.control, method.loss, batch, credit, ctx)
    step = Step(learning.policy, state.group.frozen.weights, plan.loss, learning.static, None)
    size = min(source.size, len(rows))
    turns = -(-len(rows) // size)

    def some(index: jax.Array) -> Metrics:
        part = jax.tree.map(lambda x: x[index % len(rows)], plan.updates[0])
        return loss_of(step, state.group.learnt, _counted(part, index < len(rows)))[1]

    found = jax.lax.map(some, jnp.arange(turns * size).reshape(turns, size))
    return {name: jnp.sum(x) for name, x in found.items()}


def _counted(update: Update, there: jax.Array) -> Update:
    """An update in which some prompts, which were taken before, do not count."""
    own = lambda x: x * there.reshape(-1, *[1] * (x.ndim - 1))
    names = ("mask", "weight", "share", "prompt_weight", "completion_weight", "side_weight")
    return update._replace(**{name: own(getattr(update, name)) for name in names})


def _record(spec: _Spec, state: FitState, key: Key, prompts: int) -> dict[str, jax.Array]:
    own, config = spec.task.spec, spec.learning.static
    rollout = Rollout(
        task=spec.task,
        policy=spec.learning.policy,
        functions=(),
        paid=tuple(term.name for term in own.terms),
        prompts=prompts,
        group=min(config.eval_samples, 4),
        length=own.completion_length,
        sampling=config.sampling,
        reference=False,
    )
    return record_groups(rollout, policy_params(state.group), key, prompts)
