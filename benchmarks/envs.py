"""Speed of environments: steps per CPU-second, compile seconds, and what our adapters cost.

    python benchmarks/envs.py [ID ...] [--batches 1 64 1024] [--turns 5] [--no-resets] [--no-host]

A program takes random actions and steps a batch in a loop; observations, rewards and ends are summed, so that
nothing of them is left out. No episode is reset, in either. "bare" calls the package's own step in the same
loop. Both take turns in one process; numbers are medians of CPU seconds, all threads, compilation apart. At
the end: what automatic resets from a pool of prepared worlds cost Craftax, and what the bridge to Gymnasium
costs beside a hand-written loop (``benchmarks/host.py``).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs import Off, Pool, make, reset, rollout, start, step

SECONDS = 0.3  # CPU seconds of one turn
WORLDS = 64  # at most so many different starts: worlds are slow to generate in a batch


class World(NamedTuple):
    """An environment, ours or another package's."""

    begin: Callable[[jax.Array], Any]  # key -> state
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, Any, Any, Any]]  # -> state, obs, reward, done


def ours(env: Any) -> World:
    params = env.default_params()

    def advance(key, state, action):
        out = step(env, key, state, action, params)
        return out.state, out.obs, out.reward, (out.terminated, out.truncated, out.success)

    return World(lambda key: reset(env, key, params)[1], advance)


def bare_gymnax(env: Any) -> World:
    import gymnax

    there, params = gymnax.make(env.name)

    def advance(key, state, action):
        obs, state, reward, done, _ = there.step_env(key, state, action, params)
        return state, obs, reward, done

    return World(lambda key: there.reset_env(key, params)[1], advance)


def bare_craftax(env: Any) -> World:
    from craftax.craftax_classic.envs.craftax_symbolic_env import CraftaxClassicSymbolicEnvNoAutoReset

    there: Any = CraftaxClassicSymbolicEnvNoAutoReset()
    params = there.default_params

    def advance(key, state, action):
        obs, state, reward, done, _ = there.step_env(key, state, action, params)
        return state, obs, reward, done

    return World(lambda key: there.reset_env(key, params)[1], advance)


def bare_xland(env: Any) -> World:
    import xminigrid

    there, params = xminigrid.make(env.name)

    def advance(key, state, action):
        out = there.step(params, state, action)
        return out, out.observation, out.reward, out.last()

    return World(lambda key: there.reset(params, key), advance)


def bare_brax(env: Any) -> World:
    from brax import envs

    there: Any = envs.get_environment(env.robot, backend=env.backend)

    def advance(key, state, action):
        # it writes into its dictionaries, and some of its environments change dtypes from reset to step
        copy = state.replace(metrics=dict(state.metrics), info=dict(state.info))
        out = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), there.step(copy, action), state)
        return out, out.obs, out.reward, out.done

    return World(there.reset, advance)


IDS: dict[str, Callable[[Any], World] | None] = {
    "classic/cartpole": None,
    "classic/pendulum": None,
    "gymnax/CartPole-v1": bare_gymnax,
    "gymnax/Breakout-MinAtar": bare_gymnax,
    "nav/pointmaze-large": None,
    "nav/treerooms": None,
    "nav/keydoor": None,
    "gui/pointing": None,
    "judge/score": None,
    "craft/mini": None,
    "xland/MiniGrid-FourRooms": bare_xland,
    "craft/classic": bare_craftax,
    "mujoco/ant": bare_brax,
}


