"""Genomes read off successes, which a designer begins with.

A search for success without a policy belongs to the checks of a design (:mod:`rlkit.design.evidence`). What
it found says which features change steadily on the way and where they end, stage by stage
(:mod:`rlkit.design.stages`): getting nearer to there is what a designer begins with (:func:`leads`), so that
it need not come upon it by chance. The definitions are ours. Such a genome must be trained and judged like
any other.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rlkit.design.evidence import Evidence
from rlkit.design.evolution import candidate_of
from rlkit.design.genome import Genome, Schema, Term
from rlkit.design.stages import Stage, Ways, approached, stagings, ways
from rlkit.design.types import Candidate, Designer, DesignTask, History
from rlkit.errors import UsageError
from rlkit.types import Key


def leads(evidence: Evidence, schema: Schema) -> tuple[Genome, ...]:
    """Genomes that pay for what ways to success have in common, the most telling first.

    Of each division into stages, those with most stages first: in every stage the best measure, and in one
    stage after the other the second and the third best instead; as one potential that rises from stage to
    stage (:func:`_ladder`), with and without discount, as getting nearer, or as getting nearer than ever. A
    whole stage pays a tenth of success at first: what is paid on the way shall not outweigh it.

    Args:
      evidence: of the task.
      schema: of the task.

    Returns:
      Genomes, each once; none if nothing is known of a way to success.
    """
    found = ways(evidence, schema)
    if not found.values:
        return ()
    divisions = sorted(stagings(found, schema), key=lambda stages: -len(stages))
    known = [[approached(stage, found, schema) for stage in stages] for stages in divisions]
    out: dict[Genome, None] = {}
    most = max(map(len, divisions))
    others = [(0, 0), *itertools.product(range(most), (1, 2))]  # a stage, and which of its measures is taken
    for weight, (k, rank), style in itertools.product(SIZES, others, STYLES):
        for stages, terms in zip(divisions, known, strict=True):
            ranks = [rank if i == k else 0 for i in range(len(stages))]
            chosen = [some[r] for some, r in zip(terms, ranks, strict=True) if r < len(some)]
            if genome := style(stages, chosen, found, schema, weight):
                out[genome] = None
    return tuple(out)


Chosen = Sequence[Term]
"""A term without a kind for each stage; some stages have none."""


def _ladder(
    stages: Sequence[Stage], chosen: Chosen, found: Ways, schema: Schema, weight: float, kind: str = "share"
) -> Genome:
    """One potential that rises from 0 by ``weight`` in each stage, to as many as there are stages.

    What a stage has paid is lost where its gate shuts, and what the next stage says of itself (a condition,
    a count) is worth as much: going back and forth is paid nothing, however often. With discount
    (``kind="share"``) the optimal policies stay those of the base, but whoever dies pays back all of it at
    once, and near a danger a beginner learns to keep away; without (``"climb"``) it is kept.
    """
    if kind not in schema.kinds:
        return ()
    index = {m.name: i for i, m in enumerate(schema.measures)}
    wide = lambda t: float(np.float32(found.spread[index[t.field]]))  # felt wherever anything was seen
    terms = [t._replace(kind=kind, scale=wide(t), weight=weight) for t in chosen]
    gates = [stage.gate for stage in stages]
    if gates[0].when == "while":
        first, name = gates[0].target, gates[0].field
        last = max(float(values[-1, index[name]]) for values in found.values)
        terms.append(Term(kind, name, last, max(last - first, 1.0), weight * max(last - first, 1.0)))
    else:
        terms += [Term(kind, gate.field, gate.target, gate.scale, weight) for gate in gates[1:]]
    return tuple(terms[: schema.slots]) if chosen else ()


def _nearer(stages: Sequence[Stage], chosen: Chosen, found: Ways, schema: Schema, weight: float) -> Genome:
    """Getting nearer in each stage; nearer than ever where going to and fro through a gate could be paid."""
    final = {stage.gate: stage.final for stage in stages}
    kinds = lambda t: ("progress", "potential") if final[t.gate] else ("best",)
    return _of_kinds(chosen, schema, weight, kinds)


def _nearest(stages: Sequence[Stage], chosen: Chosen, found: Ways, schema: Schema, weight: float) -> Genome:
    """Getting nearer than ever in the episode, in each stage."""
    return _of_kinds(chosen, schema, weight, lambda t: ("best",))


def _of_kinds(
    chosen: Chosen, schema: Schema, weight: float, kinds: Callable[[Term], Sequence[str]]
) -> Genome:
    terms = []
    for term in chosen:
        able = [kind for kind in kinds(term) if kind in schema.kinds]
        terms += [term._replace(kind=kind, weight=weight) for kind in able[:1]]
    return tuple(terms[: schema.slots])


SIZES = (0.1, 0.3, 1.0)
STYLES = (functools.partial(_ladder, kind="climb"), _ladder, _nearer, _nearest)


@dataclass(frozen=True)
class Guided:
    """A designer of genomes that begins with what is read off successes.

    They take the place of candidates without parents: of a share of the first generation, and later of random
    ones, until each has been tried.

    Attributes:
      designer: what proposes the others.
      schema: of genomes.
      known: gives the genomes to begin with (:func:`leads`); asked when something is proposed.
      share: of the first generation.
    """

    designer: Designer
    schema: Schema
    known: Callable[[], Sequence[Genome]]
    share: float = 0.8

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise UsageError(f"share={self.share!r}: expected a share between 0 and 1")

    @property
    def name(self) -> str:
        return f"guided {self.designer.name}"

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> Sequence[Candidate]:
        out = list(self.designer.propose(task, history, key, count))
        tried = {record.candidate.text for record in history.records}
        made = (candidate_of(genome, self.schema, "guided") for genome in self.known())
        new = [candidate for candidate in made if candidate.text not in tried]
        places = [i for i, c in enumerate(out) if not c.parents and c.origin != "human"]
        if not history.generations:
            places = places[: round(self.share * count)]
        for i, one in zip(places, new, strict=False):
            out[i] = replace(out[i], text=one.text, genome=one.genome, origin=one.origin)
        return out
