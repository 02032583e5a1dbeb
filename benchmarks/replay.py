"""Drawing from a replay buffer: ours beside a weighted draw over the whole buffer, and where it is held.

    python benchmarks/replay.py [--draws 2000]

Batches of 256 transitions of 25 numbers. The weighted draw is what ``jax.random.choice`` makes with
probabilities (those of the filled rows) and without replacement, as some libraries draw; its cost grows with
the buffer. CPU microseconds a draw, medians of turns in one process.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.replay import add_steps, draw_windows, empty_replay

BATCH, WIDTH = 256, 25


def looped(draw: Callable[[jax.Array, Any], Any], draws: int) -> Callable[[jax.Array, Any], jax.Array]:
    """So many draws in one program, each with a key of its own."""

    def run(key: jax.Array, replay: Any) -> jax.Array:
        def body(i: jax.Array, total: jax.Array) -> jax.Array:
            return total + draw(jax.random.fold_in(key, i), replay)[0].sum()

        return jax.lax.fori_loop(0, draws, body, jnp.float32(0))

    return jax.jit(run)


def ours(key: jax.Array, replay: Any) -> jax.Array:
    return draw_windows(replay, jax.random.bits(key, (BATCH,)))["row"]


def weighted(key: jax.Array, replay: Any) -> jax.Array:
    filled = jnp.arange(replay.capacity) < replay.filled
    rows = jax.random.choice(key, replay.capacity, (BATCH,), replace=False, p=filled / replay.filled)
    return replay.stored.tree["row"][rows, 0][None]


def microseconds(runs: dict[str, tuple[Callable, int]], replay: Any, turns: int = 5) -> dict[str, float]:
    """Median CPU time of a draw of each candidate ``(program, draws in it)``, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, (run, draws) in runs.items():
            begin = time.process_time()
            run(jax.random.key(turn), replay).block_until_ready()
            if turn:  # the first compiles
                times[name].append(1e6 * (time.process_time() - begin) / draws)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="draws of ours in one measurement")
    args = parser.parse_args()
    print(f"{'transitions':>12}{'ours':>10}{'weighted':>12}{'ratio':>8}")
    for size in (10_000, 100_000, 1_000_000):
        block = size // 10
        replay = empty_replay({"row": jnp.zeros(WIDTH)}, size, 1, block)
        add = jax.jit(add_steps, donate_argnums=0)
        for _ in range(10):
            replay = add(replay, {"row": jnp.ones((block, 1, WIDTH))})
        slow = max(2, args.draws // (size // 100))
        runs = {"ours": (looped(ours, args.draws), args.draws), "weighted": (looped(weighted, slow), slow)}
        found = microseconds(runs, replay)
        mine, theirs = found["ours"], found["weighted"]
        print(f"{size:12,}{mine:10.1f}{theirs:12.0f}{theirs / mine:8.0f}", flush=True)


if __name__ == "__main__":
    main()
