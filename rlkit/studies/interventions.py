"""The study of interventions: what correlation cannot say.

Φ_R of the latents is pushed up, down or not at all by an auxiliary loss, beside two controls that push
equally hard; and from a fifth of training on, the most synergistic, the most redundant, random or all units
are trained.
"""

import re
from dataclasses import dataclass

from rlkit.experiment.training import config
from rlkit.experiment.training.config import TrainConfig
from rlkit.fields import check, option
from rlkit.studies.arms import MaskedConfig, PushedConfig
from rlkit.studies.emergence import SCALES, hyperparameters
from rlkit.studies.masks import CHOICES
from rlkit.studies.pushes import PUSHES
from rlkit.studies.study import Cell, Hypothesis, Study

WORLDS = {"Pendulum": ("classic/pendulum", 0.95, 150_000), "CartPole": ("classic/cartpole", 0.99, 100_000)}
"""By title: environment, discount, and environment steps at the scale ``cpu``; ``full`` takes ten times."""

HYPOTHESES = (
    Hypothesis("push-up", "Pushing emergence up raises the final return, compared with nothing.",
               "arms", "emergence up - untouched", primary=True),
    Hypothesis("push-up-beyond-controls", "It does so more than decorrelation that pushes equally hard.",
               "arms", "emergence up - decorrelation"),
    Hypothesis("push-up-beyond-entropy", "It does so more than entropy that pushes equally hard.",
               "arms", "emergence up - latent entropy"),
    Hypothesis("push-down", "Pushing emergence down lowers the final return.",
               "arms", "untouched - emergence down"),
    Hypothesis("synergistic-units", "Training the most synergistic units gains more than redundant ones.",
               "arms", "synergistic - redundant"),
    Hypothesis("synergistic-beyond-random", "Training the most synergistic units gains more than random.",
               "arms", "synergistic - random"),
)  # fmt: skip

RESTING = "all - untouched"
"""What it costs that earlier layers rest while some units are trained: no hypothesis, but read with them."""


@dataclass(frozen=True)
class InterventionOptions:
    """Push emergence, or train some units only, and see what that does to learning."""

    scale: str = option("smoke", "how large: seeds, steps and checkpoints", choices=SCALES)
    env: tuple[str, ...] = option((), "environments of yours instead, ids or module:maker")
    seeds: int = option(0, "seeds of each arm; 0: those of the scale", low=0)
    total_steps: int = option(0, "environment steps per seed; 0: those of the scale", low=0)
    strength: float = option(0.05, "force of a push on each latent", low=0.0)
    share: float = option(0.25, "of the units, those that are trained", above=0.0, high=1.0)

    def __post_init__(self) -> None:
        check(self)


def study(options: InterventionOptions = InterventionOptions()) -> Study:
    """The study: every arm is an ordinary run, and arms of an environment share their seeds."""
    worlds = WORLDS if not options.env else {env: (env, 0.99, 150_000) for env in options.env}
    cells = tuple(
        _cell(title, *world, arm, options) for title, world in worlds.items() for arm in (*PUSHES, *CHOICES)
    )
    return Study("interventions", options.scale, cells, HYPOTHESES, SCALES[options.scale].measuring)


def _cell(title: str, env: str, discount: float, steps: int, arm: str, options: InterventionOptions) -> Cell:
    scale = SCALES[options.scale]
    values = hyperparameters("ppo", options.scale) | {"sizes": scale.sizes, "discount": discount}
    per_update = values["num_envs"] * values["num_steps"]
    default = {"smoke": 2 * scale.probes * per_update, "cpu": steps, "full": 10 * steps}[options.scale]
    each = max(1, round((options.total_steps or default) / per_update / scale.probes))
    updates = each * scale.probes
    values["decay_updates"] = float(updates)
    if arm in PUSHES:
        agent, maker = (
            PushedConfig(**values, push=arm, strength=options.strength),
            "rlkit.studies.arms:pushed",
        )
    else:
        begin = max(1, round(0.2 * updates))
        agent = MaskedConfig(**values, choice=arm, share=options.share, begin=begin)
        maker = "rlkit.studies.arms:masked"
    seeds = (options.seeds or scale.seeds) + scale.measuring.reference
    settings = TrainConfig(
        env=env, agent=agent, algorithm=maker, seeds=seeds,
        total_steps=updates * per_update, probes=scale.probes, probe_steps=scale.probe_steps, untrained=0,
        eval_episodes=scale.eval_episodes, checkpoint_every=each, keep=scale.probes + 1, devices=1, threads=1,
    )  # fmt: skip
    name = re.sub("[^a-z0-9]+", "-", f"{title}-{arm}".lower())
    return Cell(name, title, "ppo", "mlp", config.to_dict(settings), arm=arm)
