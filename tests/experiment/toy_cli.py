"""The command line with the toy learner registered; started by test_kills."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from toy_agent import TABLE

from rlkit.agents import registry
from rlkit.cli import main

registry.TABLE = TABLE

if __name__ == "__main__":
    sys.exit(main())
