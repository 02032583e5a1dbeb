"""A task that trains in a moment, and one trainer for all tests: compiling is what costs."""

import sys
from pathlib import Path

import jax
import pytest

from rlkit.agents.ppo import PPOConfig
from rlkit.design import DesignTask
from rlkit.design.genome import schema_of
from rlkit.design.training import Trainer, Training
from rlkit.envs import make

sys.path.insert(0, str(Path(__file__).parent))  # `worlds` and `hacks` are imported by name

TINY = PPOConfig(num_envs=4, num_steps=16, sizes=(8,), minibatches=1, epochs=1)
SETTINGS = Training(agent=TINY, total_steps=192, seeds=2, checkpoints=3, eval_episodes=2)


@pytest.fixture(scope="session")
def pendulum():
    return DesignTask(make("classic/pendulum"), base="success()")


@pytest.fixture(scope="session")
def trainer(pendulum):
    return Trainer(pendulum, SETTINGS, schema_of(pendulum))


@pytest.fixture
def compilations():
    """Counts what XLA compiles."""
    count = [0]

    def listen(event: str, duration: float, **_) -> None:
        count[0] += event.endswith("backend_compile_duration")

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield lambda: count[0]
    jax.monitoring.unregister_event_duration_listener(listen)
