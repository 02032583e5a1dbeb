"""Are the p honest? How often each hypothesis is rejected, by system, hypothesis and quantity.

Prints the share of recordings with p <= .05. Where a system obeys a hypothesis that share should be 3 to 7 %;
where it does not, the share is the power to see so. Usage: ``python benchmarks/calibration.py [--full]``: few
recordings by default, 500 with ``--full``. The whole of it takes half an hour of CPU time with ``--full``;
``--out FILE`` keeps every row as JSON, so that ``--nulls`` and ``--systems`` can make it in pieces, and what
is there is not measured again. ``--table`` prints what is there as Markdown.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis import NULLS, measure_recordings

STEPS, EPISODE = 512, 32
QUANTITIES = ("phi_r", "ce3", "ce4")
SHOWN = ("own-past", "phases", "episodes", "projections")


def autoregressive(rng: np.random.Generator, count: int, transition: np.ndarray, noise=None) -> np.ndarray:
    """``[count, STEPS, n]``: a stationary VAR(1), after 1000 steps that are dropped."""
    n = len(transition)
    root = np.eye(n) if noise is None else np.linalg.cholesky(noise)
    z, rows = np.zeros((count, n)), []
    for _ in range(STEPS + 1000):
        z = z @ transition.T + rng.normal(size=(count, n)) @ root.T
        rows.append(z)
    return np.stack(rows[1000:], 1)


def common_driver(rng: np.random.Generator, count: int) -> np.ndarray:
    """Two units that follow one slow unit which is not recorded."""
    transition = np.array([[0.9, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]])
    return autoregressive(rng, count, transition)[..., 1:]


def time_locked(rng: np.random.Generator, count: int) -> np.ndarray:
    """Two units with the same course in every episode, and independent noise."""
    course = 2 * np.sin(np.arange(STEPS) % EPISODE / 5)[:, None]
    return autoregressive(rng, count, 0.3 * np.eye(2)) + course


def untrained_gru(rng: np.random.Generator, count: int) -> np.ndarray:
    """16 units of a GRU with random weights that sees 4 independent slow inputs."""
    inputs, n = autoregressive(rng, count, 0.9 * np.eye(4)), 16
    inward, own = (rng.normal(size=(count, m, 3 * n)) / np.sqrt(m) for m in (4, n))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    h, rows = np.zeros((count, n)), []
    for t in range(STEPS):
        a = np.einsum("cm,cmk->ck", inputs[:, t], inward)
        b = np.einsum("cm,cmk->ck", h, own)
        reset, update = sigmoid(a[:, :n] + b[:, :n]), sigmoid(a[:, n : 2 * n] + b[:, n : 2 * n])
        h = (1 - update) * np.tanh(a[:, 2 * n :] + reset * b[:, 2 * n :]) + update * h
        rows.append(h)
    return np.stack(rows, 1)


def relu(rng: np.random.Generator, count: int) -> np.ndarray:
    """8 independent units, rectified; two of them are dead."""
    z = np.maximum(autoregressive(rng, count, 0.9 * np.eye(8)), 0)
    z[..., :2] = 0
    return z


CORRELATED = 0.5 * np.eye(2) + 0.5
SYSTEMS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "independent AR(.9), 2 units": lambda r, c: autoregressive(r, c, 0.9 * np.eye(2)),
    "independent AR(.99), 2 units": lambda r, c: autoregressive(r, c, 0.99 * np.eye(2)),
    "independent AR(.9), 16 units": lambda r, c: autoregressive(r, c, 0.9 * np.eye(16)),
    "independent AR(.99), 16 units": lambda r, c: autoregressive(r, c, 0.99 * np.eye(16)),
    "ReLU, 2 of 8 units dead": relu,
    "correlated noise": lambda r, c: autoregressive(r, c, 0.9 * np.eye(2), CORRELATED),
    "common driver": common_driver,
    "mixture, 16 units of 5 sources": lambda r, c: (
        autoregressive(r, c, 0.9 * np.eye(5)) @ r.normal(size=(c, 5, 16))
        + 0.1 * r.normal(size=(c, STEPS, 16))
    ),
    "drift": lambda r, c: r.normal(size=(c, STEPS, 2)) + np.linspace(0, 3, STEPS)[:, None],
    "time-locked episodes": time_locked,
    "untrained GRU": untrained_gru,
    "coupled": lambda r, c: autoregressive(r, c, np.array([[0.7, 0.2], [0.2, 0.7]])),
    "independent AR(.9 to .99), 16 units": lambda r, c: autoregressive(
        r, c, np.diag(np.linspace(0.9, 0.99, 16))
    ),
}  # a system's place is part of its seed: new ones at the end
SAYS = {
    "own-past": "accepts correlated noise, and a mixture of equally slow sources, where no unit's past says\n"
    "  more about another than its own; sees a common driver; takes a common drift, and what is\n"
    "  locked to the episode, for coupling",
    "phases": "takes correlated noise, a common driver and a mixture alike: it knows independent units only",
    "episodes": "sees correlated noise, a common driver and a mixture; accepts what is locked to the episode",
    "projections": "asks for special directions: correlated noise, a driver and a mixture have few of them",
}


ROUTES = ("pairs", "means")
COLUMNS = tuple(f"{quantity} {route}" for route in ROUTES for quantity in QUANTITIES)


def shares(system: str, null: str, count: int, draws: int, seed: int = 0) -> dict[str, list[float]]:
    """Percent of recordings with p <= .05, one-sided and two-sided, by quantity and route.

    Recordings in which a surrogate has no number count as not rejected, and ``"undefined"`` says how many.
    """
    place = list(SYSTEMS).index(system)
    z = SYSTEMS[system](np.random.default_rng([seed, place]), count).astype(np.float32)
    first = jnp.broadcast_to(jnp.arange(STEPS) % EPISODE == 0, (count, STEPS))
    episodes = null == "episodes" or system == "time-locked episodes"
    found = measure_recordings(
        z, jax.random.key(place), first=first if episodes else None, null=null, draws=draws, check="off",
        routes=ROUTES, quantities=QUANTITIES,
    )  # fmt: skip
    row, undefined = {}, np.zeros(count, bool)
    for column in COLUMNS:
        quantity, route = column.split()
        both = [np.asarray(side[quantity]) for side in (found[route].p, found[route].p_two)]
        row[column] = [round(100 * float(np.mean(p <= 0.05)), 1) for p in both]
        undefined |= np.isnan(both[0])
    return row | {"undefined": [int(undefined.sum())]}


def markdown(rows: dict[str, dict[str, list[float]]]) -> str:
    """Rows ``"null: system"`` as a table a null: one-sided / two-sided."""
    lines = []
    for null in SHOWN:
        lines += [
            f"\n{null}\n",
            "| system | " + " | ".join(COLUMNS) + " |",
            "|---" * (1 + len(COLUMNS)) + "|",
        ]
        for system in SYSTEMS:
            if row := rows.get(f"{null}: {system}"):
                cells = ["/".join(f"{share:.1f}" for share in row[column]) for column in COLUMNS]
                lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recordings", type=int, default=60)
    parser.add_argument("--draws", type=int, default=99)
    parser.add_argument("--full", action="store_true", help="500 recordings and 199 surrogates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nulls", nargs="+", choices=SHOWN, default=SHOWN, help="part of the table")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="part of it")
    parser.add_argument(
        "--out", type=Path, help="keep rows in this file, and measure those alone that it lacks"
    )
    parser.add_argument("--table", action="store_true", help="print what --out holds as Markdown")
    options = parser.parse_args()
    count, draws = (500, 199) if options.full else (options.recordings, options.draws)
    asked = {"recordings": count, "draws": draws, "steps": STEPS, "seed": options.seed}
    kept = (
        json.loads(options.out.read_text()) if options.out and options.out.exists() else {**asked, "rows": {}}
    )
    if {name: kept[name] for name in asked} != asked:
        parser.error(f"{options.out} holds another calibration; name another file")
    if options.table:
        print(markdown(kept["rows"]))
        return
    begin = time.process_time()
    print(f"Share of {count} recordings of {STEPS} steps with p <= .05 ({draws} surrogates), in percent.")
    print("Each cell: one-sided / two-sided.\n")
    for null in options.nulls:
        print(f"{null}: {NULLS[null].hypothesis}\n{'':38}" + "".join(f"{head:>14}" for head in COLUMNS))
        for system in options.systems:
            name = f"{null}: {system}"
            if name not in kept["rows"]:
                kept["rows"][name] = shares(system, null, count, draws, options.seed)
                if options.out:
                    options.out.write_text(json.dumps(kept, indent=1) + "\n")
            cells = ["/".join(f"{share:.0f}" for share in kept["rows"][name][column]) for column in COLUMNS]
            print(f"{system:38}" + "".join(f"{cell:>14}" for cell in cells), flush=True)
        print(f"  {null} {SAYS[null]}.\n")
    print(f"{time.process_time() - begin:.0f} CPU s")


if __name__ == "__main__":
    main()
