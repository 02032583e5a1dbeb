"""What reward models cost: an ensemble beside one member, scoring beside bare products.

    python benchmarks/prefs.py [--rounds 5] [--transitions 1000000]

CPU seconds and wall seconds of turns in one process, medians; compilation apart, and once included: what a
whole first fit costs, which begins with tracing. The bare product is the same sequence of matrix products as
the reward model's, without anything between them.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import make
from rlkit.prefs import pairs
from rlkit.prefs.feedback import fit_steps, scorer
from rlkit.prefs.feedback.fitting import FitConfig, optimiser_of
from rlkit.prefs.feedback.models import ModelConfig, build
from rlkit.rewards import relabel
from rlkit.types import Trajectory, Transition

ENV = make("classic/pendulum")


def timed(programs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each, medians over turns."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for run in programs.values():
        jax.block_until_ready(run())
    for _ in range(rounds):
        for name, run in programs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            jax.block_until_ready(run())
            took[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(statistics.median(x) for x in zip(*each, strict=True)) for name, each in took.items()}  # pyrefly: ignore


SIZES = (((8, 8), 4), ((16, 16), 8), ((32, 32), 16), ((64, 64), 64))
"""Layers of a reward model, and comparisons in a gradient step."""

STEPS, LENGTH = 50, 25


def first(
    programs: dict[str, Callable[[], Callable[[], Any]]], rounds: int
) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of making a program, compiling it and running it once, medians over turns.

    ``make()`` returns a function that has never been traced; nothing is taken from a cache.
    """
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    jax.config.update("jax_enable_compilation_cache", False)
    for _ in range(rounds):
        for name, make_program in programs.items():
            jax.clear_caches()
            cpu, wall = time.process_time(), time.perf_counter()
            jax.block_until_ready(make_program()())
            took[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(statistics.median(x) for x in zip(*each, strict=True)) for name, each in took.items()}  # pyrefly: ignore


ENSEMBLES = {"one": (1, 1), "five": (5, 1), "five heads": (5, 5)}
"""Members, and how many of them share all layers but the last."""


