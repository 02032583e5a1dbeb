"""Environments on the host: what the bridge costs beside a hand-written actor loop.

Both collect the same number of steps of the same 16 environments with the same policy. The hand-written
loop steps a ``gymnasium.vector.SyncVectorEnv`` (SAME_STEP, no checks), calls a compiled policy for each step,
keeps the true successors, and stacks the trajectory on the device. The bridge is ``rlkit.envs.rollout``: one
program that calls the host. They take turns in one process; the ratio is that of the medians of CPU seconds.

    python benchmarks/host.py [ID ...] [--repeats 7] [--steps 128]
"""

import argparse
import time

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlkit.distributions import action_distribution
from rlkit.envs import make, rollout, start

ENVS = 16


def policy_of(env, width=64):
    """``act(obs [B, n], key) -> actions [B, ...]`` of a two-layer network."""
    dist = action_distribution(env.spec.action_space)
    (n,) = env.spec.observation_space.shape
    sizes = ((n, width), (width, width), (width, dist.size))
    weights = [0.1 * jax.random.normal(jax.random.key(i), size) for i, size in enumerate(sizes)]

    def act(obs, key):
        x = jnp.tanh(jnp.tanh(obs @ weights[0]) @ weights[1]) @ weights[2]
        noise = dist.noise(jax.random.bits(key, (len(obs), dist.width)))
        return dist.to_env(dist.sample(x, noise))

    return act


def hand_written(env, steps):
    """``collect(key) -> trajectory`` as one would write it without this package."""
    factory = lambda: env.make()
    vector = SyncVectorEnv([factory] * ENVS, autoreset_mode=AutoresetMode.SAME_STEP, copy=False)
    act = jax.jit(policy_of(env))
    obs = vector.reset(seed=0)[0].astype(np.float32)
    dtype = vector.single_action_space.dtype

    def collect(key):
        nonlocal obs
        rows = []
        for step_key in jax.random.split(key, steps):
            action = np.asarray(act(obs, step_key))
            after, reward, terminated, truncated, info = vector.step(action.astype(dtype))
            after = after.astype(np.float32)
            successor = after
            if "final_obs" in info:
                successor = after.copy()
                for slot in np.flatnonzero(terminated | truncated):
                    successor[slot] = info["final_obs"][slot]
            rows.append((obs, action, successor, reward.astype(np.float32), terminated, truncated))
            obs = after
        return jax.device_put(jax.tree.map(lambda *x: np.stack(x), *rows))

    return collect


def bridge(env, steps):
    """``collect(key) -> trajectory`` through a compiled program."""
    act, params = policy_of(env), env.default_params()
    policy = lambda carry, obs, first, key: (act(obs, key), carry, {})

    @jax.jit
    def run(slots, key):
        keys = jax.random.split(key, steps)
        slots, _, seen = rollout(env, policy, (), slots, key, params, steps, inputs=keys, record=())
        t = seen.transition
        return slots, (t.obs, t.action, t.next_obs, t.reward, t.terminated, t.truncated)

    slots = start(env, jax.random.key(0), params, ENVS)

    def collect(key):
        nonlocal slots
        slots, trajectory = run(slots, key)
        return trajectory

    return collect


def seconds(collect, key):
    """CPU seconds and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    jax.block_until_ready(collect(key))
    return time.process_time() - cpu, time.perf_counter() - wall


def compare(id, steps, repeats):
    """One line of results."""
    env = make(id)
    ways = [hand_written(env, steps), bridge(env, steps)]
    for collect in ways:
        seconds(collect, jax.random.key(0))
    times = np.array([[seconds(c, jax.random.key(1 + i)) for c in ways] for i in range(repeats)])
    (loop, loop_wall), (ours, ours_wall) = np.median(times, 0)
    rate = ENVS * steps
    print(
        f"{id:24s} steps per CPU-second: loop {rate / loop:8.0f}  bridge {rate / ours:8.0f}  "
        f"overhead {ours / loop:.2f} (CPU)  {ours_wall / loop_wall:.2f} (wall)"
    )
    env.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = ["host:CartPole-v1", "host:Pendulum-v1", "box2d/lunarlander", "host:Hopper-v5", "host:Ant-v5"]
    parser.add_argument("ids", nargs="*", default=default)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=128)
    chosen = parser.parse_args()
    print(f"gymnasium {gymnasium.__version__}, jax {jax.__version__}, {jax.default_backend()}, {ENVS} envs")
    for id in chosen.ids:
        compare(id, chosen.steps, chosen.repeats)


if __name__ == "__main__":
    main()
