"""Agents that learn from preferences: every step of the loop against its own definition."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import registry
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.prefs.feedback.agents import (
    PreferencePPOConfig,
    PreferenceSACConfig,
    preference_ppo,
    preference_sac,
)
from rlkit.prefs.feedback.config import teacher_of
from rlkit.prefs.feedback.exploring import novelty
from rlkit.replay import stored_steps
from rlkit.rewards import parse, relabel

ENV = make("classic/pendulum")
SMALL = {
    "num_envs": 2, "num_steps": 8, "query_starts": 32, "query_every": 32, "segment": 6, "queries": 8,
    "query_batch": 4, "candidates": 3, "reward_sizes": (8,), "reward_steps": 20, "reward_batch_size": 8,
    "reward_members": 2, "reward_learning_rate": 1e-2, "explore": 3,
}  # fmt: skip
SAC = PreferenceSACConfig(
    **SMALL, sizes=(8,), updates_to_data=0.125, batch_size=8, learning_starts=16, buffer_size=96
)
CRITERION = parse("feature('height')")


@pytest.fixture(scope="module")
def sac_run():
    agent = preference_sac(ENV, SAC, CRITERION)
    step, states, metrics = jax.jit(agent.step), [jax.jit(agent.init)(jax.random.key(0))], []
    for _ in range(8):
        state, found = step(states[-1])
        states.append(state)
        metrics.append({name: float(x) for name, x in found.items()})
    return agent, states, metrics


def _params(agent, state):
    return agent.settings(state).reward_params


def test_questions_are_asked_on_schedule_and_within_the_budget(sac_run):
    _, states, metrics = sac_run
    assert [m["feedback/asked"] for m in metrics] == [0, 4, 4, 8, 8, 8, 8, 8]
    asked = [i for i, m in enumerate(metrics) if not np.isnan(m["feedback/loss"])]
    assert asked == [1, 3]
    assert [int(state.fitted) for state in states] == [0, 0, 20, 20, 40, 40, 40, 40, 40]
    assert all(m["feedback/informed"] == 1.0 for m in (metrics[1], metrics[3]))
    assert np.isfinite(metrics[3]["feedback/correlation"])


def test_the_weights_change_with_answers_alone_and_differ_between_members_and_seeds(sac_run):
    agent, states, _ = sac_run
    same = lambda a, b: all((x == y).all() for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))
    changed = [not same(_params(agent, a), _params(agent, b)) for a, b in itertools.pairwise(states)]
    assert changed == [False, True, False, True, False, False, False, False]
    kernel = jax.tree.leaves(_params(agent, states[0]))[-1]
    assert (kernel[0] != kernel[1]).any()
    other = jax.tree.leaves(_params(agent, jax.jit(agent.init)(jax.random.key(1))))[-1]
    assert (kernel != other).any()


def test_answers_are_those_of_the_criterion(sac_run):
    _, states, _ = sac_run
    answers = states[-1].answers
    assert answers.weight.tolist() == [1.0] * 8
    assert states[2].answers.weight.tolist() == [1.0] * 4 + [0.0] * 4
    # The cosine of the angle is the first entry of what was seen; the criterion is that after the step.
    seen = [np.asarray(side.feats[..., 0]) for side in (answers.first, answers.second)]
    later = [x[:, 1:].sum(1) for x in seen]
    differ = np.abs(later[0] - later[1]) > 1.0  # the last step's successor is not among what was seen
    assert differ.any()
    np.testing.assert_array_equal(answers.label[differ], (later[0] > later[1])[differ])


def test_the_whole_buffer_and_what_comes_is_paid_by_the_new_weights(sac_run):
    agent, states, _ = sac_run
    for state in (states[2], states[4], states[7]):  # after questions, and later, when the buffer has wrapped
        rows = stored_steps(state.agent.buffer)
        filled = int(state.agent.buffer.filled)
        wanted = relabel(agent.reward, (), rows, params=_params(agent, state))[1].reward
        np.testing.assert_allclose(rows.reward[:filled], wanted[:filled], rtol=1e-4, atol=1e-5)
        assert np.abs(rows.reward[:filled]).max() <= 1.0
    # The environment's own rewards are still there, for the teacher.
    assert (rows.transition.reward[:filled] < -1).any()
    before = states[1].agent.buffer
    old = relabel(agent.reward, (), stored_steps(before), params=_params(agent, states[2]))[1].reward
    assert np.abs(old - stored_steps(before).reward)[: int(before.filled)].max() > 1e-3


def test_new_states_are_paid_for_until_a_teacher_is_asked(sac_run):
    states = sac_run[1]
    known, size = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32), 4
    gaps = np.linalg.norm(known[0][:, None] - known[1], axis=-1)
    np.testing.assert_allclose(novelty(*known, size), np.log1p(np.sort(gaps)[:, size - 1]), rtol=1e-5)
    # Nothing was stored in the first update: what it saw is compared with rows of zeros.
    rows = jax.tree.map(lambda x: np.asarray(x[:8]), stored_steps(states[1].agent.buffer))
    found = np.log1p(np.linalg.norm(rows.transition.obs / [1, 1, 8], axis=-1))
    np.testing.assert_allclose(rows.reward, found / found.std(), rtol=1e-4)
    with pytest.raises(UsageError, match="explore=300: expected at most 256"):
        preference_sac(ENV, SAC.replace(explore=300))


@pytest.mark.slow
def test_without_relabelling_old_rows_keep_what_they_were_paid():
    agent = preference_sac(ENV, SAC.replace(relabel=False), CRITERION)
    step, state = jax.jit(agent.step), jax.jit(agent.init)(jax.random.key(0))
    first, _ = step(state)
    state, _ = step(first)
    old = stored_steps(first.agent.buffer).reward[:8]
    np.testing.assert_array_equal(stored_steps(state.agent.buffer).reward[:8], old)


def test_ppo_learns_from_preferences_with_a_pool_of_its_own():
    config = PreferencePPOConfig(
        **SMALL | {"explore": 0}, sizes=(8,), epochs=1, minibatches=1, pool_size=64, teacher="skip"
    )
    agent = preference_ppo(ENV, config)
    assert agent.bulk == ("pool.stored",)
    step, state = jax.jit(agent.step), jax.jit(agent.init)(jax.random.key(0))
    for _ in range(4):
        params = _params(agent, state)
        state, metrics = step(state)
        rows = stored_steps(state.pool)
        newest = jax.tree.map(lambda x: x[int(state.pool.filled) - 8 : int(state.pool.filled)], rows)  # noqa: B023
        paid = relabel(agent.reward, (), newest, params=params)[1].reward
        np.testing.assert_allclose(newest.reward, paid, rtol=1e-4, atol=1e-5)
    assert float(metrics["feedback/asked"]) == 8
    assert int(state.pool.filled) == 32 == state.pool.capacity
    given = np.asarray(state.answers.weight)
    assert set(given.tolist()) <= {0.0, 1.0}
    assert (np.asarray(state.answers.label)[given == 0] == 0.5).all()


def test_faults_of_teachers_are_numbers_of_the_configuration():
    assert float(teacher_of(SAC.replace(teacher="mistake")).mistake) == pytest.approx(0.1)
    assert float(teacher_of(SAC.replace(teacher="mistake", teacher_fault=0.3)).mistake) == pytest.approx(0.3)
    assert float(teacher_of(SAC.replace(teacher="myopic")).discount) == pytest.approx(0.9)
    rates = jax.vmap(lambda f: teacher_of(SAC.replace(teacher="stochastic", teacher_fault=f)).rationality)
    np.testing.assert_allclose(rates(jnp.array([0.0, 2.0])), [1.0, 2.0])


def test_agents_have_names():
    for name, config in (("prefs-sac", PreferenceSACConfig), ("prefs-ppo", PreferencePPOConfig)):
        assert registry.config_class(name) is config
        assert registry.name_of(config()) == name


def test_what_cannot_work_is_refused_before_anything_compiles():
    for change, message in (
        ({"queries": 10}, "queries=10: expected a multiple of query_batch=4, e.g. 12"),
        ({"query_starts": 11}, "query_starts=11: expected at least 12"),
        ({"reward_members": 1}, "one member cannot disagree"),
        ({"reward_noise": 0.5}, "reward_noise=0.5"),
    ):
        with pytest.raises(UsageError, match=message):
            preference_sac(ENV, SAC.replace(**change))
    with pytest.raises(UnknownNameError, match="did you mean 'oracle'"):
        preference_sac(ENV, SAC.replace(teacher="orakle"))
    with pytest.raises(UnknownNameError, match="did you mean 'next_obs'"):
        preference_sac(ENV, SAC.replace(reward_reads=("next_ob",)))
    with pytest.raises(UnknownNameError, match="did you mean 'height'"):
        preference_sac(ENV, SAC, parse("feature('heigth')"))


@pytest.mark.slow
def test_a_pendulum_is_swung_up_from_two_hundred_answers():
    from rlkit.experiment.train import train

    config = PreferenceSACConfig(
        num_envs=4, updates_to_data=0.25, learning_rate=1e-3, sizes=(64, 64), batch_size=128, discount=0.98,
        buffer_size=20_000, queries=200, query_every=2000, segment=25,
    )  # fmt: skip
    trained = train(
        preference_sac(ENV, config), total_steps=24_000, seeds=2, probes=1, eval_episodes=16, progress=False
    )
    assert trained.curve("eval/return")[-1].min() > -300  # hanging down is about -1200, solved about -150
    assert trained.curve("feedback/asked")[-1].tolist() == [200, 200]
