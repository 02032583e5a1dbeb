"""``python -m rlkit`` is the command line."""

import sys

from rlkit.experiment.cli import main

sys.exit(main())
