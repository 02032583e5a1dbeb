"""What a reward program is once it has been read: data, in the order in which it is computed."""

import hashlib
import json
from typing import Any, NamedTuple

from rlkit.errors import UsageError

ARGUMENTS = ("s", "a", "ns", "done")
"""State features, action, features after the action, whether the episode ended by itself."""

MEMORY = "m"
"""The further argument of programs that declare memory."""


class Limits(NamedTuple):
    """How large a program may be."""

    source: int = 8_000  # bytes of text
    nodes: int = 1_500  # operations, constants and reads
    depth: int = 40  # of nested expressions
    elements: int = 65_536  # of any value
    axes: int = 8  # of any value
    reductions: int = 24  # sums, norms ...: chains of them compile for long
    joins: int = 16  # concatenations and stacks: XLA takes seconds for a chain of 40
    memory: int = 16  # entries
    terms: int = 32
    exponent: int = 8  # largest literal behind **


LIMITS = Limits()


class ProgramError(UsageError):
    """A reward program that is refused.

    The message never quotes more of the program than a short name, so that it can be shown to a model.

    Attributes:
      layer: which check refused it: ``"parse"``, ``"names"``, ``"numbers"``, ``"shape"``, ``"limits"``,
        ``"abstract"`` or, from the checks of a design, ``"probe"``.
      line: line of the program, 0 if it is not about one.
    """

    def __init__(self, layer: str, reason: str, line: int = 0):
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.layer, self.reason, self.line = layer, reason, line


class Node(NamedTuple):
    """One step of a program.

    ``op`` is an operation of :mod:`rlkit.rewards.language.operations` applied to earlier nodes ``args``, or
    one of: ``"constant"`` with ``attrs = (index,)``; ``"s"``, ``"ns"`` and ``"m"`` with ``attrs = (name,)``;
    ``"a"``; ``"done"``.
    """

    op: str
    args: tuple[int, ...] = ()
    attrs: tuple[Any, ...] = ()  # literals that are part of the structure: axes, indices, exponents
    line: int = 0


class Program(NamedTuple):
    """A reward as data. Two programs with equal :attr:`structure` differ by their constants alone."""

    nodes: tuple[Node, ...]
    constants: tuple[float, ...]  # numbers of float32's range
    total: int  # node of the reward
    terms: tuple[tuple[str, int], ...]  # named nodes
    memory: tuple[tuple[str, float | bool], ...] = ()  # entries and their values at the start of an episode
    remember: tuple[tuple[str, int], ...] = ()  # nodes of the entries after the step
    names: tuple[tuple[str, int], ...] = ()  # of intermediate values, for people; not part of the structure

    @property
    def structure(self) -> str:
        """SHA-256 of all but the values of constants and the names of intermediate values."""
        return _digest(self._replace(constants=()), len(self.constants))

    @property
    def digest(self) -> str:
        """SHA-256 of the program; equal digests mean equal computations, whatever names and comments said."""
        return _digest(self, [float(x).hex() for x in self.constants])

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Names of the features read before (``"s"``) and after (``"ns"``) the action."""
        of = lambda side: tuple(sorted({n.attrs[0] for n in self.nodes if n.op == side}))
        return {"s": of("s"), "ns": of("ns")}


def _digest(program: Program, constants: Any) -> str:
    data = {
        "nodes": [[node.op, node.args, [repr(x) for x in node.attrs]] for node in program.nodes],
        "constants": constants,
        "total": program.total,
        "terms": program.terms,
        "memory": [[name, repr(value)] for name, value in program.memory],
        "remember": program.remember,
    }
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
