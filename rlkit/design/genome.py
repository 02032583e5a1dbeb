"""Rewards as data: a few typed terms, which are arrays for a trainer, JSON for a model, and text for people.

A genome is a tuple of :class:`Term`. :func:`to_json` and :func:`from_json` are what a model writes,
:func:`encode` makes the arrays that :func:`rlkit.design.interpreter.genome_reward` pays by, and
:func:`rlkit.design.printing.genome_text` writes the same reward as a program of the reward language.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.design.measures import Measure, bounded_measures
from rlkit.design.terms import GATES, KINDS, NAMES
from rlkit.design.types import DesignTask
from rlkit.errors import UsageError, unknown_name
from rlkit.fields import not_float32, shown
from rlkit.keys import typed_key
from rlkit.spaces import Box
from rlkit.types import Key

WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SCALES = (0.03, 0.1, 0.3, 1.0)  # shares of a measure's range
TARGETS = (0.0, 0.5, 1.0)  # places in it
MOST_ACTIONS = 4  # numbers of an action whose change may be a term: each is an entry of a program's memory


class Gate(NamedTuple):
    """When a term counts, see :data:`rlkit.design.terms.GATES`: ``|measure - target| <= scale``."""

    when: str = "always"
    field: str = ""
    target: float = 0.0
    scale: float = 1.0


class Term(NamedTuple):
    """One term: ``weight * kind(field, target, scale)`` while the gate is open."""

    kind: str
    field: str = ""
    target: float = 0.0
    scale: float = 1.0
    weight: float = 1.0
    gate: Gate = Gate()

    @property
    def name(self) -> str:
        """For curves and texts."""
        return f"{self.kind}_{self.field}" if self.field else self.kind


Genome = tuple[Term, ...]


class Arrays(NamedTuple):
    """Genomes for a compiled trainer, leaves ``[slots]`` (or ``[N, slots]``)."""

    kind: Any  # int32
    field: Any  # int32
    target: Any  # float32, in units of the measure
    scale: Any
    weight: Any
    gate: Any  # int32
    gate_field: Any
    gate_target: Any
    gate_scale: Any


@dataclass(frozen=True)
class Schema:
    """What genomes of a task may contain.

    Attributes:
      measures: what terms may be about.
      kinds: names of :data:`rlkit.design.terms.KINDS`.
      gates: names of :data:`rlkit.design.terms.GATES`.
      slots: most terms.
      action_bound: largest magnitude of each number of an action; empty for discrete actions.
      discount: γ of potential differences.
    """

    measures: tuple[Measure, ...]
    kinds: tuple[str, ...]
    gates: tuple[str, ...]
    slots: int
    action_bound: tuple[float, ...]
    discount: float

    @property
    def remembers(self) -> bool:
        """Whether some genome needs memory."""
        return "after" in self.gates or any(KINDS[kind].memory for kind in self.kinds)

    def measure(self, name: str) -> Measure:
        """The measure of a name; an unknown one raises with a suggestion."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise unknown_name("field", name, [m.name for m in self.measures])

    def choices(self, kind: str) -> tuple[Measure, ...]:
        """The measures that a kind may be about."""
        return tuple(m for m in self.measures if KINDS[kind].flags or not m.flag)


def schema_of(
    task: DesignTask,
    key: Key | None = None,
    *,
    slots: int = 5,
    potential_only: bool = False,
    memory: bool = True,
) -> Schema:
    """What genomes for a task may contain.

    Args:
      task: the task.
      key: typed PRNG key for the ranges that the specification leaves open; None: key 0.
      slots: most terms, 1 to 5 (a program has room for no more).
      potential_only: only potential differences, always on: with a base reward, the optimal policies are
        those of the base, whatever the genome (Ng, Harada & Russell 1999).
      memory: allow what needs memory: milestones, best distances, changes of actions, gates that stay open.

    Raises:
      UsageError: the number of slots is out of range, or the task has no feature to read.
    """
    if not 1 <= slots <= 5:
        raise UsageError(f"slots={slots!r}: expected a whole number from 1 to 5")
    measures = bounded_measures(task, typed_key(0 if key is None else key))
    if not measures:
        raise UsageError(f"{task.env.spec.id}: no feature that a reward may read; give the environment some")
    space = task.env.spec.action_space
    bound = tuple(_bounds(space)) if isinstance(space, Box) and len(space.shape) == 1 else ()

    def possible(name: str) -> bool:
        kind = KINDS[name]
        actions = not kind.continuous or (bool(bound) and all(map(math.isfinite, bound)))
        few = kind.memory != "action" or len(bound) <= MOST_ACTIONS
        fields = kind.flags or any(not m.flag for m in measures)
        allowed = (memory or not kind.memory) and (not potential_only or kind.potential or name == "none")
        return actions and few and fields and allowed

    gates = ("always",) if potential_only else GATES if memory else GATES[:-1]
    return Schema(measures, tuple(filter(possible, NAMES)), gates, slots, bound, task.discount)


def _bounds(space: Box) -> Sequence[float]:
    low, high = (
        np.broadcast_to(np.asarray(x, np.float64), space.shape).ravel() for x in (space.low, space.high)
    )
    return np.maximum(np.abs(low), np.abs(high)).tolist()


