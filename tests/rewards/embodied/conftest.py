"""One transition with chosen fields."""

import jax.numpy as jnp
import pytest

from rlkit.types import Transition


@pytest.fixture
def step():
    def made(**fields):
        no, nothing = jnp.zeros((), bool), jnp.zeros(())
        blank = Transition(nothing, nothing, nothing, {}, {}, nothing, no, no, no, no)
        return blank._replace(**fields)

    return made
