"""The command line with the toy learner registered; started by test_kills."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rlkit.experiment import config
from rlkit.experiment.cli import main

config.AGENTS["toy"] = config.Maker("toy_agent", "toy", "ToyConfig")

if __name__ == "__main__":
    sys.exit(main())
