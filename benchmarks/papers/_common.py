"""What experiments of papers share: training in one scan, tables with intervals over seeds, what appears."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# masks of full items are constants, and folding them takes longer than the experiments
FOLDING = "--xla_disable_hlo_passes=constant_folding"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FOLDING}".strip()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from rlkit.experiment.reports.intervals import Interval, interval  # noqa: E402

BEGIN = time.perf_counter(), time.process_time()


def keys(count: int, seed: int = 0) -> jax.Array:
    """One key a seed, ``[count]``."""
    return jax.random.split(jax.random.key(seed), count)


def minimise(
    loss: Callable[[Any, jax.Array, jax.Array], jax.Array],
    params: Any,
    key: jax.Array,
    steps: int,
    rate: float = 3e-3,
    decay: float = 0.0,
) -> Any:
    """Parameters after ``steps`` of AdamW on ``loss(params, key of the step, number of the step)``."""
    optimiser = optax.adamw(rate, weight_decay=decay)

    def body(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        params, state = carry
        gradient = jax.grad(loss)(params, *inputs)
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    inputs = jax.random.split(key, steps), jnp.arange(steps)
    return jax.lax.scan(body, (params, optimiser.init(params)), inputs)[0][0]


def over_seeds(
    run: Callable[[jax.Array], dict[str, jax.Array]], seeds: int, first: int = 0
) -> dict[str, np.ndarray]:
    """The results of all seeds from one compiled program: ``run(key)`` mapped over keys."""
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(keys(seeds, first)))


def said(found: Interval) -> str:
    """``mean [low, high]``."""
    return f"{found.mean:8.3f} [{found.low:7.3f}, {found.high:7.3f}]"


def table(title: str, rows: Mapping[str, np.ndarray], base: str) -> dict[str, Interval]:
    """Print each row with its difference from ``base`` over the same seeds, and give the differences.

    Args:
      title: what the numbers are.
      rows: one number per seed each.
      base: the row that others are compared with.
    """
    count = len(np.asarray(rows[base]))
    print(f"\n{title} ({count} seeds, 95 % intervals)")
    width = max(map(len, rows)) + 2
    print(f"  {'':{width}}{'mean':>26}   less {base!r}")
    out = less(rows, base)
    for name, values in rows.items():
        print(f"  {name:{width}}{said(interval(values))}   {'' if name == base else said(out[name])}")
    return out


def less(rows: Mapping[str, np.ndarray], base: str) -> dict[str, Interval]:
    """The differences of :func:`table` from another row, not printed."""
    return {name: difference(x, rows[base]) for name, x in rows.items()}


def show(title: str, rows: Mapping[str, Mapping[str, np.ndarray]], base: str) -> None:
    """Print a table of several metrics: means, and how they differ from the base's over the same seeds.

    Args:
      title: a line above.
      rows: by method, by metric, one number per seed.
      base: the method that the others are compared with.
    """
    width, names = max(map(len, rows)) + 2, list(rows[base])
    print(f"{title} ({len(rows[base][names[0]])} seeds; difference from {base!r}, 95 % intervals)")
    print(" " * width + "".join(f"{name:>40}" for name in names))
    for method, metrics in rows.items():
        cells = []
        for name in names:
            text = f"{np.mean(metrics[name]):.3f}"
            if method != base:
                found = difference(metrics[name], rows[base][name])
                text += f"  {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            cells.append(f"{text:>40}")
        print(f"{method:<{width}}" + "".join(cells))


def difference(ours: np.ndarray, base: np.ndarray) -> Interval:
    """The interval of a difference over the same seeds: they share their keys."""
    return interval(np.asarray(ours, float) - np.asarray(base, float))


def better(ours: np.ndarray, base: np.ndarray) -> bool:
    """Whether the interval of the difference is above 0."""
    return above(difference(ours, base))


def kept(folder: str | None, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """An array that is computed once and then read from ``folder``; None computes it anew."""
    path = None if folder is None else Path(folder, f"{name}.npy")
    if path is not None and path.is_file():
        return np.load(path)
    values = np.asarray(compute())
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)
    return values


def claim(text: str, holds: bool) -> None:
    """The line that says whether a paper's claim appears."""
    print(f"{'appears' if holds else 'does NOT appear'}: {text}")


def above(found: Interval) -> bool:
    """Whether an interval is above 0."""
    return bool(found.low > 0)


def finish() -> None:
    """Print what it took."""
    wall, cpu = time.perf_counter() - BEGIN[0], time.process_time() - BEGIN[1]
    print(f"\n{wall:.0f} s, {cpu:.0f} CPU seconds, compilation included")
