"""``rlkit demo``: a sparse and a dense reward on one maze, what was learned, and what happened inside."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlkit.experiment.training.config import TrainConfig
from rlkit.fields import check, option

ENV = "nav/pointmaze-medium-far"
# The agent sees where it is and where the goal is, and decides at every simulation step (0.01 s): a far
# goal is 600 decisions away, which chance does not bridge.
OPTIONS = ("observation=global", "frame_skip=1")
STEPS = 120_000
REWARDS = {"sparse": "success()", "dense": "success() + progress('path_distance')"}


@dataclass(frozen=True)
class DemoArguments:
    """Train PPO with a sparse and with a dense reward, measure emergence, write a report."""

    root: str = option("runs", "folder below which the runs and the report go; nothing is overwritten")
    seeds: int = option(8, "seeds per reward, trained in one compiled program", low=1)
    seed: int = option(0, "base seed", low=0, high=2**32 - 1)
    total_steps: int = option(STEPS, "environment steps per seed, the same for both rewards", low=1)
    draws: int = option(60, "surrogates per recording of latents", low=2)


def settings(reward: str, seeds: int = 8, seed: int = 0, total_steps: int = STEPS) -> TrainConfig:
    """The training of the demo with one of :data:`REWARDS`; nothing but the reward differs."""
    from rlkit.agents import PPOConfig

    agent = PPOConfig(num_envs=16, num_steps=64, learning_rate=1e-3, normalize_obs=True)
    updates = -(-total_steps // (agent.num_envs * agent.num_steps))
    agent = agent.replace(decay_updates=float(updates))
    return TrainConfig(
        env=ENV,
        env_options=OPTIONS,
        agent=agent,
        reward=REWARDS[reward],
        seeds=seeds,
        seed=seed,
        total_steps=total_steps,
        probes=10,
        log_every=5,
    )


def main(args: Sequence[str]) -> int:
    """Run the demo.

    Args:
      args: of the command line, see :class:`DemoArguments`.

    Returns:
      The exit code: 0, or 130/143 if a signal ended it (its runs can be resumed).
    """
    from rlkit.experiment.commands.arguments import parse
    from rlkit.experiment.training.devices import use_host_devices

    chosen = parse(DemoArguments, list(args), "rlkit demo")
    check(chosen)
    use_host_devices(0)
    from rlkit.experiment.runs import store

    begin = time.monotonic()
    base = store.create(chosen.root, ENV, "demo")
    folders = {name: base / name for name in REWARDS}
    for name, folder in folders.items():
        code = _train(name, folder, chosen)
        if code:
            return code
    _look(list(folders.values()), base, chosen.draws)
    print(f"\n{time.monotonic() - begin:.0f} s in all. The report, one file that opens in any browser:\n")
    print(f"  {base / 'report.html'}")
    return 0


def _train(name: str, folder: Path, chosen: DemoArguments) -> int:
    from rlkit.experiment.training import run

    asked = settings(name, chosen.seeds, chosen.seed, chosen.total_steps)
    print(f"\n{name}: PPO on {asked.env}, paid {asked.reward}", flush=True)
    outcome = run.run(asked, folder, abrupt=True)
    if outcome.finished:
        print(f"  {summary(folder)}", flush=True)
    return outcome.exit_code


def summary(folder: Path) -> str:
    """One line about a finished run: success with its interval, speed, and compile time apart."""
    from rlkit.experiment.reports import reading, wording

    found = reading.read(folder)
    reached, times = found.final("eval/success"), found.times
    episodes = found.rows * found.settings.eval_episodes
    around = f"{wording.percent(reached.low)} to {wording.percent(reached.high)}"
    return (
        f"success {wording.percent(reached.mean)} in {episodes} fresh episodes "
        f"(95 % interval over {reached.count} seeds: {around}); "
        f"{wording.short(reading.steps_per_second(found))} steps/s, "
        f"compiled in {times.trace + times.compile:.1f} s, trained in {times.train:.1f} s"
    )


def _look(folders: list[Path], base: Path, draws: int) -> None:
    from rlkit.experiment.reports import analyze, reading, report
    from rlkit.experiment.reports.telling import told

    for folder in folders:
        analyze.analyze(folder, draws)
        print(f"\n{folder.name}: emergence of the latents at the last recording, nats per step", flush=True)
        print("\n".join(f"  {sentence}" for sentence in told(reading.read(folder).emergence)), flush=True)
    report.compare(folders, base / report.REPORT)
