"""The toy learner as a registered agent, and small runs of it."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the toy learner is imported by name, also by the processes that tests start

from processes import CACHE  # noqa: E402
from toy_agent import TABLE, ToyConfig  # noqa: E402

from rlkit.agents import registry  # noqa: E402
from rlkit.experiment.training import cache, config  # noqa: E402
from rlkit.registry import Entry, Table  # noqa: E402


@pytest.fixture(autouse=True)
def toy_registered(monkeypatch):
    """``agent=ToyConfig(...)`` works in configurations; compiled programs are kept between runs."""
    ring = Entry("toy_ring:ring", "the toy learner with a ring")
    monkeypatch.setattr(registry, "TABLE", Table("agent", {**TABLE, "ring": ring}))
    monkeypatch.setenv(cache.VARIABLE, str(CACHE))


@pytest.fixture
def settings():
    """A run of 20 updates of the toy learner, two seeds, checkpoints every 5 updates, no probes."""
    return config.TrainConfig(
        agent=ToyConfig(), seeds=2, total_steps=200, log_every=3, probes=0, checkpoint_every=5, keep=10
    )
