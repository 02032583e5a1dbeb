"""What a design is made of, as data: one frozen dataclass that travels through JSON unchanged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from rlkit.design.genome import Schema, schema_of
from rlkit.design.halving import check_predictors
from rlkit.design.scoring import SCORES
from rlkit.design.training import Training
from rlkit.design.types import CURVES, Candidate, Designer, DesignTask, History
from rlkit.errors import UsageError
from rlkit.experiment.training.config import env_options
from rlkit.fields import option
from rlkit.registry import Entry, Table
from rlkit.types import Environment, Key

DESIGNERS = Table(
    "designer",
    {
        "evolution": Entry("rlkit.design.evolution:Evolution", "evolution of typed terms; needs no model"),
        "islands": Entry("rlkit.design.islands:Islands", "evolution on islands; needs no model"),
        "tree": Entry("rlkit.design.tree:Tree", "tree search of typed terms; needs no model"),
        "random": Entry("rlkit.design.evolution:RandomSearch", "random typed terms: the control"),
        "llm": Entry("rlkit.design.llm:Independent", "a model, asked anew each time"),
        "eureka": Entry("rlkit.design.eureka:Eureka", "a model that reads how its best reward trained"),
        "rf-agent": Entry("rlkit.design.rf_agent:RFAgent", "a model that expands a tree of rewards"),
        "auto-mc": Entry("rlkit.design.auto_mc:AutoMC", "a model with a critic and an analyst"),
    },
)
"""Makers ``maker(schema) -> Designer``, of a writer those of :data:`MODELS`. Your own: ``"module:maker"``."""

MODELS = ("llm", "eureka", "rf-agent", "auto-mc")
"""Designers that ask a model."""


@dataclass(frozen=True)
class DesignConfig(Training):
    """Design a reward: candidates are proposed, checked, trained together, judged by sparse success."""

    env: str = option("classic/pendulum", "environment id; `rlkit envs` lists them")
    env_options: tuple[str, ...] = option((), "static choices of the environment, each as key=value")
    randomise: tuple[str, ...] = option(
        (), "parameters of the environment that are other ones in every episode, each as NAME=LOW:HIGH"
    )
    base: str = option("success()", "a reward that is paid beside every candidate; none: empty")
    forbidden: tuple[str, ...] = option((), "features that a reward may not read")
    words: str = option("", "the task in words, for a model; empty: the environment's own")
    designer: str = option(
        "evolution",
        "what proposes: evolution, islands, tree, random, llm, eureka, rf-agent, auto-mc, module:maker",
    )
    model: str = option("", "the model of those that ask one: local, or its name at an endpoint")
    replay: str = option("", "a transcript that answers instead: no model is asked, no socket opened")
    mode: str = option(
        "code",
        "what a model writes: programs, typed terms, or free JAX code that a jailed process traces",
        choices=("code", "spec", "free"),
    )
    temperature: float = option(1.0, "of what a model writes", low=0.0)
    answer_tokens: int = option(2048, "longest answer of a model", low=1)
    turns: int = option(1, "generations that eureka's conversation holds; 1 is the paper's", low=1)
    safety: str = option("", "what the agent must not do, in words for a model; @FILE reads them")
    warm_start: str = option("", "a person's reward to begin with: its text, or a file of one")
    feedback: tuple[str, ...] = option((), "a person's words to a model, by generation; @FILE reads them")
    tune: float = option(
        0.0, "share of a generation that changes the numbers of the best reward alone", low=0.0, high=1.0
    )
    pause: bool = option(False, "after each generation wait for --resume FOLDER --say WORDS")
    max_calls: int = option(0, "most questions to a model; 0: no limit", low=0)
    max_tokens: int = option(0, "most tokens of questions and answers; 0: no limit", low=0)
    max_money: float = option(0.0, "most that a model may cost, by the prices; 0: no limit", low=0.0)
    prompt_price: float = option(0.0, "of a million tokens of questions", low=0.0)
    completion_price: float = option(0.0, "of a million tokens of answers", low=0.0)
    max_trainings: int = option(0, "most candidates that are trained by the search; 0: no limit", low=0)
    max_cpu_seconds: float = option(0.0, "CPU time after which no generation begins; 0: no limit", low=0.0)
    candidates: int = option(8, "candidates of a generation", low=1, high=4096)
    generations: int = option(4, "generations of a restart", low=1)
    restarts: int = option(1, "independent searches; the best of all is taken", low=1)
    slots: int = option(5, "most terms of a genome", low=1, high=5)
    potential_only: bool = option(False, "only potential differences: the base's optimal policies stay")
    memory: bool = option(True, "allow terms that remember: milestones, best distances")
    observe: bool = option(False, "candidates also choose features that the agent sees")
    checks: bool = option(True, "check candidates before they are trained")
    audit: bool = option(True, "audit the best of each generation, and the winner")
    guided: float = option(
        0.8,
        "share of the first generation that is read off from successes, where there are checks",
        low=0.0,
        high=1.0,
    )
    curve: str = option(
        "fitness", "what ranks candidates; of equals in success the fitness", choices=CURVES[:2]
    )
    score: str = option("mean", "of a curve over checkpoints: max, final or mean", choices=SCORES)
    drop: float = option(0.0, "share of a generation that is dropped on the way", low=0.0, high=0.99)
    drop_at: tuple[float, ...] = option((0.2,), "shares of training after each of which", low=0.01, high=0.99)
    drop_by: tuple[str, ...] = option(
        ("score",), "what candidates are then compared by: score, phi_r, rank, dead; of several the mean rank"
    )
    finalists: int = option(3, "best candidates that are scored again, on other seeds", low=1)
    fresh_seeds: int = option(10, "seeds of those scores, and others of the reported one", low=1)
    seed: int = option(0, "seed of everything that is random", low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        DESIGNERS[self.designer]  # raises for what is not there
        env_options(self)
        for text in self.randomise:
            _range(text)
        check_predictors(self.drop_by)
        asks = self.designer in MODELS
        if (self.pause or self.feedback) and self.designer in DESIGNERS and not asks:
            raise UsageError(
                f"pause and feedback: {self.designer} reads no words; expected a designer that asks a model "
                f"({', '.join(MODELS)})"
            )
        if self.max_money and not self.prompt_price + self.completion_price:
            raise UsageError(
                f"max_money={self.max_money:g}: expected prompt_price or completion_price beside it"
            )

    def task(self, env: Environment | None = None) -> DesignTask:
        """The task, of another environment where one is given; the discount is the agent's, if it has one."""
        from rlkit.design.joint import observable, showing
        from rlkit.envs import make
        from rlkit.envs.randomised import randomised

        discount = float(getattr(self.agent, "discount", 0.99))
        env = make(self.env, **env_options(self)) if env is None else env
        if self.randomise:
            env = randomised(env, dict(map(_range, self.randomise)))
        task = DesignTask(env, None, self.words, self.forbidden, discount, self.base)
        if not self.observe:
            return task
        return replace(task, env=showing(env, observable(task, self._ranges_key())))

    def _ranges_key(self) -> Key:
        return jax.random.fold_in(jax.random.key(self.seed), 0x5C4E)

    def schema(self, task: DesignTask) -> Schema:
        """What genomes for the task may contain."""
        if self.potential_only and not self.base:
            raise UsageError("potential_only keeps the optimal policies of a base reward; give one: base")
        options: dict[str, Any] = {"potential_only": self.potential_only, "memory": self.memory}
        return schema_of(task, self._ranges_key(), slots=self.slots, **options)

    def make_designer(self, schema: Schema, task: DesignTask | None = None) -> Designer:
        """What proposes, for a task of :meth:`task` (which only ``observe`` needs)."""
        from rlkit.design.islands import Tuned
        from rlkit.design.joint import Joint, shown_names
        from rlkit.design.models import designer_of
        from rlkit.design.tree import Tree, Walk

        if self.designer in MODELS:
            made = designer_of(self, schema)
        elif self.designer == "tree":
            made = Tree(schema, Walk(horizon=self.generations))
        else:
            made = DESIGNERS.make(self.designer, schema)
        if self.tune:
            made = Tuned(made, schema, self.tune)
        if self.warm_start and self.designer not in MODELS:  # those put it in the place of all their answers
            made = WarmStarted(made, self.warm_start)
        return Joint(made, shown_names((task or self.task()).env)) if self.observe else made


def _range(text: str) -> tuple[str, tuple[float, float]]:
    """``NAME=LOW:HIGH``."""
    name, _, rest = text.partition("=")
    low, _, high = rest.partition(":")
    try:
        return name, (float(low), float(high))
    except ValueError:
        raise UsageError(f"randomise={text!r}: expected NAME=LOW:HIGH, e.g. length=0.5:2") from None


@dataclass(frozen=True)
class WarmStarted:
    """A designer whose first candidate is a person's reward; the others are its own.

    Attributes:
      designer: what proposes.
      text: the reward.
    """

    designer: Designer
    text: str

    @property
    def name(self) -> str:
        return self.designer.name

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> Sequence[Candidate]:
        if history.generations:
            return self.designer.propose(task, history, key, count)
        own = Candidate(self.text, origin="human")
        return [own, *(self.designer.propose(task, history, key, count - 1) if count > 1 else ())]
