"""What the latents of a policy say early in its training, as predictors of how it will end.

Φ_R (arXiv 2109.13186) beside feature rank and dead units, the usual signs of a network that can or cannot
still learn (arXiv 2405.00662). All are of a recording of the policy as it is at that moment: nothing later is
read.
"""

from collections.abc import Callable

import jax
import numpy as np

from rlkit.errors import UsageError
from rlkit.types import Agent, Key, PyTree

LATENTS = {
    "phi_r": (1.0, "Φ_R of the latents' halves beyond what units of their own past have, nats a step"),
    "rank": (1.0, "directions that hold 99 % of the latents' variance"),
    "dead": (-1.0, "share of latent units that hardly vary"),
}
"""Name: the sign with which it is expected to go with a good end, and what it is."""

STEPS, DRAWS = 512, 20


def recorder(agent: Agent, steps: int = STEPS) -> Callable[[PyTree, Key], tuple[jax.Array, jax.Array]]:
    """``record(state, key) -> (latent [steps, n], first [steps])``: one environment, actions sampled.

    Raises:
      UsageError: when called, if the agent reports no latents.
    """
    from rlkit.agents import probe

    def record(state: PyTree, key: Key) -> tuple[jax.Array, jax.Array]:
        settings = agent.settings(state)
        seen = probe(
            agent,
            agent.policy(state),
            key,
            steps,
            env_params=settings.env_params,
            reward_params=settings.reward_params,
        )
        if "latent" not in seen.extras:
            raise UsageError("the agent reports no latents; expected one that does, or drop_by=('score',)")
        return seen.extras["latent"][:, 0], seen.transition.first[:, 0]

    return record


def measured(latent: jax.Array, first: jax.Array, key: Key) -> dict[str, np.ndarray]:
    """The numbers of :data:`LATENTS`, each ``[R]``.

    Args:
      latent: ``[R, T, n]``.
      first: ``[R, T]``, true where an episode begins.
      key: typed PRNG key of the surrogates.

    Returns:
      Φ_R is NaN where a half has no unit that varies.
    """
    from rlkit.analysis import measure_recordings
    from rlkit.studies.representation import of_latents

    found = measure_recordings(
        latent, key, first=first, routes=("means",), quantities=("phi_r",), draws=DRAWS, check="off"
    )
    rank, dead = of_latents(latent)
    values = {"phi_r": found["means"].excess["phi_r"], "rank": rank, "dead": dead}
    return {name: np.asarray(x, np.float64) for name, x in values.items()}
