import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit.errors import UsageError
from rlkit.returns import gae
from rlkit.types import Transition

STATES, ACTIONS, DISCOUNT = 6, 3, 0.9
TERMINAL = STATES - 1


def random_mdp(seed):
    """Transition probabilities ``[S, A, S]``, rewards ``[S, A, S]``, potential ``[S]``; float64."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(STATES, 0.5), (STATES, ACTIONS))
    probs[TERMINAL] = np.eye(STATES)[TERMINAL]
    return probs, rng.normal(size=(STATES, ACTIONS, STATES)), 5.0 * rng.normal(size=STATES)


def q_values(probs, rewards):
    """Optimal action values; nothing is earned from the terminal state on."""
    q = np.zeros((STATES, ACTIONS))
    for _ in range(500):
        value = np.where(np.arange(STATES) == TERMINAL, 0.0, q.max(1))
        q = np.sum(probs * (rewards + DISCOUNT * value), -1)
    return q[:TERMINAL]


def shaped(reward, rewards, phi, terminated):
    """The reward of every ``(s, a, s')``."""
    grid = np.broadcast_to(phi[:, None, None], rewards.shape), np.broadcast_to(phi, rewards.shape)
    before, after = ({"phi": jnp.asarray(x)} for x in grid)
    no = jnp.zeros(rewards.shape, bool)
    obs = jnp.zeros(rewards.shape)
    ends = jnp.broadcast_to(terminated, rewards.shape)
    steps = Transition(obs, obs, obs, before, after, jnp.asarray(rewards), ends, no, no, no)
    pay = jax.vmap(jax.vmap(jax.vmap(lambda t: reward.apply((), t, reward.params)[1])))
    return np.asarray(pay(steps))


@pytest.mark.parametrize("seed", range(5))
def test_optimal_policies_are_those_without_shaping(seed):
    probs, rewards, phi = random_mdp(seed)
    reward = rw.potential_shaping("phi", DISCOUNT)
    with jax.enable_x64(True):
        paid = shaped(reward, rewards, phi, np.arange(STATES) == TERMINAL)
    assert paid.dtype == np.float64
    plain, q = q_values(probs, rewards), q_values(probs, paid)
    np.testing.assert_allclose(q, plain - phi[:TERMINAL, None], atol=1e-9)
    assert np.array_equal(q.argmax(1), plain.argmax(1))


def test_without_the_terminal_rule_optimal_policies_change():
    changed = []
    for seed in range(5):
        probs, rewards, phi = random_mdp(seed)
        with jax.enable_x64(True):
            paid = shaped(rw.potential_shaping("phi", DISCOUNT), rewards, phi, np.zeros(STATES, bool))
        changed.append(
            not np.array_equal(q_values(probs, paid).argmax(1), q_values(probs, rewards).argmax(1))
        )
    assert any(changed)


def test_discounted_sum_telescopes(line):
    source = rw.potential_difference(lambda f: 2.0 - f["distance"] ** 2, DISCOUNT)
    paid = np.asarray(rw.relabel(source, (), line)[1].reward, np.float64)
    seen = jax.tree.map(np.asarray, line.transition)
    phi, next_phi = (2.0 - f["distance"].astype(np.float64) ** 2 for f in (seen.features, seen.next_features))
    ended = {"terminated": 0, "truncated": 0}
    for slot in range(paid.shape[1]):
        total, power, begin = 0.0, 1.0, None
        for step in range(paid.shape[0]):
            if seen.first[step, slot]:
                total, power, begin = 0.0, 1.0, phi[step, slot]
            total += power * paid[step, slot]
            power *= DISCOUNT
            if seen.terminated[step, slot]:
                assert total == pytest.approx(-begin, abs=1e-5)
                ended["terminated"] += 1
            elif seen.truncated[step, slot]:
                assert total == pytest.approx(power * next_phi[step, slot] - begin, abs=1e-5)
                ended["truncated"] += 1
    assert min(ended.values()) > 2


def test_advantages_do_not_change(line):
    """With values lowered by Φ, shaping leaves every advantage as it was, time limits included."""
    seen = line.transition
    phi, next_phi = -seen.features["distance"], -seen.next_features["distance"]
    value, next_value = jnp.sin(seen.obs[..., 0]), jnp.sin(seen.next_obs[..., 0])
    paid = rw.relabel(rw.chain(rw.task(), rw.potential_shaping("-distance", DISCOUNT)), ((), ()), line)[
        1
    ].reward
    ends = (seen.terminated, seen.done, DISCOUNT, 0.8)
    plain = gae(seen.reward, value, next_value, *ends)
    np.testing.assert_allclose(gae(paid, value - phi, next_value - next_phi, *ends), plain, atol=2e-5)


def test_discounts_in_an_array(line):
    def paid(discount):
        return rw.relabel(rw.potential_shaping("-distance", discount), (), line)[1].reward

    discounts = jnp.array([0.5, 0.9, 1.0])
    for got, discount in zip(jax.vmap(paid)(discounts), (0.5, 0.9, 1.0), strict=True):
        np.testing.assert_allclose(got, paid(discount), atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: rw.potential_shaping("distance", 1.1), "discount=1.1"),
        (lambda: rw.potential_shaping("-", 0.9), "name of a feature"),
        (lambda: rw.potential_shaping(3, 0.9), "potential=3"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(UsageError, match=message):
        build()


def test_a_potential_that_is_not_a_scalar(line):
    with pytest.raises(UsageError, match=r"the potential has shape \(2,\)"):
        rw.relabel(rw.potential_shaping(lambda f: f["place"], 0.9), (), line)
