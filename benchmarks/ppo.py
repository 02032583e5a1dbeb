"""PPO beside its peers: where the time goes, what it costs, and whether it learned.

    python benchmarks/ppo.py [--jobs cartpole pendulum inverted_pendulum] [--rounds 5]
        [--peers-python PATH] [--purejaxrl FOLDER]

Every run is a fresh process; the candidates take turns, round by round, so that a machine that
changes speed changes it for all. Figures are medians over rounds, in CPU seconds of the process
(all threads); ratios are taken between medians of the same rounds. With one seed, every candidate
runs with one thread per operation, which suits these networks (XLA reads the variable NPROC).
``--peers-python`` is the interpreter of an environment with benchmarks/requirements.txt,
``--purejaxrl`` a folder with that project's ``ppo.py``, ``ppo_continuous_action.py`` and
``wrappers.py``; what is not given is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PATIENCE = 300  # seconds that a candidate may take
COLUMNS = ("imported", "trace", "compile", "run", "cold", "wall", "memory")


def measure(
    python: str, candidate: str, job: str, seeds: int, options: dict[str, Any]
) -> dict[str, Any] | None:
    """Run one candidate in a fresh process; None, and a line that says why, if it fails."""
    command = [python, str(HERE / "_ppo_candidates.py"), candidate, job, str(seeds), json.dumps(options)]
    environment = os.environ | ({"NPROC": "1"} if seeds == 1 else {})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        print(f"  {candidate} on {job} was stopped after {PATIENCE} s")
        return None
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    print(f"  {candidate} on {job} failed: {(done.stderr.strip().splitlines() or ['no output'])[-1][:200]}")
    return None


def table(title: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """Print medians, and the range of the run phase."""
    print(f"\n{title}")
    print(
        f"{'':26}{'import':>8}{'trace':>8}{'compile':>9}{'run':>18}{'steps/CPU-s':>13}{'cold':>8}{'wall':>8}"
        f"{'MB':>7}  return"
    )
    for name, runs in results.items():
        if not runs:
            continue
        mid = {c: statistics.median(r[c] for r in runs) for c in COLUMNS}
        low, high = min(r["run"] for r in runs), max(r["run"] for r in runs)
        returned = [x for r in runs for x in r["returned"]]
        spread = statistics.stdev(returned) if len(returned) > 1 else 0.0
        print(
            f"{name:26}{mid['imported']:8.2f}{mid['trace']:8.2f}{mid['compile']:9.2f}"
            f"{mid['run']:7.2f} ({low:.2f}-{high:.2f})".ljust(69)
            + f"{runs[0]['steps'] / mid['run']:13,.0f}{mid['cold']:8.1f}{mid['wall']:8.2f}"
            f"{mid['memory']:7.0f}  {statistics.mean(returned):.0f} ± {spread:.0f} (n={len(returned)})"
        )


def median(results: dict[str, list[dict[str, Any]]], name: str, *columns: str) -> float | None:
    """Sum of the medians of some columns; None if the candidate did not run."""
    runs = results.get(name)
    return sum(statistics.median(r[c] for r in runs) for c in columns) if runs else None


def ratio(label: str, ours: float | None, theirs: float | None, goal: str) -> None:
    """Print one ratio beside its goal."""
    if ours and theirs:
        print(f"  {label:64}{ours / theirs:8.2f}   goal {goal}")


def interleaved(rounds: int, candidates: dict[str, tuple[str, str, int, dict[str, Any]]], job: str):
    """Run all candidates round by round, seeds changing with the round."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
    for turn in range(rounds):
        for name, (python, candidate, seeds, options) in candidates.items():
            out = measure(python, candidate, job, seeds, options | {"seed": turn})
            if out is not None:
                results[name].append(out)
    return results