def program(env: Any, world: World, batch: int) -> tuple[Callable[[int, int], float], float]:
    """``run(seed, steps) -> CPU seconds`` of a batch, and the CPU seconds that it took to compile."""
    states = jax.jit(lambda keys: jax.lax.map(world.begin, keys))(
        jax.random.split(jax.random.key(0), min(batch, WORLDS))
    )
    states = jax.tree.map(lambda x: jnp.repeat(x, batch // x.shape[0], 0), states)
    total = lambda tree: sum(jnp.sum(x, dtype=jnp.float32) for x in jax.tree.leaves(tree))

    def loop(states, key, steps):
        def body(i, carry):
            states, seen = carry
            keys = jax.random.split(jax.random.fold_in(key, i), (2, batch))
            actions = jax.vmap(env.spec.action_space.sample)(keys[0])
            states, *rest = jax.vmap(world.step)(keys[1], states, actions)
            return states, seen + total(rest)

        return jax.lax.fori_loop(0, steps, body, (states, jnp.float32(0)))[1]

    before = time.process_time()
    compiled = jax.jit(loop).lower(states, jax.random.key(0), jnp.int32(1)).compile()
    compilation = time.process_time() - before

    def run(seed: int, steps: int) -> float:
        key = jax.random.key(seed)
        before = time.process_time()
        compiled(states, key, jnp.int32(steps)).block_until_ready()
        return time.process_time() - before

    return run, compilation


def enough(run: Callable[[int, int], float]) -> int:
    """How many steps take about ``SECONDS``."""
    steps = 8
    while (took := run(0, steps)) < SECONDS / 4:
        steps *= 4
    return max(4, round(steps * SECONDS / took))


def turns(runs: dict[str, Callable[[int], float]], count: int) -> dict[str, float]:
    """Medians of the CPU seconds of each, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(count):
        for name in (list(runs), list(runs)[::-1])[turn % 2]:
            times[name].append(runs[name](turn))
    return {name: statistics.median(found) for name, found in times.items()}


def compare(id: str, batches: list[int], count: int) -> None:
    """A line for each batch."""
    env, other = make(id), IDS.get(id)
    worlds = {"ours": ours(env)} | ({"bare": other(env)} if other else {})
    for batch in batches:
        made = {name: program(env, world, batch) for name, world in worlds.items()}
        steps = enough(made["ours"][0])
        found = turns({name: lambda t, run=run, n=steps: run(t, n) for name, (run, _) in made.items()}, count)
        rate = {name: batch * steps / seconds for name, seconds in found.items()}
        line = f"{id:26}{batch:6}{rate['ours']:12,.0f}{made['ours'][1]:9.1f}"
        if "bare" in rate:
            line += f"{rate['bare']:12,.0f}{made['bare'][1]:9.1f}{found['ours'] / found['bare'] - 1:+9.1%}"
        print(line, flush=True)


def resets(id: str, batch: int, steps: int, count: int) -> None:
    """What a pool of prepared states costs beside no reset at all, in rollouts."""
    env = make(id)
    params = env.default_params()
    policy = lambda carry, obs, first, keys: (jax.vmap(env.spec.action_space.sample)(keys), carry, {})
    runs = {}
    for strategy in (Off(), Pool(64, 4)):

        def collect(slots, key, strategy=strategy):
            inputs = jax.random.split(key, (steps, batch))
            return rollout(
                env, policy, (), slots, key, params, steps, inputs=inputs, auto_reset=strategy, record=()
            )[::2]

        run = jax.jit(collect)
        slots = start(env, jax.random.key(0), params, batch, auto_reset=strategy, record=())
        jax.block_until_ready(run(slots, jax.random.key(0)))

        def turn(seed, run=run, slots=slots):
            before = time.process_time()
            jax.block_until_ready(run(slots, jax.random.key(seed)))
            return time.process_time() - before

        runs[type(strategy).__name__] = turn
    found = turns(runs, count)
    rates = {name: batch * steps / seconds for name, seconds in found.items()}
    print(f"\n{id}, rollouts of {steps} steps of {batch}, steps per CPU-second:", end=" ")
    print(f"no reset {rates['Off']:,.0f}, Pool(64, 4) {rates['Pool']:,.0f}", end=" ")
    print(f"({found['Pool'] / found['Off'] - 1:+.1%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ids", nargs="*", default=list(IDS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 1024])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--no-resets", action="store_true")
    parser.add_argument("--no-host", action="store_true")
    args = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.default_backend()}; steps per CPU-second, CPU seconds to compile")
    print(
        f"{'environment':26}{'batch':>6}{'ours':>12}{'compile':>9}{'bare':>12}{'compile':>9}{'overhead':>9}"
    )
    for id in args.ids:
        compare(id, args.batches, args.turns)
    if not args.no_resets:
        resets("craft/classic", 64, 64, args.turns)
    if not args.no_host:
        import host

        for id in ("host:CartPole-v1", "box2d/lunarlander", "host:Ant-v5"):
            host.compare(id, 64, args.turns)


if __name__ == "__main__":
    main()
