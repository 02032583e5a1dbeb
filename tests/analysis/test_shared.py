"""One program for several hypotheses and numbers of surrogates gives what each by itself gives."""

import jax
import numpy as np
import pytest

from rlkit.analysis import measure_recordings
from rlkit.analysis.study import shared as module
from rlkit.analysis.study.shared import HYPOTHESES, Shared

S, T, N = 2, 96, 4
KEY = jax.random.key(5)
QUANTITIES = ("phi_r", "ce4")


def recordings(units=N):
    """Coupled slow units in episodes; one of the second recording does not vary."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(S, T, units))
    for t in range(1, T):
        z[:, t] += 0.6 * z[:, t - 1] + 0.2 * np.roll(z[:, t - 1], 1, axis=-1)
    z[1, :, 2] = 0.5
    return z.astype(jax.dtypes.canonicalize_dtype(float)), np.broadcast_to(np.arange(T) % 32 == 0, (S, T))


def both(shared, null, draws, routes, **options):
    z, first = recordings()
    asked = {"null": null, "draws": draws, "routes": routes, "quantities": QUANTITIES, "keep_draws": True}
    alone = measure_recordings(z, KEY, first=first, check="off", **asked, **options)
    return measure_recordings(z, KEY, first=first, shared=shared, **asked), alone


def agree(found, alone, route):
    for name in QUANTITIES:
        for field in ("value", "mean", "sd", "excess", "p", "p_two"):
            one, other = (getattr(result.tests[route], field)[name] for result in (found, alone))
            np.testing.assert_allclose(one, other, atol=2e-6, err_msg=f"{field} of {name}")
        for part in (0, 1):
            one, other = (result.drawn[route][part][name] for result in (found, alone))
            np.testing.assert_allclose(one, other, atol=2e-6)
    np.testing.assert_array_equal(found.side, alone.side)
    np.testing.assert_array_equal(found.active, alone.active)


def test_a_shared_program_gives_the_numbers_of_one_of_its_own():
    shared = Shared(("means",), 20, QUANTITIES)
    agree(*both(shared, "own-past", 6, ("means",)), "means")
    programs = module._program(shared, tuple(jax.local_devices()))
    before = programs._cache_size()
    z, first = recordings()
    more = {"routes": ("means",), "quantities": QUANTITIES, "shared": shared}
    shuffled = measure_recordings(z, KEY, first=first, null="shuffle", draws=20, **more)
    assert np.isfinite(shuffled["means"].value["phi_r"]).all()
    assert (np.asarray(shuffled["means"].mean["ce4"]) < shuffled["means"].value["ce4"]).all()
    assert programs._cache_size() == before  # nothing was compiled again
    keys = jax.random.split(KEY, S)
    again = measure_recordings(z, keys, first=first, null="shuffle", draws=20, **more)
    np.testing.assert_array_equal(again["means"].mean["ce4"], shuffled["means"].mean["ce4"])


def test_what_a_shared_program_cannot_do_is_refused():
    z, first = recordings()
    shared = Shared(("means",), 20, QUANTITIES)
    ask = lambda **options: measure_recordings(z, KEY, first=first, shared=shared, **options)
    with pytest.raises(ValueError, match="2 to 20"):
        ask(draws=21, routes=("means",), quantities=QUANTITIES)
    with pytest.raises(KeyError, match="pairs"):
        ask(draws=5, routes=("pairs",), quantities=QUANTITIES)
    with pytest.raises(KeyError, match="phases"):
        ask(draws=5, routes=("means",), quantities=QUANTITIES, null="phases")


@pytest.mark.slow
@pytest.mark.parametrize("components", [None, 3])
@pytest.mark.parametrize("null", HYPOTHESES)
def test_every_hypothesis_and_route_of_a_shared_program(null, components):
    shared = Shared(("pairs", "means"), 20, ("ce4", "phi_r", "decoupling"), components=components)
    # Random directions may be nearly singular: their rounding in float32 is no difference between programs.
    with jax.enable_x64(null == "projections"):
        for routes in [("means",)] if null == "shuffle" else [("means", "pairs"), ("pairs",)]:
            found, alone = both(shared, null, 9, routes, components=components)
            for route in routes:
                agree(found, alone, route)
