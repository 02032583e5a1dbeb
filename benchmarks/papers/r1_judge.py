"""R1-Reward (arXiv 2505.02835): consistency that multiplies the result makes judges agree with themselves.

The judge of ``judge/order`` looks at two answers in either order; what is shown first looks better than it
is. It is paid the result and the format, with and without the gated bonus of consistency; and votes at test
time. Usage: ``python benchmarks/papers/r1_judge.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, keys, less, table
from _judges import trained

from rlkit.envs import make
from rlkit.prefs.metrics import position_consistency
from rlkit.prefs.search import majority_vote

SEEDS, UPDATES, VOTES = 8, 60, (1, 5, 15)


def votes(key: jax.Array) -> dict[str, jax.Array]:
    """A noisy judge that leans to what it sees first: one order, both orders, and votes of several looks."""
    k = jax.random.split(key, 3)
    gap = jax.random.normal(k[0], (4000,)) * jnp.sqrt(2.0)
    noise = jax.random.normal(k[1], (2, max(VOTES), 4000)) * jnp.sqrt(2.0)
    forward, backward = gap + 1.0 + noise[0], -gap + 1.0 + noise[1]  # first shown less second shown
    out = {"consistent in both orders": position_consistency(forward[0], backward[0])}
    for n in VOTES:
        one = majority_vote((forward[:n] > 0).T.astype(jnp.int32), 2) == 1
        half = (n + 1) // 2
        turned = jnp.concatenate([forward[:half] > 0, backward[: n - half] < 0]).T.astype(jnp.int32)
        both = majority_vote(turned, 2) == 1
        out |= {f"{n}/one order": jnp.mean(one == (gap > 0)), f"{n}/both orders": jnp.mean(both == (gap > 0))}
    return out


def main() -> None:
    default = make("judge/order").default_params()
    ways = {f"α = {alpha}": default._replace(consistency=jnp.float32(alpha)) for alpha in (0.0, 0.5, 1.0)}
    found = trained("judge/order", ways, SEEDS, UPDATES)
    rows = lambda what: {name: told[what] for name, told in found.items()}
    agreed = table("Consistency of reasoning and verdict, -1 to 1", rows("consistency"), "α = 0.0")
    right = table("Right verdicts", rows("right"), "α = 0.0")
    claim("the gated bonus makes judges consistent", above(agreed["α = 0.5"]))
    claim("it costs no correctness (0.01)", right["α = 0.5"].low > -0.01)
    found = jax.jit(jax.vmap(votes))(keys(10))
    print(f"\nconsistent in both orders: {found.pop('consistent in both orders').mean():.3f}")
    table("Right answers by votes", found, "1/one order")
    gain = less(found, "1/one order")
    claim("votes of 15 beat one look", above(gain["15/one order"]))
    claim("votes in both orders beat as many in one", above(less(found, "15/one order")["15/both orders"]))
    finish()


if __name__ == "__main__":
    main()
