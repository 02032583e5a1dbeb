"""The best reward on the way, planned exactly and in a search for fast programs (MaxCode, arXiv 2601.05475).

1. 60 random MDPs (12 states, 3 actions, horizon 8, heavy-tailed rewards at 20 levels): the expected best
   reward of the policies that are optimal for the best reward with ``u`` in the state, without it, and for
   the sum.
2. A stand-in for program search: a rugged landscape of tile sizes with a budget of refinements; a policy
   chooses between refining the present program and restarting, by Q-learning on the augmented state for the
   best speed-up or for the sum of speed-ups, beside best-of-N from restarts alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _common import above, claim, finish, over_seeds, table

from rlkit.rewards import embodied

STATES, ACTIONS, HORIZON, LEVELS, MDPS = 12, 3, 8, 21, 60


def planned(key: jax.Array) -> dict[str, jax.Array]:
    """Expected best reward of three plans in one random MDP, averaged over first states."""
    chain, size, _ = jax.random.split(key, 3)
    P = jax.random.dirichlet(chain, jnp.full(STATES, 0.3), (STATES, ACTIONS))
    levels = jnp.linspace(0.0, 1.0, LEVELS)
    raw = jax.random.uniform(size, (STATES, ACTIONS, STATES)) ** 6  # most are small, few are large
    R = jnp.round(raw * (LEVELS - 1)) / (LEVELS - 1)
    no_end = jnp.zeros(STATES, bool)
    backup = lambda value: embodied.max_reward_backup(R, value, levels, P, no_end)
    start = jnp.broadcast_to(levels, (STATES, LEVELS))

    def plan(carry, _):
        aware, naive, total, of_naive, of_total = carry
        q_naive = embodied.naive_max_backup(R, naive, P, no_end)
        q_total = jnp.sum(P * R, -1) + P @ total
        follow = lambda value, action: jnp.take_along_axis(backup(value), action[:, None, None], 2)[..., 0]
        return (
            backup(aware).max(-1), q_naive.max(-1), q_total.max(-1),
            follow(of_naive, q_naive.argmax(-1)), follow(of_total, q_total.argmax(-1)),
        ), None  # fmt: skip

    zero = jnp.zeros(STATES)
    (aware, naive, _, of_naive, of_total), _ = jax.lax.scan(
        plan, (start, zero, zero, start, start), None, HORIZON
    )
    return {
        "max with u": aware[:, 0].mean(),
        "max without u": of_naive[:, 0].mean(),
        "sum": of_total[:, 0].mean(),
        "predicted without u": naive.mean(),
    }


TILES, BUDGET, EPISODES = 64, 12, 2000


def landscape(key: jax.Array) -> jax.Array:
    """Speed-ups of tile sizes ``[TILES]``: rugged, with few large ones, in [0, 1]."""
    waves, spikes, _ = jax.random.split(key, 3)
    x = jnp.arange(TILES) / TILES
    phase = jax.random.uniform(waves, (6,), maxval=2 * jnp.pi)
    smooth = sum(jnp.sin(2 * jnp.pi * (k + 1) * x + phase[k]) / (k + 1) for k in range(6))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    rough = jax.random.uniform(spikes, (TILES,)) ** 3
    return 0.85 * smooth + 0.15 * rough


def searched(key: jax.Array) -> dict[str, jax.Array]:
    """Best speed-up found by three searchers, on fresh landscapes."""
    bins = 8
    cell = lambda value: jnp.clip((value * bins).astype(jnp.int32), 0, bins - 1)

    def episode(q: jax.Array, key: jax.Array, rate: float, greedy: bool, by_best: bool, only: bool):
        world, begin, key = jax.random.split(key, 3)
        speed = landscape(world)
        first = jax.random.randint(begin, (), 0, TILES)

        def step(carry, inputs):
            q, at, best = carry
            key, left = inputs
            explore, which, move, anew = jax.random.split(key, 4)
            state = (left, cell(speed[at]), cell(best))
            choice = jnp.argmax(q[state])
            random = jax.random.bernoulli(explore, 0.0 if greedy else 0.2)
            action = jnp.where(random, jax.random.randint(which, (), 0, 2), choice)
            action = jnp.where(only, 1, action)
            near = (at + jax.random.randint(move, (), -3, 4)) % TILES
            new = jnp.where(action == 0, near, jax.random.randint(anew, (), 0, TILES))
            reward = speed[new]
            after = jnp.maximum(best, reward)
            follow = (jnp.maximum(left - 1, 0), cell(reward), cell(after))
            future = jnp.max(q[follow])
            if by_best:  # V at the end is u itself
                target = jnp.where(left == 0, after, future)
            else:
                target = reward + jnp.where(left == 0, 0.0, future)
            q = q.at[(*state, action)].add(rate * (target - q[(*state, action)]))
            return (q, new, after), None

        inputs = jax.random.split(key, BUDGET), jnp.arange(BUDGET - 1, -1, -1)
        (q, _, best), _ = jax.lax.scan(step, (q, first, speed[first]), inputs)
        return q, best

    def run(key: jax.Array, by_best: bool, only: bool = False) -> jax.Array:
        learn, judge = jax.random.split(key)
        q = jnp.full((BUDGET, bins, bins, 2), 0.5)
        if not only:
            rates = jnp.linspace(0.2, 0.01, EPISODES)
            body = lambda q, x: (episode(q, x[0], x[1], False, by_best, False)[0], None)
            q, _ = jax.lax.scan(body, q, (jax.random.split(learn, EPISODES), rates))
        test = jax.vmap(lambda k: episode(q, k, 0.0, True, by_best, only)[1])
        return test(jax.random.split(judge, 512)).mean()

    return {
        "best reward": run(key, True),
        "sum of rewards": run(key, False),
        "best of N": run(key, True, True),
    }


def main() -> None:
    plans = over_seeds(planned, MDPS)
    predicted = plans.pop("predicted without u")
    less = table("expected best reward, planned exactly, random MDPs for seeds", plans, "sum")
    worth = plans["max without u"].mean()
    print(f"  the value without u says {predicted.mean():.3f} of a policy worth {worth:.3f}")
    claim("planning for the best reward beats planning for the sum", above(less["max with u"]))
    aware = plans["max with u"] - plans["max without u"]
    claim("u in the state is needed", bool(aware.min() > -1e-5 and np.mean(aware > 1e-4) > 0.5))
    print(f"  (it gains {aware.mean():.4f}, in {np.mean(aware > 1e-4):.0%} of the MDPs)")
    found = over_seeds(searched, 12)
    less = table(f"best speed-up of {BUDGET} trials, learned search", found, "sum of rewards")
    claim("searching for the best beats searching for the sum", above(less["best reward"]))
    less = table("the same beside restarts alone", found, "best of N")
    claim("and best-of-N at equal budget", above(less["best reward"]))
    finish()


if __name__ == "__main__":
    main()
