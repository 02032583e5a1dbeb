"""Designers without a model: evolution of genomes with an archive, and random search, its control.

Both sample the same schema; what a model writes in spec mode is read by the same schema as well, so that the
three differ by what chooses, not by what can be chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from rlkit.design.genome import SCALES, TARGETS, WEIGHTS, Gate, Genome, Schema, Term, from_json, to_json
from rlkit.design.measures import Measure
from rlkit.design.printing import genome_text
from rlkit.design.terms import KINDS
from rlkit.design.types import Candidate, DesignTask, History, Record
from rlkit.errors import UsageError
from rlkit.types import Key

Chance = np.random.Generator


def chance_of(key: Key) -> Chance:
    """A generator of the host's random numbers from a typed PRNG key: the same on every machine."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def candidate_of(genome: Genome, schema: Schema, origin: str, parents: Sequence[str] = ()) -> Candidate:
    """The candidate of a genome."""
    text = genome_text(genome, schema)
    return Candidate(text, origin=origin, parents=tuple(parents), genome=to_json(genome))


def random_genome(chance: Chance, schema: Schema) -> Genome:
    """One to ``slots`` random terms."""
    return tuple(random_term(chance, schema) for _ in range(chance.integers(1, schema.slots + 1)))


def random_term(chance: Chance, schema: Schema) -> Term:
    """A random term: kinds are equally likely, then features, then their measures."""
    kind = _one(chance, [k for k in schema.kinds if k != "none"])
    weight = _one(chance, WEIGHTS)
    if KINDS[kind].signed and chance.random() < 0.5:
        weight = -weight
    gate = _random_gate(chance, schema) if chance.random() < 0.2 else Gate()
    if not KINDS[kind].field:
        return Term(kind, weight=weight, gate=gate)
    measure = _random_measure(chance, schema.choices(kind))
    return Term(kind, measure.name, *_random_place(chance, measure), weight, gate)


def _one(chance: Chance, choices: Sequence[Any]) -> Any:
    return choices[int(chance.integers(len(choices)))]


def _random_measure(chance: Chance, measures: Sequence[Measure]) -> Measure:
    """Features first: a vector of many entries is not likelier than a number."""
    features = _one(chance, list(dict.fromkeys(m.features for m in measures)))
    return _one(chance, [m for m in measures if m.features == features])


def _random_place(chance: Chance, measure: Measure) -> tuple[float, float]:
    """A target and a scale."""
    if measure.flag:
        return 1.0, 0.5
    target = measure.low + _one(chance, TARGETS) * measure.range
    return float(np.float32(target)), float(np.float32(_one(chance, SCALES) * measure.range))


def _random_gate(chance: Chance, schema: Schema) -> Gate:
    when = _one(chance, schema.gates)
    if when == "always":
        return Gate()
    measure = _random_measure(chance, schema.measures)
    return Gate(when, measure.name, *_random_place(chance, measure))


