"""Noticing that a training has gone non-finite, and finding out where it began."""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.bulk import replace_rest, rest
from rlkit.errors import RlkitError
from rlkit.experiment.runs.logbook import number
from rlkit.experiment.training.population import Population, float_leaves, may_be_undefined
from rlkit.types import PyTree

IDLE = 0.9
"""Share of skipped updates from which on nothing counts as learnt."""

_STAGES = (
    ("config", "env_params"),
    ("slots", "obs", "observation", "env", "obs_moments", "memory", "latent"),
    ("reward", "rewards", "paid", "episode", "eval", "unfinished"),
    ("value", "values", "carry", "advantage", "target", "q"),
    ("loss", "entropy", "kl", "approx_kl", "ratio", "policy", "clip_fraction"),
    ("grad", "gradient", "grad_norm", "norm"),
    ("params", "optimiser", "optimizer", "momentum", "update"),
)


def stage(name: str) -> int:
    """How early in an update a metric or leaf of the state is computed.

    The order is observation, reward, value, loss, gradient, parameters. What is not finite later in it may
    be so because of what comes before, never the other way round within an update. The first part of the
    name that is known decides; what is unknown is last.
    """
    for part in re.findall(r"[a-z_]+", name.lower()):
        for i, stage in enumerate(_STAGES):
            if part in stage:
                return i
    return len(_STAGES)


