"""Stored motions: eight times three seconds of standing, swaying and swinging the arms, simulated."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rlkit.rewards import motion

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "papers"))

FPS = 30.0


@pytest.fixture(scope="session")
def standing():
    return motion.body("standing")


@pytest.fixture(scope="session")
def clean():
    """[8, 90, 28]"""
    return np.load(Path(__file__).parent / "clean.npz")["qpos"].astype(np.float64)


@pytest.fixture(scope="session")
def scorers():
    """Every formula, compiled once for all tests."""
    return {
        "simulator": jax.jit(motion.motion_score),
        "published": jax.jit(motion.published_motion_score),
        "true floor": jax.jit(lambda f: motion.published_motion_score(f, floor="true")),
    }