def mutate(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    """One change: another term, weight, scale, target, field or gate; a term more; or one less."""
    changes = [_replace, _reweigh, _rescale, _retarget, _refield, _regate]
    changes += [_append] if len(genome) < schema.slots else []
    changes += [_drop] if len(genome) > 1 else []
    return _one(chance, changes)(chance, genome, schema)


def _at(genome: Genome, i: int, term: Term) -> Genome:
    return (*genome[:i], term, *genome[i + 1 :])


def _replace(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    return _at(genome, int(chance.integers(len(genome))), random_term(chance, schema))


def _append(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    return (*genome, random_term(chance, schema))


def _drop(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    i = int(chance.integers(len(genome)))
    return genome[:i] + genome[i + 1 :]


def _reweigh(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    """Times 0.3 or 3, within the grid's ends, or the other sign."""
    i = int(chance.integers(len(genome)))
    term = genome[i]
    factors = (0.3, 3.0, -1.0) if KINDS[term.kind].signed else (0.3, 3.0)
    weight = term.weight * _one(chance, factors)
    size = min(max(abs(weight), WEIGHTS[0]), WEIGHTS[-1])
    return _at(genome, i, term._replace(weight=float(np.copysign(size, weight))))


def _rescale(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    return _moved(chance, genome, schema, lambda term, place: term._replace(scale=place[1]))


def _retarget(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    return _moved(chance, genome, schema, lambda term, place: term._replace(target=place[0]))


def _moved(chance: Chance, genome: Genome, schema: Schema, change: Any) -> Genome:
    about = [i for i, term in enumerate(genome) if term.field]
    if not about:
        return _replace(chance, genome, schema)
    i = _one(chance, about)
    return _at(genome, i, change(genome[i], _random_place(chance, schema.measure(genome[i].field))))


def _refield(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    about = [i for i, term in enumerate(genome) if term.field]
    if not about:
        return _replace(chance, genome, schema)
    i = _one(chance, about)
    measure = _random_measure(chance, schema.choices(genome[i].kind))
    target, scale = _random_place(chance, measure)
    return _at(genome, i, genome[i]._replace(field=measure.name, target=target, scale=scale))


def _regate(chance: Chance, genome: Genome, schema: Schema) -> Genome:
    if len(schema.gates) == 1:
        return _reweigh(chance, genome, schema)
    i = int(chance.integers(len(genome)))
    return _at(genome, i, genome[i]._replace(gate=_random_gate(chance, schema)))


def crossover(chance: Chance, one: Genome, other: Genome, schema: Schema) -> Genome:
    """Each term of both with probability 1/2, at least one, at most ``slots``: terms stay whole, as in R*."""
    pool = list(dict.fromkeys([*one, *other]))
    kept = [term for term in pool if chance.random() < 0.5] or [_one(chance, pool)]
    order = sorted(chance.permutation(len(kept))[: schema.slots])
    return tuple(kept[i] for i in order)


def scaled(genome: Genome, factor: Callable[[], float]) -> Genome:
    """The same terms with other weights and scales: each times a ``factor()``, within a genome's limits."""
    return tuple(
        term._replace(
            weight=float(np.clip(term.weight * factor(), -100, 100)),
            scale=float(np.clip(term.scale * factor(), 1e-6, 1e6)) if term.field else term.scale,
        )
        for term in genome
    )


def descriptor(genome: Genome) -> tuple[int, int]:
    """The bin of a genome: number of terms, and share of potential differences in quarters (0 to 3)."""
    share = sum(KINDS[term.kind].potential for term in genome) / max(len(genome), 1)
    return len(genome), min(int(4 * share), 3)


def archive(records: Sequence[Record], schema: Schema) -> dict[tuple[int, int], Record]:
    """The best record of each bin (MAP-Elites, Mouret & Clune 2015, arXiv 1504.04909), in a fixed order."""
    best: dict[tuple[int, int], Record] = {}
    for record in records:
        if record.candidate.genome is None or not np.isfinite(record.score):
            continue
        place = descriptor(from_json(record.candidate.genome, schema))
        if place not in best or record.score > best[place].score:
            best[place] = record
    return dict(sorted(best.items()))


@dataclass(frozen=True)
class RandomSearch:
    """The schema sampler without selection: the control that every search has to beat.

    Attributes:
      schema: of the task.
    """

    schema: Schema
    name: str = "random"

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        chance = chance_of(key)
        return [
            candidate_of(random_genome(chance, self.schema), self.schema, self.name) for _ in range(count)
        ]


@dataclass(frozen=True)
class Evolution:
    """Evolution of genomes: parents from an archive of the best of each bin, mutation and crossover.

    Attributes:
      schema: of the task.
      fresh: share of candidates that are random, which keeps the search from narrowing.
      cross: share of the others with two parents.
      elite: share of parents that are the best of all, rather than of a random bin.
    """

    schema: Schema
    fresh: float = 0.2
    cross: float = 0.3
    elite: float = 0.5
    name: str = "evolution"

    def __post_init__(self) -> None:
        for name in ("fresh", "cross", "elite"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name}={getattr(self, name)!r}: expected a share between 0 and 1")

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        chance = chance_of(key)
        bins = list(archive(history.records, self.schema).values())
        known = {record.candidate.text for record in history.records}
        out: list[Candidate] = []
        for _ in range(count):
            for _ in range(8):  # a reward that has been tried teaches nothing new
                candidate = self.child(chance, bins)
                if candidate.text not in known:
                    break
            known.add(candidate.text)
            out.append(candidate)
        return out

    def child(self, chance: Chance, bins: Sequence[Record]) -> Candidate:
        """A new candidate from some records with genomes; a random one if there are none."""
        if not bins or chance.random() < self.fresh:
            return candidate_of(random_genome(chance, self.schema), self.schema, self.name)
        parents = [self._parent(chance, bins)]
        genome = from_json(parents[0].candidate.genome, self.schema)
        if len(bins) > 1 and chance.random() < self.cross:
            parents.append(self._parent(chance, bins))
            other = from_json(parents[1].candidate.genome, self.schema)
            genome = crossover(chance, genome, other, self.schema)
        genome = mutate(chance, genome, self.schema)
        ids = dict.fromkeys(record.candidate.id for record in parents)
        return candidate_of(genome, self.schema, self.name, tuple(ids))

    def _parent(self, chance: Chance, bins: Sequence[Record]) -> Record:
        best = max(bins, key=lambda record: record.score)
        return best if chance.random() < self.elite else _one(chance, bins)
