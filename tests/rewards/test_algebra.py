import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit.errors import UsageError
from rlkit.types import Reward


def pay(reward, step):
    _, value, terms = reward.apply(reward.init(jax.random.key(0)), step, reward.params)
    return float(value), {name: float(x) for name, x in terms.items()}


def constant(value, name="constant"):
    return rw.from_function(lambda t: value, name)


def noisy(name):
    """A reward whose state is drawn from its key."""
    return Reward(lambda key: jax.random.normal(key), lambda s, t, p: (s, s, {name: s}))


def test_chain_hands_the_reward_on(one_step):
    double = rw.transform(lambda r: 2 * r)
    assert pay(rw.chain(constant(3.0), double, rw.add(constant(1.0, "bonus"))), one_step()) == (
        7.0,
        {"constant": 3.0, "bonus": 1.0},
    )
    assert pay(rw.chain(rw.add(constant(1.0)), double), one_step(reward=jnp.float32(5.0)))[0] == 12.0


def test_chain_is_associative(one_step):
    a, b, c = constant(3.0), rw.scale(-2.0), rw.clip(-4.0, 4.0)
    assert pay(rw.chain(rw.chain(a, b), c), one_step()) == pay(rw.chain(a, rw.chain(b, c)), one_step())


def test_components_of_a_sum_see_the_same_transition(one_step):
    reward = rw.weighted({"before": (2.0, rw.task())}, again=(1.0, rw.task()), bonus=(-0.5, constant(3.0)))
    value, terms = pay(rw.chain(constant(10.0, "ten"), reward), one_step())
    assert value == 20.0 + 10.0 - 1.5
    assert terms == {"ten": 10.0, "before": 20.0, "again": 10.0, "bonus": -1.5}


def test_total_weighs_the_terms_of_its_parts(one_step):
    shaped = rw.chain(constant(1.0, "goal"), rw.add(constant(3.0, "hint")))
    value, terms = pay(rw.total((2.0, shaped), (-1.0, constant(0.25, "cost"))), one_step())
    assert value == 8.0 - 0.25
    assert terms == {"goal": 2.0, "hint": 6.0, "cost": -0.25}


def test_another_component_does_not_change_what_one_draws():
    key = jax.random.key(1)
    alone = rw.weighted(a=(1.0, noisy("a"))).init(key)
    both = rw.weighted(b=(1.0, noisy("b")), a=(1.0, noisy("a"))).init(key)
    assert alone["a"] == both["a"] != both["b"]


def test_members_of_a_chain_draw_from_different_keys():
    first, second = rw.chain(noisy("a"), noisy("b")).init(jax.random.key(1))
    assert first != second


def test_sweep_over_weights(line):
    def paid(weight):
        reward = rw.weighted(goal=(1.0, rw.success()), near=(weight, rw.distance("distance")))
        return rw.relabel(reward, {"goal": (), "near": ()}, line)[1].reward

    weights = jnp.linspace(0.0, 1.0, 5)
    together = jax.jit(jax.vmap(paid))(weights)
    near = -np.asarray(line.transition.next_features["distance"])
    for i, weight in enumerate(weights):
        np.testing.assert_allclose(together[i], line.transition.success + weight * near, rtol=1e-6)


def test_gradient_with_respect_to_a_weight(one_step):
    reward = rw.weighted(a=(jnp.array(0.5), constant(3.0)))
    value, grad = jax.value_and_grad(lambda p: reward.apply({"a": ()}, one_step(), p)[1])(reward.params)
    assert (value, grad["a"].weight) == (1.5, 3.0)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: rw.chain(), UsageError, "at least one"),
        (lambda: rw.chain(rw.success), TypeError, "call it"),
        (lambda: rw.weighted(), UsageError, "no components"),
        (lambda: rw.weighted(a=rw.success()), TypeError, r"pair \(weight, reward\)"),
        (lambda: rw.weighted(a=(float("nan"), rw.success())), UsageError, "weight of component 'a'=nan"),
        (lambda: rw.weighted(a=("1", rw.success())), UsageError, "expected a number"),
        (lambda: rw.weighted(a=(jnp.ones(3), rw.success())), UsageError, r"shape \(3,\).*vmap"),
        (
            lambda: rw.weighted({"a": (1.0, rw.success())}, a=(1.0, rw.success())),
            UsageError,
            "two components",
        ),
        (lambda: rw.total(), UsageError, "no parts"),
        (lambda: rw.total(rw.success()), TypeError, "part 0"),
        (lambda: rw.add(3.0), TypeError, "expected an rlkit Reward"),
        (lambda: rw.from_function(lambda t: 0.0, ""), UsageError, "name of a term"),
    ],
)
def test_bad_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize("join", [rw.chain, lambda a, b: rw.total((1.0, a), (2.0, b))])
def test_two_terms_of_one_name(join, one_step):
    reward = join(constant(1.0), rw.add(constant(1.0)))
    with pytest.raises(UsageError, match=r"'constant'; rename one"):
        pay(reward, one_step())


def test_a_reward_that_is_not_a_scalar(one_step):
    with pytest.raises(UsageError, match=r"'place' has shape \(2,\)"):
        pay(rw.from_function(lambda t: t.features["place"], "place"), one_step())
