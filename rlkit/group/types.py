"""The contracts of group-relative policy optimisation: completions, stages, and what a method consists of.

For each of ``P`` prompts the policy writes ``G`` completions of at most ``T`` tokens; the completions of one
prompt are its *group*. A *pipeline* turns what reward functions said about them into a :class:`Credit`, an
*objective* turns that into a loss, and a *controller* stands around both. All of it is pure and works under
``jit``, ``vmap`` (over seeds, over the numbers of a :class:`rlkit.group.config.LossConfig`) and
``shard_map`` over prompts::

    state, credit, metrics = method.pipeline.apply(state, (), batch, ctx)
    plan = method.controller.plan(control, method.loss, batch, credit, ctx)
    for update in plan.updates:                                   # one, for all but a few papers
        gradient of objective(plan.loss, log_prob(params), update)

Axes: ``P`` prompts, ``G`` completions of a prompt, ``T`` tokens of a completion, ``L`` tokens of a prompt.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from rlkit.group.config import LossConfig
from rlkit.types import Key, Metrics, PyTree, Terms


class Completions(NamedTuple):
    """Groups of completions, as arrays: what a rollout of the policy gives.

    Multi-turn texts are one completion: tokens that the policy did not write (answers of tools, retrieved
    text) are in ``tokens`` with mask 0. Padding has mask 0 as well. Values at masked places are never used.
    """

    prompt: jax.Array  # int32 [P, L]
    prompt_mask: jax.Array  # float32 [P, L]: 1 on tokens of the prompt, 0 on padding
    tokens: jax.Array  # int32 [P, G, T]
    mask: jax.Array  # float32 [P, G, T]: 1 on tokens that the policy wrote, its end-of-text token included
    behaviour_log_prob: jax.Array  # float32 [P, G, T]: of the policy that sampled them
    rewards: Terms  # float32 [P, G] or [P, G, T] by reward function; NaN: does not apply to a completion
    reference_log_prob: jax.Array | None = None  # float32 [P, G, T]; None: nothing needs a reference
    truncated: jax.Array | None = None  # bool [P, G]: cut at T tokens, without an end; None: none was
    off_policy: jax.Array | None = None  # bool [P, G]: not sampled from the policy; None: all were
    extras: dict[str, jax.Array] = {}  # noqa: RUF012 (never changed) other columns, leading axis P
    divergence: jax.Array | None = None  # float32 [P]: KTO's estimate of the policy's divergence from the
    # reference, from mismatched prompts and completions; None: it is estimated within groups


class Context(NamedTuple):
    """What changes from update to update and belongs to no state. Schedules are functions of ``step``."""

    step: jax.Array  # int32 []: updates made so far
    total_steps: jax.Array  # int32 []: updates that this training will make
    key: Key  # of this update's stages; `chain` gives each of its stages its own


class Credit(NamedTuple):
    """What each token is held accountable for: what a pipeline gives."""

    advantage: jax.Array  # float32 [P, G, T]
    mask: jax.Array  # float32 [P, G, T]: tokens that count in the loss; never more than the batch's mask
    reward: jax.Array  # float32 [P, G]: the scalar that the group was compared by


class Stage(NamedTuple):
    """One step of a pipeline; :func:`rlkit.group.stages.stateless` builds those without state."""

    init: Callable[[], PyTree]
    """``init() -> state``"""

    apply: Callable[[PyTree, Any, Completions, Context], tuple[PyTree, Any, Metrics]]
    """``apply(state, x, batch, ctx) -> (state, x, metrics)``. By slot, ``x`` is: nothing, ``()``, before
    the rewards; terms by name after them and after shaping; float32 ``[P, G]`` after they are combined;
    a :class:`Credit` after the advantage and after filters."""


class Update(NamedTuple):
    """All that a gradient needs beside the parameters. Leading axis ``P`` everywhere: micro-batches are
    slices of every leaf, and their losses, gradients and metrics add up to those of the whole batch."""

    batch: Completions
    advantage: jax.Array  # float32 [P, G, T]
    mask: jax.Array  # float32 [P, G, T]: tokens that count
    weight: jax.Array  # float32 [P, G, T]: coefficient of each token's loss, from the aggregation
    share: jax.Array  # float32 [P, G, T]: of all tokens that count, for metrics; sums to 1 over the batch
    prompt_weight: jax.Array  # float32 [P]: coefficient of each prompt's loss, for losses of pairs
    completion_weight: jax.Array  # float32 [P, G]: of each completion's, for losses of single completions
    side_weight: jax.Array  # float32 [P, G]: 1 / their number for completions judged good, -1 / their number
    # for bad ones, 0 for others; for metrics


class Plan(NamedTuple):
    """What is to be done with a batch."""

    state: PyTree  # of the controller
    updates: tuple[Update, ...]  # gradient steps, in this order; how many is static. One whose mask is
    # all 0 is no step: neither parameters nor the optimiser's state change.
    loss: LossConfig  # with the coefficients of this step
    metrics: Metrics


class Controller(NamedTuple):
    """What stands around the update: adapts coefficients, or adds gradient steps."""

    init: Callable[[Completions], PyTree]
    """``init(batch) -> state``; the batch is an example of shapes and dtypes, its values are not read."""

    plan: Callable[[PyTree, LossConfig, Completions, Credit, Context], Plan]
    """``plan(state, loss, batch, credit, ctx) -> plan``"""

    observe: Callable[[PyTree, Metrics], PyTree]
    """``observe(state, metrics) -> state``: after the step, with the metrics of its last update's loss."""


class Method(NamedTuple):
    """A way to learn from groups: what a preset returns."""

    pipeline: Stage
    loss: LossConfig
    controller: Controller
    reads: Mapping[str, str] = {}  # columns of `batch.rewards` or
    # `batch.extras` without which it cannot run, with their axes: {"accuracy": "PG", "flag": "PGT"}
    group_size: int = 2  # the fewest completions of a prompt that it can learn from
    reference: bool = False  # whether it needs `batch.reference_log_prob`
