"""Training candidates side by side, and judging them by the task's own signals.

Candidates of one structure are trained by one program, which is compiled once for the design: a candidate is
a change of parameters. On accelerators all seeds of all candidates are one batch; on a CPU, where batching
gains nothing, they go through the program one by one, as many at once as there are cores.
"""

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlkit import fields
from rlkit.agents import registry
from rlkit.design.curriculum import changed, now, read_stage
from rlkit.design.engine import Engine
from rlkit.design.genome import Schema
from rlkit.design.grouping import Group, grouped
from rlkit.design.rows import Keep, Rows, width_of
from rlkit.design.types import Candidate, DesignTask, Outcome
from rlkit.errors import UsageError
from rlkit.experiment.training.devices import cores
from rlkit.fields import option
from rlkit.rewards.designed import with_base
from rlkit.rewards.reading import read_text
from rlkit.types import Key, PyTree

__all__ = ["Keep", "Trainer", "Training"]
ENGINES = 4  # programs that are kept


def _default_agent() -> Any:
    return registry.config_class("ppo")()


@dataclass(frozen=True)
class Training:
    """How candidates are trained; all alike."""

    agent: Any = field(default_factory=_default_agent, metadata={"help": "hyper-parameters of the agent"})
    algorithm: str = ""  # "module:maker" of an agent that is not in the table
    total_steps: int = option(100_000, "environment steps of each seed", low=1)
    seeds: int = option(2, "seeds of each candidate", low=1)
    checkpoints: int = option(10, "equally spaced points at which policies are judged", low=1)
    eval_episodes: int = option(16, "episodes of a judgement", low=1)
    curriculum: tuple[str, ...] = option(
        (), "parameters of the environment that are others at first, each as SHARE:NAME=VALUE"
    )
    workers: int = option(0, "candidates that train at once on a CPU; 0: one a core", low=0)

    def __post_init__(self) -> None:
        fields.check(self)
        fields.check(self.agent)
        for text in self.curriculum:
            read_stage(text)

    @property
    def agent_name(self) -> str:
        """The agent's name in the table, or its maker."""
        return self.algorithm or registry.name_of(self.agent)


def params_of(candidate: Candidate, params: PyTree) -> PyTree:
    """The environment's parameters for a candidate: those that its notes change, under ``"env_params"``."""
    values = candidate.notes.get("env_params", {})
    return changed(params, values, f"candidate {candidate.id}") if values else params


class Trainer:
    """Trains candidates of one task; programs are kept between calls.

    Attributes:
      task: the task.
      settings: how candidates are trained.
      schema: of genomes; None: they are read as texts.
      compiled: how many programs have been compiled.
    """

    def __init__(self, task: DesignTask, settings: Training, schema: Schema | None = None):
        self.task, self.settings, self.schema = task, settings, schema
        self.base = read_text(task.base, task.env.spec) if task.base else None
        self.engines: OrderedDict[tuple, Engine] = OrderedDict()
        self.compiled = 0
        self.stages = tuple(map(read_stage, settings.curriculum))
        if not task.env.spec.pure:
            raise UsageError(
                f"{task.env.spec.id} runs on the host; a design trains many candidates in compiled programs "
                "and needs an environment that JAX can trace"
            )
        now(task.params, self.stages, 0.0)  # raises for what the environment has not

    def train(
        self,
        candidates: Sequence[Candidate],
        key: Key,
        *,
        seeds: int | None = None,
        keep: Keep | None = None,
        known: frozenset[int] = frozenset(),
        watch: bool = False,
    ) -> Iterator[tuple[int, Outcome]]:
        """Train candidates; each with the same keys, so that they differ by their rewards alone.

        Args:
          candidates: with texts or genomes that have passed the checks.
          key: typed PRNG key; seed k starts from ``fold_in(key, k)``.
          seeds: of each; None takes the settings'.
          keep: drop the worse ones on the way.
          known: places whose outcome is known already; they are trained again beside others at most.
          watch: describe how episodes of each candidate's first seed end (``Outcome.failures``).

        Yields:
          Places and outcomes, as they become known. A candidate that cannot be trained has an error.
        """
        seeds = self.settings.seeds if seeds is None else seeds
        own: dict[int, PyTree] = {}
        for i, candidate in enumerate(candidates):
            try:
                own[i] = params_of(candidate, self.task.params)
            except UsageError as error:
                yield i, Outcome(error=str(error))
        good = list(own)
        groups, errors = grouped([candidates[i] for i in good], self.task, self.schema)
        yield from ((good[j], Outcome(error=error)) for j, error in errors.items())
        for group in groups:
            group = group._replace(places=tuple(good[j] for j in group.places))
            width = width_of(len(group.places) * seeds)
            workers = (self.settings.workers or cores()) if width == 1 else 1
            rows = Rows(
                self.engine(group, width), group, [own[i] for i in group.places], key, seeds,
                watch=watch, base=self.base is not None, workers=workers, stages=self.stages,
            )  # fmt: skip
            yield from rows.train(keep, known)

    @functools.cached_property
    def unbased(self) -> "Trainer":
        """The trainer of the same task without its base reward: baselines are paid by nothing else."""
        return Trainer(dataclasses.replace(self.task, base=""), self.settings)

    def engine(self, group: Group, rows: int) -> Engine:
        """The programs of a group, compiled at the first use."""
        key = (group.key, rows)
        if key not in self.engines:
            paid = with_base(self.base, group.reward)
            settings = self.settings
            agent = registry.TABLE.make(settings.agent_name, self.task.env, settings.agent, reward=paid)
            self.engines[key] = Engine(
                agent, rows, settings.total_steps, settings.checkpoints, settings.eval_episodes
            )
            self.compiled += 1
            while len(self.engines) > ENGINES:
                self.engines.popitem(last=False)
        self.engines.move_to_end(key)
        return self.engines[key]
