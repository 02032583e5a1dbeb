"""What a design shows while it runs: a line for each candidate, and the best so far."""

import math
import sys
from typing import Any

import numpy as np

from rlkit.design.scoring import score
from rlkit.design.types import Record


class Table:
    """Prints candidates as they become known; on a terminal the table is redrawn in place."""

    def __init__(self, curve: str = "fitness", over: str = "mean", out: Any = None):
        self.curve, self.over = curve, over
        self.out = sys.stderr if out is None else out
        self.best = -math.inf

    def tell(self, record: Record) -> None:
        """A candidate was checked or trained."""
        line = describe(record, self.curve, self.over)
        if line is None:
            return
        star = " "
        if record.score > self.best:
            self.best, star = record.score, "*"
        print(f"{star} {line}", file=self.out, flush=True)


def describe(record: Record, curve: str, over: str) -> str | None:
    """One line about a candidate; None while there is nothing to say."""
    name = f"{record.candidate.id:<10}"
    if record.refused:
        return f"{name} refused: {record.refused[:120]}"
    if record.outcome is None:
        return None
    outcome = record.outcome
    final = outcome.curve("success")[-1].mean()
    terms = ", ".join(
        f"{name} {np.mean(outcome.terms[name][-1]):.3g}"
        for name in outcome.terms
        if name not in ("total", "base")
    )
    dropped = f" (dropped after {outcome.stopped} steps)" if outcome.stopped else ""
    return f"{name} {curve} {score(outcome, over, curve):8.4f}  success {final:5.2f}  {terms}{dropped}"
