"""What a report of a long run of many seeds takes: wall time, peak memory, size of the page.

Makes a run folder with a log as a training writes it and runs ``rlkit report`` on it in a process of its own.

    python benchmarks/report.py                  # 64 seeds, 200,000 lines, 225 MB
    python benchmarks/report.py --metrics 12     # as many metrics as PPO logs: 2 GB
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rlkit.experiment.runs import store
from rlkit.experiment.training import config
from rlkit.experiment.training.config import TrainConfig

METRICS = ("episode/return", "episode/success", "episode/paid", "reward/success", "reward/progress")


def write_log(path: Path, seeds: int, lines: int, metrics: int) -> None:
    """A log of ``lines`` lines with ``metrics`` metrics; every thousandth line has other values."""
    names = [*METRICS, *(f"loss/{i}" for i in range(metrics))][:metrics]
    rng = np.random.default_rng(0)
    blocks = []
    for _ in range(1000):
        row = rng.normal(size=seeds).astype(np.float32).astype(np.float64).round(14).tolist()
        spread = dict.fromkeys(names, 0.28)
        blocks.append(json.dumps({"std": spread, "seeds": dict.fromkeys(names, row)})[1:] + "\n")
    with open(path, "w", encoding="utf-8") as file:
        for i in range(1, lines + 1):
            mean = json.dumps(dict.fromkeys(names, 0.5))
            file.write(
                f'{{"kind": "train", "update": {i}, "step": {1024 * i}, "mean": {mean}, {blocks[i % 1000]}'
            )


def make(folder: Path, seeds: int, lines: int, metrics: int) -> None:
    """A run folder without checkpoints."""
    folder.mkdir(parents=True)
    settings = TrainConfig(env="nav/pointmaze-umaze-far", seeds=seeds, total_steps=1024 * lines, log_every=1)
    config.save(folder / store.CONFIG, settings)
    write_log(folder / store.METRICS, seeds, lines, metrics)
    store.write_json(folder / store.DONE, {"update": lines, "steps_per_seed": 1024 * lines})


# The parent is small and waits: the largest of its children is the report.
_CHILD = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss * 1024, used.ru_utime + used.ru_stime, file=sys.stderr)
sys.exit(code)
"""


def measure(folder: Path) -> dict[str, float]:
    """Wall and CPU seconds, peak bytes of memory, and bytes of the page of ``rlkit report``."""
    begin = time.monotonic()
    command = [sys.executable, "-c", _CHILD, sys.executable, "-m", "rlkit", "report", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, cpu = map(float, done.stderr.split("\n")[-2].split())
    page = os.path.getsize(folder / "report.html")
    return {"wall": time.monotonic() - begin, "cpu": cpu, "peak": peak, "page": page}


def main() -> None:
    """Print a table of one row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("seeds", 64), ("lines", 200_000), ("metrics", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        make(folder, chosen.seeds, chosen.lines, chosen.metrics)
        size = os.path.getsize(folder / store.METRICS)
        found = measure(folder)
    print(
        f"{chosen.seeds} seeds, {chosen.lines:,} lines, {size / 1e6:.0f} MB: {found['wall']:.1f} s "
        f"({found['cpu']:.1f} s of CPU), peak {found['peak'] / 1e6:.0f} MB, page {found['page'] / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
