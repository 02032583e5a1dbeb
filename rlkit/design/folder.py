"""A design in a folder: everything is kept, and one that was stopped or killed goes on to the same bytes.

``config.json`` (re-runnable), ``journal.jsonl`` (every proposal, verdict and outcome, see
:mod:`rlkit.design.journal`), ``transcript.jsonl`` (what a model was asked and answered),
``env.json`` and ``timings.jsonl`` (where and how long: the only files that two
equal designs do not share), and at the end ``winner.reward.json``, which :func:`rlkit.rewards.read` reads
on any machine, ``winner.reward`` (its text alone), ``result.json``, ``report.html`` and ``DONE``.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import outside
from rlkit.design.config import DesignConfig
from rlkit.design.data import to_data
from rlkit.design.designing import build
from rlkit.design.eureka import HumanNormalised, human_normalised
from rlkit.design.journal import JOURNAL, Journal
from rlkit.design.loop import Loop
from rlkit.design.models import recorded
from rlkit.design.recorded import CONFIGURED, check_config, decisive
from rlkit.design.report import report
from rlkit.design.results import BASELINES, Result
from rlkit.design.transcripts import Transcript
from rlkit.design.types import Designer, Record
from rlkit.errors import UsageError
from rlkit.experiment.reports.intervals import Interval
from rlkit.experiment.runs import store
from rlkit.experiment.training import cache
from rlkit.experiment.training import config as configs
from rlkit.experiment.training.provenance import machine, provenance
from rlkit.experiment.training.resuming import started_with
from rlkit.experiment.training.signals import listening
from rlkit.rewards.designed import SUFFIX, seal

WINNER, RESULT = f"winner{SUFFIX}", "result.json"


class Outcome(NamedTuple):
    """How a design in a folder ended."""

    folder: Path
    result: Result
    exit_code: int  # 0, 1 if nothing could be trained, or 128 + the number of the signal that stopped it


def run(
    config: DesignConfig,
    folder: str | Path | None = None,
    *,
    root: str | Path = "designs",
    tell: Callable[[Record], None] = lambda record: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Design a reward, and keep everything in a new folder.

    Args:
      config: how.
      folder: which must not exist; None makes one below ``root``.
      root: where folders are made.
      tell: called with what is known of a candidate after each step.
      say: called with sentences about what happens.

    Raises:
      UsageError: something in ``config`` does not exist, or the folder is not free.
    """
    cache.enable()
    loop = _build(config, tell)  # before the folder: what cannot be done leaves nothing
    path = store.claim(folder) if folder is not None else store.create(root, config.env, config.designer)
    store.write_json(path / store.CONFIG, configs.to_dict(config))
    return _go(path, config, loop, say)


def resume(
    folder: str | Path,
    *,
    words: str = "",
    tell: Callable[[Record], None] = lambda record: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Go on with a design that was stopped or killed, or that waits for a person's words.

    Args:
      folder: of the design.
      words: what the person says, where the design pauses.
      tell: as of :func:`run`.
      say: as of :func:`run`.

    Raises:
      UsageError: not the folder of a design, it has finished, or it has been changed.
    """
    cache.enable()
    path = store.existing(folder, write=True)
    config = load(path)
    if (path / store.DONE).exists():
        raise UsageError(f"{path} has finished; its reward is {path / WINNER}")
    if words and not config.pause:
        raise UsageError(f"words: {path} does not wait for any; expected a design with pause")
    loop = _build(config, tell)
    loop.words = words
    return _go(path, config, loop, say)


def load(folder: str | Path) -> DesignConfig:
    """The configuration of a design's folder.

    Raises:
      UsageError: it is none, or is damaged.
    """
    return load_config(store.existing(folder) / store.CONFIG)


def load_config(path: str | Path) -> DesignConfig:
    """The configuration of a design in a file.

    Raises:
      UsageError: it is not there, is damaged, or is of something else.
    """
    found = configs.from_dict(store.read_json(Path(path)), f"in {path}", DesignConfig)
    if not isinstance(found, DesignConfig):
        raise UsageError(f"{path} is the configuration of a {found.kind} training, not of a design")
    return found


def _build(config: DesignConfig, tell: Callable[[Record], None]) -> Loop:
    return build(config.task(), config, tell=tell)


def _go(path: Path, config: DesignConfig, loop: Loop, say: Callable[[str], None]) -> Outcome:
    begin, cpu = time.perf_counter(), time.process_time()
    with listening() as stop, store.locked(path, say):
        loop.journal, loop.stop = Journal(path / JOURNAL), stop
        check_config(path, config, loop.journal)
        if not loop.journal.steps:
            loop.journal.note(CONFIGURED, decisive(config))
        if started_with(path) is None:
            store.append_jsonl(path / store.TIMINGS, {"event": "start", "config": configs.to_dict(config)})
        loop.designer = recorded(loop.designer, path)
        found = machine(1, (config.env,))
        if loop.journal.once("machine", lambda: found) != found:
            say("the machine is not the one that began: results may differ in their last bits")
        if not (path / store.ENV).exists():
            store.write_json(path / store.ENV, provenance())
        result = loop.run()
        spent = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}
        store.append_jsonl(
            path / store.TIMINGS, {"event": "session", "compiled": loop.trainer.compiled, **spent}
        )
        if result.waiting and not stop():
            say(f"generation {result.waiting} waits; go on with: rlkit design --resume {path} --say WORDS")
            return Outcome(path, result, 0)
        if not result.finished:
            say(f"stopped; continue with: rlkit design --resume {path}")
            return Outcome(path, result, stop.exit_code)
        if result.spent:
            say(f"the search ended early: {result.spent}")
        _write(path, config, loop, result)
    return Outcome(path, result, int(result.winner is None))


def _write(path: Path, config: DesignConfig, loop: Loop, result: Result) -> None:
    if result.winner is not None:
        sealed = seal(winner_data(config, loop, result))
        store.write_json(path / WINNER, sealed)
        text = result.winner.candidate.text
        outside.replace(path / "winner.reward", lambda file: file.write(text.encode()))
    summary = summarise(config, result) | {"asked": asked(loop.designer), "journal": loop.journal.last}
    store.write_json(path / RESULT, summary, digest=True)
    report(path)
    store.write_json(path / store.DONE, {"winner": summary["winner"]})


def winner_data(config: DesignConfig, loop: Loop, result: Result) -> dict[str, Any]:
    """What the file of the winner says: the reward, where it came from and what it scored."""
    from rlkit.rewards.language import parse_program
    from rlkit.rewards.reading import is_program

    assert result.winner is not None
    assert result.fresh is not None
    winner = result.winner.candidate
    line = [to_data(r) for r in lineage(winner.id, result)]
    program = parse_program(winner.text) if is_program(winner.text) else None
    return {
        "text": winner.text,
        "base": config.base,
        "program": None if program is None else program.digest,
        "genome": winner.genome,
        "environment": {"id": config.env, "options": list(config.env_options), "spec": spec_digest(loop)},
        "config": configs.to_dict(config),
        "candidate": to_data(winner),
        "lineage": line,
        "scores": {name: to_data(outcome) for name, outcome in result.fresh.outcomes.items()},
        "asked": _endpoint(loop.designer),
        "machine": loop.journal.steps.get("machine"),
    }


def asked(designer: Designer) -> dict[str, float] | None:
    """What a model was asked and what that cost, the sums of the transcript; None without one."""
    while isinstance(inner := getattr(designer, "designer", None), Designer):
        designer = inner
    client = getattr(getattr(designer, "writer", None), "client", None)
    if not isinstance(client, Transcript):
        return None
    spent = client.spent
    return {**dataclasses.asdict(spent), "money": spent.money(client.budget)}


def _endpoint(designer: Designer) -> dict[str, Any] | None:
    """What :func:`asked` says, and at which host; None without a model."""
    sums, inner = asked(designer), getattr(designer, "designer", designer)
    if sums is None:
        return None
    client = getattr(getattr(inner, "writer", None), "client", None)
    return {**sums, "endpoint": getattr(getattr(client, "client", None), "family", "")}


def spec_digest(loop: Loop) -> str:
    """SHA-256 of what the environment's specification says."""
    import hashlib

    spec = loop.task.env.spec
    fields = [dataclasses.asdict(field) for field in spec.features]
    said = [spec.id, repr(spec.observation_space), repr(spec.action_space), fields, spec.task, spec.success]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=repr).encode()).hexdigest()


