"""What is no agent but can be trained: the driver asks for nothing but ``init`` and ``step``."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.experiment.train import train
from rlkit.experiment.training.health import NonFiniteError
from rlkit.experiment.training.members import Members, sweep


class Shrinking(NamedTuple):
    """A vector that is halved, and breaks after some updates."""

    breaks_at: int = 1 << 30
    steps_per_update: int = 3
    title: str = "a shrinking vector"
    undefined: tuple[str, ...] = ()
    bulk: tuple[str, ...] = ()

    @property
    def init(self) -> Callable:
        return lambda key: {"at": jnp.int32(0), "params": jax.random.normal(key, (3,))}

    @property
    def step(self) -> Callable:
        def step(state):
            at = state["at"] + 1
            params = 0.5 * state["params"] + jnp.where(at == self.breaks_at, jnp.nan, 0.0)
            return {"at": at, "params": params}, {"loss": jnp.sum(params**2)}

        return step


def test_a_learner_without_environment_trains_and_its_failures_are_named():
    trained = train(Shrinking(), 4, seeds=2, probes=0, progress=False, batching="vmap")
    start = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(jax.random.key(0), i), (3,)))(
        jnp.arange(2)
    )
    np.testing.assert_allclose(trained.state["params"], start / 16, rtol=1e-6)
    np.testing.assert_array_equal(trained.steps(), [3, 6, 9, 12])
    with pytest.raises(NonFiniteError, match=r"update 3.*loss"):
        train(Shrinking(breaks_at=3), 4, seeds=1, probes=0, progress=False)


def test_what_only_agents_have_is_refused():
    with pytest.raises(UsageError, match="expected 0, for a shrinking vector does not act"):
        train(Shrinking(), 4, seeds=1, eval_episodes=2, progress=False)
    with pytest.raises(UsageError, match="a shrinking vector is no agent"):
        sweep(Shrinking(), {"agent.learning_rate": [1.0]})  # pyrefly: ignore
    with pytest.raises(UsageError, match="is no agent"):
        train(Shrinking(), 4, seeds=1, members=Members(("a",), {"x": jnp.ones(1)}), progress=False)
