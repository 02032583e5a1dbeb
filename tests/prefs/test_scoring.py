"""Reward models as rewards: what they see, what they pay, and in agents that are being trained."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.agents.collecting import with_reward_params
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.prefs import ensemble, reward_model, segment
from rlkit.prefs.feedback import bounded, inputs, scorer, segments, step_rewards
from rlkit.prefs.feedback.scoring import steps_of
from rlkit.prefs.heads import Backbone, OutcomeHead, ProcessHead
from rlkit.reads import reward_reads
from rlkit.rewards import relabel, weighted
from rlkit.types import Trajectory, Transition

ENV = make("classic/pendulum")
SEEN = inputs(ENV.spec)
MEMBER = bounded(reward_model(step_rewards((8,)), segment(np.zeros((1, 2, SEEN.size), np.float32))))
MODEL = ensemble(MEMBER, 3)
PARAMS = MODEL.init(jax.random.key(1))
REWARD = scorer(MODEL, SEEN, PARAMS)
T, B = 5, 3


def _transition(done=None):
    rng = np.random.default_rng(0)
    obs, next_obs = (jnp.asarray(rng.uniform(-1, 1, (T, B, 3)) * [1, 1, 8], jnp.float32) for _ in range(2))
    features = {"height": jnp.asarray(rng.uniform(-1, 1, (T, B)), jnp.float32)}
    no = jnp.zeros((T, B), bool)
    done = no if done is None else jnp.asarray(done)
    action = jnp.asarray(rng.uniform(-2, 2, (T, B, 1)), jnp.float32)
    return Transition(obs, action, next_obs, features, features, jnp.zeros((T, B)), done, no, no, no)


def test_what_a_model_sees_is_scaled_by_the_bounds():
    t = _transition()
    x = SEEN.of(t)
    assert x.shape == (T, B, SEEN.size) == (T, B, 4)
    np.testing.assert_allclose(x[..., :3], t.obs / np.array([1, 1, 8]), rtol=1e-6)
    np.testing.assert_allclose(x[..., 3:], t.action / 2, rtol=1e-6)
    other = inputs(ENV.spec, ("height", "next_obs"))
    np.testing.assert_allclose(other.of(t)[..., 0], t.next_features["height"], rtol=1e-6)
    np.testing.assert_allclose(other.of(t)[..., 3], t.next_obs[..., 2] / 8, rtol=1e-6)
    assert reward_reads(scorer(MODEL, other, PARAMS), ENV.spec) == ("height",)


def test_segments_end_with_their_first_episode():
    done = np.zeros((T, B), bool)
    done[1, 0] = done[3, 0] = done[4, 1] = True
    item = segments(SEEN, _transition(done))
    assert item.length.tolist() == [2, 5, 5]
    np.testing.assert_array_equal(item.feats[2, 4], SEEN.of(_transition())[4, 2])


def test_a_model_pays_the_mean_of_its_members_step_by_step():
    t = _transition()
    paid = relabel(REWARD, (), Trajectory(t, t.reward, {}, {}))[1]
    item = segments(SEEN, t)
    members = [jax.tree.map(operator.itemgetter(m), PARAMS) for m in range(3)]
    wanted = np.mean([steps_of(MEMBER.apply(params, item)) for params in members], 0)
    np.testing.assert_allclose(paid.reward, wanted.T, rtol=2e-5, atol=1e-6)
    assert set(paid.terms) == {"learned"}
    least = relabel(scorer(MODEL, SEEN, PARAMS, members="min"), (), Trajectory(t, t.reward, {}, {}))[1]
    assert (least.reward <= paid.reward + 1e-6).all()
    assert (jnp.abs(paid.reward) <= 1).all()


def test_weights_are_parameters_that_a_mapped_axis_varies():
    t = jax.tree.map(lambda x: x[:, 0], _transition())
    many = jax.vmap(MODEL.init)(jax.random.split(jax.random.key(0), 4))
    pay = lambda params: relabel(REWARD, (), Trajectory(t, t.reward, {}, {}), params=params)[1].reward
    rows = jax.vmap(pay)(many)
    np.testing.assert_allclose(rows[2], pay(jax.tree.map(lambda x: x[2], many)), rtol=2e-5, atol=1e-6)
    mixed = weighted(learned=(2.0, REWARD))
    np.testing.assert_allclose(
        relabel(mixed, mixed.init(jax.random.key(0)), Trajectory(t, t.reward, {}, {}))[1].reward,
        2 * pay(PARAMS), rtol=2e-5, atol=1e-6,
    )  # fmt: skip


def test_an_agent_is_paid_by_new_weights_as_soon_as_they_are_put_in():
    agent = ppo(ENV, PPOConfig(num_envs=B, num_steps=T, sizes=(8,), minibatches=1, epochs=1), REWARD)

    @jax.jit
    def paid(state, params):
        assert agent.collect is not None
        return agent.collect(with_reward_params(state, params))[1]

    state = jax.jit(agent.init)(jax.random.key(0))
    for key in (1, 2):
        params = MODEL.init(jax.random.key(key))
        trajectory = paid(state, params)
        wanted = steps_of(MODEL.apply(params, segments(SEEN, trajectory.transition)))
        np.testing.assert_allclose(trajectory.reward, jnp.mean(wanted, 0).T, rtol=2e-4, atol=2e-5)
    with pytest.raises(UsageError, match="params"):
        with_reward_params(state, {"other": jnp.zeros(3)})
    with pytest.raises(UsageError, match="no field `experience`"):
        with_reward_params((1, 2), PARAMS)


def test_models_that_agents_cannot_be_paid_by_are_refused():
    example = segment(np.zeros((1, 3, SEEN.size), np.float32))
    recurrent = reward_model(OutcomeHead(Backbone("gru", (8,)), "sum_step"), example)
    with pytest.raises(UsageError, match="depends on the steps around it"):
        scorer(recurrent, SEEN, recurrent.init(jax.random.key(0)), members="one")
    whole = reward_model(OutcomeHead(Backbone("mlp", (8,)), "mean"), example)
    with pytest.raises(UsageError, match="reward as a whole"):
        scorer(whole, SEEN, whole.init(jax.random.key(0)), members="one")
    with pytest.raises(UsageError, match="this is one model"):
        scorer(MEMBER, SEEN, MEMBER.init(jax.random.key(0)))
    with pytest.raises(UsageError, match="this is an ensemble"):
        scorer(MODEL, SEEN, PARAMS, members="one")
    with pytest.raises(UsageError, match=r"cannot read the 3 numbers of obs"):
        scorer(MODEL, inputs(ENV.spec, ("obs",)), PARAMS)
    with pytest.raises(UnknownNameError, match="did you mean 'mean'"):
        scorer(MODEL, SEEN, PARAMS, members="meen")
    with pytest.raises(UnknownNameError, match="did you mean 'height'"):
        inputs(ENV.spec, ("heigt",))
    with pytest.raises(UsageError, match="reads is empty"):
        inputs(ENV.spec, ())
    process = reward_model(ProcessHead(Backbone("mlp", (8,))), example)
    assert scorer(process, SEEN, process.init(jax.random.key(0)), members="one").params
