"""Where the truth is known, the pipeline finds it, and nothing else."""

import jax
import numpy as np
import pytest

from rlkit.errors import UnknownNameError
from rlkit.studies.licence import PRIMARY, licence, tables
from rlkit.studies.synthetic import TRUTHS, early_statistics, judged, synthetic_lives


@pytest.fixture(scope="module")
def found():
    """p by truth, of one cell of forty seeds each."""
    p = {}
    for seed, truth in enumerate(TRUTHS):
        lives = synthetic_lives(truth, np.random.default_rng(seed), seeds=40)
        statistics = early_statistics(lives.latents, jax.random.key(seed), 8)
        p[truth] = judged(statistics, lives, 0.2)
    return p


def test_emergence_that_leads_is_found(found):
    assert found["emergence leads"][PRIMARY][0] < 1e-4


@pytest.mark.parametrize("truth", TRUTHS[1:])
def test_what_does_not_lead_is_not_found(found, truth):
    assert found[truth][PRIMARY][0] > 0.01


def test_the_traps_are_real(found):
    """Without a null slow units look emergent, and without controls so does a copy of the return."""
    assert found["autocorrelation leads"]["ce4 pairs"][0] < 1e-4
    assert found["autocorrelation leads"]["ce4 pairs beyond null"][0] > 0.01
    assert found["emergence follows the return"][PRIMARY][1] < 1e-3


def test_lives_are_what_they_say():
    rng = np.random.default_rng(0)
    lives = synthetic_lives("nothing", rng, seeds=3, checkpoints=6, steps=40, units=5)
    assert (lives.latents.shape, lives.returns.shape) == ((3, 2, 40, 5), (3, 6))
    with pytest.raises(UnknownNameError, match="did you mean 'nothing'"):
        synthetic_lives("noting", rng)


@pytest.mark.slow
def test_licence():
    """The two tables that a study prints first, of fewer studies than are committed."""
    data = licence(40, 77_000)
    lead, *others = (data["truths"][truth][PRIMARY] for truth in TRUTHS)
    assert lead["reported"] >= 0.9
    assert max(one["reported"] for one in others) <= 0.05
    assert len(tables(data)) > 2 * len(TRUTHS)
