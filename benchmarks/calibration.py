"""Are the null distributions right? Scores of units that do not interact, and of units that do.

Prints, for every headline quantity, the share of recordings of two independent slow units whose score against
surrogates stays within three, which a normal one does in 99.7 of 100; then the scores of two coupled
logistic maps. ``plain`` is (value - mean) / sd, without allowance for the skewness of
surrogates. Usage: ``python benchmarks/calibration.py [--seeds 40] [--grid]``.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis import measure_recordings

# (title, options): two units are one pair, so that routes other than these repeat them.
MEASURES = (
    ("MMI", {"routes": ("pairs", "macro")}),
    ("pointwise", {"routes": ("means",), "redundancy": "pointwise"}),
    ("CCS", {"routes": ("means",), "redundancy": "ccs"}),
)
GRID = ((0.5, 512), (0.9, 512), (0.99, 512), (0.95, 128), (0.95, 2000))


def autoregressive(key: jax.Array, seeds: int, memory: float, steps: int) -> jax.Array:
    """``[seeds, steps, 2]``: independent stationary AR(1) units."""
    noise = jax.random.normal(key, (steps, seeds, 2))

    def step(x, e):
        x = memory * x + jnp.sqrt(1 - memory**2) * e
        return x, x

    _, z = jax.lax.scan(step, noise[0], noise)
    return jnp.swapaxes(z, 0, 1)


def logistic(seed: int, steps: int, coupling: float) -> np.ndarray:
    """``[steps, 2]``: two logistic maps ``4 x (1 - x)`` that mix a share of each other's image."""
    x = np.random.default_rng(seed).uniform(0.1, 0.9, 2)
    rows = []
    for _ in range(steps + 100):
        image = 3.99 * x * (1 - x)
        x = (1 - coupling) * image + coupling * image[::-1]
        rows.append(x)
    return np.array(rows[100:], np.float32)


def within(score: jax.Array) -> float:
    """Share of scores of a magnitude below three."""
    return float((np.abs(np.asarray(score)) < 3).mean())


def report(z: jax.Array, draws: int, key: jax.Array, title: str) -> bool:
    """Print a table of shares; true if all are at least 95 %."""
    heads = ("|z| < 3", "mean z", "largest |z|", "p <= .05", "plain < 3", "largest plain")
    print(f"\n{title}\n{'':22s}" + "".join(f"{head:>14s}" for head in heads))
    good = True
    for name, options in MEASURES:
        found = measure_recordings(z, key, draws=draws, check="off", **options)
        for test in found.tests.values():
            for quantity in test.z:
                plain, score, p = (np.asarray(f[quantity]) for f in (test.standardised, test.z, test.p))
                good &= within(score) >= 0.95
                largest = [np.abs(x).max() for x in (score, plain)]
                print(
                    f"{name + ' ' + quantity:22s}{within(score):14.1%}{score.mean():+14.2f}{largest[0]:14.1f}"
                    f"{(p <= 0.05).mean():14.1%}{within(plain):14.1%}{largest[1]:14.1f}"
                )
    return good


def report_maps(steps: int, draws: int, key: jax.Array) -> bool:
    """Print the scores of coupled logistic maps; true if all of Φ_R exceed five."""
    maps = np.stack([logistic(seed, steps, 0.1) for seed in range(8)])
    found = measure_recordings(maps, key, draws=draws, routes=("pairs",))["pairs"]
    print(f"\n8 pairs of coupled logistic maps, T = {steps}: least z  least plain")
    for quantity in ("phi_r", "phi_wms", "ce3", "ce4"):
        plain, score = (np.asarray(field[quantity]).min() for field in (found.standardised, found.z))
        print(f"{'MMI ' + quantity:40s}{score:+8.1f}{plain:+13.1f}")
    return bool((np.asarray(found.z["phi_r"]) > 5).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--draws", type=int, default=99)
    parser.add_argument("--key", type=int, default=0, help="seed of recordings and surrogates")
    parser.add_argument("--grid", action="store_true", help="other memories and lengths too")
    options = parser.parse_args()
    begin, key = time.process_time(), jax.random.key(options.key)
    good = True
    for i, (memory, steps) in enumerate(((0.95, 512), *(GRID if options.grid else ()))):
        data, null = jax.random.split(jax.random.fold_in(key, i))
        z = autoregressive(data, options.seeds, memory, steps)
        title = f"{options.seeds} pairs of independent AR({memory}) units, T = {steps}"
        good &= report(z, options.draws, null, f"{title}, {options.draws} surrogates")
    report_maps(512, options.draws, key)
    good &= report_maps(2000, options.draws, key)
    print(f"\n{'calibrated' if good else 'NOT CALIBRATED'}; {time.process_time() - begin:.0f} CPU s")


if __name__ == "__main__":
    main()
