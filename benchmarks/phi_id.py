"""CPU time of integrated information decomposition for all pairs of 64 units, beside other ways to get it.

Run ``python benchmarks/phi_id.py`` (add ``--quick`` for the shortest recording only). All times are CPU
seconds of this process (all threads), the least of several warm runs; compile time is printed apart.
The per-pair reference (scipy densities of every subset, a linear solve per pair) is timed on a few pairs and
multiplied by the number of pairs; it is the way of the usual single-pair tools. ``hoi`` is timed if it can be
imported.
"""

import argparse
import itertools
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from rlkit.analysis import MATRIX, all_pairs_atoms, all_pairs_local_atoms, lagged_moments

UNITS = 64
PAIRS = UNITS * (UNITS - 1) // 2
SIDES = {"xa": "x a", "xb": "x b", "ya": "y a", "yb": "y b", "xya": "xy a", "xyb": "xy b"}
SIDES |= {"xab": "x ab", "yab": "y ab", "xyab": "xy ab"}
SHARED = ("xa ya xya", "xb yb xyb", "xab yab xyab", "xa xb xab", "ya yb yab", "xya xyb xyab")


def per_pair(x, y, redundancy):
    """The 16 average atoms of one pair through local values, NumPy and SciPy."""
    rows = np.stack([x[:-1], y[:-1], x[1:], y[1:]])
    rows = rows / rows.std(axis=1, ddof=1, keepdims=True)
    mean, covariance, h = rows.mean(1), np.cov(rows), {}
    for size in range(1, 5):
        for members in itertools.combinations(range(4), size):
            m = list(members)
            density = multivariate_normal(mean[m], covariance[np.ix_(m, m)], allow_singular=True)
            h["".join("xyab"[k] for k in m)] = -density.logpdf(rows[m].T)
    i = {name: h[side.split()[0]] + h[side.split()[1]] - h[name] for name, side in SIDES.items()}
    shared = []
    for left, right, joint in map(str.split, SHARED):
        if redundancy == "mmi":
            shared.append(i[left] if i[left].mean() < i[right].mean() else i[right])
            continue
        common = i[left] + i[right] - i[joint]
        signs = [np.sign(v) for v in (i[left], i[right], i[joint], common)]
        shared.append(common * ((signs[0] == signs[1]) & (signs[1] == signs[2]) & (signs[2] == signs[3])))
    singles = [i[name] for name in ("xa", "xb", "ya", "yb")]
    if redundancy == "mmi":
        double = min(singles, key=np.mean)
    else:
        double = -sum(singles) + i["xab"] + i["yab"] + i["xya"] + i["xyb"] - i["xyab"]
        double = double + shared[0] + shared[1] - shared[2] + shared[3] + shared[4] - shared[5]
        agree = np.all([np.sign(v) == np.sign(double) for v in singles], axis=0)
        double = double * agree
    knowns = np.stack([double, *shared, *(i[name] for name in SIDES)])
    return np.linalg.solve(MATRIX.astype(float), knowns).mean(1)


def cpu(function, *arguments, budget=1.5, repeats=50):
    """Least CPU seconds of warm calls and the CPU seconds of the first."""
    start = time.process_time()
    jax.block_until_ready(function(*arguments))
    first, spent, times = time.process_time() - start, 0.0, []
    while len(times) < 3 or (spent < budget and len(times) < repeats):
        start = time.process_time()
        jax.block_until_ready(function(*arguments))
        times.append(time.process_time() - start)
        spent += times[-1]
    return min(times), first


def latents(steps, dtype):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((steps, UNITS)) @ (np.eye(UNITS) + 0.1 * rng.standard_normal((UNITS, UNITS)))
    z = np.empty_like(noise)
    z[0] = noise[0]
    for t in range(1, steps):
        z[t] = 0.7 * z[t - 1] + noise[t]
    return jnp.asarray(z, dtype)


