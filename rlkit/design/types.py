"""What a design is made of: a task, candidates, verdicts on them, outcomes of training them, and a designer.

All of it is data: :class:`Candidate`, :class:`Verdict`, :class:`Outcome` and :class:`Record` become JSON and
come back equal (:mod:`rlkit.design.data`), so that a design can be stopped anywhere. A designer
has no state of its own: what it proposes follows from the history and a key.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from rlkit.design.reading import read_candidate
from rlkit.errors import UsageError, unknown_name
from rlkit.rewards.designed import with_base
from rlkit.rewards.reading import read_text
from rlkit.types import Environment, EnvSpec, FeatureSpec, Key, PyTree, Reward


@dataclass(frozen=True)
class DesignTask:
    """What a reward is designed for.

    Attributes:
      env: the environment; its sparse success signal and its fitness judge rewards and are no part of them.
      env_params: its parameters; None takes the defaults.
      words: the task for whoever designs; empty: the environment's own sentence.
      forbidden: features that a reward may not read, e.g. one that says whether the task is solved.
      discount: γ of the learner, for potential differences.
      base: text of a reward that is paid beside every candidate, e.g. ``"success()"``: with potential
        differences alone on top of it, the optimal policies are those of the base. Empty: none.
    """

    env: Environment
    env_params: PyTree = None
    words: str = ""
    forbidden: tuple[str, ...] = ()
    discount: float = 0.99
    base: str = ""

    def __post_init__(self) -> None:
        if self.base:
            read_text(self.base, self.env.spec)
        for name in self.forbidden:
            self.env.spec.feature(name)
        if not 0.0 <= self.discount <= 1.0:
            raise UsageError(f"discount={self.discount!r}: expected a number of at least 0 and at most 1")

    @property
    def spec(self) -> EnvSpec:
        """The environment's specification, with the features that a reward may read alone."""
        spec = self.env.spec
        return dataclasses.replace(spec, features=self.fields, task=self.words or spec.task)

    @property
    def fields(self) -> tuple[FeatureSpec, ...]:
        """The features that a reward may read."""
        return tuple(f for f in self.env.spec.features if f.name not in self.forbidden)

    @property
    def params(self) -> PyTree:
        """The environment's parameters."""
        return self.env.default_params() if self.env_params is None else self.env_params

    def reward(self, text: str, *, tune: bool = False) -> Reward:
        """The reward that a candidate's text describes, together with the base, if there is one.

        Its terms are the candidate's, ``base``, and ``total``, all that is paid.

        Raises:
          UsageError: the text is no reward, or it reads what it may not.
        """
        base = read_text(self.base, self.env.spec) if self.base else None
        return with_base(base, read_candidate(text, self.spec, tune=tune))


@dataclass(frozen=True)
class Candidate:
    """One proposed reward, or the attempt at one.

    An attempt that failed is a candidate as well: answers and candidates never get out of step.

    Attributes:
      text: the reward as :func:`rlkit.rewards.read` reads it; empty if there is none.
      id: ``"RESTART.GENERATION.INDEX"``, given by the loop.
      origin: what made it, e.g. ``"evolution"``, ``"random"``, ``"llm"``, ``"human"``.
      parents: ids of the candidates that it was made from.
      genome: the same reward as typed terms (:func:`rlkit.design.genome.to_json`); None if it is not one.
      answer: exactly what a model wrote, if one did.
      error: why there is no reward; safe to show to a model.
      notes: what else the designer wants to find again in the history, as JSON.
    """

    text: str
    id: str = ""
    origin: str = ""
    parents: tuple[str, ...] = ()
    genome: Any = None
    answer: str = ""
    error: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, int, int]:
        """``(restart, generation, index)``."""
        restart, generation, index = (int(part) for part in self.id.split("."))
        return restart, generation, index


@dataclass(frozen=True)
class Verdict:
    """What one check says about one candidate.

    Attributes:
      check: its name, e.g. ``"hovering"``.
      passed: None if it cannot be decided, which does not stop a candidate.
      reason: why, in words that are safe to show to a model.
      blocks: whether failing keeps the candidate from being trained; else it is a warning.
      numbers: what was measured.
    """

    check: str
    passed: bool | None
    reason: str = ""
    blocks: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        """Whether the candidate may not be trained."""
        return self.passed is False and self.blocks


