"""Run by test_devices in processes of their own: a data-parallel agent, and what one device makes of it.

The first argument names the agent. Prints as JSON by how much the parameters differ after ten updates. With
further arguments ``PORT PROCESS`` it is one of two processes that hold a replica each.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

if sys.argv[2:]:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", 2, int(sys.argv[3]))

from every import build

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.parallel import over_replicas

CONFIG = PPOConfig(
    num_envs=4,
    num_steps=16,
    epochs=2,
    minibatches=2,
    sizes=(16, 16),
    normalize_obs=True,
    normalize_reward=True,
)


def agent_of(name):
    if name == "ppo":
        return ppo(make("classic/cartpole"), CONFIG, axis_name="batch")
    return build(name, axis_name="batch")


def learn(_, seed, updates):
    """Parameters at the start and at the end, and what the environments show then."""
    agent = agent_of(sys.argv[1])
    start = agent.init(jax.random.key(seed))
    state = jax.lax.fori_loop(0, updates, lambda i, s: agent.step(s)[0], start)
    return agent.policy(start), agent.policy(state), state.experience.slots.row.obs


def main():
    replicas = np.arange(jax.device_count())
    local = {}
    for how in ("vmap", "shard_map"):
        out = jax.jit(over_replicas(learn, "batch", how))(replicas, np.int32(0), np.int32(10))
        local[how] = jax.tree.map(lambda x: np.asarray(x.addressable_shards[-1].data)[-1:], out)
    gap = lambda a, b: max(
        float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
    one, many = local["vmap"], local["shard_map"]
    found = {
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "gap": gap(one[:2], many[:2]),
        "moved": gap(one[0].params, one[1].params),
        "params": float(jnp.sum(jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(many[1])]))),
        "environment": many[2].reshape(-1).tolist(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
