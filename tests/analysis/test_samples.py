"""What samples may be: real numbers of any kind, computed in single precision or more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import analysis
from rlkit.analysis.moments import rank_normal
from rlkit.analysis.moments.samples import as_samples
from rlkit.errors import UsageError


@pytest.fixture(scope="module")
def z():
    noise = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    out = np.zeros_like(noise)
    for t in range(1, len(out)):
        out[t] = 0.5 * out[t - 1] + 0.3 * out[t - 1, ::-1] + noise[t]
    return out


MEASURES = {
    "phi_id": analysis.phi_id,
    "local_atoms": analysis.local_atoms,
    "lagged_moments": analysis.lagged_moments,
    "effective_sample_size": analysis.effective_sample_size,
    "drift": analysis.drift,
    "half_means": lambda z: analysis.half_means(z, (0, 1)),
}


@pytest.mark.parametrize("name", MEASURES)
def test_recordings_of_mixed_precision_are_measured_in_single_precision(name, z) -> None:
    """In bfloat16 the sums over a recording are off by more than the atoms."""
    for dtype in (jnp.bfloat16, jnp.float16):
        for samples in (z, 300 * z, z + 20):
            half = jnp.asarray(samples, dtype)
            found, wanted = MEASURES[name](half), MEASURES[name](half.astype(jnp.float32))
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), found, wanted)
            assert {x.dtype for x in jax.tree.leaves(found) if x.dtype.kind == "f"} == {np.dtype("float32")}


def test_integers_conditions_and_lists_are_numbers(z) -> None:
    whole = np.round(3 * z).astype(int)
    for other in (whole.tolist(), whole.astype(np.int8), whole.astype(np.float64), np.asfortranarray(whole)):
        np.testing.assert_array_equal(analysis.phi_id(other).atoms.sts, analysis.phi_id(whole).atoms.sts)
    np.testing.assert_array_equal(as_samples(z > 0), (z > 0).astype(np.float32))
    normal = rank_normal(whole)  # ranks between whole numbers are no whole numbers
    np.testing.assert_array_equal(normal, rank_normal(whole.astype(np.float32)))
    assert np.isfinite(normal).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z: z + 1j, "values of complex64; expected real numbers"),
        (lambda z: z.astype(str), "expected real numbers"),
        (lambda z: z.astype(object), "values of object; expected real numbers"),
        (lambda z: None, "expected real numbers"),
        (lambda z: [[1.0, 2.0], [3.0]], "its rows differ in length"),
        (lambda z: np.ma.masked_array(z, mask=z > 2), "leave steps out with valid="),
        (lambda z: 1e30 * z, "whose squares overflow in float32: divide the unit by its size"),
        (lambda z: jax.random.split(jax.random.key(0), 4), "expected real numbers"),
    ],
)
def test_what_is_no_series_of_numbers_is_refused(change, words, z) -> None:
    for measure in (analysis.phi_id, analysis.local_atoms):
        with pytest.raises(UsageError, match=words):
            measure(change(z))