def ensemble_of_five(rounds: int) -> None:
    """Fitting five networks by ``vmap`` beside fitting one, five heads of one beside it, products alone."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 500, LENGTH, 4)).astype(np.float32)
    data = pairs(one, two, (rng.random(500) < 0.5).astype(np.float32))
    print(f"five members beside one, {LENGTH} steps a segment: times of one, CPU and wall")
    for sizes, batch in SIZES:
        programs, whole = {}, {}
        for name, (count, heads) in ENSEMBLES.items():
            config = FitConfig(members=count, heads=heads, batch_size=batch)
            member, ensemble, *_ = build(ENV.spec, ModelConfig(sizes=sizes, members=count, heads=heads))
            params = ensemble.init(jax.random.key(0))
            state = jax.vmap(optimiser_of(config).init)(params)
            bits = jax.random.bits(jax.random.key(1), (STEPS, count, batch))

            def fresh(config=config, member=member, p=params, s=state, b=bits) -> Callable[[], Any]:
                run = jax.jit(lambda p, s, b: fit_steps(member, p, s, data, b, config))
                return lambda: run(p, s, b)

            whole[name], programs[name] = fresh, fresh()
        for name, count in (("one, bare", 1), ("five, bare", 5)):
            programs[name] = bare_products(count, 2 * batch * LENGTH, (4, *sizes, 1))
        took = timed(programs, rounds)
        times = lambda what, one="one", took=took: ", ".join(
            f"{a / b:.2f}" for a, b in zip(took[what], took[one], strict=True)
        )
        share = took["one, bare"][0] / took["one"][0]
        print(
            f"  layers {sizes}, {batch} pairs, steady state: five networks {times('five')}; "
            f"five heads of one network {times('five heads')}; products alone "
            f"{times('five, bare', 'one, bare')}, {100 * share:.0f} % of one's CPU"
        )
        begun = first(whole, min(rounds, 3))
        for name in ("five", "five heads"):
            cpu, wall = (
                f"{begun[name][i]:.2f} s / {begun['one'][i]:.2f} s = {begun[name][i] / begun['one'][i]:.2f}"
                for i in (0, 1)
            )
            print(f"    a whole first fit of {STEPS} steps, {name}: CPU {cpu}, wall {wall}")
        more = [took[name][0] for name in ("five", "one")]
        twice = STEPS * (1 + (2 * begun["one"][0] - begun["five"][0]) / max(more[0] - 2 * more[1], 1e-9))
        print(f"    {STEPS} more: CPU {more[0]:.3f} and {more[1]:.3f} s; five cost two after {twice:.0f}")


def bare_products(members: int, rows: int, sizes: tuple[int, ...]) -> Callable[[], Any]:
    """The matrix products of a gradient step, forwards and backwards, without anything between them."""
    keys = jax.random.split(jax.random.key(2), len(sizes))
    x = jax.random.normal(keys[0], (members, rows, sizes[0]))
    shapes = itertools.pairwise(sizes)
    kernels = [jax.random.normal(k, (members, *s)) / s[0] for k, s in zip(keys[1:], shapes, strict=True)]

    def loss(kernels: Any, x: jax.Array) -> jax.Array:
        for kernel in kernels:
            x = jnp.matmul(x, kernel, precision="highest")
        return jnp.sum(x**2)

    @jax.jit
    def run(kernels: Any, x: jax.Array) -> Any:
        def step(kernels: Any, _: None) -> tuple[Any, None]:
            found = jax.vmap(jax.grad(loss))(kernels, x)
            return jax.tree.map(lambda k, g: k - 1e-6 * g, kernels, found), None

        return jax.lax.scan(step, kernels, length=STEPS)[0]

    return lambda: run(kernels, x)


def scoring(rounds: int, transitions: int, sizes: tuple[int, int]) -> None:
    """A learnt reward paid for many transitions, beside the products alone."""
    built = build(ENV.spec, ModelConfig(sizes=sizes, members=1, activation="relu", bounded=False))
    params = built.whole.init(jax.random.key(0))
    reward = scorer(built.whole, built.inputs, params)
    rng, count = np.random.default_rng(0), transitions // 1000
    draw = lambda *shape: jnp.asarray(rng.uniform(-1, 1, (1000, count, *shape)), jnp.float32)
    no, zero = jnp.zeros((1000, count), bool), jnp.zeros((1000, count))
    seen = Transition(draw(3), draw(1), draw(3), {}, {}, zero, no, no, no, no)
    x = built.inputs.of(seen).reshape(-1, built.inputs.size)
    kernels = [leaf[0] for leaf in jax.tree.leaves(params) if leaf.ndim == 3]
    kernels = [next(k for k in kernels if k.shape == s) for s in ((4, sizes[0]), sizes, (sizes[1], 1))]

    @jax.jit
    def pay(seen, params):
        return relabel(reward, (), Trajectory(seen, seen.reward, {}, {}), params=params)[1].reward

    @jax.jit
    def bare(x, kernels):
        for kernel in kernels:
            x = jnp.matmul(x, kernel, precision="highest")
        return x

    took = timed({"ours": lambda: pay(seen, params), "bare": lambda: bare(x, kernels)}, rounds)
    cpu, wall = (took["bare"][i] / took["ours"][i] for i in (0, 1))
    rate = transitions / took["ours"][1] / 1e6
    print(f"scoring {transitions} steps, layers {sizes}: {cpu:.2f} of the bare speed by CPU, {wall:.2f} "
          f"by wall time; {rate:.2f} M a second")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--transitions", type=int, default=1_000_000)
    chosen = parser.parse_args()
    ensemble_of_five(chosen.rounds)
    for sizes in ((64, 64), (256, 256)):
        scoring(chosen.rounds, chosen.transitions, sizes)
