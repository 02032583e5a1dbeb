"""What must hold of every registered reward, on the toy environment and on cart-pole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit.reads import reward_reads

EXAMPLES = {
    "best_progress": "best_progress({feature}, scale=2)",
    "clip": "chain(task(), clip(-0.05, 0.5))",
    "control_cost": "-0.1 * control_cost()",
    "distance": "distance({feature}, 'exp', temperature=0.5)",
    "feature": "feature({feature})",
    "normalise": "chain(task() + progress({feature}), normalise(0.9))",
    "potential_difference": "potential_difference({minus}, discount=0.9)",
    "potential_shaping": "chain(success(), potential_shaping({minus}, discount=0.9))",
    "progress": "progress({feature}, limit=0.1)",
    "reached": "reached({feature}, 0.5)",
    "scale": "chain(task(), scale(3))",
    "squash": "chain(task(), squash(0.5))",
    "success": "success()",
    "survival": "survival()",
    "symlog": "chain(task(), symlog())",
    "task": "task()",
    "time_penalty": "time_penalty()",
    "everything": "chain(2 * best_progress({feature}) + success() - 0.5 * chain(task(), symlog()),"
    " potential_shaping({minus}, 0.9), normalise(0.9), clip(-1, 1))",
}
FEATURE = {"toy/line": "distance", "classic/cartpole": "pole_angle"}
CASES = [
    (name, env_id)
    for env_id in FEATURE
    for name in EXAMPLES
    if (name, env_id) != ("control_cost", "classic/cartpole")  # discrete actions: an error, tested elsewhere
]
every_reward = pytest.mark.parametrize(("name", "env_id"), CASES)


def test_all_registered_rewards_have_an_example():
    assert EXAMPLES.keys() - {"everything"} == set(rw.names())


@functools.cache
def reward_of(name, env_id):
    feature = FEATURE[env_id]
    return rw.parse(EXAMPLES[name].format(feature=repr(feature), minus=repr("-" + feature)))


def typed(tree):
    """Structure, shapes, dtypes and weakness of types."""
    leaves = [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(tree)]
    assert not any(weak for *_, weak in leaves)
    return jax.tree.structure(tree), leaves


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


@every_reward
def test_types_and_structure(name, env_id, stored):
    reward, (env, trajectory) = reward_of(name, env_id), stored(env_id)
    step = jax.tree.map(lambda x: x[0, 0], trajectory.transition)
    state = reward.init(jax.random.key(0))
    for x64 in (False, True):
        with jax.enable_x64(x64):
            after, value, terms = jax.eval_shape(reward.apply, state, step, reward.params)
            assert typed(after) == typed(state)
            for x in (value, *terms.values()):
                assert (x.shape, x.dtype, x.weak_type) == ((), jnp.float32, False)
    assert set(reward_reads(reward, env.spec)) <= {FEATURE[env_id]}


@every_reward
def test_transformations_change_nothing(name, env_id, stored):
    """Scan = loop, jit = no jit, vmap = one slot at a time; the second call compiles nothing."""
    reward, (_, trajectory) = reward_of(name, env_id), stored(env_id)
    slots = trajectory.reward.shape[1]
    state = rw.init_slots(reward, jax.random.key(0), slots)
    relabel = jax.jit(functools.partial(rw.relabel, reward))
    end, out = relabel(state, trajectory)
    paid = (out.reward, out.terms)
    assert typed(end) == typed(state)
    typed(paid)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(paid))
    relabel(end, out._replace(terms=trajectory.terms))
    assert relabel._cache_size() == 1

    last = slots - 1
    alone, narrow = rw.relabel(
        reward, jax.tree.map(lambda x: x[last], state), jax.tree.map(lambda x: x[:, last], trajectory)
    )
    close((narrow.reward, narrow.terms), jax.tree.map(lambda x: x[:, last], paid))
    close(alone, jax.tree.map(lambda x: x[last], end))

    memory = jax.tree.map(lambda x: x[last], state)
    for t in range(4):
        step = jax.tree.map(lambda x, t=t: x[t, last], trajectory.transition)
        memory, *now = reward.apply(memory, step, reward.params)  # operation by operation
        close(tuple(now), jax.tree.map(lambda x, t=t: x[t, last], paid))


@pytest.mark.parametrize(("name", "env_id"), [case for case in CASES if case[0] in rw.SOURCES])
def test_terms_of_sources_sum_to_the_reward(name, env_id, stored):
    reward, (_, trajectory) = reward_of(name, env_id), stored(env_id)
    _, out = rw.relabel(
        reward, rw.init_slots(reward, jax.random.key(0), trajectory.reward.shape[1]), trajectory
    )
    np.testing.assert_allclose(sum(out.terms.values()), out.reward, rtol=1e-6)


@pytest.mark.parametrize(("name", "env_id"), [case for case in CASES if "normalise" not in EXAMPLES[case[0]]])
def test_memory_of_an_episode_ends_with_it(name, env_id, stored):
    """After ``first`` nothing that came before matters, except to running statistics."""
    reward, (_, trajectory) = reward_of(name, env_id), stored(env_id)
    seen = np.asarray(trajectory.transition.first[:, 0])
    begin = int(np.flatnonzero(seen)[1])
    single = jax.tree.map(lambda x: x[:, 0], trajectory)
    _, whole = rw.relabel(reward, reward.init(jax.random.key(0)), single)
    _, tail = rw.relabel(reward, reward.init(jax.random.key(0)), jax.tree.map(lambda x: x[begin:], single))
    close(tail.reward, whole.reward[begin:])
