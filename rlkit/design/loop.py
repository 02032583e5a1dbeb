"""The loop of a design: propose, check, train, score; then judge what was found on seeds it never saw."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rlkit.design.auditing import audit_data
from rlkit.design.config import DesignConfig
from rlkit.design.data import candidate_from, exploit_from, outcome_from, to_data
from rlkit.design.halving import halving
from rlkit.design.journal import Journal
from rlkit.design.recorded import checked, trained
from rlkit.design.results import BASELINES, Fresh, Result, best_of
from rlkit.design.scoring import merit
from rlkit.design.spending import Spending
from rlkit.design.training import Keep, Trainer
from rlkit.design.types import (
    Candidate,
    Designer,
    DesignTask,
    Exploit,
    History,
    Outcome,
    Record,
    Verdict,
    watches,
)
from rlkit.errors import RlkitError, UsageError
from rlkit.types import Key

Screen = Callable[[Candidate, History], tuple[Verdict, ...]]
"""``screen(candidate, history) -> verdicts``, see :mod:`rlkit.design.screen`."""


class _Ended(Exception):
    """A signal asked for an end, or a person's words are waited for."""


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
      words: what a person says about the generation that waits for it.
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
        words: str = "",
    ):
        self.task, self.config, self.designer, self.trainer = task, config, designer, trainer
        self.screen, self.tell, self.stop, self.words = screen, tell, stop, words
        self.journal = Journal() if journal is None else journal
        self.spending = Spending(config)
        self.key = jax.random.key(config.seed)

    def run(self) -> Result:
        """Design to the end, or until asked to stop."""
        histories: list[History] = []
        self.spending = Spending(self.config)
        spent, waiting = "", ""
        try:
            for restart in range(self.config.restarts):
                histories.append(History())
                for generation in range(self.config.generations):
                    if spent := spent or self.spending.over(
                        histories[-1], self.journal, f"{restart}.{generation}"
                    ):
                        break
                    histories[-1] = self.generation(histories[-1], restart, generation)
                    waiting = f"{restart}.{generation}"
                    if generation + 1 < self.config.generations:
                        histories[-1] = self._heard(histories[-1], generation, waiting)
                    waiting = ""
            validated = self.validate(histories)
            fresh = self.judge(validated[0].candidate) if validated else None
            audited = self._audit_of("winner", validated[0].candidate)[0] if validated else ()
        except _Ended:
            return Result(False, tuple(histories), spent=spent, waiting=waiting)
        return Result(True, tuple(histories), validated, fresh, audited, spent)

    def _heard(self, history: History, generation: int, name: str) -> History:
        """The history with a person's words about its last generation, where there are any."""
        step, given = f"{name} heard", self.config.feedback
        said = given[generation] if generation < len(given) else ""
        if self.config.pause:
            if step not in self.journal and not self.words:
                raise _Ended
            said = self.journal.once(step, lambda: self.words)
            self.words = ""
        return history._replace(feedback=(*history.feedback, said))

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
        records = self.spending.affordable(records)
        good = [i for i, record in enumerate(records) if not record.refused]
        self.spending.trainings += len(good)
        # Every generation starts from the same keys: candidates of all of them can be compared.
        outcomes = self._train([candidates[i] for i in good], self._key(2, restart))
        for i, outcome in zip(good, outcomes, strict=True):
            records[i] = trained(records[i], outcome, self.config)
        exploits = self._audited(name, records)
        return history._replace(records=(*history.records, *records), exploits=(*history.exploits, *exploits))

    def _audited(self, name: str, records: list[Record]) -> tuple[Exploit, ...]:
        """Audit the best of a generation: its verdicts go into its record, exploits are returned."""
        places = [i for i, record in enumerate(records) if np.isfinite(record.score)]
        if not places:
            return ()
        best = max(places, key=lambda i: records[i].score)
        verdicts, exploits = self._audit_of(name, records[best].candidate)
        records[best] = dataclasses.replace(records[best], verdicts=(*records[best].verdicts, *verdicts))
        return exploits

    def _audit_of(self, name: str, candidate: Candidate) -> tuple[tuple[Verdict, ...], tuple[Exploit, ...]]:
        if not self.config.audit:
            return (), ()
        self._go_on()
        # Success is the same whatever pays: what the checks have found need not be searched for again.
        audit = lambda: audit_data(
            candidate, self.task, self.config.seed, getattr(self.screen, "evidence", None)
        )
        data = self.journal.once(f"{name} audited", audit)
        return tuple(Verdict(**v) for v in data["verdicts"]), tuple(map(exploit_from, data["exploits"]))

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
            if what == "trained":
                options |= {
                    "keep": self._keep(len(candidates)),
                    "watch": watches(self.designer),
                }
            for i, outcome in self.trainer.train(candidates, key, known=known, **options):
                if names[i] not in self.journal:
                    self.journal.note(names[i], to_data(outcome))
                    self.tell(trained(checked(candidates[i], self.journal.steps), outcome, self.config))
                self._go_on()
        return [outcome_from(self.journal.steps[name]) for name in names]

    def _keep(self, count: int) -> Keep | None:
        config = self.config
        if not config.drop or count < 2:
            return None
        return halving(config.drop, config.drop_at, config.drop_by, config.score, config.curve)

    def validate(self, histories: Sequence[History]) -> tuple[Record, ...]:
        """The finalists of all restarts, scored on other seeds than those that found them, best first."""
        finalists = best_of(histories, self.config.finalists)
        chosen = [record.candidate for record in finalists]
        outcomes = self._train(chosen, self._key(3), "validated", seeds=self.config.fresh_seeds)
        scored = [
            dataclasses.replace(r, outcome=o, score=merit(o, self.config.score, self.config.curve))
            for r, o in zip(finalists, outcomes, strict=True)
        ]
        return tuple(sorted(scored, key=lambda record: -record.score))

    def judge(self, winner: Candidate) -> Fresh:
        """The winner and the baselines on seeds that chose nothing, all with the same ones."""
        key, seeds = self._key(4), self.config.fresh_seeds
        (own,) = self._train([winner], key, "fresh", seeds=seeds)
        others = [Candidate(text, id=name, origin="baseline") for name, text in BASELINES.items()]
        designed, self.trainer = self.trainer, self.trainer.unbased
        try:
            outcomes = self._train(others, key, "fresh", seeds=seeds)
        finally:
            self.trainer = designed
        return Fresh({"winner": own} | dict(zip(BASELINES, outcomes, strict=True)))
