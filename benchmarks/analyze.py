"""What looking inside a finished run costs: `python benchmarks/analyze.py`.

Eight seeds whose latents have 64 units, 21 recordings of 512 steps, the default surrogates (100 of each
recording, 999 of the last). `rlkit analyze` is called twice in processes of its own: with an empty cache of
compiled programs, and with the one that the first call filled. CPU seconds are those of the whole process,
the interpreter's start, imports and compilation included.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlkit.experiment import TrainConfig, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a run folder to take instead of a new one")
    chosen = parser.parse_args().run
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        if chosen is None:
            chosen = where / "run"
            run(TrainConfig(seeds=8, total_steps=43_008, probes=20, probe_steps=512), chosen)
        for cache in ("empty", "filled"):
            command = [sys.executable, "-m", "rlkit", "analyze", str(chosen), "--out", str(where / cache)]
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            own = os.environ | {"RLKIT_CACHE": str(where / "programs")}
            subprocess.run(command, env=own, check=True, capture_output=True)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{cache} cache: {cpu:.1f} CPU s, {wall:.1f} s", flush=True)


if __name__ == "__main__":
    main()
