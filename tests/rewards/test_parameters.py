"""Numbers of rewards as parameters: which are leaves, what a sweep pays; and that constants stay constant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit.errors import UsageError
from rlkit.parameters import resolve
from rlkit.types import Reward

# For every number of every constructor: the reward with it, and a good value.
NUMBERS = {
    "success(scale)": (lambda x: rw.success(x), 2.0),
    "progress(scale)": (lambda x: rw.progress("distance", x), 2.0),
    "progress(limit)": (lambda x: rw.progress("distance", limit=x), 0.1),
    "best_progress(scale)": (lambda x: rw.best_progress("distance", x), 2.0),
    "distance(temperature)": (lambda x: rw.distance("distance", "exp", x), 0.5),
    "reached(threshold)": (lambda x: rw.reached("distance", x), 1.0),
    "potential_shaping(discount)": (lambda x: rw.potential_shaping("-distance", x), 0.9),
    "clip(low)": (lambda x: rw.clip(x, 1.0), -0.05),
    "clip(high)": (lambda x: rw.chain(rw.distance("distance", "exp"), rw.clip(-1.0, x)), 0.3),
    "scale(factor)": (lambda x: rw.scale(x), 3.0),
    "squash(temperature)": (lambda x: rw.squash(x), 0.2),
    "normalise(discount)": (lambda x: rw.normalise(x), 0.9),
    "normalise(limit)": (lambda x: rw.normalise(0.9, limit=x), 0.5),
    "weighted(weight)": (lambda x: rw.weighted(a=(1.0, rw.task()), b=(x, rw.survival())), 0.5),
    "total(weight)": (lambda x: rw.total((1.0, rw.task()), (x, rw.survival())), 0.5),
    "add(weight)": (lambda x: rw.add(rw.total((x, rw.survival()))), 0.5),
}


def paid(reward, trajectory, params=None):
    memory = rw.init_slots(reward, jax.random.key(0), trajectory.reward.shape[1])
    return rw.relabel(reward, memory, trajectory, params=params)[1].reward


@pytest.mark.parametrize("number", NUMBERS)
def test_an_array_is_a_leaf_and_pays_what_the_number_pays(number, line):
    build, value = NUMBERS[number]
    constant, variable = build(value), build(np.array(value))
    assert jax.tree.leaves(constant.params) == []
    (leaf,) = jax.tree.leaves(variable.params)
    assert (leaf.shape, leaf.dtype, leaf.weak_type) == ((), jnp.float32, False)
    wanted = paid(constant, line)
    np.testing.assert_allclose(paid(variable, line), wanted, rtol=1e-6)
    other = build(jnp.float32(0.25))  # other parameters change what the same reward pays
    found = paid(other, line, variable.params)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert np.abs(paid(other, line) - wanted).max() > 1e-3


def test_a_sweep_maps_over_parameters(line):
    reward = rw.weighted(goal=(1.0, rw.success()), near=(jnp.array(0.0), rw.distance("distance")))
    weights = jnp.linspace(0.0, 1.0, 5)
    params = jax.tree.map(lambda _: weights, reward.params)
    together = jax.jit(jax.vmap(lambda p: paid(reward, line, p)))(params)
    near = -np.asarray(line.transition.next_features["distance"])
    for i, weight in enumerate(weights):
        np.testing.assert_allclose(together[i], line.transition.success + weight * near, rtol=1e-6)


def test_parameters_are_collected_by_name():
    reward = rw.chain(
        rw.weighted(goal=(1.0, rw.success(jnp.float32(3.0))), near=(jnp.float32(0.5), rw.task())),
        rw.clip(-1.0, jnp.float32(1.0)),
    )
    places = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(reward.params)]
    assert places == ["[0]['goal'].reward['scale']", "[0]['near'].weight", "[1]['high']"]


def closed_over(reward):
    """The same reward as a function of two arguments, which knows of no parameters."""
    return Reward(reward.init, lambda memory, t, _: reward.apply(memory, t, reward.params))


def test_numbers_compile_to_the_program_of_a_reward_written_by_hand(line):
    pay = rw.chain(
        rw.weighted(goal=(1.0, rw.success()), near=(0.1, rw.distance("distance"))), rw.clip(-1.0, 1.0)
    )

    def by_hand(memory, t, _):
        goal, near = 1.0 * t.success.astype(jnp.float32), 0.1 * -(t.next_features["distance"] / 1.0)
        return memory, jnp.clip(0.0 + goal + near, -1.0, 1.0), {"goal": goal, "near": near}

    def program(reward):
        run = jax.jit(lambda trajectory: paid(reward, trajectory))
        text = run.lower(line).compile().as_text()
        lines = [part.split(", metadata=")[0] for part in text.splitlines() if " = " in part]
        return [part.split(" = ")[1].split("(")[0] for part in lines]

    assert program(pay) == program(Reward(lambda key: (), by_hand)) == program(closed_over(pay))


@pytest.mark.parametrize(
    ("own", "given", "message"),
    [
        ({"a": jnp.zeros(())}, {"b": 1.0}, "p has the structure .*'b'.* expected .*'a'"),
        ({"a": jnp.zeros(())}, {"a": jnp.ones(3)}, r"p\['a'\] has shape \(3,\); expected \(\)"),
        ((), jnp.ones(()), "p has the structure"),
        ({"a": jnp.int32(5)}, {"a": 7.5}, r"p\['a'\]=7.5: expected integers of int32"),
        ({"a": jnp.int32(5)}, {"a": 2**40}, "expected integers of int32"),
        ({"a": 1.0}, {"a": np.nan}, "expected a number, and this is none"),
        ({"a": 1.0}, {"a": "b"}, r"p\['a'\]='b': expected numbers"),
    ],
)
def test_parameters_that_do_not_fit(own, given, message):
    with pytest.raises(UsageError, match=message):
        resolve("p", own, given)


def test_parameters_take_the_types_of_the_defaults():
    (found,) = resolve("p", (jnp.int32(5),), (7.0,))
    assert (found.dtype, int(found), found.weak_type) == (jnp.int32, 7, False)


def test_relabel_refuses_parameters_of_another_reward(line):
    with pytest.raises(UsageError, match=r"params has the structure"):
        paid(rw.success(), line, {"scale": 2.0})
