"""From where a run goes on, and whether what it goes on with is what it was."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import outside
from rlkit.errors import UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.runs.checkpoint import Checkpoint
from rlkit.experiment.training import integrity
from rlkit.experiment.training.progress import Progress
from rlkit.experiment.training.provenance import CONTENT


class Found(NamedTuple):
    """What a run folder holds to go on with."""

    checkpoint: Checkpoint | None  # None: the run starts again
    noticed: list[str]  # damage to files of the run that does not hinder it


def newest(
    folder: Path,
    restore: Callable[..., Checkpoint | None],
    config: dict[str, Any],
    machine: dict[str, Any],
    shown: Progress,
) -> Found:
    """The newest intact checkpoint of a run whose log is still what it was.

    Args:
      folder: the run folder.
      restore: ``restore(accept)``, see :func:`rlkit.experiment.runs.checkpoint.restore`.
      config: the run's configuration now, as JSON data.
      machine: what its last bits depend on now, see :func:`rlkit.experiment.training.provenance.machine`.
      shown: told what was passed over, what differs, and what was damaged.

    Raises:
      UsageError: the configuration is not the one that the run was started with, the log is damaged
        before the oldest checkpoint, or the checkpoints belong to another agent.
      RlkitError: no checkpoint is intact.
    """
    where, damaged = folder / store.CHECKPOINTS, []

    def accept(update: int) -> bool:
        try:
            meta = checkpoint.describe(where, update)
        except (OSError, ValueError):
            return True  # to be rejected, with the reason
        same_config(folder, meta["config"], config)
        damage = integrity.problem(folder, store.METRICS, meta["files"])
        if damage:
            damaged.append(damage)
            shown.warn(f"checkpoint {update} is passed over: {damage}")
        return not damage

    found = restore(accept)
    if found is None and damaged:
        raise UsageError(f"{damaged[-1]}; restore it from a copy, or start a new run")
    if found is None:
        same_config(folder, started_with(folder), config)
        _keep_lost(folder, shown)
        return Found(None, [])
    return Found(found, _compare(folder, found, machine, shown))


def _keep_lost(folder: Path, shown: Progress) -> None:
    """A run whose checkpoints are gone begins anew, which is said; what it recorded is kept aside."""
    try:
        rows = store.read_jsonl(folder / store.TIMINGS)
    except UsageError:
        rows = []
    saved = [row.get("update") for row in rows if row.get("event") == "checkpoint"]
    if not saved:
        return
    target = folder / checkpoint.REJECTED
    with outside.at(target):
        target.mkdir(exist_ok=True)
        aside = target / f"run-{sum(1 for _ in target.iterdir())}"
        aside.mkdir()
        if (folder / store.METRICS).is_file():
            shutil.copy2(folder / store.METRICS, aside)
        if (folder / store.LATENTS).is_dir():
            shutil.copytree(folder / store.LATENTS, aside / store.LATENTS)
    shown.warn(
        f"{folder / store.CHECKPOINTS} is without the checkpoints that were made there, the last at update "
        f"{saved[-1]}: the run begins anew; what it had recorded is in {aside}"
    )


def same_config(folder: Path, old: Any, new: dict[str, Any]) -> None:
    """Raise a UsageError unless a run's configuration, as JSON data, is what it was."""
    changed = integrity.differences(integrity.completed(old), new) if isinstance(old, dict) else []
    if changed:
        raise UsageError(
            f"{folder / store.CONFIG} is not what the run was started with: {'; '.join(changed[:3])}; "
            "restore it, or start a new run with --from"
        )


def started_with(folder: Path) -> Any:
    """The configuration that the first start of a run noted, if it can be read."""
    try:
        rows = store.read_jsonl(folder / store.TIMINGS)
    except UsageError:
        return None
    return next((row.get("config") for row in rows if row.get("event") == "start"), None)


def _compare(folder: Path, found: Checkpoint, machine: dict[str, Any], shown: Progress) -> list[str]:
    """Warn if this machine may compute other bits, or if a file beside the log was damaged."""
    changed = integrity.differences(found.meta["machine"], machine)
    other = [one for one in changed if one.startswith(CONTENT)]
    if other:
        raise UsageError(
            f"what {folder} is trained with has changed since checkpoint {found.update}: {'; '.join(other)}; "
            "restore it, or start a new run with --from"
        )
    if changed:
        shown.warn(
            f"this is not as it was at checkpoint {found.update}: {'; '.join(changed)}; "
            "the last bits of the results may differ from those of a run that was not stopped"
        )
    damage = integrity.problems(folder, found.meta["files"], lambda name: name != store.METRICS)
    for sentence in damage:
        shown.warn(sentence)
    return found.meta["noticed"] + [d for d in damage if d not in found.meta["noticed"]]
