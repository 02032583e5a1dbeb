"""SAC on the pendulum beside its matrix products, and beside rejax: gradient steps per CPU second.

    python benchmarks/sac.py [--rounds 5] [--updates 200] [--buffer 20000] [--peers-python PATH]

Two hidden layers of 256 units, batches of 256, one gradient step for each environment step. The floor is a
program of nothing but the products that an update of that size makes, in their own shapes. In each process
floor and candidate take turns, so that a machine that changes speed changes it for both; what is compared
between processes is the share of the floor. ``--peers-python`` is the interpreter of an environment with
benchmarks/requirements.txt. Both sides print how many parameters they have: rejax 0.1.3 ignores the hidden
sizes in SAC's ``agent_kwargs`` and takes them beside these.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("NPROC", "1")  # one thread per operation: the candidates are single learners

import jax
import jax.numpy as jnp

HIDDEN, BATCH, OBS, ACTION = 256, 256, 3, 1


def products(count: int, inputs: int, outputs: int) -> list[tuple[int, int, int, int]]:
    """``(networks, rows, inner, columns)`` of a forward pass of some networks."""
    return [
        (count, BATCH, inputs, HIDDEN),
        (count, BATCH, HIDDEN, HIDDEN),
        (count, BATCH, HIDDEN, outputs),
    ]


def backward(forward: list, *, weights: bool, inputs: bool) -> list[tuple[int, int, int, int]]:
    """Products of the gradients with respect to weights, and to what enters (all layers but the first)."""
    out = [(n, inner, rows, columns) for n, rows, inner, columns in forward] if weights else []
    layers = forward if inputs else forward[1:]
    return out + [(n, rows, columns, inner) for n, rows, inner, columns in layers]


def shapes() -> list[tuple[int, int, int, int]]:
    """All products of one update."""
    policy, critics = products(1, OBS, 2 * ACTION), products(2, OBS + ACTION, 1)
    return [
        *policy, *critics,  # the target
        *critics, *backward(critics, weights=True, inputs=False),
        *policy, *critics, *backward(critics, weights=False, inputs=True),  # the policy's loss
        *backward(policy, weights=True, inputs=False),
    ]  # fmt: skip


def floor(updates: int) -> tuple[Callable[[], Any], float]:
    """A program that makes the products of so many updates, and the FLOP of one."""
    pairs = []
    for i, (n, rows, inner, columns) in enumerate(shapes()):
        keys = jax.random.split(jax.random.key(i))
        pairs.append(
            (jax.random.normal(keys[0], (n, rows, inner)), jax.random.normal(keys[1], (n, inner, columns)))
        )

    def body(_: Any, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        total, pairs = carry
        for left, right in pairs:
            # Each product waits for the one before it, and none can be moved out of the loop.
            left, total = jax.lax.optimization_barrier((left, total))
            total = total + jnp.matmul(left, right, precision="highest")[0, 0, 0]
        return total, pairs

    run = jax.jit(lambda pairs: jax.lax.fori_loop(0, updates, body, (jnp.float32(0), pairs))[0])
    return lambda: run(pairs), sum(2.0 * n * a * b * c for n, a, b, c in shapes())


def ours(updates: int, buffer: int) -> Callable[[], Any]:
    """A program that makes so many updates of ours, in place."""
    from rlkit.agents import SACConfig, sac
    from rlkit.compiling import compiler_options
    from rlkit.envs import make

    config = SACConfig(
        num_envs=1, num_steps=1, updates_to_data=1.0, sizes=(HIDDEN, HIDDEN), batch_size=BATCH,
        buffer_size=buffer, learning_starts=1,
    )  # fmt: skip
    agent = sac(make("classic/pendulum"), config)
    state = [jax.jit(agent.init)(jax.random.key(0))]
    print(f"  parameters: {sum(x.size for x in jax.tree.leaves(state[0].learner.params))}")
    loop = lambda state: jax.lax.fori_loop(0, updates, lambda _, s: agent.step(s)[0], state)
    run = jax.jit(loop, donate_argnums=0, compiler_options=compiler_options())

    def call() -> Any:
        state[0] = run(state[0])
        return state[0].learner.updates

    return call


def rejax(updates: int, buffer: int) -> Callable[[], Any]:
    """A program that makes so many updates of rejax."""
    from rejax import SAC

    algo = SAC.create(
        env="Pendulum-v1", num_envs=1, batch_size=BATCH, buffer_size=buffer, fill_buffer=BATCH,
        learning_rate=3e-4, total_timesteps=10**9, eval_freq=10**9, num_epochs=1,
        hidden_layer_sizes=(HIDDEN, HIDDEN),
    )  # fmt: skip
    state = [jax.jit(algo.init_state)(jax.random.PRNGKey(0))]
    params = (state[0].actor_ts.params, state[0].critic_ts.params)
    print(f"  parameters: {sum(x.size for x in jax.tree.leaves(params))}")
    run = jax.jit(
        lambda s: jax.lax.fori_loop(0, updates, lambda _, s: algo.train_iteration(s), s), donate_argnums=0
    )

    def call() -> Any:
        state[0] = run(state[0])
        return state[0].global_step

    for _ in range(2 * BATCH // updates + 1):  # fill the buffer
        call()
    return call


def measure(name: str, rounds: int, updates: int, buffer: int) -> tuple[float, float]:
    """Print and return CPU milliseconds an update of the candidate and of the floor, medians."""
    candidate, (products_only, flop) = {"ours": ours, "rejax": rejax}[name](updates, buffer), floor(updates)
    times: dict[str, list[float]] = {name: [], "floor": []}
    for turn in range(rounds + 1):
        for label, run in ((name, candidate), ("floor", products_only)):
            begin = time.process_time()
            jax.block_until_ready(run())
            if turn:  # the first compiles
                times[label].append(1e3 * (time.process_time() - begin) / updates)
    mine, least = (statistics.median(times[label]) for label in (name, "floor"))
    shares = [b / a for a, b in zip(times[name], times["floor"], strict=True)]
    print(
        f"{name:6} {1e3 / mine:7.0f} updates per CPU-s, {mine:.2f} ms; floor {least:.2f} ms "
        f"({flop / least / 1e6:.0f} GFLOP per CPU-s): {statistics.median(shares):.2f} of the floor's speed "
        f"({min(shares):.2f}-{max(shares):.2f})"
    )
    return statistics.median(shares), mine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=200, help="in one turn")
    parser.add_argument("--buffer", type=int, default=20_000, help="transitions in the buffer")
    parser.add_argument("--peers-python", help="interpreter of an environment with rejax")
    parser.add_argument("--candidate", choices=("ours", "rejax"), default="ours", help=argparse.SUPPRESS)
    args = parser.parse_args()
    measure(args.candidate, args.rounds, args.updates, args.buffer)
    sys.stdout.flush()
    if args.peers_python:
        command = [args.peers_python, __file__, "--candidate", "rejax", "--rounds", str(args.rounds)]
        subprocess.run([*command, "--updates", str(args.updates), "--buffer", str(args.buffer)], check=False)


if __name__ == "__main__":
    main()
