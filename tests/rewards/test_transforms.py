import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw

VALUES = {
    "clip": (rw.clip(-0.5, 2.0), lambda r: np.clip(r, -0.5, 2.0)),
    "scale": (rw.scale(-3.0), lambda r: -3.0 * r),
    "symlog": (rw.symlog(), lambda r: np.sign(r) * np.log(1 + np.abs(r))),
    "squash": (rw.squash(2.0), lambda r: np.tanh(r / 2)),
}


@pytest.mark.parametrize("case", VALUES)
@pytest.mark.parametrize("before", [-7.5, -0.25, 0.0, 1.5, 40.0])
def test_value(case, before, one_step):
    reward, oracle = VALUES[case]
    _, value, terms = reward.apply((), one_step(reward=jnp.float32(before)), reward.params)
    assert float(value) == pytest.approx(oracle(before), rel=1e-6)
    assert terms == {}


def normalised(rewards, first, discount, shared):
    """The definition in float64: deviation of all discounted sums up to the present step."""
    steps, slots = rewards.shape
    sums = np.zeros((steps, slots))
    for t in range(steps):
        before = np.where(first[t], 0.0, sums[t - 1] if t else 0.0)
        sums[t] = discount * before + rewards[t]
    out = np.zeros((steps, slots))
    for t in range(steps):
        seen = sums[: t + 1]
        variance = np.var(seen) if shared else np.var(seen, axis=0)
        out[t] = np.clip(rewards[t] / np.sqrt(variance + 1e-8), -10, 10)
    return out


@pytest.mark.parametrize("discount", [0.0, 0.95])
@pytest.mark.parametrize("shared", [True, False])
def test_normalise(discount, shared, line):
    axis_name = "slots" if shared else None
    reward = rw.chain(rw.progress("distance", 50.0), rw.normalise(discount, axis_name=axis_name))
    state = rw.init_slots(reward, jax.random.key(0), line.reward.shape[1])
    state, out = rw.relabel(reward, state, line, axis_name=axis_name)
    before = np.asarray(out.terms["progress_distance"], np.float64)
    expected = normalised(before, np.asarray(line.transition.first), discount, shared)
    np.testing.assert_allclose(out.reward, expected, rtol=2e-4)
    count = state[1].moments.count
    assert np.all(count == before.size if shared else before.shape[0])


def test_the_scale_of_a_reward_is_normalised_away(line):
    def paid(scale):
        reward = rw.chain(rw.progress("distance", scale), rw.normalise(0.9, axis_name="slots"))
        state = rw.init_slots(reward, jax.random.key(0), line.reward.shape[1])
        return rw.relabel(reward, state, line, axis_name="slots")[1].reward

    np.testing.assert_allclose(paid(1e4), paid(10.0), rtol=1e-4)


def test_a_limit_can_be_left_out(one_step):
    reward = rw.normalise(0.9, limit=None)
    _, value, _ = reward.apply(
        reward.init(jax.random.key(0)), one_step(reward=jnp.float32(2.0)), reward.params
    )
    assert float(value) == pytest.approx(2e4, rel=1e-5)  # one value has no variance but epsilon
