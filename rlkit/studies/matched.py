"""Matched replay: the same stored observations shown to every checkpoint and every seed.

Latents of an agent's own rollouts change with what it does as well as with how it represents it. Shown the
same observations, only the latter is left. The observations are those of seeds that do nothing else in the
study, at the start, half-way and at the end of their training, so that no seed is shown its own doings.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import config
from rlkit.experiment.training.observe import latent_probe
from rlkit.experiment.training.population import Population, population
from rlkit.studies.representation import weight_norm
from rlkit.types import Agent, Key, PyTree


class Replayed(NamedTuple):
    """What checkpoints make of the same observations.

    Attributes:
      latent: [S, K, T, n].
      first: [T] true where the observations of another episode begin.
      entropy: [S, K] nats: mean of minus the log-probability of actions that were drawn.
      norm: [S, K] Euclidean norm of the policy's parameters.
    """

    latent: np.ndarray
    first: np.ndarray
    entropy: np.ndarray
    norm: np.ndarray


class Checkpoints:
    """The states of a run at its recordings."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.settings = config.load(folder / store.CONFIG)
        self.agent = config.build(self.settings)
        devices = jax.local_devices()[:1]
        self.pop: Population = population(self.agent, self.settings.seeds, devices=devices)
        self.key = jax.random.key(self.settings.seed)
        self.updates = tuple(store.recordings(folder))

    def state(self, update: int) -> PyTree:
        """The state after ``update`` updates; at 0 it is made again from its key.

        Raises:
          RlkitError: the run keeps no intact checkpoint of that update.
        """
        if update == 0:
            return self.pop.init(self.key)
        template = jax.eval_shape(self.pop.init, self.key)
        found = checkpoint.restore(
            self.folder / store.CHECKPOINTS, template, lambda sentence: None, lambda u: u == update,
            bulk=self.agent.bulk,
        )  # fmt: skip
        if found is None:
            raise RlkitError(
                f"{self.folder} keeps no checkpoint of update {update}, where latents were recorded; train "
                "with --checkpoint-every that divides the updates between recordings, and keep them all"
            )
        return jax.device_put(found.state, self.pop.sharding)

    def policies(self) -> Iterator[PyTree]:
        """The policies ``[seeds, ...]`` at every recording, in order."""
        for update in self.updates:
            yield jax.vmap(self.agent.policy)(self.state(update))


def reference_observations(
    run: Checkpoints, rows: Sequence[int], steps: int, key: Key
) -> tuple[np.ndarray, np.ndarray]:
    """Observations of some seeds at the start, half-way and at the end of training.

    Args:
      run: the run.
      rows: the seeds that act.
      steps: observations, in as many stretches as there are seeds and times, each from a fresh episode.
      key: typed PRNG key of the rollouts.

    Returns:
      ``obs [T, ...]`` and ``first [T]``, T at least ``steps``.

    Raises:
      UsageError: there is no seed to act.
    """
    if not len(rows):
        raise UsageError("reference=0: matched replay needs a seed whose observations the others see")
    when = sorted({run.updates[0], run.updates[len(run.updates) // 2], run.updates[-1]})
    length = -(-steps // (len(rows) * len(when)))
    look = latent_probe(run.pop, key, length)
    seen = [look(run.state(update), update) for update in when]
    obs = np.concatenate([arrays["obs"][row] for arrays in seen for row in rows])
    first = np.concatenate([arrays["first"][row] for arrays in seen for row in rows])
    first[::length] = True
    return obs, first.astype(bool)


def replayed(run: Checkpoints, rows: int, obs: np.ndarray, first: np.ndarray, key: Key) -> Replayed:
    """Show the same observations to the first ``rows`` seeds at every recording.

    Args:
      run: the run.
      rows: S.
      obs: [T, ...].
      first: [T] where memories start anew.
      key: typed PRNG key of the actions whose probability is taken; nothing acts on them.
    """
    show = _shown(run.agent, jnp.asarray(obs), jnp.asarray(first))
    found = []
    for place, policies in enumerate(run.policies()):
        chosen = jax.tree.map(lambda leaf: leaf[:rows], policies)
        keys = jax.random.split(jax.random.fold_in(key, place), rows)
        found.append(jax.tree.map(np.asarray, show(chosen, keys)))
    latent, entropy, norm = (np.stack(part, 1) for part in zip(*found, strict=True))
    return Replayed(latent, np.asarray(first), entropy, norm)


def _shown(agent: Agent, obs: jax.Array, first: jax.Array) -> Any:
    """``show(policies [S, ...], keys [S]) -> (latent [S, T, n], entropy [S], norm [S])``, compiled once."""
    start = agent.carry()

    def one(policy: PyTree, key: Key):
        def step(carry: PyTree, now: Any):
            seen, begins, key = now
            carry = jax.tree.map(lambda new, old: jnp.where(begins, new, old), start, carry)
            _, carry, info = agent.act(policy, carry, seen, key)
            return carry, (info.latent, info.log_prob)

        keys = jax.random.split(key, obs.shape[0])
        latent, log_prob = jax.lax.scan(step, start, (obs, first, keys))[1]
        return latent, -log_prob.mean(), weight_norm(policy)

    return jax.jit(lambda policies, keys: jax.lax.map(lambda item: one(*item), (policies, keys)))
