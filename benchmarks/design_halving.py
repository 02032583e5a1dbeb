"""Does Φ_R of the first fifth of training tell which reward candidates will not pay off?

Trains random typed rewards of sparse tasks to the end, and notes after a fifth of the training what a design
could drop candidates by: the task's fitness so far (early return), Φ_R of the latents beyond its null, their
feature rank, their dead units, and mean ranks of these. Then prints how each goes with the fitness at the end
(Spearman), and what dropping three quarters by it costs: the best end among those that stay, against the best
of all, 0 being nothing lost and 1 as much as the best is above the mean. Intervals (95 %) are over random
halves of the candidates, which vary as a bootstrap does but hold no copies; all predictors see the same
halves, so that differences to early return are paired.

``python benchmarks/design_halving.py [--candidates 32] [--seeds 2]`` (about 3 minutes on two quiet cores)
"""

import argparse
import dataclasses
import time

import jax
import numpy as np
from design_sparse import SMALL, TASKS
from scipy.stats import spearmanr

from rlkit.design.evolution import RandomSearch
from rlkit.design.halving import predicted
from rlkit.design.scoring import score
from rlkit.design.training import Keep, Trainer
from rlkit.design.types import DesignTask, History, Outcome

EARLY = 0.2
KEPT = 0.25
CHOICES = {
    "early return": ("score",),
    "phi_r": ("phi_r",),
    "rank": ("rank",),
    "dead units": ("dead",),
    "early return + phi_r": ("score", "phi_r"),
    "early return + rank + dead units": ("score", "rank", "dead"),
}


def train(name: str, candidates: int, seeds: int) -> tuple[list[Outcome], np.ndarray]:
    """What was known of each candidate after a fifth of its training, and its fitness at the end."""
    make_env, steps, forbidden, _ = TASKS[name]
    task = DesignTask(make_env(), base="success()", forbidden=forbidden)
    settings = dataclasses.replace(SMALL, total_steps=steps, seeds=seeds, checkpoints=5, eval_episodes=32)
    trainer = Trainer(task, settings, settings.schema(task))
    proposed = RandomSearch(trainer.schema).propose(task, History(), jax.random.key(7), candidates)
    early: list[Outcome] = []

    def noted(outcomes) -> list[bool]:
        early.extend(outcomes)
        return [True] * len(outcomes)

    ended = dict(trainer.train(proposed, jax.random.key(8), keep=Keep((EARLY,), noted, latents=True)))
    good = [i for i in range(candidates) if not ended[i].error]
    return [early[i] for i in good], np.array([score(ended[i], "final", "fitness") for i in good])


def judged(looks: np.ndarray, end: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Rank correlation with the end, and the share of the gain that is lost, of some of the candidates."""
    looks, end = looks[rows], end[rows]
    kept = np.argsort(-looks, kind="stable")[: max(1, round(KEPT * len(rows)))]
    gain = end.max() - end.mean()
    lost = (end.max() - end[kept].max()) / gain if gain > 0 else 0.0
    if np.ptp(looks) == 0 or np.ptp(end) == 0:
        return float("nan"), float(lost)
    return float(spearmanr(looks, end).statistic), float(lost)


def interval(values: np.ndarray) -> str:
    if np.isnan(values).all():
        return "undefined     "
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"[{low:+.2f}, {high:+.2f}]"


def table(early: list[Outcome], end: np.ndarray, draws: int = 1000) -> list[str]:
    chance, everyone = np.random.default_rng(0), np.arange(len(end))
    # Halves, not a bootstrap: a copy of the best candidate would make dropping look harmless.
    samples = [chance.permutation(everyone)[: max(4, len(end) // 2)] for _ in range(draws)]
    looks = {name: predicted(early, by) for name, by in CHOICES.items()}
    found = {
        name: np.array([judged(x, end, rows) for rows in [everyone, *samples]]) for name, x in looks.items()
    }
    base = found["early return"]
    lines = [f"  {'dropped by':<34} Spearman with the end       lost         lost, less early return's"]
    for name, values in found.items():
        (rho, lost), more = values[0], values - base
        lines.append(
            f"  {name:<34} {rho:+.2f} {interval(values[1:, 0])}   {lost:.2f} {interval(values[1:, 1])}   "
            f"{more[0, 1]:+.2f} {interval(more[1:, 1])}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=["maze", "keydoor"])
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    for name in given.tasks:
        begin = time.process_time()
        early, end = train(name, given.candidates, given.seeds)
        spent = time.process_time() - begin
        print(f"{name}: {len(end)} candidates, {given.seeds} seeds, {spent:.0f} CPU seconds")
        print(f"  fitness at the end: {end.min():.2f} to {end.max():.2f}, mean {end.mean():.2f}")
        print("\n".join(table(early, end)), flush=True)


if __name__ == "__main__":
    main()
