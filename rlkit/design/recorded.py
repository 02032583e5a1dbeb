"""What the folder of a design says, read back without computing anything: for reports of it."""

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.design.config import DesignConfig
from rlkit.design.data import candidate_from, outcome_from
from rlkit.design.detectors import hacking
from rlkit.design.journal import JOURNAL, Journal
from rlkit.design.results import BASELINES
from rlkit.design.scoring import merit
from rlkit.design.types import Candidate, Outcome, Record, Verdict
from rlkit.errors import UsageError
from rlkit.experiment.runs import store
from rlkit.experiment.training import config as configs
from rlkit.experiment.training import integrity
from rlkit.experiment.training.resuming import started_with


class Design(NamedTuple):
    """A design as it stands.

    Attributes:
      folder: of the design.
      config: how it is done.
      records: all candidates so far, in their order, with what became of them.
      validated: outcomes of the finalists on other seeds, by id.
      fresh: outcomes on seeds that chose nothing: ``"winner"`` and the baselines; empty until there are some.
      winner: id of the best finalist; empty until there is one.
      audited: what the audit says of it.
      summary: ``result.json``; empty until the design has ended.
    """

    folder: Path
    config: DesignConfig
    records: tuple[Record, ...]
    validated: dict[str, Outcome]
    fresh: dict[str, Outcome]
    winner: str
    audited: tuple[Verdict, ...]
    summary: dict[str, Any]

    def find(self, id: str) -> Record | None:
        """The record of a candidate."""
        return next((record for record in self.records if record.candidate.id == id), None)

    def lineage(self, id: str) -> tuple[Record, ...]:
        """A candidate and all that it came from, itself first."""
        found: dict[str, Record] = {}
        waiting = [id]
        while waiting:
            record = self.find(waiting.pop(0))
            if record is not None and record.candidate.id not in found:
                found[record.candidate.id] = record
                waiting += record.candidate.parents
        return tuple(found.values())


def is_design(folder: str | Path) -> bool:
    """Whether a folder is that of a design."""
    return (Path(folder) / JOURNAL).is_file()


def read_design(folder: str | Path) -> Design:
    """Read the folder of a design, finished or not; nothing is written.

    Raises:
      UsageError: it is none, or its record has been changed.
    """
    path = store.existing(folder)
    if not is_design(path):
        raise UsageError(f"{path} is not the folder of a design: it has no {JOURNAL}")
    file = path / store.CONFIG
    config = configs.from_dict(store.read_json(file), f"in {file}", DesignConfig)
    journal = Journal(path / JOURNAL, write=False)
    steps = journal.steps
    check_config(path, config, journal)
    records = tuple(_records(steps, config))
    validated = _outcomes(steps, "validated")
    fresh = _outcomes(steps, "fresh")
    winner = next((name for name in fresh if name not in BASELINES), "")
    named = {("winner" if name == winner else name): outcome for name, outcome in fresh.items()}
    audited = steps.get("winner audited", {"verdicts": []})["verdicts"]
    summary = _summary(path, journal)
    return Design(path, config, records, validated, named, winner, _verdicts(audited), summary)


CONFIGURED = "config"
"""Step of the journal: :func:`decisive` of the configuration."""

_ELSEWHERE = ("workers", "replay")  # how many train at once, and where answers come from: of no consequence


def _elsewhere(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _ELSEWHERE if name in data}


def decisive(config: DesignConfig) -> dict[str, Any]:
    """What of a configuration the course of a design depends on, as JSON data."""
    return {name: value for name, value in configs.to_dict(config).items() if name not in _ELSEWHERE}


def check_config(path: Path, config: DesignConfig, journal: Journal) -> None:
    """Refuse a configuration that is not the one that a design was begun with.

    Args:
      path: folder of the design.
      config: that of its ``config.json``; how many candidates train at once may be another number.
      journal: of the design, in which the first session noted what is decisive; all is noted in
        ``timings.jsonl``, which nothing protects.

    Raises:
      UsageError: it is another one; names what differs.
    """
    noted, now = started_with(path), configs.to_dict(config)
    noted = (noted if isinstance(noted, dict) else {}) | journal.steps.get(CONFIGURED, {})
    if not noted:  # what says it is gone
        return
    begun = configs.to_dict(configs.from_dict(_elsewhere(now) | noted, f"noted in {path}", DesignConfig))
    changed = integrity.differences(begun | {"workers": config.workers}, now)
    if changed:
        raise UsageError(
            f"{path / store.CONFIG} is not what the design was begun with: {'; '.join(changed[:3])}; "
            "restore it, or begin a new design with --from"
        )


def _summary(path: Path, journal: Journal) -> dict[str, Any]:
    """The content of ``result.json``, which says with which line of the journal the design ended."""
    file = path / "result.json"
    if not os.path.lexists(file):
        if (path / store.DONE).exists():
            raise UsageError(f"{file} is missing, and the design has ended; restore it")
        return {}
    found = store.read_json(file)
    if not isinstance(found, dict) or store.DIGEST not in found:
        raise UsageError(f"{file} is not what was written: it has no digest; restore it")
    if found.get("journal") != journal.last:
        raise UsageError(f"{path / JOURNAL} does not end as it did when the design ended; restore it")
    return found


def _outcomes(steps: dict[str, Any], what: str) -> dict[str, Outcome]:
    end = f" {what}"
    return {n.removesuffix(end): outcome_from(data) for n, data in steps.items() if n.endswith(end)}


def _verdicts(found: Any) -> tuple[Verdict, ...]:
    return tuple(Verdict(**verdict) for verdict in found)


def _records(steps: dict[str, Any], config: DesignConfig) -> list[Record]:
    """As the loop has them, and what the audit of a generation says of its best."""
    records: list[Record] = []
    for restart in range(config.restarts):
        for generation in range(config.generations):
            name = f"{restart}.{generation}"
            found = [
                _record(candidate_from(data), steps, config) for data in steps.get(f"{name} proposed", ())
            ]
            audited = steps.get(f"{name} audited")
            if audited and found:
                best = max(range(len(found)), key=lambda i: found[i].score)
                seen = (*found[best].verdicts, *_verdicts(audited["verdicts"]))
                found[best] = dataclasses.replace(found[best], verdicts=seen)
            records += found
    return records


def checked(candidate: Candidate, steps: Mapping[str, Any]) -> Record:
    """The record of a candidate before its training: what the checks said, as far as a journal has it."""
    return Record(candidate, _verdicts(steps.get(f"{candidate.id} checked", ())))


def _record(candidate: Candidate, steps: dict[str, Any], config: DesignConfig) -> Record:
    record = checked(candidate, steps)
    data = steps.get(f"{candidate.id} trained")
    return record if data is None else trained(record, outcome_from(data), config)


def trained(record: Record, outcome: Outcome, config: DesignConfig) -> Record:
    """The record of a candidate after its training: with its score, and the alarm on its run."""
    found = merit(outcome, config.score, config.curve)
    if outcome.stopped:  # what was dropped is not compared with what was trained to the end
        found = -math.inf
    alarm = hacking(outcome, record.verdicts, config.base)
    seen = record.verdicts if alarm.passed is None else (*record.verdicts, alarm)
    return dataclasses.replace(record, verdicts=seen, outcome=outcome, score=found)
