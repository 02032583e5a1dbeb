"""What ways to success have in common: what comes nearer on them, stage by stage.

Conditions that hold from some point of the way on divide it into stages, each with features of its own, as
reward machines do (Toro Icarte et al. 2018). The definitions are ours.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from rlkit.design.evidence import SOUGHT, WANDER, Evidence
from rlkit.design.genome import TARGETS, Gate, Schema, Term
from rlkit.design.measures import Measure

FAILURES = 8  # fewer say nothing
LEAST = 0.05  # of what a measure differs by that a way must bring it nearer to a target
MOST_STAGES = 4
ALWAYS = Gate()


class Ways(NamedTuple):
    """Measures along the shortest success from each start, or along the best attempts if there is none."""

    values: list[np.ndarray]  # float64 [T + 1, M] each
    failed: list[np.ndarray]  # the same of failures: those that ended by themselves, and random actions
    back: np.ndarray  # bool [M]: in some episode of the evidence the measure became smaller
    whole: np.ndarray  # bool [M]: on all ways it is a whole number
    spread: np.ndarray  # float64 [M]: how far apart its values are in all of the evidence


class Stage(NamedTuple):
    """A part of each way, told from the others by a gate."""

    gate: Gate
    parts: list[tuple[int, int]]  # by way: its first and last place; equal where it is left out
    final: bool  # once the gate is left, it never opens again


def ways(evidence: Evidence, schema: Schema) -> Ways:
    """What the evidence knows of ways to success.

    Args:
      evidence: of the task.
      schema: of the task; its measures are read.
    """
    episodes, transition = evidence.episodes, evidence.episodes.trajectory.transition
    solved, length = episodes.solved, episodes.length
    read = jax.jit(jax.vmap(jax.vmap(lambda f: [m.read(f) for m in schema.measures])))
    before, after = (
        np.stack([np.asarray(x, np.float64) for x in read(side)], -1)
        for side in (transition.features, transition.next_features)
    )
    bad = ~solved & (episodes.terminated | (episodes.kind == WANDER))
    walk = lambda i, end: np.concatenate([before[:1, i], after[:end, i]])
    values = []
    for start in np.unique(episodes.start):
        wanted = solved if solved.any() else episodes.kind == SOUGHT
        here = np.flatnonzero((episodes.start == start) & wanted)
        if not here.size:
            continue
        one = here[length[here].argmin()] if solved.any() else here[0]
        end = int(length[one]) - 1
        if not solved.any():
            end = int(np.where(episodes.valid[:, one], episodes.fitness[:, one], -np.inf).argmax())
        values.append(walk(one, end + 1))
    failed = [walk(i, int(length[i])) for i in np.flatnonzero(bad)]
    whole = np.all([np.all(v == np.round(v), 0) for v in values], 0) if values else np.zeros(0, bool)
    seen = np.concatenate([before[episodes.valid], after[episodes.valid]])
    return Ways(values, failed, np.any((after < before)[episodes.valid], 0), whole, np.ptp(seen, 0))


def stagings(found: Ways, schema: Schema) -> list[list[Stage]]:
    """Ways undivided, divided by each condition and each count, and by all conditions in their order."""
    ends = [(0, len(values) - 1) for values in found.values]
    out = [[Stage(ALWAYS, ends, True)]]
    if "while" not in schema.gates:
        return out
    flips: dict[int, list[int]] = {}
    for i, measure in enumerate(schema.measures):
        seen = [values[:, i] for values in found.values]
        if measure.flag:
            places = [_flip(values) for values in seen]
            if sum(0 < place < end for place, (_, end) in zip(places, ends, strict=True)) * 2 > len(ends):
                flips[i] = places
        elif found.whole[i] and all(np.all(np.diff(v) >= 0) for v in seen):
            counts = sorted({float(x) for v in seen for x in v[:-1]})
            if 2 <= len(counts) <= MOST_STAGES:
                final = not found.back[i]
                out.append([_while(measure, x, [_run(v, x) for v in seen], final) for x in counts])
    order = sorted(flips, key=lambda i: float(np.mean(flips[i])))
    for some in [[i] for i in order] + ([order[: MOST_STAGES - 1]] if len(order) > 1 else []):
        out.append(_divided(some, flips, ends, found, schema))
    return out


def _flip(values: np.ndarray) -> int:
    """The place from which on a condition holds to the end; 0 if there is none."""
    return int(np.argmax(values > 0.5)) if values[-1] > 0.5 and np.all(np.diff(values) >= 0) else 0


def _run(values: np.ndarray, count: float) -> tuple[int, int]:
    """From the first place of a count to the one where it is left."""
    here = np.flatnonzero(values == count)
    return (int(here[0]), min(int(here[-1]) + 1, len(values) - 1)) if here.size else (0, 0)


def _while(measure: Measure, count: float, parts: list[tuple[int, int]], final: bool) -> Stage:
    return Stage(Gate("while", measure.name, float(count), 0.5), parts, final)


def _divided(
    flags: Sequence[int],
    flips: dict[int, list[int]],
    ends: list[tuple[int, int]],
    found: Ways,
    schema: Schema,
) -> list[Stage]:
    """Before the first of some conditions, and from each of them to the next."""
    names = [schema.measures[i].name for i in flags]
    places = [[0] * len(ends), *(flips[i] for i in flags), [end for _, end in ends]]
    gates = [Gate("unless", names[0], 1.0, 0.5), *(Gate("while", name, 1.0, 0.5) for name in names)]
    finals = [not found.back[flags[0]], *(not found.back[i] for i in flags)]
    parts = [
        [(a, max(a, b)) for a, b in zip(begin, end, strict=True)] for begin, end in itertools.pairwise(places)
    ]
    return [Stage(*stage) for stage in zip(gates, parts, finals, strict=True)]


def approached(stage: Stage, found: Ways, schema: Schema) -> list[Term]:
    """Terms for what comes nearer in a stage, best first: steadily, to where it ends each time, on ways to
    success alone.

    Ranked by how steadily a measure comes nearer to a target (:func:`_steady`), less how far from it the
    stage ends in units of what the measure differs by, less how steadily the more directed failures come
    nearer as well (their 80th percentile, of those that end in the stage). Conditions guide nobody, nor does
    what only grows whatever is done; of measures that move alike the best is taken. Each term pays about 1
    for the whole stage.
    """
    seen = [v[a : b + 1] for v, (a, b) in zip(found.values, stage.parts, strict=True) if b > a]
    if not seen:
        return []
    targets = np.array([[m.low + x * m.range for x in TARGETS] for m in schema.measures])
    unit = np.where(found.spread > 0, found.spread, np.inf)[:, None]
    apart = lambda values: np.abs(values[..., None] - targets) / unit
    ways = [apart(values) for values in seen]
    nearer = np.mean([d[0] - d[-1] for d in ways], 0)
    worth = np.mean([_steady(d) for d in ways], 0) - np.mean([d[-1] for d in ways], 0)
    failed = [_steady(apart(values)) for values in _failing(stage, found, schema)]
    if len(failed) >= FAILURES:
        worth -= np.maximum(np.percentile(failed, 80, 0), 0.0)
    grows = ~found.back & ~found.whole
    able = (nearer >= LEAST) & ~(grows | [m.flag for m in schema.measures])[:, None]
    moves = np.concatenate([np.diff(d, axis=0) for d in ways])
    out, taken = [], []
    for place in sorted(zip(*np.nonzero(able), strict=True), key=lambda place: -worth[place]):
        move = moves[(slice(None), *place)]
        if any(_alike(move, other) for other in taken):
            continue
        taken.append(move)
        i, k = place
        scale = float(np.float32(nearer[place] * found.spread[i]))
        name = schema.measures[i].name
        out.append(Term("", name, float(np.float32(targets[i, k])), scale, 1.0, stage.gate))
    return out


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two measures come nearer in the same steps: their moves correlate above 0.95."""
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return bool(size == 0.0 or one @ other > 0.95 * size)


def _steady(apart: np.ndarray) -> np.ndarray:
    """How much of what distances ``[T, ...]`` move is getting smaller, and not all at once: what happens at
    once guides nobody. At most 1, with many equal steps; 0 where nothing comes nearer."""
    moves = -np.diff(apart, axis=0)
    come = np.maximum(moves, 0.0)
    total, gained = np.abs(moves).sum(0), come.sum(0)
    some = gained > 0
    even = 1.0 - come.max(0, initial=0.0) / np.where(some, gained, 1.0)
    return np.where(some, moves.sum(0) / np.where(some, total, 1.0) * even, 0.0)


def _failing(stage: Stage, found: Ways, schema: Schema) -> list[np.ndarray]:
    """What failures do in a stage that they end in, from where they enter it."""
    if stage.gate.when == "always":
        return [values for values in found.failed if len(values) > 2]
    index = [m.name for m in schema.measures].index(stage.gate.field)
    out = []
    for values in found.failed:
        here = np.abs(values[:, index] - stage.gate.target) <= stage.gate.scale
        here = ~here if stage.gate.when == "unless" else here
        begin = len(here) - int(np.argmin(here[::-1])) if not here.all() else 0
        if len(here) - begin > 2:
            out.append(values[begin:])
    return out
