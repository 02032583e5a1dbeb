"""What a chunk of training costs by the size of the state, in CPU seconds and in memory.

    python benchmarks/large_state.py [--seeds 2] [--megabytes 40] [--repeats 5]

A toy agent writes one row into a ring and draws a batch from it, as agents with a replay buffer do. Its ring
is small or large, and named as bulk or not. Printed for each: the least CPU seconds of a chunk of one update
and of 64, bytes that the program needs beside the state, and whether the ring stays where it was.
"""

import argparse
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.compiling import compiler_options
from rlkit.envs import make
from rlkit.experiment.training.population import population
from rlkit.rewards import task
from rlkit.types import ActInfo, Agent, Key

WIDTH, BATCH = 25, 128


class State(NamedTuple):
    """A ring, where it is written next, and what is learned."""

    rows: jax.Array
    cursor: jax.Array
    params: jax.Array
    key: Key


def toy(capacity: int, bulk: tuple[str, ...]) -> Agent:
    """An agent with a ring of ``capacity`` rows of :data:`WIDTH` floats."""

    def init(key, config=None, env_params=None, reward_params=None):
        return State(jnp.zeros((capacity, WIDTH)), jnp.int32(0), jnp.zeros(WIDTH), key)

    def step(state):
        now, later = jax.random.split(state.key)
        row = jax.random.normal(now, (1, WIDTH))
        rows = jax.lax.dynamic_update_slice_in_dim(state.rows, row, state.cursor, 0)
        batch = rows[jax.random.randint(now, (BATCH,), 0, capacity)]
        params = state.params + 0.01 * (batch.mean(0) - state.params)
        return State(rows, (state.cursor + 1) % capacity, params, later), {"loss": jnp.square(params).sum()}

    def act(params, carry, obs, key=None):
        return jnp.int32(0), carry, ActInfo(params, jnp.float32(0), jnp.float32(0))

    env = make("classic/cartpole")
    policy, carry = (lambda state: state.params), (lambda: ())
    return Agent(init, step, policy, carry, act, env, task(), None, 1, bulk=bulk)


def pointers(array: jax.Array) -> list[int]:
    """Where an array lies, by device."""
    return [shard.data.unsafe_buffer_pointer() for shard in array.addressable_shards]


def measure(title: str, agent: Agent, arguments: argparse.Namespace, skip: bool) -> None:
    """Print one row of the table."""
    pop = population(
        agent, arguments.seeds, batching=arguments.batching, devices=jax.local_devices()[:1],
        max_chunk=64, skip_nonfinite=skip,
    )  # fmt: skip
    state, born = pop.init(jax.random.key(0)), np.ones(len(pop.leaves), bool)
    advance = pop.advance.lower(state, jnp.int32(1), born).compile(compiler_options())
    extra = advance.memory_analysis().temp_size_in_bytes
    least, before = {}, pointers(state.rows)
    for n in (1, 64):
        costs = []
        for _ in range(arguments.repeats):
            begin = time.process_time()
            state, _, _ = jax.block_until_ready(advance(state, np.int32(n), born))
            costs.append(time.process_time() - begin)
        least[n] = min(costs)
    stays = "yes" if pointers(state.rows) == before else "no"
    print(f"{title:44}{least[1]:10.4f}{least[64]:10.4f}{extra / 1e6:10.1f}   {stays}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--megabytes", type=float, default=40.0, help="of the large ring of each seed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batching", default="auto")
    arguments = parser.parse_args()
    large = int(arguments.megabytes * 1e6 / 4 / WIDTH)
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {arguments.seeds} seeds")
    print(f"{'ring of each seed':44}{'1 update':>10}{'64':>10}{'MB beside':>10}   in place")
    for skip in (False, True):
        for capacity in (100, large):
            for bulk in ((), ("rows",)):
                size = f"{capacity * WIDTH * 4 / 1e6:.2f} MB"
                title = f"{size}{', named as bulk' if bulk else ''}{', on_nan=skip' if skip else ''}"
                measure(title, toy(capacity, bulk), arguments, skip)


if __name__ == "__main__":
    main()
