"""Islands of genomes, after REvolve (arXiv 2406.01309), and a fit of numbers, after R* (ICML 2025).

Both are designers of the same loop. REvolve's operators are a model's; here they are those of
:mod:`rlkit.design.evolution`. R* fits the numbers of a reward to preferences; here an evolutionary search
fits them to the score, which is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rlkit.design.evolution import Evolution, candidate_of, chance_of, scaled
from rlkit.design.genome import Schema, from_json
from rlkit.design.types import Candidate, Designer, DesignTask, History, Record
from rlkit.errors import UsageError, check_count
from rlkit.rewards.language import parse_program, print_program
from rlkit.rewards.reading import is_program
from rlkit.types import Key


@dataclass(frozen=True)
class Islands:
    """Populations that breed apart: a newcomer is admitted if it scores at least its island's mean.

    Now and then the weaker half of the islands starts again from the population of a fitter one. The notes
    of a candidate name its island and the population that it was bred from, so all follows from the history.

    Attributes:
      schema: of the task.
      islands: how many; candidate i of a generation belongs to island i modulo this.
      reset: probability of a generation in which the weaker half starts again.
      fresh: share of candidates that are random.
      cross: share of the others with two parents.
    """

    schema: Schema
    islands: int = 3
    reset: float = 0.3
    fresh: float = 0.2
    cross: float = 0.5
    name: str = "islands"

    def __post_init__(self) -> None:
        check_count("islands", self.islands)
        if not 0.0 <= self.reset <= 1.0:
            raise UsageError(f"reset={self.reset!r}: expected a probability between 0 and 1")

    def population(self, history: History, island: int) -> list[Record]:
        """The admitted records of an island, in their order."""
        last = [r for r in history.records if r.candidate.notes.get("island") == island]
        if not last:
            return []
        newest = last[-1].candidate.place[1]
        members = [history.find(id) for id in last[-1].candidate.notes["population"]]
        mean = float(np.mean([r.score for r in members])) if members else -math.inf
        come = [r for r in last if r.candidate.place[1] == newest and r.candidate.genome is not None]
        return [*members, *(r for r in come if math.isfinite(r.score) and r.score >= mean)]

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        chance = chance_of(key)
        pools = self._reset(chance, [self.population(history, i) for i in range(self.islands)])
        breed = Evolution(self.schema, self.fresh, self.cross, 0.5, self.name)
        out = []
        for i in range(count):
            island = i % self.islands
            notes = {"island": island, "population": [r.candidate.id for r in pools[island]]}
            out.append(replace(breed.child(chance, pools[island]), notes=notes))
        return out

    def _reset(self, chance: np.random.Generator, pools: list[list[Record]]) -> list[list[Record]]:
        mean = lambda pool: float(np.mean([r.score for r in pool])) if pool else -math.inf
        if chance.random() >= self.reset or self.islands < 2:
            return pools
        order = sorted(range(self.islands), key=lambda i: -mean(pools[i]))
        fit, weak = order[: -(-self.islands // 2)], order[-(-self.islands // 2) :]
        taken = {i: pools[fit[int(chance.integers(len(fit)))]] for i in weak}
        return [taken.get(i, pool) for i, pool in enumerate(pools)]


@dataclass(frozen=True)
class Tuned:
    """A designer beside whose candidates the numbers of the best reward so far are searched.

    Of a genome weights and scales change, of a program its constants, each by a factor
    ``exp(width * N(0, 1))``; the structure stays, so that nothing compiles anew.

    Attributes:
      designer: what proposes the others.
      schema: of genomes.
      share: of each generation after the first that is tuned.
      width: of the logarithm of the factors; halved with every four generations.
    """

    designer: Designer
    schema: Schema
    share: float = 0.5
    width: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise UsageError(f"share={self.share!r}: expected a share between 0 and 1")

    @property
    def name(self) -> str:
        return f"tuned {self.designer.name}"

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> Sequence[Candidate]:
        best = history.best()
        tuned = round(self.share * count) if best is not None else 0
        own = self.designer.propose(task, history, key, count - tuned) if count > tuned else ()
        chance = chance_of(key)
        width = self.width * 0.5 ** (history.generations / 4)
        factor = lambda: float(np.exp(width * chance.standard_normal()))
        return [*own, *(self._tuned(best, factor) for _ in range(tuned) if best is not None)]

    def _tuned(self, best: Record, factor) -> Candidate:
        candidate = best.candidate
        if candidate.genome is not None:
            genome = scaled(from_json(candidate.genome, self.schema), factor)
            return candidate_of(genome, self.schema, "tuned", (candidate.id,))
        if not is_program(candidate.text):
            return Candidate(candidate.text, origin="tuned", parents=(candidate.id,))
        program = parse_program(candidate.text)
        numbers = tuple(x * factor() for x in program.constants)
        text = print_program(program._replace(constants=numbers))
        return Candidate(text, origin="tuned", parents=(candidate.id,))
