"""The study of arXiv 2605.06746 (Causally Emergent Alignment) as data, at three scales.

What the paper's text could not be asked is ours: seeds, budgets, networks, hyper-parameters. Its environments
are those of Gymnasium where these run. Crafter is Craftax-Classic (``craft/classic``: its 22 achievements;
the package ``crafter`` speaks the old interface of Gym), and where minutes must do it is ``craft/mini``, a
smaller world of our own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rlkit.agents import registry
from rlkit.errors import UsageError
from rlkit.experiment.training import config
from rlkit.experiment.training.config import TrainConfig
from rlkit.fields import check, option
from rlkit.studies.study import Cell, Hypothesis, Measuring, Study


class World(NamedTuple):
    """An environment of the study.

    Attributes:
      title: as the paper calls it.
      env: by scale, the id.
      algorithms: what can learn it.
      steps: by scale, environment steps per seed; of SAC a tenth, at least 10,000 (at smoke as many).
      agent: hyper-parameters that all its agents share.
      paper: the global alignment that is reported of the paper.
    """

    title: str
    env: Mapping[str, str]
    algorithms: tuple[str, ...]
    steps: Mapping[str, int]
    agent: Mapping[str, Any]
    paper: float


def _one(name: str) -> dict[str, str]:
    return dict.fromkeys(("smoke", "cpu", "full"), name)


_CONTINUOUS, _DISCRETE = ("ppo", "sac"), ("ppo", "pqn")
WORLDS = (
    World("Pendulum", _one("classic/pendulum"), _CONTINUOUS, {"cpu": 200_000, "full": 500_000},
          {"discount": 0.95}, 0.99),
    World("LunarLander", _one("box2d/lunarlander"), _DISCRETE, {"cpu": 250_000, "full": 2_000_000},
          {"discount": 0.99}, 1.00),
    World("BipedalWalker", _one("box2d/bipedalwalker"), _CONTINUOUS, {"cpu": 400_000, "full": 5_000_000},
          {"discount": 0.99}, 0.86),
    World("Walker2d", _one("host:Walker2d-v5"), _CONTINUOUS, {"cpu": 250_000, "full": 3_000_000},
          {"discount": 0.99}, 0.35),
    World("Ant", _one("host:Ant-v5"), _CONTINUOUS, {"cpu": 250_000, "full": 5_000_000},
          {"discount": 0.99}, 0.49),
    World("Crafter", {"smoke": "craft/mini", "cpu": "craft/mini", "full": "craft/classic"}, _DISCRETE,
          {"cpu": 400_000, "full": 20_000_000}, {"discount": 0.99}, -0.95),
)  # fmt: skip
"""In the order of complexity. That the reported alignments follow it is our assumption."""

PAPER = {"fraction": 0.2, "not_normal": 0.285, "local": 0.0}
"""Other numbers that are reported of the paper: the early window, units that are not normal after the copula
transform, and local alignment."""

TORSOS = ("mlp", "gru")

HYPOTHESES = (
    Hypothesis(
        "early-gain",
        "Early Φ_R of all pairs of units, beyond its null, says more of the final return than early return, "
        "feature rank and dead units do, on the same observations for all.",
        "gain", "phi_r pairs beyond null", "matched", True,
    ),
    Hypothesis(
        "early-gain-own", "The same in the agents' own rollouts, as in the paper.",
        "gain", "phi_r pairs beyond null", "own",
    ),
    Hypothesis(
        "early-gain-halves", "The same of Φ_R of the two halves, on the same observations.",
        "gain", "phi_r halves beyond null", "matched",
    ),
    Hypothesis(
        "early-prediction", "Early Φ_R of the halves goes with the final return, whatever else is known.",
        "prediction", "phi_r halves", "own",
    ),
    Hypothesis(
        "alignment",
        "Emergence of the halves moves in the direction of the reward, more than that of surrogates with the "
        "same memory.",
        "alignment", "emergence halves", "own",
    ),
    Hypothesis(
        "alignment-matched", "The same on the same observations for all checkpoints and seeds.",
        "alignment", "emergence halves", "matched",
    ),
    Hypothesis(
        "alignment-beyond-baselines", "Emergence is aligned with the reward more than the plain metrics are.",
        "beyond baselines", "emergence halves", "own",
    ),
    Hypothesis(
        "local-alignment", "Emergence is aligned with the reward step by step.",
        "local", "emergence halves", "own",
    ),
)  # fmt: skip
"""What the study asks; p is corrected by Holm over all of them."""


@dataclass(frozen=True)
class Scale:
    """How large a study is."""

    seeds: int
    probes: int
    probe_steps: int
    eval_episodes: int
    sizes: tuple[int, ...]
    measuring: Measuring


SCALES = {
    "smoke": Scale(4, 5, 64, 2, (16, 8), Measuring(1, 48, 4)),
    "cpu": Scale(8, 20, 256, 16, (64, 32), Measuring(2, 384, 20)),
    "full": Scale(30, 50, 1024, 64, (64, 64), Measuring(4, 2048, 100)),
}


@dataclass(frozen=True)
class EmergenceOptions:
    """Repeat the study of causally emergent alignment, with statistics that can be wrong."""

    scale: str = option("smoke", "how large: seeds, steps and checkpoints", choices=SCALES)
    env: tuple[str, ...] = option((), "environments of yours instead, ids or module:maker")
    algorithm: tuple[str, ...] = option((), "algorithms instead of those of the table, names or module:maker")
    torso: tuple[str, ...] = option(TORSOS, "feature extractors: mlp, gru, cnn")
    seeds: int = option(0, "seeds of each cell; 0: those of the scale", low=0)
    total_steps: int = option(0, "environment steps per seed; 0: those of the scale", low=0)

    def __post_init__(self) -> None:
        check(self)


def study(options: EmergenceOptions = EmergenceOptions()) -> Study:
    """The study.

    Raises:
      UnknownNameError: no such algorithm.
      UsageError: fewer than four seeds, of which nothing could be predicted.
    """
    scale = SCALES[options.scale]
    seeds = options.seeds or scale.seeds
    if seeds < 4:
        raise UsageError(f"seeds={seeds}: expected at least 4, to leave one out and predict it by the others")
    worlds = WORLDS if not options.env else tuple(_yours(name) for name in options.env)
    cells = [
        _cell(world, algorithm, torso, options, scale, seeds)
        for world in worlds
        for algorithm in options.algorithm or world.algorithms
        for torso in options.torso
    ]
    return Study("emergence", options.scale, tuple(cells), HYPOTHESES, scale.measuring)


def _yours(env: str) -> World:
    steps = {"cpu": 200_000, "full": 2_000_000}
    return World(env, _one(env), ("ppo",), steps, {"discount": 0.99}, float("nan"))


def _cell(
    world: World, algorithm: str, torso: str, options: EmergenceOptions, scale: Scale, seeds: int
) -> Cell:
    """One cell; skipped where the algorithm has no such torso."""
    name = re.sub("[^a-z0-9]+", "-", f"{world.title}-{algorithm}-{torso}".lower())
    kind = registry.config_class(algorithm)
    agent, why = _agent(kind, algorithm, torso, world, options.scale, scale)
    if why:
        return Cell(name, world.title, algorithm, torso, {}, why)
    per_update = getattr(agent, "num_envs", 1) * getattr(agent, "num_steps", 1)
    updates = _updates(world, algorithm, options, scale, per_update)
    if hasattr(agent, "decay_updates"):
        agent = agent.replace(decay_updates=float(updates))
    settings = TrainConfig(
        env=world.env[options.scale],
        agent=agent,
        algorithm=algorithm if algorithm not in registry.TABLE else "",
        seeds=seeds + scale.measuring.reference,
        total_steps=updates * per_update,
        probes=scale.probes,
        probe_steps=scale.probe_steps,
        untrained=0,
        eval_episodes=scale.eval_episodes,
        checkpoint_every=updates // scale.probes,  # at every recording, so that it can be replayed
        keep=scale.probes + 1,
        buffer="keep",
        devices=1,
        threads=1,
    )
    return Cell(name, world.title, algorithm, torso, config.to_dict(settings))


def _updates(world: World, algorithm: str, options: EmergenceOptions, scale: Scale, per_update: int) -> int:
    """Updates, so many that recordings and checkpoints fall on the same ones."""
    steps = options.total_steps or world.steps.get(options.scale, 2 * scale.probes * per_update)
    if algorithm == "sac" and not options.total_steps:
        steps = max(steps // 10, 10_000) if options.scale != "smoke" else steps
    return scale.probes * max(1, round(steps / per_update / scale.probes))


_AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {
        "learning_rate": 1e-3, "num_envs": 16, "num_steps": 64, "epochs": 6, "minibatches": 8,
        "normalize_obs": True, "normalize_reward": True, "clip_value": True,
    },
    "pqn": {"num_envs": 16, "num_steps": 64, "minibatches": 8, "normalize_obs": True},
    "sac": {
        "learning_rate": 1e-3, "num_envs": 4, "num_steps": 4, "updates_to_data": 0.5, "batch_size": 128,
        "buffer_size": 50_000, "learning_starts": 1000,
    },
    "dqn": {},
}  # fmt: skip
"""Hyper-parameters by algorithm. One set for all environments: nothing is tuned to a result."""


def _agent(kind: type, algorithm: str, torso: str, world: World, size: str, scale: Scale) -> tuple[Any, str]:
    """The configuration of an agent, and why there is none."""
    have = kind()
    values = {"sizes": scale.sizes} | dict(world.agent) | hyperparameters(algorithm, size)
    if hasattr(have, "torso"):
        values["torso"] = torso
    elif torso != "mlp":
        return None, f"{algorithm} learns from single steps and has no torso {torso!r}"
    known = {name: value for name, value in values.items() if hasattr(have, name)}
    return have.replace(**known) if known else have, ""


def hyperparameters(algorithm: str, scale: str) -> dict[str, Any]:
    """Hyper-parameters of an algorithm at a scale, for those of its fields that there are."""
    values = dict(_AGENTS.get(algorithm, {}))
    return values | {name: value for name, value in _SMOKE.items() if name in values and scale == "smoke"}


_SMOKE = {
    "num_envs": 4, "num_steps": 16, "epochs": 1, "minibatches": 2, "learning_starts": 64, "batch_size": 32,
    "buffer_size": 2000,
}  # fmt: skip


def paper_alignment(environment: str) -> float:
    """What is reported of the paper for an environment; NaN for others."""
    for world in WORLDS:
        if world.title == environment:
            return world.paper
    return float("nan")
