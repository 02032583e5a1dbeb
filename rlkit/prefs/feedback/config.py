"""Hyper-parameters of learning from preferences, to be mixed into those of an agent."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.fields import leaf, static
from rlkit.prefs.checks import known
from rlkit.prefs.feedback.exploring import SAMPLE
from rlkit.prefs.feedback.fitting import LOSSES, FitConfig
from rlkit.prefs.feedback.models import ModelConfig
from rlkit.prefs.feedback.queries import WAYS
from rlkit.prefs.feedback.scoring import MEMBERS
from rlkit.prefs.feedback.teachers import KINDS, Teacher, check_teacher


@dataclass(frozen=True)
class FeedbackConfig:
    """When a teacher is asked, about what, and how the reward is fitted to the answers."""

    queries: int = static(500, "questions in all", low=1)
    query_batch: int = static(50, "questions asked at a time", low=1)
    query_starts: int = static(1000, "environment steps before the first questions", low=1)
    explore: int = static(
        0, "k: before the first questions, pay for states far from their k-th neighbour; 0: do not", low=0
    )
    query_every: int = static(1000, "environment steps between questions", low=1)
    segment: int = static(50, "steps of a segment", low=2)
    candidates: int = static(10, "pairs to choose from, for each question", low=1)
    ask: str = static("disagreement", "which pairs: uniform, disagreement or entropy", choices=WAYS)
    teacher: str = static("oracle", "who answers, see rlkit.prefs.feedback.teachers", choices=KINDS)
    teacher_fault: float = leaf(
        0.0, "size of the teacher's fault (β, γ, ε or a threshold); 0: that of B-Pref", low=0.0
    )
    reward_loss: str = static("bt", "of an answer: bt, contaminated, forward or backward", choices=LOSSES)
    reward_noise: float = leaf(0.1, "share of answers that the loss takes for noise", low=0.0, high=0.49)
    reward_members: int = static(3, "reward models in the ensemble", low=1)
    reward_heads: int = static(1, "reward models that share all layers but the last", low=1)
    reward_join: str = static("mean", "what is paid: mean or min over the ensemble", choices=MEMBERS[:2])
    reward_sizes: tuple[int, ...] = static((64, 64), "layer sizes of a reward model", low=1)
    reward_reads: tuple[str, ...] = static(
        ("obs", "action"), "what it sees: obs, action, next_obs, or features of the environment"
    )
    reward_learning_rate: float = leaf(1e-3, "step size of Adam for the reward models", low=0.0)
    reward_decay: float = leaf(0.0, "decay of their weights", low=0.0)
    reward_batch_size: int = static(64, "answers in a gradient step", low=1)
    reward_steps: int = static(200, "gradient steps of each reward model after questions", low=1)
    pool_size: int = static(
        20_000, "steps that segments are taken from, for agents without a replay buffer", low=1
    )
    relabel: bool = static(True, "pay the whole replay buffer anew when the reward has changed")


def fit_config(config: Any) -> FitConfig:
    """The part that says how reward models are fitted."""
    return FitConfig(
        learning_rate=config.reward_learning_rate,
        weight_decay=config.reward_decay,
        noise=config.reward_noise,
        loss=config.reward_loss,
        members=config.reward_members,
        heads=config.reward_heads,
        batch_size=config.reward_batch_size,
        num_steps=config.reward_steps,
    )


def model_config(config: Any) -> ModelConfig:
    """The part that says what reward models are."""
    return ModelConfig(
        reads=config.reward_reads,
        sizes=config.reward_sizes,
        members=config.reward_members,
        heads=config.reward_heads,
        join=config.reward_join,
    )


def check_feedback(config: Any) -> None:
    """Check what fields say together; each by itself is checked by :func:`rlkit.fields.check`.

    Raises:
      UsageError: the questions cannot be asked in whole batches, there is too little experience for a segment
        when they begin, one member shall disagree with itself, or a neighbour is too far down the list.
    """
    if config.queries % config.query_batch:
        raise UsageError(
            f"queries={config.queries}: expected a multiple of query_batch={config.query_batch}, "
            f"e.g. {config.query_batch * -(-config.queries // config.query_batch)}"
        )
    least = config.segment * config.num_envs
    if config.query_starts < least:
        raise UsageError(
            f"query_starts={config.query_starts}: expected at least {least}, a segment of {config.segment} "
            f"steps of {config.num_envs} environments"
        )
    check_fault(config)
    if config.explore > SAMPLE:
        raise UsageError(f"explore={config.explore}: expected at most {SAMPLE}, the states to compare with")
    if config.ask == "disagreement" and config.reward_members < 2:
        raise UsageError(
            "ask='disagreement' with reward_members=1: one member cannot disagree; "
            "expected reward_members of at least 2, or ask='entropy'"
        )


def check_fault(config: Any) -> None:
    """Check the size of the teacher's fault, where it is known.

    Raises:
      UsageError: it is no such size for this teacher: a probability above 1 would turn every answer round.
    """
    fault = known(config.teacher_fault)
    if config.teacher == "oracle" and fault is not None and np.any(fault != 0):
        raise UsageError(f"teacher_fault={np.max(fault):g}: the oracle has no fault; leave it at 0")
    check_teacher(teacher_of(config))


def teacher_of(config: Any) -> Teacher:
    """The teacher, its fault of the size that the configuration says; traceable."""
    kind = config.teacher
    if kind == "oracle":
        return KINDS[kind]
    field = {"stochastic": "rationality", "myopic": "discount"}.get(kind, kind)
    own, given = getattr(KINDS[kind], field), jnp.asarray(config.teacher_fault, jnp.float32)
    return KINDS[kind]._replace(**{field: jnp.where(given == 0, own, given)})
