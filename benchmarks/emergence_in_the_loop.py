"""What does raising or lowering the emergence of an agent's latents do to its learning?

Trains PPO with emergence (Φ_R, arXiv 2109.13186) as an auxiliary loss or as an intrinsic reward, weighted by
-c, 0 and +c, on two tasks, and prints what fresh episodes and fresh recordings say, with 95 % bootstrap
intervals over seeds; differences to 0 are paired by seed. Usage:
``python benchmarks/emergence_in_the_loop.py [--seeds 8] [--json FILE]``.

What 8 seeds showed (about 150 CPU seconds on two cores; the numbers move with versions and seeds): the loss
does move Φ_R of the latents, from 1.32 nats a pair to 0.42 or 2.56 on the pole and from .040 to .032 or
.056 in the maze. It did not help learning: returns during training fell for both signs on the pole (by 43
and 22 of 264), and nothing changed in the maze. As a reward, Φ_R did not change reliably on the pole; in
the maze +c raised it (by .027) and cost success (from 100 % to 78 %). Emergence can be had on demand; no
gain came with it.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import bootstrap

from rlkit.agents import PPOConfig, evaluate, ppo, probe
from rlkit.analysis import emergence_loss, emergence_reward, measure_recordings
from rlkit.envs import make
from rlkit.rewards import progress, success, task, total, weighted

SIZES = (32, 32)
# environment: its reward, configuration, updates, what is judged
TASKS = {
    "classic/cartpole": (
        task,
        PPOConfig(learning_rate=1e-3, num_envs=8, num_steps=128, sizes=SIZES),
        80,
        "returned",
    ),
    "nav/pointmaze-umaze": (
        lambda: weighted(goal=(1.0, success()), closer=(1.0, progress("path_distance"))),
        PPOConfig(learning_rate=1e-3, num_envs=16, num_steps=128, sizes=SIZES, normalize_obs=True),
        60,
        "success",
    ),
}
WAYS = {"auxiliary loss": 0.3, "intrinsic reward": 0.1}


def train(name: str, way: str, coefficients: np.ndarray, seeds: int):
    """Train all coefficients and seeds in one program; outcomes ``[C, S]`` and latents ``[C, S, T, n]``."""
    pay, config, updates, judged = TASKS[name]
    env = make(name)

    def one(item):
        coefficient, key = item
        reward, auxiliary = pay(), None
        if way == "auxiliary loss":
            auxiliary = emergence_loss(coefficient)
        else:
            reward = total((1.0, reward), (coefficient, emergence_reward()))
        agent = ppo(env, config, reward, auxiliary=auxiliary)
        key_train, key_eval, key_probe = jax.random.split(key, 3)
        state = agent.init(key_train)
        state, metrics = jax.lax.scan(lambda s, _: agent.step(s), state, None, updates)
        policy = agent.policy(state)
        outcome = getattr(evaluate(agent, policy, key_eval, 32), judged).astype(jnp.float32).mean()
        seen = probe(agent, policy, key_probe, 512)
        curve = metrics["episode/" + ("return" if judged == "returned" else "success")]
        return outcome, jnp.nanmean(curve), seen.extras["latent"][:, 0], seen.transition.first[:, 0]

    keys = jax.random.split(jax.random.key(0), seeds)
    # The seeds of one coefficient are those of the others.
    items = jnp.repeat(jnp.asarray(coefficients, jnp.float32), seeds), jnp.tile(keys, len(coefficients))
    found = jax.jit(lambda items: jax.lax.map(one, items))(items)
    return jax.tree.map(lambda x: x.reshape(len(coefficients), seeds, *x.shape[1:]), found)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % percentile bootstrap interval."""
    values = np.asarray(values, np.float64)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0]), float(values[0])
    rng = np.random.default_rng(0)
    found = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=rng)
    return float(values.mean()), *map(float, found.confidence_interval)


def report(rows: dict[str, np.ndarray], coefficients: np.ndarray) -> dict:
    """Print a table of quantities ``[C, S]``; the numbers again as data."""
    data = {}
    for quantity, values in rows.items():
        data[quantity] = []
        for i, coefficient in enumerate(coefficients):
            mean, low, high = interval(values[i])
            line = f"  {quantity:30s} c = {coefficient:+5.2f}  {mean:9.3f} [{low:.3f}, {high:.3f}]"
            entry = {"coefficient": float(coefficient), "mean": mean, "interval": [low, high]}
            if coefficient:
                change = interval(values[i] - values[list(coefficients).index(0.0)])
                line += f"   change {change[0]:+.3f} [{change[1]:+.3f}, {change[2]:+.3f}]"
                entry["change"] = {"mean": change[0], "interval": list(change[1:])}
            print(line)
            data[quantity].append(entry)
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--draws", type=int, default=50, help="surrogates of each recording")
    parser.add_argument("--json", help="write the numbers to this file too")
    options = parser.parse_args()
    begin, results = time.process_time(), {}
    for name, (_, _, _, judged) in TASKS.items():
        for way, strength in WAYS.items():
            coefficients = np.array([-strength, 0.0, strength])
            outcome, curve, latent, first = train(name, way, coefficients, options.seeds)
            found = measure_recordings(
                latent,
                jax.random.key(1),
                first=first,
                draws=options.draws,
                routes=("pairs", "means"),
                check="off",
            )
            rows = {f"final {judged}": outcome, f"mean {judged} of training": curve}
            for route in ("pairs", "means"):
                test = found[route]
                rows[f"phi_r of {route}, nats"] = test.value["phi_r"]
                rows[f"phi_r of {route} beyond null"] = test.value["phi_r"] - test.mean["phi_r"]
            print(f"\n{name}, {way}, {options.seeds} seeds ({time.process_time() - begin:.0f} CPU s so far)")
            rows = {key: np.asarray(value) for key, value in rows.items()}
            results[f"{name}, {way}"] = report(rows, coefficients)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
