"""A genome as a program of the reward language: what people read, and what other machines load."""

import numpy as np

from rlkit.design.genome import Gate, Genome, Schema, Term, term_names
from rlkit.design.terms import FAR, KINDS


def genome_text(genome: Genome, schema: Schema) -> str:
    """The program that pays what :func:`rlkit.design.interpreter.genome_reward` pays for the genome.

    Its terms have the names of :func:`rlkit.design.genome.term_names`; a genome without terms pays 0.
    """
    writer = _Writer(schema)
    named = {
        name: writer.term(i, term)
        for i, (name, term) in enumerate(zip(term_names(genome), genome, strict=True))
    }
    return writer.program(named)


def _number(x: float) -> str:
    """The shortest text that reads as the same float32."""
    return repr(float(str(np.float32(x))))


class _Writer:
    def __init__(self, schema: Schema):
        self.schema = schema
        self.lines: dict[str, str] = {}  # assignments by name, in order
        self.memory: dict[str, str] = {}  # entries and their values at the start of an episode
        self.kept: dict[str, str] = {}  # their values after the step

    def program(self, named: dict[str, str]) -> str:
        """The whole text."""
        body = [f"{name} = {value}" for name, value in self.lines.items()]
        body += [f"{name} = {value}" for name, value in named.items()]
        names = ", ".join(f'"{name}": {name}' for name in named)
        result = f"{' + '.join(named) or 'jnp.zeros(())'}, {{{names}}}"
        arguments, head = "s, a, ns, done", ""
        if self.memory:
            arguments += ", m"
            head = f"memory = {{{', '.join(f'{k!r}: {v}' for k, v in self.memory.items())}}}\n\n"
            result += f", {{{', '.join(f'{k!r}: {v}' for k, v in self.kept.items())}}}"
        lines = "\n".join(f"    {line}" for line in [*body, f"return {result}"])
        return f"{head}def reward({arguments}):\n{lines}\n".replace("'", '"')

    def term(self, i: int, term: Term) -> str:
        """The expression of one term; what it needs is assigned before."""
        kind = KINDS[term.kind]
        parts = {"g": _number(self.schema.discount)}
        if kind.field:
            parts |= self._distances(i, term)
        if kind.memory == "latch":
            self.memory[f"reached{i}"], parts["latch"] = "False", f"m.reached{i}"
            self.kept[f"reached{i}"] = f"m.reached{i} | ({parts['e']} <= 1.0)"
        if kind.memory == "best":
            self.memory[f"best{i}"], parts["best"] = _number(FAR), f"m.best{i}"
            self.kept[f"best{i}"] = f"jnp.minimum(jnp.minimum(m.best{i}, {parts['d']}), {parts['e']})"
        if kind.continuous:
            self._actions(kind.memory == "action")
        if kind.inside:
            parts |= self._sides(i, term.gate)
        value = f"{_number(term.weight)} * ({kind.text.format(**parts)})"
        return value if kind.inside else self._gated(i, term.gate, value)

    def _distances(self, i: int, term: Term) -> dict[str, str]:
        target, scale = _number(term.target), _number(term.scale)
        for name, side in (("d", "s"), ("e", "ns")):
            if f"{{{name}}}" in KINDS[term.kind].text:
                value = self._read(term.field, side)
                self.lines[f"{name}{i}"] = f"jnp.abs({value} - {target}) / {scale}"
        return {"d": f"d{i}", "e": f"e{i}", "y": f"{self._read(term.field, 'ns')} / {scale}"}

    def _read(self, field: str, side: str) -> str:
        """A measure; one that costs something is assigned, so that it is computed once."""
        text = self.schema.measure(field).text(side)
        if "(" not in text:
            return text
        name = f"{field}_{'before' if side == 's' else 'after'}"
        self.lines.setdefault(name, text)
        return name

    def _actions(self, change: bool) -> None:
        bounds = self.schema.action_bound
        entries = [f"a[{i}] / {_number(bound)}" for i, bound in enumerate(bounds)]
        n = _number(len(bounds))
        if not change:
            squares = " + ".join(f"jnp.square({entry})" for entry in entries)
            self.lines["action_square"] = f"({squares}) / {n}"
            return
        for i, entry in enumerate(entries):
            self.memory[f"action{i}"], self.kept[f"action{i}"] = "0.0", entry
        squares = " + ".join(f"jnp.square({entry} - m.action{i})" for i, entry in enumerate(entries))
        self.lines["action_change"] = f"({squares}) / {n}"

    def _condition(self, name: str, gate: Gate, side: str) -> str:
        """The name of whether what a gate asks for holds on one side of a step."""
        place = self._read(gate.field, side)
        self.lines[name] = f"jnp.abs({place} - {_number(gate.target)}) <= {_number(gate.scale)}"
        return name

    def _latched(self, i: int) -> str:
        self.memory[f"opened{i}"] = "False"
        self.kept[f"opened{i}"] = f"(m.opened{i} | open{i})"
        return self.kept[f"opened{i}"]

    def _sides(self, i: int, gate: Gate) -> dict[str, str]:
        """What a gate inside a potential makes of both sides."""
        if gate.when == "always":
            return {"end": "done", "before": "", "past": "", "after": "", "passed": ""}
        now = self._condition(f"open{i}", gate, "ns")
        if gate.when == "after":
            now, was = self._latched(i), f"m.opened{i}"
        else:
            was = self._condition(f"was_open{i}", gate, "s")
        if gate.when == "unless":
            sides = {"before": f"jnp.where({was}, 0.0, ", "past": ")", "after": f"jnp.where({now}, 0.0, "}
            return sides | {"end": f"done | {now}", "passed": ")"}
        sides = {"before": f"jnp.where({was}, ", "past": ", 0.0)", "after": f"jnp.where({now}, "}
        return sides | {"end": f"done | ~{now}", "passed": ", 0.0)"}

    def _gated(self, i: int, gate: Gate, value: str) -> str:
        if gate.when == "always":
            return value
        condition = self._condition(f"open{i}", gate, "ns")
        if gate.when == "after":
            condition = self._latched(i)
        opened, shut = (value, "0.0") if gate.when != "unless" else ("0.0", value)
        return f"jnp.where({condition}, {opened}, {shut})"
