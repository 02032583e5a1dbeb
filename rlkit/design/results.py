"""How a design ended: what it found, and scores on seeds that chose nothing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlkit.design.types import Candidate, History, Outcome, Record, Verdict
from rlkit.experiment.reports.intervals import Interval, difference, interval

BASELINES = {"sparse": "success()", "environment's own": "task()"}
"""What the winner is compared with, at as many steps of as many seeds."""


def best_of(histories: Sequence[History], count: int) -> list[Record]:
    """The best records of all restarts, best first, each reward once."""
    found: list[Record] = []
    for record in sorted((r for history in histories for r in history.scored()), key=lambda r: -r.score):
        if _what(record.candidate) not in [_what(r.candidate) for r in found]:
            found.append(record)
    return found[:count]


def _what(candidate: Candidate) -> tuple:
    """What tells candidates apart: the reward, and the environment that it is to be learned in."""
    return candidate.text, repr(candidate.notes.get("env_params"))


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

    finished: bool  # False: it is to be continued
    histories: tuple[History, ...]  # by restart
    validated: tuple[Record, ...] = ()  # the finalists with their scores on other seeds, best first
    fresh: Fresh | None = None
    audited: tuple[Verdict, ...] = ()  # what an audit says of the winner; nothing where none was asked for
    spent: str = ""  # the budget that ended the search early, in words
    waiting: str = ""  # the generation that waits for a person's words

    @property
    def winner(self) -> Record | None:
        """The best finalist; None if nothing could be trained."""
        return next(iter(self.validated), None)