def encode(genome: Genome, schema: Schema) -> Arrays:
    """The arrays of a genome, ``[slots]``."""
    index = {m.name: i for i, m in enumerate(schema.measures)}
    terms = [*genome, *[Term("none")] * (schema.slots - len(genome))]
    whole = lambda values: np.array(list(values), np.int32)
    real = lambda values: np.array(list(values), np.float32)
    return Arrays(
        kind=whole(NAMES.index(t.kind) for t in terms),
        field=whole(index.get(t.field, 0) for t in terms),
        target=real(t.target for t in terms),
        scale=real(t.scale for t in terms),
        weight=real(t.weight for t in terms),
        gate=whole(GATES.index(t.gate.when) for t in terms),
        gate_field=whole(index.get(t.gate.field, 0) for t in terms),
        gate_target=real(t.gate.target for t in terms),
        gate_scale=real(t.gate.scale for t in terms),
    )


def stack(genomes: Sequence[Genome], schema: Schema) -> Arrays:
    """The arrays of several genomes, ``[N, slots]``."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[encode(g, schema) for g in genomes])


def term_names(genome: Genome) -> tuple[str, ...]:
    """Names of the terms, each once: a second one of a name gets a number."""
    names: list[str] = []
    for term in genome:
        name, n = term.name, 2
        while name in names:
            name, n = f"{term.name}_{n}", n + 1
        names.append(name)
    return tuple(names)


def to_json(genome: Genome) -> list[dict[str, Any]]:
    """As a model writes it: a list of terms."""
    out = []
    for term in genome:
        entry = {name: value for name, value in term._asdict().items() if name != "gate"}
        if not KINDS[term.kind].field:
            entry = {name: entry[name] for name in ("kind", "weight")}
        out.append(entry | ({} if term.gate.when == "always" else {"gate": term.gate._asdict()}))
    return out


def from_json(data: Any, schema: Schema) -> Genome:
    """Read a genome, checking every entry.

    Raises:
      UsageError: it is none; the message names the entry, its value and what was expected.
    """
    if isinstance(data, Mapping) and set(data) == {"terms"}:
        data = data["terms"]
    if not isinstance(data, Sequence) or isinstance(data, str) or not 1 <= len(data) <= schema.slots:
        raise UsageError(f"expected a list of 1 to {schema.slots} terms, got {shown(data)}")
    genome = tuple(_term(entry, f"term {i + 1}", schema) for i, entry in enumerate(data))
    return genome


def _term(entry: Any, where: str, schema: Schema) -> Term:
    entry = _known(entry, where, Term._fields)
    kind = _choice(entry.get("kind"), f"{where}: kind", [k for k in schema.kinds if k != "none"])
    weight = _number(entry.get("weight", 1.0), f"{where}: weight", 100.0)
    if weight < 0 and not KINDS[kind].signed:
        raise UsageError(f"{where}: weight={weight:g}: expected a number of at least 0 for {kind}")
    gate = _gate(entry.get("gate") or {}, where, schema)
    if not KINDS[kind].field:
        return Term(kind, weight=weight, gate=gate)
    field = _choice(entry.get("field"), f"{where}: field", [m.name for m in schema.choices(kind)])
    target, scale = _place(entry, where)
    return Term(kind, field, target, scale, weight, gate)


def _gate(entry: Any, where: str, schema: Schema) -> Gate:
    entry = _known(entry, f"{where}: gate", Gate._fields)
    when = _choice(entry.get("when", "always"), f"{where}: gate", schema.gates)
    if when == "always":
        return Gate()
    field = _choice(entry.get("field"), f"{where}: gate: field", [m.name for m in schema.measures])
    return Gate(when, field, *_place(entry, f"{where}: gate"))


def _known(entry: Any, where: str, names: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where}: expected an object with {', '.join(names)}, got {shown(entry)}")
    for name in entry:
        if name not in names:
            raise unknown_name(f"{where}: entry", name, names)
    return entry


def _choice(value: Any, where: str, known: Sequence[str]) -> str:
    if value not in known:
        raise unknown_name(where, value if isinstance(value, str) else shown(value), known)
    return value


def _place(entry: Mapping[str, Any], where: str) -> tuple[float, float]:
    target = _number(entry.get("target", 0.0), f"{where}: target", 1e6)
    scale = _number(entry.get("scale", 1.0), f"{where}: scale", 1e6)
    if scale < 1e-6:
        raise UsageError(f"{where}: scale={scale:g}: expected a number of at least 1e-06")
    return target, scale


def _number(value: Any, where: str, most: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and not not_float32(value)
    if not good or abs(value) > most:
        raise UsageError(f"{where}={shown(value)}: expected a number between {-most:g} and {most:g}")
    return float(value)


def json_schema(schema: Schema) -> dict[str, Any]:
    """The JSON schema of what :func:`from_json` reads, for endpoints that constrain what a model writes."""
    number = {"type": "number"}
    fields = {"type": "string", "enum": [m.name for m in schema.measures]}
    place = {"field": fields, "target": number, "scale": number}
    gate = {"when": {"type": "string", "enum": list(schema.gates)}, **place}
    kinds = [kind for kind in schema.kinds if kind != "none"]
    term = {"kind": {"type": "string", "enum": kinds}, **place, "weight": number}
    if len(schema.gates) > 1:
        term["gate"] = _object(gate, list(gate))  # a gate that is not "always" is of a field
    item = _object(term, ["kind", "field", "target", "scale", "weight"])
    terms = {"type": "array", "minItems": 1, "maxItems": schema.slots, "items": item}
    return _object({"terms": terms}, ["terms"])


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