def one_seed(args: argparse.Namespace, job: str, cache: str) -> None:
    """One seed beside the peers, and rlkit's second process with its compilation cache."""
    us, them = sys.executable, args.peers_python
    candidates: dict[str, tuple] = {"rlkit": (us, "rlkit", 1, {})}
    if args.purejaxrl and them:
        candidates["PureJaxRL"] = (them, "purejaxrl", 1, {"purejaxrl": args.purejaxrl})
    if them:
        candidates["rejax"] = (them, "rejax", 1, {})
        if job != "inverted_pendulum":
            candidates["Stable-Baselines3"] = (them, "sb3", 1, {})
    candidates["rlkit, warm cache"] = (us, "rlkit", 1, {"cache": cache})
    candidates["rlkit, latents recorded"] = (us, "rlkit", 1, {"latents": True})
    if job == "cartpole":
        measure(us, "rlkit", job, 1, {"cache": cache})
    else:
        del candidates["rlkit, warm cache"], candidates["rlkit, latents recorded"]
    results = interleaved(args.rounds, candidates, job)
    table(f"{job}, 1 seed (median of {args.rounds} rounds)", results)
    run = lambda name: median(results, name, "run")
    start = lambda name: median(results, name, "trace", "compile")
    per_step = lambda name: run(name) / results[name][0]["steps"] if results.get(name) else None
    cold = lambda name: median(results, name, "cold")
    memory = lambda name: median(results, name, "memory")
    goal = "<= 0.60" if job == "inverted_pendulum" else "<= 0.45"  # there, physics are compiled by both
    ratio("trace + compile, of PureJaxRL's", start("rlkit"), start("PureJaxRL"), goal)
    ratio(
        "trace + compile, second process, of PureJaxRL's first",
        start("rlkit, warm cache"),
        start("PureJaxRL"),
        "<= 0.15",
    )
    ratio("steps per CPU second, of PureJaxRL's", run("PureJaxRL"), run("rlkit"), ">= 1.10")
    ratio("steps per CPU second, of rejax's", run("rejax"), run("rlkit"), ">= 1.00")
    ratio(
        "steps per CPU second, of Stable-Baselines3's",
        per_step("Stable-Baselines3"),
        per_step("rlkit"),
        ">= 33",
    )
    ratio("cold total, of rejax's", cold("rlkit"), cold("rejax"), "<= 0.65")
    ratio("peak memory, of PureJaxRL's", memory("rlkit"), memory("PureJaxRL"), "<= 0.60")
    ratio(
        "run time with latents recorded, of without", run("rlkit, latents recorded"), run("rlkit"), "<= 1.10"
    )


def many_seeds(args: argparse.Namespace, job: str, seeds: int = 16) -> None:
    """Many seeds in one program, one after the other, all at once, and spread over host devices."""
    us, them = sys.executable, args.peers_python
    candidates: dict[str, tuple] = {
        "rlkit, 1 seed": (us, "rlkit", 1, {}),
        "rlkit, map": (us, "rlkit", seeds, {}),
        "rlkit, vmap": (us, "rlkit", seeds, {"batching": "vmap"}),
        "rlkit, 2 host devices": (us, "rlkit", seeds, {"devices": 2}),
    }
    if args.purejaxrl and them:
        candidates["PureJaxRL"] = (them, "purejaxrl", seeds, {"purejaxrl": args.purejaxrl})
    if them:
        candidates["rejax"] = (them, "rejax", seeds, {})
    results = interleaved(max(args.rounds // 2, 1), candidates, job)
    table(f"{job}, {seeds} seeds", results)
    compiled = lambda name: median(results, name, "compile")
    wall = lambda name: median(results, name, "wall")
    ratio(
        "compile time, of its own for one seed", compiled("rlkit, map"), compiled("rlkit, 1 seed"), "<= 1.4"
    )
    ratio("compile time, of PureJaxRL's", compiled("rlkit, map"), compiled("PureJaxRL"), "<= 0.4")
    ratio(
        "wall time of vmap, of seeds over 2 host devices",
        wall("rlkit, vmap"),
        wall("rlkit, 2 host devices"),
        ">= 1.7",
    )
    ratio(
        "steps per CPU second, of PureJaxRL's",
        median(results, "PureJaxRL", "run"),
        median(results, "rlkit, map", "run"),
        ">= 1",
    )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", default=["cartpole", "pendulum", "inverted_pendulum"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers-python", default="", help="interpreter with benchmarks/requirements.txt")
    parser.add_argument("--purejaxrl", default="", help="folder with PureJaxRL's ppo.py and wrappers.py")
    parser.add_argument("--no-many", action="store_true", help="leave the 16-seed comparison out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        for job in args.jobs:
            one_seed(args, job, cache)
        if "cartpole" in args.jobs and not args.no_many:
            many_seeds(args, "cartpole_short")


if __name__ == "__main__":
    main()