def compare(steps):
    """One row of the table for one length of recording."""
    samples = np.asarray(latents(steps, jnp.float64))
    pairs = [(0, 1), (5, 40), (63, 2)]
    sample_time = {}
    for kind in ("mmi", "ccs"):
        runs = [cpu(per_pair, samples[:, i], samples[:, j], kind, budget=0.5)[0] for i, j in pairs]
        sample_time[kind] = PAIRS * float(np.mean(runs))
    for dtype in (jnp.float64, jnp.float32):
        z = latents(steps, dtype)
        atoms = jax.jit(lambda z: all_pairs_atoms(lagged_moments(z)).stack())
        ours, first = cpu(atoms, z)
        gram = 2 * cpu(jax.jit(lambda z: jnp.matmul(z.T, z, precision="highest")), z)[0]
        error = max(
            np.abs(np.asarray(atoms(z))[:, i, j] - per_pair(samples[:, i], samples[:, j], "mmi")).max()
            for i, j in pairs
        )
        print(
            f"T={steps:<7} {dtype.__name__:8} mmi {ours * 1e3:8.2f} ms (first call {first:.1f} s)"
            f" | per pair {sample_time['mmi']:8.1f} s = {sample_time['mmi'] / ours:6.0f}x"
            f" | two bare Grams {gram * 1e3:7.2f} ms: we take {ours / gram:.2f}x | error {error:.1e}",
            flush=True,
        )
        if steps <= 10_000:
            local = jax.jit(lambda z: all_pairs_local_atoms(z, redundancy="ccs").stack())
            ours, first = cpu(local, z, repeats=8)
            error = max(
                np.abs(np.asarray(local(z))[:, i, j] - per_pair(samples[:, i], samples[:, j], "ccs")).max()
                for i, j in pairs
            )
            print(
                f"T={steps:<7} {dtype.__name__:8} ccs {ours * 1e3:8.2f} ms (first call {first:.1f} s)"
                f" | per pair {sample_time['ccs']:8.1f} s = {sample_time['ccs'] / ours:6.0f}x"
                f" | error {error:.1e}",
                flush=True,
            )


BATCH = """
import resource, time
import jax, jax.numpy as jnp
from rlkit.analysis import all_pairs_atoms, lagged_moments
from jax import lax

seeds, checkpoints, steps, units = 32, 50, 2000, 64

@jax.jit
def everything(z):
    each = lambda run: all_pairs_atoms(lagged_moments(run)).stack()
    flat = z.reshape(seeds * checkpoints, steps, units)
    return lax.map(each, flat, batch_size=8).reshape(seeds, checkpoints, 16, units, units)

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
z = jnp.zeros((seeds, checkpoints, steps, units), jnp.float32)
key = jax.random.key(0)
# Filled in place, a checkpoint at a time, so that making the data does not set the peak.
draw = lambda k: jax.random.normal(jax.random.fold_in(key, k), (seeds, steps, units))
fill = jax.jit(lambda z, k: z.at[:, k].set(draw(k)), donate_argnums=0)
for k in range(checkpoints):
    z = fill(z, k)
z.block_until_ready()
before = peak()
start = time.process_time()
compiled = everything.lower(z).compile()
compile_time = time.process_time() - start
start, wall = time.process_time(), time.perf_counter()
out = compiled(z).block_until_ready()
print(f"{seeds} seeds x {checkpoints} checkpoints x {units} units x T={steps}, float32, one call: "
      f"{time.process_time() - start:.2f} CPU s, {time.perf_counter() - wall:.2f} s wall "
      f"(compile {compile_time:.1f} s), peak resident {peak():.2f} GB, of which the samples are "
      f"{z.nbytes / 2**30:.2f} and the atoms {out.nbytes / 2**30:.2f}; before the call {before:.2f}",
      flush=True)
"""


def batch():
    """All seeds and checkpoints in one call, in a fresh process so that the peak is its own."""
    subprocess.run([sys.executable, "-c", BATCH], check=True)


def other_tools():
    """hoi's AtomsPhiID: CPU time of one sum of atoms over all pairs."""
    try:
        from hoi.metrics import AtomsPhiID
    except ImportError:
        print("hoi is not installed: `pip install hoi` (best in a separate environment) adds AtomsPhiID")
        return
    for steps in (1000, 10_000):
        with jax.enable_x64(False):
            z = np.asarray(latents(steps, jnp.float32))
            model = AtomsPhiID(z.astype(np.float64), verbose=False)
            run = lambda model=model: model.fit(minsize=2, maxsize=2, tau=1, method="gc", matrix=False)
            seconds, _ = cpu(run, repeats=3)
            ours, _ = cpu(jax.jit(lambda z: all_pairs_atoms(lagged_moments(z)).stack()), jnp.asarray(z))
            print(f"T={steps:<7} hoi AtomsPhiID, one sum of atoms {seconds:.2f} CPU s; we, all atoms, "
                  f"{ours * 1e3:.2f} ms = {seconds / ours:.0f}x", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only T = 1000 and no batch")
    arguments = parser.parse_args()
    print(f"all {PAIRS} pairs of {UNITS} units, 16 atoms each; per-pair times are 3 pairs scaled to {PAIRS}")
    with jax.enable_x64(True):
        for steps in (1000,) if arguments.quick else (1000, 10_000, 100_000):
            compare(steps)
    other_tools()
    if not arguments.quick:
        batch()


if __name__ == "__main__":
    main()
