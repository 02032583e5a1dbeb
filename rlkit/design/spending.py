"""The budgets of a design's search: trainings and CPU time. Those of a model are kept where it is asked."""

import dataclasses
import time
from collections.abc import Sequence

from rlkit.design.config import DesignConfig
from rlkit.design.journal import Journal
from rlkit.design.types import History, Record, Verdict


class Spending:
    """What a search has spent.

    Attributes:
      trainings: candidates trained so far, those on record included.
    """

    def __init__(self, config: DesignConfig):
        self.config, self.trainings, self.began = config, 0, time.process_time()

    def over(self, history: History, journal: Journal, name: str) -> str:
        """The budget that is spent, in words; empty while there is some left.

        Args:
          history: of the present restart.
          journal: where CPU time is noted, because another process would have spent another one.
          name: of the generation that would begin.
        """
        config = self.config
        last = history.generation(-1) if history.records else ()
        refused = [r.candidate.error for r in last if r.candidate.notes.get("budget")]
        if refused:
            return refused[0]
        if config.max_trainings and self.trainings >= config.max_trainings:
            return f"the budget of trainings={config.max_trainings} is spent"
        if not config.max_cpu_seconds:
            return ""
        before = max((x for n, x in journal.steps.items() if n.endswith("cpu seconds")), default=0.0)
        now = lambda: before + time.process_time() - self.began
        used = journal.once(f"{name} cpu seconds", now)
        self.began = time.process_time()
        over = used >= config.max_cpu_seconds
        return f"the budget of cpu_seconds={config.max_cpu_seconds:g} is spent" if over else ""

    def affordable(self, records: Sequence[Record]) -> list[Record]:
        """Records of which no more can be trained than the budget has left."""
        most, left = self.config.max_trainings, self.config.max_trainings - self.trainings
        out = []
        for record in records:
            over = bool(most) and left <= 0 and not record.refused
            left -= not record.refused
            verdict = Verdict("budget", False, f"not trained: the budget of trainings={most} is spent")
            out.append(dataclasses.replace(record, verdicts=(*record.verdicts, verdict)) if over else record)
        return out
