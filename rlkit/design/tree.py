"""Tree search over rewards, after RF-Agent (arXiv 2602.23876): a candidate hangs below its first parent.

Which reward is changed next follows from upper confidence bounds for trees (Kocsis & Szepesvári 2006), so
that a branch that was promising early is come back to. RF-Agent's five ways to expand a node are a model's;
here they are operators of :mod:`rlkit.design.evolution`: a change of structure, a change of numbers, a
crossover with the best of all, a crossover with what is on the way to the root, and something different.
Its constants were not found: normalised values, the largest one below a node as the node's, and a bound that
falls to zero over the design are those of MCTS-AHD (arXiv 2501.08603).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rlkit.design.evolution import (
    Chance,
    candidate_of,
    chance_of,
    crossover,
    mutate,
    random_genome,
    scaled,
)
from rlkit.design.genome import Genome, Schema, from_json
from rlkit.design.types import Candidate, DesignTask, History, Record
from rlkit.errors import UsageError, check_count
from rlkit.types import Key

ROOT = ""
ACTIONS = ("structure", "numbers", "elite", "path", "different")


class Node(NamedTuple):
    """A node of the tree of a history."""

    parent: str  # id; the root has none
    children: tuple[str, ...]
    visits: int  # trained candidates at and below it
    value: float  # the best score at and below it; minus infinity if there is none


def tree_of(history: History) -> dict[str, Node]:
    """The tree of the candidates that were trained, by id; the root, :data:`ROOT`, is no candidate.

    A child hangs below the first of its parents that is in the tree, else below the root.
    """
    known: dict[str, Record] = {}
    parents: dict[str, str] = {}
    for record in history.records:  # parents come before their children
        if math.isfinite(record.score):
            id = record.candidate.id
            parents[id] = next((p for p in record.candidate.parents if p in known), ROOT)
            known[id] = record
    children: dict[str, list[str]] = {ROOT: [], **{id: [] for id in known}}
    for id, parent in parents.items():
        children[parent].append(id)
    visits = dict.fromkeys(children, 0)
    values = dict.fromkeys(children, -math.inf)
    for id, record in known.items():
        at = id
        while True:
            visits[at] += 1
            values[at] = max(values[at], record.score)
            if at == ROOT:
                break
            at = parents[at]
    return {id: Node(parents.get(id, ROOT), tuple(children[id]), visits[id], values[id]) for id in children}


def bounds(tree: Mapping[str, Node], at: str, explore: float, extra: Mapping[str, int]) -> dict[str, float]:
    """Upper confidence bounds of the children of a node.

    ``(Q - min Q) / (max Q - min Q) + explore * sqrt(log(N + 1) / n)``, with Q over the whole tree, N visits
    of the node and n of the child.

    Args:
      tree: see :func:`tree_of`.
      at: the node.
      explore: weight of the second term.
      extra: visits by id that count beside the tree's: expansions of this generation, not yet trained.
    """
    known = [node.value for node in tree.values()]
    low, high = min(known), max(known)
    count = lambda id: tree[id].visits + extra.get(id, 0)
    norm = lambda id: (tree[id].value - low) / (high - low) if high > low else 0.0
    return {
        id: norm(id) + explore * math.sqrt(math.log(count(at) + 1) / count(id)) for id in tree[at].children
    }


def leaf(
    tree: Mapping[str, Node],
    explore: float,
    widening: float,
    extra: dict[str, int],
    expanded: dict[str, int],
) -> str:
    """The node to expand, from the root along the largest bounds; its path's visits are added to ``extra``,
    its own expansion to ``expanded``, both by id.

    A node is expanded while it has fewer children than ``visits ** widening`` (progressive widening, Coulom
    2007), else its best child is gone on with; equal ones in their order.
    """
    at, path = ROOT, [ROOT]
    while tree[at].children:
        visits = tree[at].visits + extra.get(at, 0)
        born = len(tree[at].children) + expanded.get(at, 0)
        if at != ROOT and born < max(1.0, visits**widening):
            break
        known = bounds(tree, at, explore, extra)
        at = max(known, key=lambda id: known[id])
        path.append(at)
    for id in path:
        extra[id] = extra.get(id, 0) + 1
    expanded[at] = expanded.get(at, 0) + 1
    return at


def ancestors(tree: Mapping[str, Node], at: str) -> list[str]:
    """The nodes between a node and the root, the nearest first; the root is not among them."""
    found, up = [], tree[at].parent
    while up != ROOT:
        found.append(up)
        up = tree[up].parent
    return found


def elite(at: str, history: History, most: int = 5) -> list[Record]:
    """The best of all candidates without the one at a node."""
    return [record for record in history.scored()[: most + 1] if record.candidate.id != at][:most]


@dataclass(frozen=True)
class Walk:
    """How the nodes that are expanded are chosen.

    Attributes:
      explore: weight of exploration at the beginning.
      widening: exponent of progressive widening.
      horizon: generations over which exploration falls to zero.
    """

    explore: float = 0.5
    widening: float = 0.5
    horizon: int = 10

    def __post_init__(self) -> None:
        if not self.explore >= 0:
            raise UsageError(f"explore={self.explore!r}: expected a number of at least 0")
        if not 0 < self.widening <= 1:
            raise UsageError(f"widening={self.widening!r}: expected a number above 0 and at most 1")
        check_count("horizon", self.horizon)

    def leaves(self, tree: Mapping[str, Node], generation: int, count: int) -> list[str]:
        """``count`` nodes to expand in a generation, one after the other, each counted as a visit."""
        explore = self.explore * max(0.0, 1.0 - generation / self.horizon)
        extra: dict[str, int] = {}
        expanded: dict[str, int] = {}
        return [leaf(tree, explore, self.widening, extra, expanded) for _ in range(count)]


@dataclass(frozen=True)
class Tree:
    """Tree search of genomes.

    Attributes:
      schema: of the task.
      walk: how nodes are chosen.
    """

    schema: Schema
    walk: Walk = field(default_factory=Walk)
    name: str = "tree"

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        chance, tree = chance_of(key), tree_of(history)
        seen = {record.candidate.text for record in history.records}
        out: list[Candidate] = []
        for at in self.walk.leaves(tree, history.generations, count):
            for _ in range(8):  # a reward that has been tried teaches nothing new
                candidate = self._expanded(chance, at, tree, history)
                if candidate.text not in seen:
                    break
            seen.add(candidate.text)
            out.append(candidate)
        return out

    def _expanded(self, chance: Chance, at: str, tree: Mapping[str, Node], history: History) -> Candidate:
        record = None if at == ROOT else history.find(at)
        if record is None or record.candidate.genome is None:
            made = candidate_of(random_genome(chance, self.schema), self.schema, self.name)
            return replace(made, notes={"action": "root"})
        action = ACTIONS[int(chance.integers(len(ACTIONS)))]
        own, parents = self._genome(record), [at]
        if action == "different":
            genome = random_genome(chance, self.schema)
        elif action == "numbers":
            genome = scaled(own, lambda: float(math.exp(0.5 * chance.standard_normal())))
        else:
            mates = {"elite": elite(at, history), "path": [history.find(id) for id in ancestors(tree, at)]}
            mates = [r for r in mates.get(action, ()) if r.candidate.genome is not None]
            if mates:
                other = mates[int(chance.integers(len(mates)))]
                genome = crossover(chance, own, self._genome(other), self.schema)
                parents.append(other.candidate.id)
            else:
                action, genome = "structure", mutate(chance, own, self.schema)
        return replace(candidate_of(genome, self.schema, self.name, parents), notes={"action": action})

    def _genome(self, record: Record) -> Genome:
        return from_json(record.candidate.genome, self.schema)
