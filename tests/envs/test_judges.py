"""What judges are paid, against the papers' tables, and that agents learn to judge."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make, reset, step
from rlkit.envs.judges import order, tools
from rlkit.errors import UsageError

KEY = jax.random.key(0)


def _after(env, state, actions, params):
    """The state and the rewards after some actions."""
    paid, env_state = [], state
    for action in actions:
        out = step(env, KEY, env_state, jnp.int32(action), params)
        paid.append(float(out.reward))
        env_state = out.state
    return env_state, paid, out


def test_the_ladder_of_tools():
    env = make("judge/tools")
    params = env.default_params()._replace(failure=jnp.float32(0.0), call_cost=jnp.float32(0.0))
    _, state = reset(env, KEY, params)
    state = state._replace(
        inner=state.inner._replace(need=jnp.int32(1), evidence=jnp.array([-0.1, 2.0, -5.0, -5.0]))
    )
    call, useless = 3, 4
    broken = params._replace(failure=jnp.float32(1.0))
    for actions, how, wanted in (
        ([tools.ELSE], params, 0.0),
        ([tools.SECOND], params, 0.3),
        ([call, tools.SECOND], params, 0.4),
        ([tools.FIRST], params, 1.0),
        ([call, tools.FIRST], params, 1.5),
        ([useless, tools.FIRST], params, 1.5),  # the paper's ladder does not ask what a call was for
        ([call, tools.FIRST], broken, 1.0),  # nor does a call that gave nothing count
    ):
        after, paid, out = _after(env, state, actions, how)
        assert sum(paid) == pytest.approx(wanted), actions
        assert bool(out.terminated)
        features = env.features(after.inner, how)
        assert int(features["calls"]) == len(actions) - 1
        assert int(features["useful_calls"]) == int(call in actions and how is params)
    priced = params._replace(call_cost=jnp.float32(0.2), ladder=jnp.asarray(tools.OUTCOME, jnp.float32))
    assert sum(_after(env, state, [call, call, tools.FIRST], priced)[1]) == pytest.approx(0.6)


def test_consistency_pays_where_the_result_is_right_and_nowhere_else():
    env = make("judge/order")
    params = env.default_params()
    _, state = reset(env, KEY, params)
    inner = state.inner._replace(quality=jnp.array([1.0, -1.0]), flipped=jnp.array(False))
    state = state._replace(inner=inner)
    # In the first look answer 0 is shown first, in the second answer 1 is.
    opinion = {0: order.SHOWN_FIRST, 1: order.SHOWN_SECOND, None: order.PASS}
    verdict = {0: order.SHOWN_SECOND, 1: order.SHOWN_FIRST, None: order.ELSE}
    for said, judged in itertools.product((0, 1, None), (0, 1, None)):
        _, paid, out = _after(env, state, [opinion[said], verdict[judged]], params)
        agree = 0 if said is None or judged is None else (1 if said == judged else -1)
        wanted = (judged == 0) * (1 + 0.5 * agree) + 0.5 * (judged is not None)  # arXiv 2505.02835
        assert sum(paid) == pytest.approx(wanted), (said, judged)
        assert bool(out.success) == (judged == 0)


def test_what_is_shown_first_changes_places_and_looks_better():
    env = make("judge/order")
    params = env.default_params()
    obs, state = reset(env, KEY, params)
    inner = state.inner
    shown = [1, 0] if bool(inner.flipped) else [0, 1]
    np.testing.assert_allclose(obs[:2], inner.looks[0][jnp.array(shown)] + jnp.array([1.0, 0.0]), rtol=1e-6)
    out = step(env, KEY, state, jnp.int32(order.SHOWN_FIRST), params)
    np.testing.assert_allclose(
        out.obs[:2], inner.looks[1][jnp.array(shown[::-1])] + jnp.array([1.0, 0.0]), rtol=1e-6
    )
    assert out.obs[2:4].tolist() == [1.0, -1.0]  # the one named is now shown second


def test_scores_are_paid_by_their_distance():
    wanted = {
        "exp": lambda d: math.exp(-math.log(4) * d),
        "power": lambda d: (1 - d / 4) ** 2,
        "linear": lambda d: 1 - d / 4,
        "exact": lambda d: float(d == 0),
    }
    for shape, formula in wanted.items():
        env = make("judge/score", shape=shape)
        params = env.default_params()
        _, state = reset(env, KEY, params)
        state = state._replace(inner=state.inner._replace(rated=jnp.int32(3), gold=jnp.int32(2)))
        for given in range(5):
            after, paid, out = _after(env, state, [given], params)
            assert paid[0] == pytest.approx(formula(abs(given - 3)), rel=1e-5)
            assert bool(out.success) == (given == 2)
            assert float(env.fitness(after.inner, params)) == -abs(given - 2)


def test_a_persona_is_paid_once_and_before_the_answer():
    env = make("judge/persona")
    params = env.default_params()
    _, state = reset(env, KEY, params)
    inner = state.inner._replace(
        persona=jnp.int32(2), taste=jnp.array([1.0, 0, 0, 0]), pair=jnp.array([-1.0, 0, 0, 0])
    )
    state, first, second = state._replace(inner=inner), 4, 5
    for actions, wanted in (
        ([2, second], 1.5),
        ([1, second], 1.0),
        ([second], 1.0),
        ([2, first], 0.5),
        ([2, 2], 0.4),  # a second persona is no answer
        ([1, 2], -0.1),
    ):
        assert sum(_after(env, state, actions, params)[1]) == pytest.approx(wanted), actions
    outcomes = params._replace(process=jnp.float32(0.0))
    assert sum(_after(env, state, [2, second], outcomes)[1]) == pytest.approx(1.0)


def test_bad_choices_are_refused():
    with pytest.raises(UsageError, match=r"unknown shape 'expo'.*'exp'"):
        make("judge/score", shape="expo")
    with pytest.raises(UsageError, match="scores=1: expected an integer of at least 2"):
        make("judge/score", scores=1)
    with pytest.raises(UsageError, match="personas=1"):
        make("judge/persona", personas=1)
    with pytest.raises(UsageError, match="tools=0"):
        make("judge/tools", tools=0)


@pytest.mark.parametrize("name", ["tools", "order", "score", "persona"])
def test_pictures_differ(name):
    env = make(f"judge/{name}")
    params = env.default_params()
    pictures = [env.render(reset(env, jax.random.key(k), params)[1].inner, params, 64) for k in (0, 1)]
    assert pictures[0].shape == (64, 64, 3)
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "chance", "least"),
    [("tools", 0.5, 0.85), ("order", 0.5, 0.68), ("score", 0.2, 0.4), ("persona", 0.5, 0.75)],
)
def test_ppo_learns_to_judge(name, chance, least):
    from rlkit.agents import PPOConfig, ppo
    from rlkit.experiment.train import train

    config = PPOConfig(num_envs=64, num_steps=16, learning_rate=1e-3, sizes=(64,), minibatches=4)
    trained = train(
        ppo(make(f"judge/{name}"), config), 150, seeds=2, probes=1, eval_episodes=512, progress=False
    )
    curve = trained.curve("eval/success")
    assert curve[0].mean() < chance + 0.15
    assert curve[-1].min() > least, curve[-1]
