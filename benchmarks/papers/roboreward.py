"""A reward model that has seen successes alone, and negatives made of them (RoboReward, arXiv 2601.00675).

Episodes are the scripted expert's in ``nav/keydoor``; the command names the cell to end in (its column is a
major requirement, its row a minor one). Held out are failures: episodes of a policy that acts at random
half of the time, with random commands and their exact scores. Judged: minus the mean absolute error on the
scale from 1 to 5, each score weighing the same.
"""

import sys

import jax
import jax.numpy as jnp
from _common import above, claim, finish, table
from robo_dopamine import keydoor_expert

from rlkit.envs import make, rollout, start
from rlkit.experiment.train import train
from rlkit.rewards import embodied
from rlkit.spaces import Box

SIZE, FRAMES, SLOTS, SEEDS = 9, 60, 256, 8
SPACE = Box((2,), 0.0, 1.0)


def judge(facts: dict, command: jax.Array) -> jax.Array:
    """The exact rubric of where an episode ended."""
    gap = lambda cell: jnp.sum(jnp.abs(cell - command)).astype(jnp.float32)
    progress = jnp.clip(1 - gap(facts["end"]) / jnp.maximum(gap(facts["start"]), 1.0), 0.0, 1.0)
    wanted = embodied.Requirements(jnp.ones(2, bool), jnp.array([False, True]))
    return embodied.rubric_score(facts["end"] == command, wanted, progress)


def episodes(key: jax.Array, chance: float) -> embodied.Episodes:
    """First episodes of all slots, commanded to the cell they were meant for, or (with chance) to any."""
    env = make("nav/keydoor")
    params = env.default_params()
    begin, run, noise, other = jax.random.split(key, 4)

    def policy(carry, obs, first, key):
        explore, which = jax.random.split(key)
        action, carry, report = keydoor_expert(carry, obs, first, None)
        random = jax.random.bernoulli(explore, chance, action.shape)
        return jnp.where(random, jax.random.randint(which, action.shape, 0, 5), action), carry, report

    slots = start(env, begin, params, SLOTS)
    inputs = jax.random.split(noise, FRAMES)
    t = jax.jit(lambda s: rollout(env, policy, (), s, run, params, FRAMES, inputs=inputs)[2])(
        slots
    ).transition
    ended = jnp.cumsum(t.done, 0) - t.done > 0  # after the first episode
    place = jnp.concatenate([t.obs[:1], t.next_obs])[..., 6:8]  # [FRAMES + 1, SLOTS, 2]
    valid = jnp.concatenate([jnp.ones((1, SLOTS), bool), ~ended])
    last = jnp.sum(valid, 0) - 1
    cells = jnp.round(place * (SIZE - 1)).astype(jnp.int32)
    end = cells[last, jnp.arange(SLOTS)]
    goal = cells[0] + jnp.round(t.obs[0, :, 4:6] * (SIZE - 1)).astype(jnp.int32)
    command = goal if chance == 0 else jax.random.randint(other, goal.shape, 0, SIZE)
    facts = {"start": cells[0], "end": end}
    progress = jnp.arange(FRAMES + 1)[:, None] / jnp.maximum(last, 1)
    wide = lambda x: jnp.moveaxis(x, 0, 1)
    score = jax.vmap(judge)(facts, command)
    return embodied.Episodes(
        wide(place), wide(valid), command, score, wide(jnp.minimum(progress, 1.0)), facts
    )


def main() -> None:
    data, held = episodes(jax.random.key(0), 0.0), episodes(jax.random.key(1), 0.5)
    whole = data.score == 5
    data = jax.tree.map(lambda x: x[whole], data)
    failures = jax.tree.map(lambda x: x[held.score < 5], held)
    print(f"{data.score.size} successes; {failures.score.size} failures held out, of scores "
          f"{[int((failures.score == k).sum()) for k in range(1, 5)]}")  # fmt: skip
    rows, fine = {}, {}
    for augment in ("none", "clip", "relabel", "both") if "--all" in sys.argv else ("none", "both"):
        config = embodied.RubricConfig(
            augment=augment, sizes=(32, 32), batch_size=64, pool=2, learning_rate=3e-3
        )
        learner = embodied.rubric_learner(SPACE, data, (SIZE, SIZE), judge, config)
        state = train(learner, 8, seeds=SEEDS, probes=0, progress=False).state
        score = jax.jit(jax.vmap(learner.model.score, (0, None, None, None)))
        found = score(state.params, failures.obs, failures.valid, failures.command)
        error = jax.vmap(lambda s: embodied.macro_error(s, failures.score, failures.score - 1, 4))
        rows[augment] = -error(found)
        fine[augment] = jnp.abs(score(state.params, data.obs, data.valid, data.command) - 5).mean()
    less = table("minus the mean absolute error on failures", rows, "none")
    print("  error on successes:", {name: round(float(x), 2) for name, x in fine.items()})
    claim("relabelling and clipping beat successes alone", above(less["both"]))
    if "--all" in sys.argv:
        claim("each of them does", above(less["relabel"]) and above(less["clip"]))
    finish()


if __name__ == "__main__":
    main()
