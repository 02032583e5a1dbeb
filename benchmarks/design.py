"""Reward candidates evaluated per minute: one compiled program for all, against one process for each.

Both train the same genomes of the same task with the same agent, seeds, steps and judgements, without a
compilation cache, on the same cores. A process for each candidate, as many side by side as there are cores,
is what Eureka's release and its descendants do. Prints what sixteen candidates cost beside one, how many
programs a second generation compiles, and the ratio of candidates per minute, by wall clock and by CPU time
(the latter does not mind what else the machine is doing). The longer a training, the less compiling matters:
the last line says at which length the ratio would be five.

``python benchmarks/design.py [--env nav/pointmaze-umaze] [--steps 8192] [--candidates 16]``
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import NamedTuple


class Cost(NamedTuple):
    """Seconds of all that a process and its children did."""

    wall: float
    cpu: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


def now() -> Cost:
    times = os.times()
    return Cost(time.perf_counter(), sum(times[:4]))


def train(env: str, steps: int, first: int, count: int, again: bool) -> dict:
    """What training candidates ``first`` to ``first + count`` took; with ``again`` also as many others.

    Everything is counted, imports and compilation included.
    """
    begin = now()
    import jax

    from rlkit.agents.ppo import PPOConfig
    from rlkit.design import DesignTask, History
    from rlkit.design.evolution import RandomSearch
    from rlkit.design.genome import schema_of
    from rlkit.design.training import Trainer, Training
    from rlkit.envs import make

    task = DesignTask(make(env), base="success()")
    schema = schema_of(task)
    agent = PPOConfig(num_envs=8, num_steps=64)
    settings = Training(agent=agent, total_steps=steps, seeds=1, checkpoints=4, eval_episodes=8)
    proposed = RandomSearch(schema).propose(task, History(), jax.random.key(0), first + 2 * count)[first:]
    trainer = Trainer(task, settings, schema)

    def trained(part) -> None:
        found = dict(trainer.train(part, jax.random.key(1)))
        assert len(found) == count
        assert not any(outcome.error for outcome in found.values())

    trained(proposed[:count])
    whole, compiled = now() - begin, [0]

    def listen(event: str, duration: float, **_) -> None:
        compiled[0] += event.endswith("backend_compile_duration")

    jax.monitoring.register_event_duration_secs_listener(listen)
    between = now()
    if again:
        trained(proposed[count:])
    return {"first": whole, "second": now() - between, "compiled": compiled[0]}


def child(given: argparse.Namespace, *more: str) -> subprocess.Popen:
    own = [sys.executable, __file__, "--env", given.env, "--steps", str(given.steps), *more]
    return subprocess.Popen(own, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen) -> dict:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit("a process failed")
    return json.loads(said)


def alone(given: argparse.Namespace, count: int) -> tuple[Cost, Cost, int]:
    """A process that trains ``count`` candidates, then as many others: their costs, and what was compiled."""
    said = answer(child(given, "--first", "0", "--count", str(count), "--again"))
    return Cost(*said["first"]), Cost(*said["second"]), said["compiled"]


def processes(given: argparse.Namespace, at_once: int) -> Cost:
    """What processes of one candidate each take, ``at_once`` of them side by side, per candidate."""
    begin, running = now(), []
    for i in range(given.measured):
        if len(running) == at_once:
            answer(running.pop(0))
        running.append(child(given, "--first", str(i), "--count", "1"))
    for process in running:
        answer(process)
    took = now() - begin
    return Cost(took.wall / given.measured, took.cpu / given.measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="nav/pointmaze-umaze")
    parser.add_argument("--steps", type=int, default=8_192, help="environment steps of a training")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument(
        "--measured", type=int, default=4, help="processes of one candidate that are measured"
    )
    for name in ("--first", "--count"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    if given.count is not None:
        print(json.dumps(train(given.env, given.steps, given.first, given.count, given.again)))
        return
    from rlkit.experiment.training.devices import cores

    count = given.candidates
    (one, again, _), (all_, second, compiled) = alone(given, 1), alone(given, count)
    each = processes(given, cores())
    print(f"{given.env}, {given.steps} steps a training, {cores()} cores")
    for name, a, b in (("wall clock", one.wall, all_.wall), ("CPU time", one.cpu, all_.cpu)):
        print(f"{name}: one candidate {a:.1f} s, {count} candidates {b:.1f} s: {b / a:.2f} x")
    print(f"the next {count} in the same process: {second.wall:.1f} s, {compiled} programs compiled")
    for name, a, b in (
        ("wall clock", each.wall, all_.wall / count),
        ("CPU time", each.cpu, all_.cpu / count),
    ):
        print(f"{name}: {60 / b:.1f} candidates a minute, a process each {60 / a:.1f}: {a / b:.1f} x")
    # (compile + run) / (compile / N + run) = 5 at run = compile (1 - 5 / N) / 4
    run, compile_ = again.cpu, one.cpu - again.cpu
    even = compile_ * (1 - 5 / count) / 4
    print(f"CPU time: a training runs {run:.2f} s after {compile_:.1f} s of starting; 5 x up to {even:.1f} s")


if __name__ == "__main__":
    main()
