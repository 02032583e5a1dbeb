"""ARM-Thinker (arXiv 2512.05111): a judge learns to call tools; its ladder of rewards against the outcome
alone.

The judge of ``judge/tools`` under PPO. Usage: ``python benchmarks/papers/arm_thinker.py``
"""

import jax.numpy as jnp
from _common import above, claim, finish, less, table
from _judges import trained

from rlkit.envs import make
from rlkit.envs.judges.tools import LADDER, OUTCOME

SEEDS, UPDATES = 6, 80
WAYS = {
    "outcome": (OUTCOME, 0.0), "ladder": (LADDER, 0.0), "outcome, calls cost 0.02": (OUTCOME, 0.02),
    "ladder, calls cost 0.02": (LADDER, 0.02),
}  # fmt: skip


def main() -> None:
    default = make("judge/tools").default_params()
    paid = lambda ladder, cost: default._replace(ladder=jnp.array(ladder), call_cost=jnp.float32(cost))
    found = trained("judge/tools", {name: paid(*way) for name, way in WAYS.items()}, SEEDS, UPDATES)
    rows = lambda what: {name: told[what] for name, told in found.items()}
    right = table("Right judgements", rows("right"), "outcome")
    table("Calls per episode", rows("calls"), "outcome")
    useless = {name: told["calls"] - told["useful_calls"] for name, told in found.items()}
    table("Calls that revealed nothing that decides", useless, "outcome")
    claim("the ladder makes judges right more often than the outcome alone", above(right["ladder"]))
    claim("it pays for calls that are not needed", above(less(useless, "ladder, calls cost 0.02")["ladder"]))
    calls = less(useless, "outcome, calls cost 0.02")
    claim("even where calls cost (the bonus of 0.5 outweighs it)", above(calls["ladder, calls cost 0.02"]))
    finish()


if __name__ == "__main__":
    main()
