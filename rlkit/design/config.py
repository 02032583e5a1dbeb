"""What a design is made of, as data: one frozen dataclass that travels through JSON unchanged."""

from dataclasses import dataclass
from typing import Any

import jax

from rlkit.design.evolution import Evolution, RandomSearch
from rlkit.design.genome import Schema, schema_of
from rlkit.design.training import Training
from rlkit.design.types import CURVES, SCORES, Designer, DesignTask
from rlkit.errors import UsageError
from rlkit.experiment.config import env_options
from rlkit.fields import option
from rlkit.registry import Entry, Table

DESIGNERS = Table(
    "designer",
    {
        "evolution": Entry("rlkit.design.evolution:Evolution", "evolution of typed terms; needs no model"),
        "random": Entry("rlkit.design.evolution:RandomSearch", "random typed terms: the control"),
        "llm": Entry("rlkit.design.llm:Independent", "a model, asked anew each time"),
        "eureka": Entry("rlkit.design.eureka:Eureka", "a model that reads how its best reward trained"),
        "auto-mc": Entry("rlkit.design.auto_mc:AutoMC", "a model with a critic and an analyst"),
    },
)
"""Makers ``maker(schema) -> Designer``, of a writer those of :data:`MODELS`. Your own: ``"module:maker"``."""

MODELS = ("llm", "eureka", "auto-mc")
"""Designers that ask a model."""


@dataclass(frozen=True)
class DesignConfig(Training):
    """Design a reward: candidates are proposed, checked, trained together, judged by sparse success."""

    env: str = option("classic/pendulum", "environment id; `rlkit envs` lists them")
    env_options: tuple[str, ...] = option((), "static choices of the environment, each as key=value")
    base: str = option("success()", "a reward that is paid beside every candidate; none: empty")
    forbidden: tuple[str, ...] = option((), "features that a reward may not read")
    words: str = option("", "the task in words, for a model; empty: the environment's own")
    designer: str = option(
        "evolution", "what proposes: evolution, random, llm, eureka, auto-mc, module:maker"
    )
    model: str = option("", "the model of llm, eureka and auto-mc: local, or its name at an endpoint")
    mode: str = option("code", "what a model writes: programs or typed terms", choices=("code", "spec"))
    max_calls: int = option(0, "most questions to a model; 0: no limit", low=0)
    max_tokens: int = option(0, "most tokens of questions and answers; 0: no limit", low=0)
    candidates: int = option(8, "candidates of a generation", low=1, high=4096)
    generations: int = option(4, "generations of a restart", low=1)
    restarts: int = option(1, "independent searches; the best of all is taken", low=1)
    slots: int = option(5, "most terms of a genome", low=1, high=5)
    potential_only: bool = option(False, "only potential differences: the base's optimal policies stay")
    memory: bool = option(True, "allow terms that remember: milestones, best distances")
    checks: bool = option(True, "check candidates before they are trained")
    curve: str = option("fitness", "what ranks candidates", choices=CURVES[:2])
    score: str = option("mean", "of a curve over checkpoints: max, final or mean", choices=SCORES)
    drop: float = option(0.0, "share of a generation that is dropped on the way", low=0.0, high=0.99)
    drop_at: float = option(0.2, "share of the training after which it is", low=0.01, high=0.99)
    finalists: int = option(3, "best candidates that are scored again, on other seeds", low=1)
    fresh_seeds: int = option(10, "seeds of those scores, and others of the reported one", low=1)
    seed: int = option(0, "seed of everything that is random", low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        DESIGNERS[self.designer]  # raises for what is not there
        env_options(self)

    def task(self) -> DesignTask:
        """The task; the discount is the agent's, where it has one."""
        from rlkit.envs import make

        discount = float(getattr(self.agent, "discount", 0.99))
        env = make(self.env, **env_options(self))
        return DesignTask(env, None, self.words, self.forbidden, discount, self.base)

    def schema(self, task: DesignTask) -> Schema:
        """What genomes for the task may contain."""
        if self.potential_only and not self.base:
            raise UsageError("potential_only keeps the optimal policies of a base reward; give one: base")
        key = jax.random.fold_in(jax.random.key(self.seed), 0x5C4E)
        options: dict[str, Any] = {"potential_only": self.potential_only, "memory": self.memory}
        return schema_of(task, key, slots=self.slots, **options)

    def make_designer(self, schema: Schema) -> Designer:
        """What proposes."""
        if self.designer in MODELS:
            from rlkit.design.models import designer_of

            limits = {"calls": self.max_calls, "tokens": self.max_tokens}
            return designer_of(self.designer, self.model, self.mode, schema, **limits)
        return {"evolution": Evolution, "random": RandomSearch}.get(
            self.designer, lambda s: DESIGNERS.make(self.designer, s)
        )(schema)
