"""Are the null distributions right? Scores of units that do not interact, and of units that do.

Prints, for every headline quantity, the share of recordings of two independent slow units whose score against
surrogates stays within three, which a calibrated score does in 99.7 of 100; then the scores of two coupled
logistic maps. Usage: ``python benchmarks/calibration.py [--seeds 40] [--grid]``.
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


def report(z: jax.Array, draws: int, key: jax.Array, title: str) -> bool:
    """Print a table of shares; true if all are at least 95 %."""
    print(f"\n{title}\n{'':22s}{'|z| < 3':>9s}{'mean z':>9s}{'largest':>9s}{'p <= .05':>10s}")
    good = True
    for name, options in MEASURES:
        found = measure_recordings(z, key, draws=draws, check="off", **options)
        for test in found.tests.values():
            for quantity, score in test.z.items():
                score, p = np.asarray(score), np.asarray(test.p[quantity])
                share = (np.abs(score) < 3).mean()
                good &= bool(share >= 0.95)
                print(
                    f"{name + ' ' + quantity:22s}{share:9.1%}{score.mean():+9.2f}"
                    f"{np.abs(score).max():9.1f}{(p <= 0.05).mean():10.1%}"
                )
    return good


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
        title = f"{options.seeds} pairs of independent AR({memory}) units, T = {steps}, {options.draws} surrogates"
        good &= report(z, options.draws, null, title)

    maps = np.stack([logistic(seed, 512, 0.1) for seed in range(8)])
    found = measure_recordings(maps, key, draws=options.draws, routes=("pairs",))["pairs"]
    print("\n8 pairs of coupled logistic maps, T = 512: least score")
    for quantity in ("phi_r", "phi_wms", "ce3", "ce4"):
        print(f"{'MMI ' + quantity:22s}{np.asarray(found.z[quantity]).min():+9.1f}")
    good &= bool((np.asarray(found.z["phi_r"]) > 5).all())
    print(f"\n{'calibrated' if good else 'NOT CALIBRATED'}; {time.process_time() - begin:.0f} CPU s")


if __name__ == "__main__":
    main()
