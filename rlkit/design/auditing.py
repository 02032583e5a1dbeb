"""The audit of a candidate on the way: its verdicts, and what was found to pay without success, as JSON."""

from typing import Any

import jax
import numpy as np

from rlkit.design.data import to_data
from rlkit.design.evidence import Evidence
from rlkit.design.types import Candidate, DesignTask, Exploit, Verdict
from rlkit.errors import RlkitError

AUDIT = {"steps": 200, "starts": 2, "population": 32, "generations": 12}
"""Of audits on the way: smaller than :func:`rlkit.design.audit`'s own, because there is one a generation."""


def audit_data(
    candidate: Candidate, task: DesignTask, seed: int, known: Evidence | None = None
) -> dict[str, Any]:
    """``{"verdicts": [...], "exploits": [...]}``; verdicts warn and stop nothing.

    Args:
      candidate: with a text that can be read.
      task: the task.
      seed: of the search for exploits.
      known: evidence that was gathered with the same seed: success is not searched for again.
    """
    from rlkit.design.audit import audit

    try:
        found = audit(candidate.text, task, jax.random.key(seed), known=known, **AUDIT)
    except RlkitError as error:
        failed = Verdict("audit", None, f"undecided: {error}", blocks=False)
        return {"verdicts": [to_data(failed)], "exploits": []}
    verdicts = [Verdict(v.check, v.passed, v.reason, blocks=False, numbers=v.numbers) for v in found.verdicts]
    actions = np.asarray(found.exploits.trajectory.transition.action)
    exploits = [
        Exploit(candidate.id, seed, int(start), actions[:, i].tolist())
        for i, start in enumerate(found.exploits.start)
    ]
    return {"verdicts": list(map(to_data, verdicts)), "exploits": list(map(to_data, exploits))}
