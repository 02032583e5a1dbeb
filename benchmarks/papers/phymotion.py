"""Do scores of motion rank possible motions above spoilt ones? (PhyMotion, arXiv 2605.14269)

Eight simulated motions of a humanoid with ankles (6 s of standing, swaying and swinging the arms at 30
frames a second) against ten perturbations of each: 640 pairs. Then a generator of motions, whose parameters
are how much the arms swing and how much its frames jitter, float and slide, is trained by each score: does
it learn to stand still? ``--no-ranking`` and ``--no-training`` leave a half out.
``--updates N`` trains longer than 12 updates.
"""

import sys
from typing import Any, NamedTuple

import _motions
import jax
import numpy as np
from _common import claim, finish

from rlkit.experiment.reports.intervals import interval
from rlkit.rewards import motion

FORMULAS = {
    "published": lambda f: motion.published_motion_score(f).score,
    "true floor": lambda f: motion.published_motion_score(f, floor="true").score,
    "simulator": lambda f: motion.motion_score(f).score,
}
SCORES = {name: jax.jit(formula) for name, formula in FORMULAS.items()}


def scored(body: motion.Body, qpos: np.ndarray) -> dict[str, float]:
    seen = motion.motion_features(body, qpos, 1 / _motions.FPS)
    return {name: float(score(seen)) for name, score in SCORES.items()} | {
        "residual": float(np.median(np.linalg.norm(seen.root_residual[:, :3], axis=1)) / body.weight)
    }


def ranking(body: motion.Body, clean: list[np.ndarray]) -> None:
    of_clean = [scored(body, q) for q in clean]
    column = lambda rows, name: np.array([row[name] for row in rows])
    wins = {name: [] for name in SCORES}
    print(f"{'':24}" + "".join(f"{name:>16}" for name in SCORES) + "  residual/weight")
    line = lambda kind, rows: print(
        f"{kind:24}" + "".join(f"{column(rows, n).mean():16.3f}" for n in SCORES)
        + f"{np.median(column(rows, 'residual')):17.3f}"
    )  # fmt: skip
    line("clean", of_clean)
    floating = {}
    for kind, spoil in _motions.perturbations(body).items():
        spoilt = [scored(body, spoil(q.copy(), i)) for i, q in enumerate(clean)]
        line(kind, spoilt)
        for name in SCORES:
            wins[name].append(column(of_clean, name)[:, None] > column(spoilt, name)[None])
        floating = floating or {name: column(spoilt, name).mean() for name in SCORES}
    right = {name: np.mean(won) for name, won in wins.items()}
    print(
        f"{'pairs ranked right':24}" + "".join(f"{right[n]:16.1%}" for n in SCORES),
        f" of {np.size(wins['simulator'])}",
    )
    claim("the simulator's score ranks at least 99.5 % of pairs right", right["simulator"] >= 0.995)
    claim("a floating body scores like the clean one as published, at most 0.75 for simulators",
          floating["simulator"] <= 0.75 < floating["published"])  # fmt: skip


SWINGS = np.array([0.25, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5])


def bank_of(body: motion.Body, balance: _motions.Balance, frames: int = 40) -> list[list[np.ndarray]]:
    """Simulated motions ``[frames, nq]`` for each size of swing: every one of them is possible."""
    each = lambda swing, seed: _motions.clean_motion(body, balance, seed, 4.0, swing)[40 : 40 + frames]
    return [[each(swing, seed) for seed in range(4)] for swing in SWINGS]


def generate(
    bank: list[list[np.ndarray]], x: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A motion of parameters ``x``: log of the arms' swing, and (by softplus) jitter, float and slide.

    With it the simulated motion that the three faults were added to.
    """
    motions = bank[int(np.abs(np.log(SWINGS) - x[0]).argmin())]
    clean = motions[rng.integers(len(motions))]
    out = clean.copy()
    fault = np.log1p(np.exp(x[1:])) * np.array([0.02, 0.03, 0.2])  # rad, m, m/s
    out[:, 7:] += fault[0] * rng.normal(size=out[:, 7:].shape)
    out[:, 2] += fault[1]
    out[:, 0] += fault[2] * np.arange(len(out)) / _motions.FPS
    return out, clean


def dynamic_degree(qpos: np.ndarray) -> float:
    """Mean speed of the joints, from poses a third of a second apart, rad/s."""
    return float(np.abs(qpos[10:, 7:] - qpos[:-10, 7:]).mean() * 3)


class Effect(NamedTuple):
    """What training did to a generator: a number, or an interval over seeds."""

    degree: Any  # of the motions without their faults, after / before
    filmed: Any  # of the motions as they are scored, jitter included, after / before
    score: Any  # after - before


def trained(body: motion.Body, bank: list[list[np.ndarray]], name: str, seed: int, updates: int) -> Effect:
    """GRPO on the generator's parameters."""
    rng = np.random.default_rng(seed)
    mean, spread, group, rate = np.array([0.0, 0.0, 0.0, 0.0]), 0.3, 24, 0.35

    def one(x: np.ndarray) -> tuple[float, float, float]:
        q, clean = generate(bank, x, rng)
        score = SCORES[name](motion.motion_features(body, q, 1 / _motions.FPS))
        return dynamic_degree(clean), dynamic_degree(q), float(score)

    judge = lambda: np.mean([one(mean) for _ in range(8)], 0)
    before = judge()
    for _ in range(updates):
        noise = rng.normal(size=(group, 4))
        paid = np.array([one(mean + spread * n)[-1] for n in noise])
        advantage = (paid - paid.mean()) / (paid.std() + 1e-4)
        mean = mean + rate * spread * (advantage[:, None] * noise).mean(0) * 2
    after = judge()
    return Effect(after[0] / before[0], after[1] / before[1], after[2] - before[2])


def training(body: motion.Body, bank: list, seeds: int, updates: int, names: tuple[str, ...]) -> None:
    print(f"\na generator trained by each score ({seeds} seeds, {updates} updates, 95 % intervals)")
    print(f"  {'':12} {'dynamic degree x':24} {'jitter included x':24} score")
    degree = {}
    for name in names:
        each = [trained(body, bank, name, seed, updates) for seed in range(seeds)]
        found = Effect(*(interval(np.array(column)) for column in zip(*each, strict=True)))
        show = lambda i: f"{i.mean:.2f} [{i.low:.2f}, {i.high:.2f}]"
        columns = f"{show(found.degree):24} {show(found.filmed):24} {found.score.mean:+.3f}"
        print(f"  {name:12} {columns}", flush=True)
        degree[name] = found.degree
    if "published" in degree:
        claim("as published, training takes the degree away (paper: x 0.65)", degree["published"].high < 1)
    if "simulator" in degree:
        claim("the simulator's score keeps it (at least x 0.95)", degree["simulator"].low >= 0.95)


def main() -> None:
    body = motion.body("standing")
    balance = _motions.Balance(body, _motions.crouch(body))
    clean = [_motions.clean_motion(body, balance, seed) for seed in range(8)]
    if "--no-ranking" not in sys.argv:
        ranking(body, clean)
    if "--no-training" not in sys.argv:
        updates = int(sys.argv[sys.argv.index("--updates") + 1]) if "--updates" in sys.argv else 12
        training(body, bank_of(body, balance), 16, updates, ("published", "simulator"))
    finish()


if __name__ == "__main__":
    main()