@dataclass(frozen=True)
class Outcome:
    """What training with a reward gave, at ``C`` equally spaced checkpoints of ``S`` seeds.

    Attributes:
      steps: environment steps per seed ``[C]``, ascending; the last is the end of the training.
      fitness: the environment's fitness ``[C, S]``, greedy policy, mean over evaluation episodes.
      success: share of evaluation episodes with success ``[C, S]``.
      returned: the environment's own return ``[C, S]``.
      length: length of evaluation episodes ``[C, S]``.
      terms: each term of the designed reward by name: its mean over the training steps since the checkpoint
        before ``[C, S]``; ``"total"`` is all that was paid.
      stopped: steps per seed at which the candidate was dropped; 0 if it was trained to the end.
      error: why there are no numbers; safe to show to a model.
      failures: how episodes of the trained policies ended and the last steps of those that failed, as JSON
        (:func:`rlkit.design.failures.failures_of`); empty if nobody looked.
      latents: what the latents of each seed said ``[S]`` where candidates were last compared on the way
        (:data:`rlkit.design.latents.LATENTS`); empty if nobody asked.
      successes: episodes that ended with success while training, per step since the checkpoint before
        ``[C, S]``; empty if the agent does not count episodes.
      ends: all episodes that ended, likewise.
    """

    steps: Sequence[int] = ()
    fitness: Sequence[Sequence[float]] = ()
    success: Sequence[Sequence[float]] = ()
    returned: Sequence[Sequence[float]] = ()
    length: Sequence[Sequence[float]] = ()
    terms: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    stopped: int = 0
    error: str = ""
    failures: Mapping[str, Any] = field(default_factory=dict)
    latents: Mapping[str, Sequence[float]] = field(default_factory=dict)
    successes: Sequence[Sequence[float]] = ()
    ends: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen; rows become tuples whatever they came as
        set_field(self, "steps", tuple(int(step) for step in self.steps))
        for name in (*CURVES, "successes", "ends"):
            set_field(self, name, _rows(getattr(self, name)))
        set_field(self, "terms", {name: _rows(rows) for name, rows in self.terms.items()})
        set_field(self, "latents", {name: tuple(map(float, x)) for name, x in self.latents.items()})

    def curve(self, name: str) -> np.ndarray:
        """float64 ``[C, S]``: ``"fitness"``, ``"success"``, ``"returned"``, ``"length"`` or a term.

        What is measured goes before a term of the same name, which is in ``terms``.
        """
        # A term may be called like a curve: it must not pass for it, or a candidate could score itself.
        known = dict(self.terms) | {n: getattr(self, n) for n in CURVES}
        if name not in known:
            raise unknown_name("curve", name, known)
        return np.asarray(known[name], np.float64)


def _rows(rows: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in rows)


CURVES = ("fitness", "success", "returned", "length")


@dataclass(frozen=True)
class Record:
    """A candidate and what became of it."""

    candidate: Candidate
    verdicts: tuple[Verdict, ...] = ()
    outcome: Outcome | None = None  # None: it was not trained
    score: float = -math.inf

    @property
    def refused(self) -> str:
        """Why the candidate was not trained, or gave nothing; empty if it has a score."""
        reasons = [self.candidate.error]
        reasons += [f"{v.check}: {v.reason}" for v in self.verdicts if v.stops]
        reasons += [self.outcome.error] if self.outcome else []
        return "; ".join(reason for reason in reasons if reason)


@dataclass(frozen=True)
class Exploit:
    """An episode that a reward was found to pay for without success, so that it can be played again.

    Attributes:
      candidate: id of the reward.
      seed: of the key with which it was played (:func:`rlkit.design.episodes.play`).
      start: number of its initial state.
      actions: ``[T, ...]``, nested.
    """

    candidate: str
    seed: int
    start: int
    actions: tuple


class History(NamedTuple):
    """All records of one restart of a design, in order."""

    records: tuple[Record, ...] = ()
    feedback: tuple[str, ...] = ()  # a person's words, by generation; empty where there are none
    exploits: tuple[Exploit, ...] = ()  # that audits of its rewards found

    @property
    def generations(self) -> int:
        """How many there have been."""
        return 1 + max((record.candidate.place[1] for record in self.records), default=-1)

    def generation(self, index: int) -> tuple[Record, ...]:
        """The records of one generation, in the order of its answers; negative counts from the last."""
        index = index if index >= 0 else self.generations + index
        return tuple(r for r in self.records if r.candidate.place[1] == index)

    def scored(self) -> tuple[Record, ...]:
        """Those that were trained, best first; equal ones in their order."""
        return tuple(sorted((r for r in self.records if math.isfinite(r.score)), key=lambda r: -r.score))

    def best(self) -> Record | None:
        """The best of all; None if none was trained."""
        return next(iter(self.scored()), None)

    def find(self, id: str) -> Record:
        """The record of a candidate.

        Raises:
          UnknownNameError: there is none.
        """
        for record in self.records:
            if record.candidate.id == id:
                return record
        raise unknown_name("candidate", id, [r.candidate.id for r in self.records])


@runtime_checkable
class Designer(Protocol):
    """Proposes rewards. Pure in all but its calls of a model, whose answers are on record.

    One with ``watches = True`` is shown how episodes of trained policies end (``Outcome.failures``). One that
    adds to another has it as its ``designer``.
    """

    @property
    def name(self) -> str:
        """What reports call it, e.g. ``"evolution"``; one without a model is never called one."""
        ...

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> Sequence[Candidate]:
        """``count`` candidates of the next generation, in the order of its answers.

        Args:
          task: what they are for.
          history: all that is known so far.
          key: typed PRNG key of this generation.
          count: how many; exactly as many are returned, an attempt that failed with its error.
        """
        ...


def watches(designer: Designer) -> bool:
    """Whether a designer, or the one that it adds to, is shown how episodes of trained policies end."""
    other = getattr(designer, "designer", None)
    return getattr(designer, "watches", False) or (other is not None and watches(other))


class Check(Protocol):
    """A check of a candidate before it is trained."""

    def __call__(self, candidate: Candidate, task: DesignTask, key: Key, history: History) -> Verdict: ...
