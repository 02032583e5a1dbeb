"""The licence of the emergence study: power where there is something, false positives where there is not.

    python benchmarks/licence.py [--studies 200] [--out docs/results/licence.json]

Synthetic training lives (``rlkit.studies.licence``) go through the measurement and the test of the study.
"""

import argparse
import json
import time
from pathlib import Path

from rlkit.studies.licence import licence, tables


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--studies", type=int, default=200, help="synthetic studies of each truth")
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers, which reports of studies read")
    chosen = parser.parse_args()
    begin = time.process_time()
    data = licence(chosen.studies, chosen.seed)
    print("\n".join(tables(data)))
    print(f"\n{time.process_time() - begin:.0f} CPU-seconds")
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
