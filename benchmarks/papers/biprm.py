"""BiPRM (arXiv 2508.01682): a process reward model that reads a finished chain in both directions.

Whether a step is right depends on a step before it and on one after it, so that neither direction suffices.
Usage: ``python benchmarks/papers/biprm.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import heads, losses, metrics, reward_model, segment
from rlkit.prefs.sequences import flip_valid
from rlkit.prefs.types import Segment

SEEDS, COUNT, TEST, STEPS, DIM = 5, 3000, 1200, 8, 4
BACKBONE = heads.Backbone("gru", (24,))
OBJECTIVES = {
    "BCE": lambda r, y, m: losses.masked_mean(losses.step_logistic(r, y, m), m),
    "MSE": lambda r, y, m: losses.masked_mean(losses.step_mse(r, y, m), m),
    "Q-ranking": lambda r, y, m: losses.step_q_ranking(r, y > 0.5, m),
}
HEADS = {
    "forward": heads.ProcessHead(BACKBONE),
    "backward": heads.ProcessHead(BACKBONE),
    "both, mean": heads.BidirectionalProcess(BACKBONE, "mean"),
    "both, gate": heads.BidirectionalProcess(BACKBONE, "mlp"),
    "both, gate with gradient": heads.BidirectionalProcess(BACKBONE, "mlp", detach=False),
}
READERS = tuple(HEADS)


def chains(key: jax.Array, w: jax.Array, count: int) -> tuple[Segment, jax.Array]:
    k = jax.random.split(key)
    x = jax.random.normal(k[0], (count, STEPS, DIM))
    length = jax.random.randint(k[1], (count, 1), 4, STEPS + 1)
    mask = jnp.arange(STEPS) < length
    s = jnp.where(mask, x @ w, 0.0)
    shifted = lambda by: jnp.roll(jnp.pad(s, [(0, 0), (2, 2)]), by, 1)[:, 2:-2]
    return segment(x, mask), (s + 0.7 * shifted(2) + 0.7 * shifted(-2) > -0.6).astype(jnp.float32)


def tuned_f1(r: jax.Array, mask: jax.Array, first: jax.Array) -> jax.Array:
    """F1 on one half of the chains at the threshold that is best on the other."""
    half = TEST // 2

    def f1(limit, rows):
        found = metrics.first_error(jax.nn.sigmoid(r[rows]), mask[rows], jax.nn.sigmoid(limit))
        return metrics.first_error_f1(found, first[rows]).f1

    limits = jnp.linspace(-4.0, 4.0, 33)
    best = limits[jnp.argmax(jax.vmap(lambda l: f1(l, slice(0, half)))(limits))]
    return f1(best, slice(half, None))


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 5)
    w = jax.random.normal(k[0], (DIM,)) / 2
    item, label = chains(k[1], w, COUNT)
    test, truth = chains(k[2], w, TEST)
    first = metrics.first_error(truth, test.mask)
    out = {}
    for name, objective in OBJECTIVES.items():
        for reader in READERS if name == "BCE" else READERS[:4:3]:
            model = reward_model(HEADS[reader], item)

            def score(params, item, model=model, turn=reader == "backward"):
                seen = Segment(flip_valid(item.feats, item.mask), item.mask) if turn else item
                r = model.apply(params, seen).step
                return flip_valid(r, item.mask) if turn else r

            def loss(params, key, t, score=score, objective=objective):
                rows = jax.random.randint(key, (128,), 0, COUNT)
                some = jax.tree.map(lambda x: x[rows], item)
                return objective(score(params, some), label[rows], some.mask).mean()

            r = score(minimise(loss, model.init(k[3]), k[4], 250, 1e-2), test)
            right = jnp.sum(((r > 0) == (truth > 0.5)) & test.mask) / test.mask.sum()
            f1 = tuned_f1(r, test.mask, first)
            out |= {f"{name}/{reader}/accuracy": right, f"{name}/{reader}/F1": f1}
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    for what in ("accuracy", "F1"):
        rows = {r: found[f"BCE/{r}/{what}"] for r in READERS}
        table(
            f"BCE: {'accuracy of steps' if what == 'accuracy' else 'F1 of the first error'}", rows, "forward"
        )
        gate = [above(less(rows, reader)["both, gate"]) for reader in READERS[:3]]
        claim(f"reading in both directions beats either one ({what})", gate[0] and gate[1])
        claim(f"the gate beats the mean ({what})", gate[2])
        claim(f"a gate with gradient does ({what})", above(less(rows, READERS[2])[READERS[4]]))
    for name in OBJECTIVES:
        rows = {r: found[f"{name}/{r}/F1"] for r in READERS[:4:3]}
        gain = table(f"{name}: F1 of the first error", rows, "forward")
        claim(f"both directions beat forward reading under {name}", above(gain["both, gate"]))
    finish()


if __name__ == "__main__":
    main()
