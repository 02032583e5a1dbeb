"""The loop of a design: propose, check, train, score; then judge what was found on seeds it never saw."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.design.config import DesignConfig
from rlkit.design.journal import Journal
from rlkit.design.training import Keep, Trainer
from rlkit.design.types import (
    Candidate,
    Designer,
    DesignTask,
    History,
    Outcome,
    Record,
    Verdict,
    candidate_from,
    outcome_from,
    score,
    to_data,
)
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.intervals import Interval, difference, interval
from rlkit.types import Key

Screen = Callable[[Candidate, History], tuple[Verdict, ...]]
"""``screen(candidate, history) -> verdicts``, see :mod:`rlkit.design.screen`."""

BASELINES = {"sparse": "success()", "environment's own": "task()"}
"""What the winner is compared with, at as many steps of as many seeds."""


class Fresh(NamedTuple):
    """Outcomes on seeds that chose nothing."""

    outcomes: dict[str, Outcome]  # "winner" and the baselines

    def values(self, name: str, curve: str, over: str = "final") -> np.ndarray:
        """One number per seed."""
        outcome = self.outcomes[name]
        if outcome.error:
            return np.full(0, np.nan)
        points = outcome.curve(curve)
        return {"max": points.max(0), "final": points[-1], "mean": points.mean(0)}[over]

    def interval(self, name: str, curve: str, over: str = "final") -> Interval:
        """Mean over seeds with its 95 % interval."""
        return interval(self.values(name, curve, over))

    def gain(self, curve: str, over: str = "final", against: str = "sparse") -> Interval:
        """How much better the winner is, with its 95 % interval."""
        return difference(self.values("winner", curve, over), self.values(against, curve, over))


class Result(NamedTuple):
    """How a design ended."""

    finished: bool  # False: a signal ended it
    histories: tuple[History, ...]  # by restart
    validated: tuple[Record, ...] = ()  # the finalists with their scores on other seeds, best first
    fresh: Fresh | None = None

    @property
    def winner(self) -> Record | None:
        """The best finalist; None if nothing could be trained."""
        return next(iter(self.validated), None)


class _Ended(Exception):
    """A signal asked for an end."""


class Loop:
    """One design.

    Args:
      task: what for.
      config: how.
      designer: what proposes.
      trainer: what trains.
      screen: what checks; None: everything that can be read is trained.
      journal: what is known already, and where to note what is found.
      tell: called after each step with what happened: ``tell(record)``.
      stop: asked between steps; true ends the design, to be continued.
    """

    def __init__(
        self,
        task: DesignTask,
        config: DesignConfig,
        designer: Designer,
        trainer: Trainer,
        screen: Screen | None = None,
        journal: Journal | None = None,
        tell: Callable[[Record], None] = lambda record: None,
        stop: Callable[[], bool] = lambda: False,
    ):
        self.task, self.config, self.designer, self.trainer = task, config, designer, trainer
        self.screen, self.tell, self.stop = screen, tell, stop
        self.journal = Journal() if journal is None else journal
        self.key = jax.random.key(config.seed)

    def run(self) -> Result:
        """Design to the end, or until asked to stop."""
        histories: list[History] = []
        try:
            for restart in range(self.config.restarts):
                histories.append(History())
                for generation in range(self.config.generations):
                    histories[-1] = self.generation(histories[-1], restart, generation)
            validated = self.validate(histories)
            fresh = self.judge(validated[0].candidate) if validated else None
        except _Ended:
            return Result(False, tuple(histories))
        return Result(True, tuple(histories), validated, fresh)

    def _go_on(self) -> None:
        if self.stop():
            raise _Ended

    def _key(self, *place: int) -> Key:
        key = self.key
        for number in place:
            key = jax.random.fold_in(key, number)
        return key

    def generation(self, history: History, restart: int, generation: int) -> History:
        """The history after one more generation."""
        self._go_on()
        name = f"{restart}.{generation}"
        key = self._key(1, restart, generation)
        proposed = self.journal.once(f"{name} proposed", lambda: self._propose(history, key, name))
        candidates = [candidate_from(data) for data in proposed]
        records = [self._checked(candidate, history) for candidate in candidates]
        good = [i for i, record in enumerate(records) if not record.refused]
        # Every generation starts from the same keys: candidates of all of them can be compared.
        outcomes = self._train([candidates[i] for i in good], self._key(2, restart))
        for i, outcome in zip(good, outcomes, strict=True):
            found = score(outcome, self.config.score, self.config.curve)
            records[i] = dataclasses.replace(records[i], outcome=outcome, score=found)
            if outcome.stopped:  # what was dropped is not compared with what was trained to the end
                records[i] = dataclasses.replace(records[i], score=-np.inf)
        return history._replace(records=(*history.records, *records))

    def _propose(self, history: History, key: Key, name: str) -> list[Any]:
        found = list(self.designer.propose(self.task, history, key, self.config.candidates))
        if len(found) != self.config.candidates:
            raise UsageError(
                f"the designer {self.designer.name} gave {len(found)} candidates; expected exactly "
                f"{self.config.candidates}, one for each answer"
            )
        return [to_data(dataclasses.replace(c, id=f"{name}.{i}")) for i, c in enumerate(found)]

    def _checked(self, candidate: Candidate, history: History) -> Record:
        self._go_on()
        name = f"{candidate.id} checked"
        verdicts = self.journal.once(name, lambda: [to_data(v) for v in self._verdicts(candidate, history)])
        record = Record(candidate, tuple(Verdict(**verdict) for verdict in verdicts))
        self.tell(record)
        return record

    def _verdicts(self, candidate: Candidate, history: History) -> Sequence[Verdict]:
        if candidate.error or self.screen is None:
            return ()
        try:
            return self.screen(candidate, history)
        except RlkitError as error:
            return (Verdict("read", False, str(error)),)

    def _train(
        self, candidates: Sequence[Candidate], key: Key, what: str = "trained", **options: Any
    ) -> list[Outcome]:
        """The outcome of each candidate."""
        self._go_on()
        names = [f"{candidate.id} {what}" for candidate in candidates]
        known = frozenset(i for i, name in enumerate(names) if name in self.journal)
        if len(known) < len(candidates):
            keep = self._keep(candidates) if what == "trained" else None
            for i, outcome in self.trainer.train(candidates, key, keep=keep, known=known, **options):
                if names[i] not in self.journal:
                    self.journal.note(names[i], to_data(outcome))
                    self.tell(
                        Record(
                            candidates[i],
                            outcome=outcome,
                            score=score(outcome, self.config.score, self.config.curve),
                        )
                    )
                self._go_on()
        return [outcome_from(self.journal.steps[name]) for name in names]

    def _keep(self, candidates: Sequence[Candidate]) -> Keep | None:
        if not self.config.drop or len(candidates) < 2:
            return None

        def chosen(outcomes: Sequence[Outcome]) -> list[bool]:
            scores = [score(outcome, self.config.score, self.config.curve) for outcome in outcomes]
            count = max(1, round(len(scores) * (1 - self.config.drop)))
            order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count]
            return [i in order for i in range(len(scores))]

        return Keep(self.config.drop_at, chosen)

    def validate(self, histories: Sequence[History]) -> tuple[Record, ...]:
        """The finalists of all restarts, scored on other seeds than those that found them, best first."""
        best = sorted((r for history in histories for r in history.scored()), key=lambda r: -r.score)
        finalists: list[Record] = []
        for record in best:
            if record.candidate.text not in [r.candidate.text for r in finalists]:
                finalists.append(record)
        finalists = finalists[: self.config.finalists]
        chosen = [record.candidate for record in finalists]
        outcomes = self._train(chosen, self._key(3), "validated", seeds=self.config.fresh_seeds)
        scored = [
            dataclasses.replace(r, outcome=o, score=score(o, self.config.score, self.config.curve))
            for r, o in zip(finalists, outcomes, strict=True)
        ]
        return tuple(sorted(scored, key=lambda record: -record.score))

    def judge(self, winner: Candidate) -> Fresh:
        """The winner and the baselines on seeds that chose nothing, all with the same ones."""
        key, seeds = self._key(4), self.config.fresh_seeds
        (own,) = self._train([winner], key, "fresh", seeds=seeds)
        others = [Candidate(text, id=name, origin="baseline") for name, text in BASELINES.items()]
        plain = Trainer(dataclasses.replace(self.task, base=""), self.config)
        designed, self.trainer = self.trainer, plain
        try:
            outcomes = self._train(others, key, "fresh", seeds=seeds)
        finally:
            self.trainer = designed
        return Fresh({"winner": own} | dict(zip(BASELINES, outcomes, strict=True)))
