"""Looking at a population during training: probe rollouts and evaluation, compiled once each."""

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.compiling import compiler_options
from rlkit.experiment.training.population import Population, over_rows
from rlkit.types import Key, PyTree, Settings

Observe = Callable[[PyTree, int], dict[str, np.ndarray]]
"""``observe(state, update) -> arrays [S, ...] by name``"""


class Compiled:
    """An :data:`Observe` that can be compiled before it is called."""

    def __init__(self, run: Any):
        self._run, self._ahead = run, None

    def compile(self, state: PyTree) -> float:
        """Compile for states placed like this one; returns the seconds that it took."""
        begin = time.perf_counter()
        self._ahead = self._run.lower(state, jnp.int32(0)).compile()
        return time.perf_counter() - begin

    def __call__(self, state: PyTree, update: int) -> dict[str, np.ndarray]:
        arguments = state, jnp.int32(update)
        try:
            found = (self._ahead or self._run)(*arguments)
        except ValueError:  # a state that lies elsewhere, e.g. after a rollback, is compiled for anew
            self._ahead, found = None, self._run(*arguments)
        return jax.tree.map(np.asarray, found)


OBSERVERS = 0x0B5E4BE  # keeps their keys apart from those of seeds


def observers(
    pop: Population, key: Key, probe_steps: int, eval_episodes: int, batching: str = "auto"
) -> tuple[Observe | None, Observe | None]:
    """What looks at a training: :func:`latent_probe` and :func:`evaluation`, None where the number is 0.

    A learner that does not act but has ``record(state, key, n) -> arrays`` or ``judge(state, key, n) ->
    means`` is looked at by these; one that has neither, such as a reward model, is not.

    Args:
      pop: the population.
      key: of the training.
      probe_steps: steps of the recordings.
      eval_episodes: episodes per seed.
      batching: as in :func:`rlkit.experiment.training.population.population`.
    """
    key = jax.random.fold_in(key, OBSERVERS)
    if getattr(pop.agent, "act", None) is None:
        asked = (("record", probe_steps), ("judge", eval_episodes))
        found = [(getattr(pop.agent, name, None) if count else None, count) for name, count in asked]
        looks = [
            look
            and _over_states(
                pop, functools.partial(_counted, look, count), jax.random.fold_in(key, i), batching
            )
            for i, (look, count) in enumerate(found)
        ]
        return looks[0], looks[1]
    probe = latent_probe(pop, jax.random.fold_in(key, 0), probe_steps, batching) if probe_steps else None
    judge = evaluation(pop, jax.random.fold_in(key, 1), eval_episodes, batching) if eval_episodes else None
    return probe, judge


def ready(observers: Iterable[Any], state: PyTree) -> float:
    """Compile the observers that can be compiled ahead; returns the seconds that it took."""
    return sum(observe.compile(state) for observe in observers if isinstance(observe, Compiled))


def without_observations(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A recording without its observations, which only the last one of a training needs to keep."""
    return {name: x for name, x in arrays.items() if name != "obs"}


def _counted(look: Callable, count: int, state: PyTree, key: Key) -> Any:
    return look(state, key, count)


def _over_population(pop: Population, fn: Callable, key: Key, batching: str) -> Observe:
    """Apply ``fn(policy, settings, key)`` to every seed, with a key made of the update and the seed."""
    of = pop.agent
    return _over_states(pop, lambda state, key: fn(of.policy(state), of.settings(state), key), key, batching)


def _over_states(pop: Population, fn: Callable, key: Key, batching: str) -> Observe:
    """Apply ``fn(state, key)`` to every seed, with a key made of the update and the seed."""
    spread = over_rows(pop.agent, lambda item: fn(*item), list(pop.sharding.mesh.devices.flat), batching)

    @functools.partial(jax.jit, compiler_options=compiler_options())
    def run(state: PyTree, update: jax.Array):
        return spread((state, pop.keys(jax.random.fold_in(key, update))))

    return Compiled(run)


def latent_probe(pop: Population, key: Key, num_steps: int = 512, batching: str = "auto") -> Observe:
    """Record latents of every seed's policy, sampling its actions in fresh episodes.

    Args:
      pop: the population.
      key: typed PRNG key; the rollout of seed k at update u draws from ``fold_in(fold_in(key, u), k)``.
      num_steps: ``T``.
      batching: as in :func:`rlkit.experiment.training.population.population`.

    Returns:
      ``observe(state, update)`` giving ``latent [S, T, n]``, ``first [S, T]`` (an episode begins),
      ``value``, ``reward`` (the environment's own), ``paid`` and ``success``, all ``[S, T]``, and
      ``obs [S, T, ...]`` in the environment's own type.
    """
    from rlkit.agents import probe

    def one(policy: PyTree, settings: Settings, key: Key) -> dict[str, jax.Array]:
        trajectory = probe(pop.agent, policy, key, num_steps, **settings._asdict())
        seen = trajectory.transition
        arrays = {
            "latent": trajectory.extras["latent"],
            "value": trajectory.extras["value"],
            "obs": seen.obs,
            "first": seen.first,
            "reward": seen.reward,
            "paid": trajectory.reward,
            "success": seen.success,
        }
        return {name: x[:, 0] for name, x in arrays.items()}

    return _over_population(pop, one, key, batching)


def evaluation(pop: Population, key: Key, episodes: int = 32, batching: str = "auto") -> Observe:
    """Judge every seed's policy, acting greedily, by whole fresh episodes.

    Args:
      pop: the population.
      key: typed PRNG key, used as in :func:`latent_probe`.
      episodes: episodes per seed.
      batching: as in :func:`rlkit.experiment.training.population.population`.

    Returns:
      ``observe(state, update)`` giving means ``[S]`` over episodes: ``eval/return`` (the
      environment's own reward), ``eval/length``, ``eval/success`` and ``eval/fitness``.
    """
    from rlkit.agents import evaluate

    def one(policy: PyTree, settings: Settings, key: Key) -> dict[str, Any]:
        outcome = evaluate(pop.agent, policy, key, episodes, env_params=settings.env_params)
        names = {"return": outcome.returned, "length": outcome.length}
        names |= {"success": outcome.success, "fitness": outcome.fitness}
        return {f"eval/{name}": x.astype(jnp.float32).mean() for name, x in names.items()}

    return _over_population(pop, one, key, batching)
