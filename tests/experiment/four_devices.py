"""Run by test_parallel in a process with four CPU devices: prints what it found as JSON."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import jax
import jax.numpy as jnp
import numpy as np
from toy_agent import toy

from rlkit.agents import PPOConfig, ppo
from rlkit.compiling import compiler_options
from rlkit.envs import make
from rlkit.experiment.runs.checkpoint import state_digest
from rlkit.experiment.train import train
from rlkit.experiment.training.population import population
from rlkit.parallel import over_replicas, over_seeds, seed_keys, shard_seeds


def seeds() -> dict[str, bool]:
    """Whether 6 seeds have the same bits wherever they run."""
    agent = toy()
    keys = seed_keys(jax.random.key(0), 6)

    def learn(key, n):
        return jax.lax.fori_loop(0, n, lambda i, s: agent.step(s)[0], agent.init(key))

    n = jnp.int32(10)
    # Equal bits are promised between programs that are compiled alike, so each side has its own reference.
    plain = state_digest(jax.jit(over_seeds(learn))(keys, n))
    trained = state_digest(jax.jit(over_seeds(learn), compiler_options=compiler_options())(keys, n))
    same = {}
    for count in (1, 2, 3, 4):
        devices = jax.devices()[:count]
        same[f"shard_map {count}"] = state_digest(jax.jit(shard_seeds(learn, devices))(keys, n)) == plain
        same[f"pmap {count}"] = state_digest(shard_seeds(learn, devices, how="pmap")(keys, n)) == plain
    for count in (1, 3, 4):
        result = train(agent, 10, seeds=6, devices=jax.devices()[:count], probes=0, progress=False)
        same[f"train {count}"] = state_digest(result.state) == trained
    return same


def regression() -> dict[str, float]:
    """Largest differences between data-parallel gradient descent and the same on the whole batch."""
    x = jax.random.normal(jax.random.key(1), (4, 16, 3))
    y = x @ jnp.array([1.0, -2.0, 3.0])
    loss = lambda w, x, y: ((x @ w - y) ** 2).mean()

    def fit(data, steps, axis=None):
        def step(i, w):
            grad = jax.grad(loss)(w, *data)
            return w - 0.1 * (grad if axis is None else jax.lax.pmean(grad, axis))

        return jax.lax.fori_loop(0, steps, step, jnp.zeros(3))

    n = jnp.int32(50)
    whole = fit((x.reshape(64, 3), y.reshape(64)), n)
    gaps = {}
    for how in ("vmap", "shard_map", "pmap"):
        run = over_replicas(lambda data, n: fit(data, n, "batch"), "batch", how)
        gaps[how] = float(jnp.abs(run((x, y), n) - whole).max())
    return gaps


def data_parallel_ppo() -> dict[str, float]:
    """Largest differences of parameters between placements, and between replicas, after 10 updates."""
    config = PPOConfig(num_envs=4, num_steps=16, epochs=2, minibatches=2, sizes=(16, 16), normalize_obs=True)
    agent = ppo(make("classic/cartpole"), config, axis_name="batch")

    def learn(_, key, n):
        return jax.lax.fori_loop(0, n, lambda i, s: agent.step(s)[0], agent.init(key))

    results = {}
    for how in ("vmap", "shard_map", "pmap"):
        run = over_replicas(learn, "batch", how)
        state = (run if how == "pmap" else jax.jit(run))(jnp.arange(4), jax.random.key(0), jnp.int32(10))
        results[how] = [np.asarray(x) for x in jax.tree.leaves(jax.vmap(agent.policy)(state).params)]
        observations = np.asarray(state.experience.slots.row.obs)
    gap = lambda a, b: float(max(np.abs(p - q).max() for p, q in zip(a, b, strict=True)))
    first = [x[0] for x in results["vmap"]]
    return {
        "shard_map": gap(results["vmap"], results["shard_map"]),
        "pmap": gap(results["shard_map"], results["pmap"]),
        "replicas": gap([x[1] for x in results["shard_map"]], [x[0] for x in results["shard_map"]]),
        "moved": max(float(np.abs(x).max()) for x in first),
        "environments": float(np.abs(observations[0] - observations[1]).max()),
    }


def ppo_seeds() -> dict[str, bool]:
    """Whether PPO seeds have the same bits alone and in a population, and nearly so spread or batched.

    XLA compiles a program for several devices differently, so there the last bits may differ.
    """
    agent = ppo(
        make("classic/cartpole"), PPOConfig(num_envs=4, num_steps=16, epochs=2, minibatches=2, sizes=(16,))
    )
    run = lambda count, devices: (
        train(agent, 8, seeds=count, devices=jax.devices()[:devices], probes=0, progress=False).state
    )
    one, five = run(1, 1), run(5, 1)
    pop = population(agent, 5, batching="vmap", devices=jax.devices()[:1])
    wide = population(agent, 5, devices=jax.devices())
    spread = wide.advance(wide.init(jax.random.key(0)), 1, np.ones(len(pop.leaves), bool))[0]
    batched = pop.advance(pop.init(jax.random.key(0)), 1, np.ones(len(pop.leaves), bool))[0]
    single = population(agent, 5, devices=jax.devices()[:1])
    mapped = single.advance(single.init(jax.random.key(0)), 1, np.ones(len(pop.leaves), bool))[0]

    def gap(other):
        pairs = zip(jax.tree.leaves(other.params), jax.tree.leaves(mapped.params), strict=True)
        return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)

    return {
        "alone": state_digest(one) == state_digest(jax.tree.map(lambda x: x[:1], five)),
        "spread close": gap(spread) < 1e-5,
        "vmap close": gap(batched) < 1e-5,
    }


if __name__ == "__main__":
    found = {"devices": jax.device_count()}
    for name in sys.argv[1:]:
        found[name] = globals()[name]()
    print(json.dumps(found))
