"""What potential differences leave as it was: the optimal actions, computed exactly in a small world."""

import jax
import jax.numpy as jnp
import numpy as np
from worlds import Errand

from rlkit.design import DesignTask
from rlkit.design.evolution import random_genome
from rlkit.design.genome import schema_of, stack
from rlkit.design.interpreter import genome_reward
from rlkit.design.tabular import optimum, pay_table, tabulate
from rlkit.rewards import parse

GAMMA = 0.9


def optimal(world, paid: np.ndarray) -> np.ndarray:
    """bool ``[S, A]``: actions within 0.005 of the best, a sixth of the smallest difference that there is."""
    value = optimum(world, paid, GAMMA).value
    q = paid + np.where(world.terminated, 0.0, GAMMA) * value[world.successor]
    return q > q.max(1, keepdims=True) - 5e-3


def test_a_hundred_potential_genomes_keep_the_optimal_actions_of_the_base() -> None:
    task = DesignTask(Errand(), base="success()", discount=GAMMA)
    world = tabulate(task.env, task.params, jax.random.key(0))
    base = pay_table(parse("success()"), world)
    wanted = optimal(world, base)
    assert world.terminated.any()
    assert not wanted.all(1).all()
    schema, chance = schema_of(task, potential_only=True), np.random.default_rng(0)
    genomes = stack([random_genome(chance, schema) for _ in range(100)], schema)
    reward, steps = genome_reward(schema), jax.tree.map(jnp.asarray, world.steps)
    pay = lambda genome: jax.vmap(lambda t: reward.apply((), t, genome)[1])(steps)
    paid = np.asarray(jax.jit(jax.vmap(pay))(genomes), np.float64).reshape(100, *base.shape)
    assert (np.abs(paid).max((1, 2)) > 1e-3).sum() > 80  # they pay something
    for extra in paid:
        np.testing.assert_array_equal(optimal(world, base + extra), wanted)
    # The same sum with another discount is another task: the test can fail.
    wrong = schema_of(DesignTask(Errand(), discount=0.5), potential_only=True)
    other = genome_reward(wrong)
    bad = np.asarray(
        jax.jit(jax.vmap(lambda g: jax.vmap(lambda t: other.apply((), t, g)[1])(steps)))(genomes)
    )
    changed = [(optimal(world, base + x.reshape(base.shape)) != wanted).any() for x in bad]
    assert sum(changed) > 50
