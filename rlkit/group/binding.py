"""What a trainer is given, checked against each other: task, policy, numbers, what is paid, the method."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rlkit.envs.tokens import TokenTask
from rlkit.errors import UsageError, unknown_name
from rlkit.fields import check
from rlkit.group.config import PREFERENCE_OBJECTIVES, LossConfig
from rlkit.group.judging import RewardFunction
from rlkit.group.policies.protocol import TokenPolicy, check_policy
from rlkit.group.policies.sampling import check_room
from rlkit.group.presets import PRESETS, preset
from rlkit.group.trainer_config import GroupConfig, RecordedConfig
from rlkit.group.types import Method
from rlkit.registry import load_target


def check_fit(task: TokenTask, policy: TokenPolicy, config: GroupConfig) -> int:
    """Check that numbers, task and policy fit each other; gives ``T``, the longest completion.

    Raises:
      UsageError: they do not; the message says what to change.
    """
    check(config)
    check_policy(policy)
    wanted = len(task.spec.vocabulary)
    if policy.vocabulary != wanted:
        raise UsageError(
            f"{policy.title} knows {policy.vocabulary} tokens, {task.spec.id} uses {wanted}: the tokenizer "
            "of the task does not fit the policy; build the policy for it"
        )
    length = config.completion_length or task.spec.completion_length
    check_room(policy, task.spec.prompt_length, length)
    for name in ("micro_batches", "minibatches", "rollout_batches"):
        parts = getattr(config, name) * (config.minibatches if name == "micro_batches" else 1)
        if config.prompts % parts:
            raise UsageError(f"prompts={config.prompts}: expected a multiple of the {parts} pieces of {name}")
    if config.group_size % config.packed:
        raise UsageError(f"packed={config.packed}: expected a divisor of group_size={config.group_size}")
    if config.packed > 1 and policy.packed is None:
        raise UsageError(
            f"packed={config.packed}: {policy.title} reads one completion per row; expected packed=1, or a "
            "policy with `packed`"
        )
    if config.prompts % task.spec.together:
        raise UsageError(
            f"prompts={config.prompts}: {task.spec.id} draws them in groups of {task.spec.together}"
        )
    return length


def needs_reference(method: Method) -> bool:
    """Whether a method compares with a reference policy."""
    coefficient = method.loss.kl_coef
    return method.reference or isinstance(coefficient, jax.Array) or coefficient > 0


def paid_terms(
    task: TokenTask,
    rewards: tuple[RewardFunction, ...],
    weights: Mapping[str, Any] | None,
    config: GroupConfig,
) -> dict[str, Any]:
    """The weights of all terms that are paid."""
    terms = {term.name: term.weight for term in task.spec.terms}
    own = {name: weight for name, weight in terms.items() if weight}
    chosen = dict(weights) if weights is not None else {r.name: 1.0 for r in rewards} or own
    known = [*terms, *(r.name for r in rewards)]
    for name in chosen:
        if name not in known:
            raise unknown_name("reward", name, known, where=f"of {task.spec.id} and the reward functions")
    if not chosen:
        raise UsageError(f"{task.spec.id} has no reward of its own; give reward functions")
    chosen |= {"overlong": 1.0} if config.overlong_buffer else {}
    numbers = {name: weight for name, weight in chosen.items() if not callable(weight)}
    for name, weight in numbers.items():
        if not np.isfinite(weight):
            raise UsageError(f"weights[{name!r}]={weight}: expected a finite number or a schedule")
    if len(numbers) == len(chosen) and not any(numbers.values()):
        raise UsageError(f"weights={numbers}: every weight is 0: all completions would be worth the same")
    return chosen


def method_named(
    name: str, weights: dict[str, Any], asked: bool, options: dict[str, Any], axis_name: str | None
) -> Method:
    """A preset, with weights where it takes some; ``asked``: they are those of the user."""
    parameters = inspect.signature(load_target(PRESETS[name].target)).parameters
    # Some have weights of their own, a tuple, for the terms that they read.
    takes = "weights" in parameters and parameters["weights"].default is None
    if asked and not takes:
        raise UsageError(f"{name} reads columns by name and takes no weights; give its own options")
    of_loss = {one.name for one in dataclasses.fields(LossConfig)}
    for option in options.keys() - parameters.keys() & of_loss:
        raise UsageError(
            f"{option!r} is no option of {name} but an argument of its loss: loss={{{option!r}: ...}}, or "
            f"--loss {option}=..."
        )
    given: dict[str, Any] = {"weights": weights} if takes else {}
    if axis_name is not None:
        given["axis_name"] = axis_name
    return preset(name, **(given | options))


def with_loss_fields(
    method: Method, changes: Mapping[str, Any], config: GroupConfig | RecordedConfig
) -> Method:
    """A method whose loss has other arguments, by name of a field of :class:`rlkit.group.LossConfig`.

    Raises:
      UnknownNameError: there is no such field; the message suggests the nearest.
      UsageError: a value is out of range, does not fit the credit of the method, or needs what the trainer
        does not compute.
    """
    kinds = {one.name: one.type for one in dataclasses.fields(method.loss)}
    for name in changes:
        if name not in kinds:
            raise unknown_name("argument", name, kinds, where="of the loss")
    own = {
        name: float(x) if kinds[name] in (float, "float") and type(x) is int else x
        for name, x in changes.items()
    }
    loss = method.loss.replace(**own)
    check(loss)
    if (loss.objective in PREFERENCE_OBJECTIVES) != (method.loss.objective in PREFERENCE_OBJECTIVES):
        raise UsageError(
            f"objective={loss.objective!r} does not fit a method whose loss is {method.loss.objective!r}: "
            "pairs are judged in another way than advantages; take a preset of that kind"
        )
    if loss.entropy_coef and not config.entropy:
        raise UsageError(f"entropy_coef={loss.entropy_coef} needs the entropy of tokens; set entropy=True")
    return method._replace(loss=loss)
