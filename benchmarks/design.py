"""Reward candidates evaluated per minute: one compiled program for all, against one process for each.

Both train the same genomes of ``nav/pointmaze-umaze`` with the same agent, seeds, steps and judgements, and
without a compilation cache, one after the other on the same machine. A process for each candidate is what
Eureka's release and its descendants do. Prints the ratio, and what sixteen candidates cost beside one.

``python benchmarks/design.py [--candidates 16] [--processes 2]``
"""

import argparse
import os
import subprocess
import sys
import time

STEPS = 8_192


def train(first: int, count: int) -> float:
    """Seconds that candidates ``first`` to ``first + count`` take in this process, compilation included."""
    import jax

    from rlkit.agents.ppo import PPOConfig
    from rlkit.design import DesignTask, History
    from rlkit.design.evolution import RandomSearch
    from rlkit.design.genome import schema_of
    from rlkit.design.training import Trainer, Training
    from rlkit.envs import make

    begin = time.perf_counter()
    task = DesignTask(make("nav/pointmaze-umaze"), base="success()")
    schema = schema_of(task)
    agent = PPOConfig(num_envs=8, num_steps=64)
    settings = Training(agent=agent, total_steps=STEPS, seeds=1, checkpoints=4, eval_episodes=8)
    proposed = RandomSearch(schema).propose(task, History(), jax.random.key(0), first + count)[first:]
    found = list(Trainer(task, settings, schema).train(proposed, jax.random.key(1)))
    assert len(found) == count
    return time.perf_counter() - begin


def processes(count: int, at_once: int) -> float:
    """Seconds that ``count`` processes of one candidate each take, ``at_once`` of them side by side."""
    begin = time.perf_counter()
    running: list[subprocess.Popen] = []
    for i in range(count):
        if len(running) == at_once:
            running.pop(0).wait()
        running.append(
            subprocess.Popen([sys.executable, __file__, "--only", str(i)], stdout=subprocess.DEVNULL)
        )
    if any(process.wait() for process in running):
        raise SystemExit("a process failed")
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2, help="how many run side by side")
    parser.add_argument(
        "--measured", type=int, default=4, help="processes that are measured; the rest is scaled"
    )
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        train(given.only, 1)
        return
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    one, all_ = train(0, 1), train(0, given.candidates)
    each = processes(given.measured, given.processes) / given.measured
    per_minute, others = 60 * given.candidates / all_, 60 / each
    print(
        f"one candidate, with compilation: {one:.1f} s; {given.candidates}: {all_:.1f} s, {all_ / one:.2f} x"
    )
    print(f"one program: {per_minute:.1f} candidates a minute")
    print(f"one process each, {given.processes} side by side: {others:.1f} candidates a minute")
    print(f"ratio: {per_minute / others:.1f}")


if __name__ == "__main__":
    main()
