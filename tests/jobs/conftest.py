"""Jobs of the toy learner, which any process can import."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PATHS = [str(HERE), str(HERE.parent / "experiment")]
for path in PATHS:
    sys.path.insert(0, path)

from processes import CACHE  # noqa: E402

from rlkit.experiment.training import cache  # noqa: E402


@pytest.fixture(autouse=True)
def compiled_programs_are_kept(monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(CACHE))
