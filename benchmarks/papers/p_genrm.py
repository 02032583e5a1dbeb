"""P-GenRM (arXiv 2602.12116): users have prototypes; what a few answers of a new user are worth with and
without.

200 users with 40 answers each, of 5 latent prototypes; 150 new users with 3, 10 or 40.
Usage: ``python benchmarks/papers/p_genrm.py``
"""

import jax
import jax.numpy as jnp
from _common import claim, finish, over_seeds, table

from rlkit.prefs import metrics
from rlkit.prefs.users import Taste, blend_scores, fit_taste, kmeans, nearest_in_cluster, nearest_prototype

SEEDS, DIM, KINDS, USERS, ANSWERS, NEW, TEST = 10, 12, 5, 200, 40, 150, 200
HISTORIES = (3, 10, 40)
ROWS = ("global", "self", "prototype", "prototype as prior", "8 neighbours", "half self, half neighbours")


def answers(key: jax.Array, tastes: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """``count`` comparisons by each user: features of the first less those of the second, and labels."""
    a, b = jax.random.split(key)
    difference = jax.random.normal(a, (len(tastes), count, DIM))
    p = jax.nn.sigmoid(jnp.sum(difference * tastes[:, None], -1))
    return difference, (jax.random.uniform(b, p.shape) < p).astype(jnp.float32)


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    prototypes = jax.random.normal(k[0], (KINDS, DIM))
    spread = lambda key, n: (
        prototypes[jax.random.randint(key, (n,), 0, KINDS)] + 0.45 * jax.random.normal(key, (n, DIM))
    )
    known, new = spread(k[1], USERS), spread(k[2], NEW)
    x, y = answers(k[3], known, ANSWERS)
    alone = Taste(jnp.zeros(DIM), jnp.eye(DIM))
    tastes = jax.vmap(lambda x, y: fit_taste(x, y, alone).mean)(x, y)
    everyone = fit_taste(x.reshape(-1, DIM), y.reshape(-1), alone).mean
    groups = kmeans(k[4], tastes, KINDS, restarts=5, steps=30)
    inside = jax.nn.one_hot(groups.assignment, KINDS).T
    pooled = lambda member: (
        fit_taste(x.reshape(-1, DIM), y.reshape(-1), alone, jnp.repeat(member, ANSWERS), steps=12).mean
    )
    centres = jax.vmap(pooled)(inside)
    variance = jnp.mean((tastes - groups.centre[groups.assignment]) ** 2)
    history, told = answers(k[5], new, max(HISTORIES))
    test, _ = answers(k[6], new, TEST)
    truth = (jnp.sum(test * new[:, None], -1) > 0).astype(jnp.float32)

    def one(x, y, valid, test):
        own = fit_taste(x, y, alone, valid).mean
        group, _ = nearest_prototype(centres, x, y, valid)
        informed = fit_taste(x, y, Taste(centres[group], jnp.eye(DIM) / variance), valid).mean
        near, there = nearest_in_cluster(own[None], group[None], tastes, groups.assignment, 8)
        others = jnp.where(there[0][:, None], tastes[near[0]], 0.0)
        scores = jnp.stack([everyone, own, centres[group], informed]) @ test.T
        neighbours = others @ test.T
        blend = lambda has_own: blend_scores(scores[1:2], neighbours, jnp.array([has_own]), there[0])
        return jnp.concatenate([scores, blend(False)[None], blend(True)[None]])

    valid = jnp.arange(max(HISTORIES)) < jnp.array(HISTORIES)[:, None]
    margins = jax.vmap(jax.vmap(one, (0, 0, None, 0)), (None, None, 0, None))(history, told, valid, test)
    right = metrics.pair_accuracy(margins, jnp.broadcast_to(truth[None, :, None], margins.shape)).mean(1)
    return {f"{h}/{name}": right[i, j] for i, h in enumerate(HISTORIES) for j, name in enumerate(ROWS)}


def main() -> None:
    found = over_seeds(run, SEEDS)
    best = []
    for count in HISTORIES:
        rows = {name: found[f"{count}/{name}"] for name in ROWS}
        table(f"Accuracy for new users with {count} answers", rows, "global")
        against = [table_quietly(rows, name) for name in ROWS if name != "prototype as prior"]
        best.append(all(against))
        claim(f"the prototype as a prior is best at {count} answers", best[-1])
    gain = {count: found[f"{count}/prototype"] - found[f"{count}/self"] for count in HISTORIES}
    claim(
        "a prototype helps the more the fewer answers there are",
        gain[3].mean() > gain[10].mean() > gain[40].mean(),
    )
    finish()


def table_quietly(rows, name) -> bool:
    """Whether the prior beats a row in mean over the same seeds."""
    return bool((rows["prototype as prior"] - rows[name]).mean() > 0)


if __name__ == "__main__":
    main()
