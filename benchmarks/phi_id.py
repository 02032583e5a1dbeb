"""CPU time of integrated information decomposition for all pairs of 64 units, beside other ways to get it.

Run ``python benchmarks/phi_id.py`` (add ``--quick`` for the shortest recording only). All times are CPU
seconds of this process (all threads), medians of warm runs in which the candidates take turns; the first
call is printed apart. The per-pair reference (scipy densities of every subset, a linear solve per pair) is
timed on a pair and multiplied by the number of pairs; it is the way of the usual single-pair tools. ``hoi``
is timed if it can be imported. Everything runs on one thread, unless the variables NPROC (XLA) and
OMP_NUM_THREADS (NumPy) say otherwise: threads that share a memory bus would count waiting as work.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from rlkit.analysis import all_pairs_atoms, lagged_moments
from rlkit.analysis.atoms import MATRIX, all_pairs_local_atoms

THREADS = ("NPROC", "OMP_NUM_THREADS")
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


def cpu(function, *arguments, calls=0):
    """CPU seconds of a warm call (mean of ``calls``; by default as many as take 0.15 s).

    Short calls are timed many at a time: the clock of a thread that runs elsewhere lags by milliseconds.
    """
    start, done = time.process_time(), 0
    while done < calls or (not calls and time.process_time() - start < 0.15):
        jax.block_until_ready(function(*arguments))
        done += 1
    return (time.process_time() - start) / done


def in_turn(rounds, **functions):
    """Median CPU seconds of functions that take turns: a machine that changes speed changes it for all."""
    runs = [{name: cpu(function) for name, function in functions.items()} for _ in range(rounds)]
    return {name: float(np.median([run[name] for run in runs])) for name in functions}


def latents(steps, dtype):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((steps, UNITS)) @ (np.eye(UNITS) + 0.1 * rng.standard_normal((UNITS, UNITS)))
    z = np.empty_like(noise)
    z[0] = noise[0]
    for t in range(1, steps):
        z[t] = 0.7 * z[t - 1] + noise[t]
    return z.astype(dtype)


def compare(steps):
    """The rows of the table for one length of recording."""
    samples = latents(steps, np.float64)
    pairs = [(0, 1), (5, 40), (63, 2)]
    atoms = jax.jit(lambda z: all_pairs_atoms(lagged_moments(z)).stack())
    local = lambda z: all_pairs_local_atoms(z, redundancy="ccs").stack()
    gram = jax.jit(lambda z: jnp.matmul(z.T, z, precision="highest"))
    for dtype in (jnp.float64, jnp.float32):
        z = jnp.asarray(latents(steps, dtype))
        for kind, function in (("mmi", atoms), ("ccs", local)):
            if kind == "ccs" and steps > 10_000:
                continue
            start = time.process_time()
            result = np.asarray(function(z))
            first = time.process_time() - start
            one = lambda kind=kind: per_pair(samples[:, 0], samples[:, 1], kind)
            spent = in_turn(5, ours=partial(function, z), one=one, gram=partial(gram, z))
            ours, theirs, grams = spent["ours"], PAIRS * spent["one"], 2 * spent["gram"]
            gaps = [np.abs(result[:, i, j] - per_pair(samples[:, i], samples[:, j], kind)) for i, j in pairs]
            print(
                f"T={steps:<7} {dtype.__name__:8} {kind} {ours * 1e3:8.2f} ms (first call {first:.1f} s)"
                f" | per pair {theirs:8.1f} s = {theirs / ours:6.0f}x"
                f" | two bare Grams {grams * 1e3:7.2f} ms: we take {ours / grams:.2f}x"
                f" | error {np.max(gaps):.1e}",
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
            z = latents(steps, np.float32)
            model = AtomsPhiID(z.astype(np.float64), verbose=False)
            run = lambda model=model: model.fit(minsize=2, maxsize=2, tau=1, method="gc", matrix=False)
            atoms = jax.jit(lambda z: all_pairs_atoms(lagged_moments(z)).stack())
            jax.block_until_ready((run(), atoms(z)))
            spent = in_turn(3, ours=partial(atoms, z), theirs=run)
            seconds, ours = spent["theirs"], spent["ours"]
            print(f"T={steps:<7} hoi AtomsPhiID, one sum of atoms {seconds:.2f} CPU s; we, all atoms, "
                  f"{ours * 1e3:.2f} ms = {seconds / ours:.0f}x", flush=True)  # fmt: skip


def main():
    if missing := {name: "1" for name in THREADS if name not in os.environ}:
        # The libraries have read them already: begin again.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | missing)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only T = 1000 and no batch")
    arguments = parser.parse_args()
    print(
        f"all {PAIRS} pairs of {UNITS} units, 16 atoms each; per-pair times are one pair's, scaled to {PAIRS}"
    )
    with jax.enable_x64(True):
        for steps in (1000,) if arguments.quick else (1000, 10_000, 100_000):
            compare(steps)
    other_tools()
    if not arguments.quick:
        batch()


if __name__ == "__main__":
    main()