def lineage(id: str, result: Result) -> list[Record]:
    """A candidate and all that it came from, itself first."""
    history = result.histories[int(id.split(".")[0])]
    found: dict[str, Record] = {}
    waiting = [id]
    while waiting:
        record = history.find(waiting.pop(0))
        if record.candidate.id not in found:
            found[record.candidate.id] = record
            waiting += record.candidate.parents
    return list(found.values())


def summarise(config: DesignConfig, result: Result) -> dict[str, Any]:
    """The result in numbers: means over fresh seeds with their intervals, and what was spent."""
    records = [record for history in result.histories for record in history.records]
    trained = [record for record in records if record.outcome is not None]
    summary: dict[str, Any] = {
        "winner": None if result.winner is None else result.winner.candidate.id,
        "designer": config.designer,
        "proposed": len(records),
        "refused": sum(bool(record.refused) for record in records),
        "trained": len(trained),
        "spent": result.spent,
        "audit": [to_data(verdict) for verdict in result.audited],
        "environment_steps": sum(r.outcome.steps[-1] for r in trained if r.outcome and r.outcome.steps)
        * config.seeds,
    }
    if result.fresh is None:
        return summary | {"sentence": "No candidate could be trained."}
    fresh = result.fresh
    for curve in ("fitness", "success"):
        summary[curve] = {name: _plain(fresh.interval(name, curve)) for name in fresh.outcomes}
        summary[curve] |= {f"winner - {name}": _plain(fresh.gain(curve, "final", name)) for name in BASELINES}
    means = (fresh.interval(name, config.curve).mean for name in ("winner", "environment's own", "sparse"))
    summary["human_normalised"] = _plain(human_normalised(*means))
    return summary | {"sentence": sentence(config, result)}


def _plain(found: Interval | HumanNormalised) -> dict[str, Any]:
    return {name: (x if x == x else None) for name, x in found._asdict().items()}


def sentence(config: DesignConfig, result: Result) -> str:
    """What was found, in a sentence; says so when it is not better than the sparse reward."""
    assert result.fresh is not None
    gain, own = (result.fresh.gain(config.curve, "final", name) for name in BASELINES)
    winner = result.fresh.interval("winner", config.curve)
    found = (
        "is better than the sparse reward"
        if gain.low > 0
        else "is worse than the sparse reward"
        if gain.high < 0
        else "cannot be told from the sparse reward"
    )
    return (
        f"On {winner.count} fresh seeds the designed reward {found}: {config.curve} {winner.mean:.3g} "
        f"at the end of training, {gain.mean:+.3g} [{gain.low:.3g}, {gain.high:.3g}] against sparse and "
        f"{own.mean:+.3g} [{own.low:.3g}, {own.high:.3g}] against "
        "the environment's own reward (95 % intervals)."
    )
