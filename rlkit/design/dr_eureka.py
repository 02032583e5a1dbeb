"""The second half of DrEureka (arXiv 2406.01967, §3.2 and §3.3) on a finished design.

A policy is trained with the winner's reward, how far each parameter may go for it is measured
(:func:`rlkit.design.randomisation.feasible`), and a model chooses ranges inside those bounds
(:func:`rlkit.design.ranges.choose_ranges`). Nothing ranks its answers but training in each, as in the paper.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from rlkit.agents import registry
from rlkit.design import folder as folders
from rlkit.design.clients import Client
from rlkit.design.config import MODELS
from rlkit.design.models import client_of
from rlkit.design.randomisation import Bounds, feasible
from rlkit.design.ranges import Ranges, choose_ranges
from rlkit.design.transcripts import Transcript
from rlkit.design.types import CURVES
from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.experiment.runs import store
from rlkit.experiment.train import train
from rlkit.rewards import read

RANGES, TRANSCRIPT = "ranges.json", "ranges.transcript.jsonl"


class Widened(NamedTuple):
    """What a finished design's environment may be drawn from."""

    bounds: dict[str, Bounds]
    ranges: tuple[Ranges, ...]  # the model's answers; none if no model was asked

    def lines(self) -> list[str]:
        """For people: bounds, and answers as ``rlkit design`` takes them."""
        told = []
        for name, found in self.bounds.items():
            tried = ", ".join(f"{v:g}: {s:.3g}" for v, s in zip(found.values, found.scores, strict=True))
            ends = f"{found.low:g} to {found.high:g}" if found.low <= found.high else "nothing"
            told.append(f"{name}: {ends} passes ({tried})")
        for answer in self.ranges:
            told.append(answer.error or "--randomise " + " ".join(answer.randomise))
        return told


def widen(
    folder: str | Path,
    values: Mapping[str, Sequence[float]],
    *,
    passes: float = 0.5,
    curve: str = "",
    count: int = 16,
    client: Client | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Widened:
    """Bounds of parameters under a design's winner, and a model's ranges inside them.

    The policy is trained as the design trained its candidates, on a seed of its own. What comes out is kept
    in the folder: ``ranges.json``, and the questions and answers in ``ranges.transcript.jsonl``, so that
    asking again costs nothing.

    Args:
      folder: of a design that has finished with a winner.
      values: what is tried of each parameter of the environment, by name.
      passes: mean of the curve from which on a value passes.
      curve: as of :func:`rlkit.design.randomisation.feasible`; "": what the design ranked by.
      count: answers of the model, 16 in the paper.
      client: the model; None takes the design's own, and asks nobody if that had none.
      progress: show the training.
      say: called with sentences about what happens.

    Returns:
      Bounds by parameter, and the answers; those of no use say why.

    Raises:
      UsageError: no finished design with a winner, or nothing to try.
      UnknownNameError: the environment has no such parameter.
    """
    check_count("count", count)
    if curve and curve not in CURVES:
        raise unknown_name("curve", curve, CURVES)
    path = store.existing(folder, write=True)
    config = folders.load(path)
    if not (path / folders.WINNER).exists():
        raise UsageError(f"{path} has no {folders.WINNER}; expected a design that has finished with a winner")
    if client is None and (config.model or config.replay) and config.designer in MODELS:
        client = Transcript(path=config.replay) if config.replay else client_of(config.model)
    task = dataclasses.replace(config, randomise=()).task()
    reward = read(path / folders.WINNER, task.env.spec)
    known = getattr(task.params, "_fields", ())
    for name in values:  # before the training
        if name not in known:
            raise unknown_name("parameter", name, known)
    agent = registry.TABLE.make(config.agent_name, task.env, config.agent, reward=reward)
    key = jax.random.fold_in(jax.random.key(config.seed), 0xD2)
    trained = train(agent, key=key, total_steps=config.total_steps, seeds=1, probes=1, progress=progress)
    state = jax.tree.map(lambda x: x[0], trained.state)
    bounds = feasible(
        agent, state, jax.random.fold_in(key, 1), values,
        passes=passes, curve=curve or config.curve, episodes=config.eval_episodes,
    )  # fmt: skip
    answers: tuple[Ranges, ...] = ()
    if client is not None:
        asked = Transcript(client, path / TRANSCRIPT)
        answers = choose_ranges(
            asked, task, bounds, jax.random.fold_in(key, 2), count=count, safety=config.safety
        )
    else:
        say("no model was asked: the design had none, and none was named")
    found = Widened(bounds, answers)
    store.write_json(path / RANGES, _plain(found, passes, curve or config.curve), digest=True)
    return found


def _plain(found: Widened, passes: float, curve: str) -> dict[str, Any]:
    number = lambda x: None if x != x else x  # NaN is no JSON
    plain = lambda b: b._asdict() | {"low": number(b.low), "high": number(b.high)}
    return {
        "curve": curve,
        "passes": passes,
        "bounds": {name: plain(bounds) for name, bounds in found.bounds.items()},
        "ranges": [dataclasses.asdict(answer) for answer in found.ranges],
    }