def named(seeds: list[int]) -> str:
    """Seeds in words, a few of them."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"seeds {seeds}" if len(seeds) <= 8 else f"{len(seeds)} seeds (the first one is {seeds[0]})"


def idle_seeds(lines: Iterable[dict[str, Any]]) -> list[int]:
    """Seeds that learnt nothing with ``on_nan="skip"``: at least :data:`IDLE` of their updates were skipped.

    The first updates may succeed, and only spoil the parameters. The definition is ours.
    """
    rows = [line["seeds"]["skipped"] for line in lines if "skipped" in line["seeds"]]
    return np.flatnonzero(np.array(rows, np.float64).mean(0) >= IDLE).tolist() if rows else []


def nothing_learnt(seeds: list[int], num_seeds: int) -> str:
    """What to say about seeds that learnt nothing."""
    who = "all seeds" if len(seeds) == num_seeds else named(seeds)
    return (
        f"nothing was learnt: {100 * IDLE:.0f} to 100 % of the updates of {who} were skipped, because "
        "something in them was not finite; "
        "train with --on-nan stop to see what, and lower the learning rate or mend the reward"
    )


class Sick(NamedTuple):
    """Where numbers stopped being finite."""

    update: int  # the update that did it
    seeds: list[int]
    metrics: list[str]  # non-finite metrics of that update
    leaves: list[str]  # non-finite leaves of the state after it
    values: dict[str, list[float | None]]  # all metrics of that update by seed
    hint: str = ""  # what the learner says of the metric that went first

    def sentence(self) -> str:
        """What happened, for a person."""
        who = named(self.seeds)
        names = [
            *((name, f"metric {name}") for name in self.metrics),
            *((x, f"state{x}") for x in self.leaves),
        ]
        first = [text for _, text in sorted(names, key=lambda pair: stage(pair[0]))]
        more = f" and {len(first) - 4} more" if len(first) > 4 else ""
        hint = f": {self.hint}" if self.hint else ""
        return f"update {self.update} of {who} is not finite, first in {', '.join(first[:4])}{more}{hint}"


class NonFiniteError(RlkitError):
    """Training met a number that is not finite.

    Attributes:
      sick: where, if it has been found out.
      update: updates made in ``state``.
      state: the last finite state of the population, if it has been found out.
    """

    def __init__(self, message: str, sick: Sick | None = None, update: int = 0, state: PyTree = None):
        super().__init__(message)
        self.sick, self.update, self.state = sick, update, state


def born_finite(pop: Population, state: PyTree) -> np.ndarray:
    """bool [L]: the floating leaves of a stacked initial state that are finite in all seeds."""
    # On the host: many small reductions in flight over devices of one CPU can wait for each other.
    host = jax.device_get(jax.block_until_ready(list(float_leaves(state, pop.agent.bulk).values())))
    return np.array([bool(np.isfinite(x).all()) for x in host])


def sick_seeds(pop: Population, born: np.ndarray, rows: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """bool [S]: seeds with a non-finite metric in ``rows [S, n, M]`` or leaf in ``finite [S, L]``.

    NaN is allowed in metrics that may be undefined, and anything in leaves that were never finite.
    """
    undefined = np.array([may_be_undefined(pop.agent, name) for name in pop.metrics])
    good = np.isfinite(rows) | (undefined & np.isnan(rows))
    if "skipped" in pop.metrics:  # undone updates show their metrics but left no trace in the state
        good |= rows[:, :, [pop.metrics.index("skipped")]] > 0
    return np.asarray(~good.all((1, 2)) | ~(finite | ~born).all(1))


def first_of_rows(
    pop: Population, born: np.ndarray, begin: int, rows: np.ndarray, finite: np.ndarray
) -> Sick:
    """What the rows of a chunk tell about its first bad update, without repeating it.

    Args:
      pop: the population.
      born: see :func:`born_finite`.
      begin: updates made before the chunk.
      rows: its metrics ``[S, n, M]``.
      finite: bool ``[S, L]``, of the state after it: leaves are named if no metric shows anything.
    """
    count = rows.shape[1]
    everywhere = np.ones_like(finite)
    for i in range(count):
        last = finite if i == count - 1 else everywhere
        seeds = np.flatnonzero(sick_seeds(pop, born, rows[:, i : i + 1], last))
        if len(seeds):
            return _sick(pop, born, begin + i + 1, seeds, rows[:, i], last)
    raise ValueError("everything in the chunk is finite")


def _sick(
    pop: Population, born: np.ndarray, update: int, seeds: np.ndarray, row: np.ndarray, finite: np.ndarray
) -> Sick:
    """What is not finite after an update with the metrics ``row [S, M]``."""
    bad = np.asarray(~np.isfinite(row[seeds]).all(0))
    names = [name for name, b in zip(pop.metrics, bad, strict=True) if b]
    measured = [name for name in names if not may_be_undefined(pop.agent, name)]
    broken = np.asarray(~(finite[seeds] | ~born).all(0))
    leaves = [leaf for leaf, b in zip(pop.leaves, broken, strict=True) if b]
    values = {n: [number(x) for x in row[:, i]] for i, n in enumerate(pop.metrics)}
    first = measured or ([] if leaves else names)
    hints = getattr(pop.agent, "hints", {})
    hint = next((hints[name] for name in sorted(first, key=stage) if name in hints), "")
    return Sick(update, seeds.tolist(), first, leaves, values, hint)


def find_first(
    program: Callable[..., Any],
    pop: Population,
    state: PyTree,
    update: int,
    begin: int,
    end: int,
    born: np.ndarray,
) -> tuple[Sick | None, PyTree]:
    """Repeat a training to find the first update that went wrong.

    Args:
      program: the compiled ``pop.advance``.
      pop: the population.
      state: a state from before the trouble; donated.
      update: updates made in it.
      begin: the last update known to be good.
      end: the update at which the trouble was seen.
      born: see :func:`born_finite`.

    Returns:
      What went wrong first (None if the repetition stays finite) and the state before that update; its bulk
      is that after the update, so that it is not there twice.
    """
    bulk = pop.agent.bulk
    while update < begin:
        n = min(begin - update, pop.max_chunk)
        state, _, _ = program(state, np.int32(n), born)
        update += n
    while update < end:
        before = [jnp.copy(x) for x in rest(bulk, state)]
        state, rows, finite = program(state, np.int32(1), born)
        update += 1
        rows, finite = np.asarray(rows)[:, :1], np.asarray(finite)
        seeds = np.flatnonzero(sick_seeds(pop, born, rows, finite))
        if len(seeds):
            sick = _sick(pop, born, update, seeds, rows[:, 0], finite)
            return sick, replace_rest(bulk, state, before)
    return None, state
