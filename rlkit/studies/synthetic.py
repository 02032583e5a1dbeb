"""Training lives with a known truth: does the pipeline find what is there, and nothing else?

Latents are recordings of a linear system whose coupling, memory and rank move over training, and whatever
moves decides how the return ends. Where the coupling leads, emergence foretells the reward by construction.
Where memory or rank lead, or the coupling only follows the return, there is nothing that emergence adds, and
a pipeline that finds something is wrong. They go through the same measurement and the same test as agents.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.study.prediction import early_count, final_return
from rlkit.analysis.study.recordings import measure_recordings
from rlkit.errors import unknown_name
from rlkit.products import matmul
from rlkit.studies.gain import early_controls, partial_correlation, pooled
from rlkit.studies.representation import of_latents
from rlkit.types import Key

TRUTHS = ("emergence leads", "autocorrelation leads", "rank leads", "emergence follows the return", "nothing")
"""What decides the return of a synthetic life. Only the first one is to be found."""
QUANTITIES = ("phi_r", "ce3", "ce4", "decoupling")
ROUTES = ("pairs",)


class Lives(NamedTuple):
    """Synthetic training lives.

    Attributes:
      latents: [S, k, T, n] recordings of the early checkpoints, which are all that is looked at.
      returns: [S, K], as measured.
    """

    latents: np.ndarray
    returns: np.ndarray


def synthetic_lives(
    truth: str,
    rng: np.random.Generator,
    *,
    seeds: int = 8,
    checkpoints: int = 11,
    steps: int = 512,
    units: int = 6,
    fraction: float = 0.2,
) -> Lives:
    """Draw lives in which ``truth`` holds.

    Every seed has a talent, normal with deviation one. It shows early in what leads, and late in the return,
    which rises in the second half of training to 1 + talent / 2; evaluations err by 0.1. Where emergence only
    follows, talent shows in the return from the start. What does not lead moves by chance; where memory leads
    there is no coupling.

    Args:
      truth: one of :data:`TRUTHS`.
      rng: random numbers.
      seeds, checkpoints, steps, units: sizes of what is drawn.
      fraction: part of training that is recorded.

    Raises:
      UnknownNameError: no such truth.
    """
    if truth not in TRUTHS:
        raise unknown_name("truth", truth, TRUTHS)
    time = np.linspace(0.0, 1.0, checkpoints)
    talent, *chances = rng.normal(size=(4, seeds, 1))
    late, soon = 1.0 / (1.0 + np.exp(-(time - 0.6) / 0.08)), 1.0 - np.exp(-time / 0.3)
    rise = soon if truth == "emergence follows the return" else late
    wobble = lambda size: size * rng.normal(size=(seeds, checkpoints))
    returns = rise * (1.0 + 0.5 * talent) + wobble(0.1)
    led = {"emergence leads": 0, "autocorrelation leads": 1, "rank leads": 2}.get(truth)
    who = [talent if place == led else 0.4 * chances[place] for place in range(3)]
    early = 1.0 - np.exp(-time / 0.1)
    coupling, memory, rank = (early * (0.5 + 0.25 * one) + wobble(0.02) for one in who)
    if truth == "emergence follows the return":
        coupling = 0.2 + 0.3 * returns
    elif truth == "autocorrelation leads":
        coupling = np.zeros_like(returns)
    count = early_count(checkpoints, fraction)
    parts = (coupling, memory, rank)
    moved = [jnp.asarray(np.clip(x[:, :count], 0.0, 1.0), jnp.float32) for x in parts]
    key = jax.random.key(int(rng.integers(2**31)))
    return Lives(np.asarray(_recorded(key, *moved, steps, units)), returns)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _recorded(
    key: Key, coupling: jax.Array, memory: jax.Array, rank: jax.Array, steps: int, units: int
) -> jax.Array:
    """Recordings [S, K, T, n] of ``x' = A x + noise``, seen through a mixture with dead units.

    ``A`` is 0.3 + 0.6 memory times a rotation, whose angle is the coupling: without it every unit goes on by
    itself, and whatever it is, all that is remembered is as much. Half of the units at most are dead, by
    rank, and the others share a source.
    """
    keys = jax.random.split(key, coupling.shape)

    def one(key: Key, coupling: jax.Array, memory: jax.Array, rank: jax.Array) -> jax.Array:
        noise, shown = jax.random.split(key)
        order = jnp.sign(jnp.arange(units)[None] - jnp.arange(units)[:, None]).astype(jnp.float32)
        drive = (0.3 + 0.6 * memory) * jax.scipy.linalg.expm(0.5 * coupling * order)
        step = lambda x, e: (matmul(drive, x) + e,) * 2
        start = jnp.zeros(units)
        x = jax.lax.scan(step, start, jax.random.normal(noise, (steps + _SETTLE, units)))[1][_SETTLE:]
        x = x / x.std(0)
        mixed = (1 - 0.3 * rank) * x + 0.3 * rank * x[:, :1]
        dead = jnp.arange(units) < jnp.floor(rank * units / 2 + 0.5)
        return jnp.where(dead[::-1], 1e-3 * jax.random.normal(shown, mixed.shape), mixed)

    return jax.vmap(jax.vmap(one))(keys, coupling, memory, rank)


_SETTLE = 64  # steps until the system has forgotten its start


class Verdict(NamedTuple):
    """What one synthetic study says.

    Attributes:
      gain: by statistic: p that the early statistic adds to return, rank and dead units, pooled over cells.
      alone: by statistic: p of its plain correlation with the final return, controlled for nothing.
      one_cell: by statistic: p of the first cell alone.
    """

    gain: dict[str, float]
    alone: dict[str, float]
    one_cell: dict[str, float]


def synthetic_study(
    truth: str, seed: int, *, cells: int = 4, draws: int = 8, fraction: float = 0.2, **sizes: int
) -> Verdict:
    """A study of some cells in all of which ``truth`` holds, judged as a study of agents is.

    Args:
      truth: one of :data:`TRUTHS`.
      seed: of all random numbers.
      cells: cells of the study.
      draws: surrogates of each recording.
      fraction: part of training that counts as early.
      **sizes: as for :func:`synthetic_lives`.
    """
    rng = np.random.default_rng(seed)
    found: list[dict[str, tuple[float, float]]] = []
    for _ in range(cells):
        lives = synthetic_lives(truth, rng, fraction=fraction, **sizes)
        key = jax.random.key(int(rng.integers(2**31)))
        found.append(judged(early_statistics(lives.latents, key, draws), lives, fraction))
    names = tuple(found[0])
    gain = {name: pooled([cell[name][0] for cell in found]) for name in names}
    alone = {name: pooled([cell[name][1] for cell in found]) for name in names}
    return Verdict(gain, alone, {name: found[0][name][0] for name in names})


def early_statistics(latents: np.ndarray, key: Key, draws: int) -> dict[str, np.ndarray]:
    """Value and excess ``[S, k]`` of every statistic of recordings ``[S, k, T, n]``."""
    measured = measure_recordings(
        latents, key, routes=ROUTES, quantities=QUANTITIES, draws=draws, check="off"
    )
    found = {}
    for route in ROUTES:
        for name in QUANTITIES:
            found[f"{name} {route}"] = np.asarray(measured[route].value[name], np.float64)
            found[f"{name} {route} beyond null"] = np.asarray(measured[route].excess[name], np.float64)
    return found


def judged(
    statistics: Mapping[str, np.ndarray], lives: Lives, fraction: float
) -> dict[str, tuple[float, float]]:
    """By statistic: p beyond the controls, and p of the plain correlation with the final return."""
    rank, dead = of_latents(lives.latents)
    controls = early_controls(lives.returns, [], fraction)
    controls = np.column_stack([controls, rank.mean(1), dead.mean(1)])
    target, nothing = final_return(lives.returns), np.zeros((len(controls), 0))
    return {
        name: (
            partial_correlation(values.mean(1), target, controls).p,
            partial_correlation(values.mean(1), target, nothing).p,
        )
        for name, values in statistics.items()
    }
