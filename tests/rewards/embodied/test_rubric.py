"""The rubric, negatives made of successes, and a model that learns it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.train import train
from rlkit.rewards import embodied, init_slots, relabel
from rlkit.spaces import Box
from rlkit.types import Trajectory

SPACE, SIZES, T = Box((2,), 0.0, 1.0), (5, 5), 12


def _judge(facts, command):
    """The rubric of a plane of 5 x 5 cells: the row is major, the column a detail."""
    cell = jnp.round(facts["end"] * 4).astype(jnp.int32)
    goal = command / 4
    gap = lambda x: jnp.sqrt(jnp.sum((x - goal) ** 2))
    progress = jnp.clip(1 - gap(facts["end"]) / jnp.maximum(gap(facts["start"]), 1e-6), 0.0, 1.0)
    wanted = embodied.Requirements(jnp.ones(2, bool), jnp.array([False, True]))
    return embodied.rubric_score(cell == command, wanted, progress)


def _episodes(number, seed, successes=True):
    rng = np.random.default_rng(seed)
    command = rng.integers(0, 5, (number, 2))
    end = command / 4 if successes else rng.integers(0, 5, (number, 2)) / 4
    start = rng.uniform(0, 1, (number, 2))
    share = np.linspace(0, 1, T)[None, :, None]
    obs = start[:, None] * (1 - share) + end[:, None] * share
    facts = {"start": jnp.asarray(start, jnp.float32), "end": jnp.asarray(end, jnp.float32)}
    command = jnp.asarray(command, jnp.int32)
    return embodied.Episodes(
        jnp.asarray(obs, jnp.float32), jnp.ones((number, T), bool), command,
        jax.vmap(_judge)(facts, command), jnp.broadcast_to(jnp.linspace(0, 1, T), (number, T)), facts,
    )  # fmt: skip


def test_scores():
    wanted = embodied.Requirements(jnp.ones(3, bool), jnp.array([False, False, True]))
    met = jnp.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    np.testing.assert_array_equal(embodied.rubric_score(met, wanted), [5, 4, 3, 2, 1])
    near = embodied.rubric_score(met[4], wanted, jnp.float32(0.7))
    assert int(near) == 3
    some = embodied.Requirements(jnp.array([True, False, False]), wanted.minor)
    assert int(embodied.rubric_score(met[1], some)) == 5
    np.testing.assert_allclose(embodied.score_to_reward(jnp.array([1, 2, 3.5, 5, 9])), [0, 0.25, 0.625, 1, 1])
    with pytest.raises(UsageError, match="expected 5 rewards"):
        embodied.score_to_reward(jnp.ones(()), (0.0, 1.0))


def test_ordinal_loss_and_score():
    p = np.array([0.9, 0.7, 0.4, 0.1])
    logits = jnp.asarray(np.log(p / (1 - p)))
    exact = -np.mean([np.log(p[0]), np.log(p[1]), np.log(1 - p[2]), np.log(1 - p[3])])
    np.testing.assert_allclose(embodied.ordinal_loss(logits, jnp.int32(3)), exact, rtol=1e-5)
    np.testing.assert_allclose(embodied.ordinal_score(logits), 1 + p.sum(), rtol=1e-6)


def test_macro_error_weighs_subsets_alike():
    predicted, score = jnp.array([5.0, 5.0, 5.0, 5.0]), jnp.array([5.0, 5.0, 5.0, 1.0])
    found = embodied.macro_error(predicted, score, jnp.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(found, 2.0)


def test_relabelled_commands_have_their_exact_score():
    one = jax.tree.map(lambda x: x[0], _episodes(1, 0))
    make = lambda key: embodied.counterfactual_relabel(
        key, one.command, jnp.array(SIZES), lambda c: _judge(one.facts, c)
    )
    many = jax.jit(jax.vmap(make))(jax.random.split(jax.random.key(0), 2000))
    exact = jax.vmap(lambda c: _judge(one.facts, c))(many.command)
    np.testing.assert_array_equal(many.score, exact)
    command = np.asarray(many.command)
    assert ((command >= 0) & (command < 5)).all()
    changed = (command != np.asarray(one.command)).sum(1)
    assert abs((changed == 1).mean() - (0.5 + 0.5 * 2 * 0.2 * 0.8)) < 0.04
    satisfied = changed == 0  # by chance: it keeps its 5
    assert satisfied.any()
    assert (np.asarray(many.score)[satisfied] == 5).all()
    only = jax.jit(
        jax.vmap(
            lambda k: embodied.counterfactual_relabel(
                k, one.command, jnp.array([5, 1]), lambda c: 1, near=1.0
            )
        )
    )
    moved = np.asarray(only(jax.random.split(jax.random.key(1), 50)).command)
    assert (moved[:, 0] != int(one.command[0])).all()


def test_clipped_successes():
    progress, valid = jnp.linspace(0, 1, T), jnp.arange(T) < 9
    progress = jnp.where(valid, jnp.arange(T) / 8, 1.0)
    many = jax.jit(jax.vmap(lambda k: embodied.temporal_clip(k, progress, valid)))(
        jax.random.split(jax.random.key(0), 500)
    )
    kept = np.asarray(many.valid.sum(1))
    assert (kept.min(), kept.max()) == (1, 9)
    expected = np.where(kept == 9, 5, np.clip(1 + np.floor(4 * (kept - 1) / 8), 1, 4))
    np.testing.assert_array_equal(many.score, expected)


def test_scores_are_balanced():
    score = jnp.array([5] * 90 + [1] * 9 + [3])
    picked = np.asarray(score[embodied.balanced_scores(jax.random.key(0), score, 3000)])
    for level in (1, 3, 5):
        assert abs((picked == level).mean() - 1 / 3) < 0.04


@pytest.fixture(scope="module")
def learned():
    config = embodied.RubricConfig(sizes=(32,), steps_per_update=50, learning_rate=3e-3)
    data = _episodes(200, 0)
    rows = {}
    for augment in ("none", "both"):
        learner = embodied.rubric_learner(
            SPACE, data, SIZES, _judge, embodied.RubricConfig(**{**config.__dict__, "augment": augment})
        )
        state = train(learner, 12, seeds=1, probes=0, progress=False).state
        rows[augment] = learner.model, jax.tree.map(lambda x: x[0], state.params)
    return rows


@pytest.mark.slow
def test_negatives_teach_failures(learned):
    """Trained on successes alone a model scores 5 everywhere."""
    held = _episodes(200, 1, successes=False)
    error = {}
    for augment, (model, params) in learned.items():
        found = jax.jit(model.score)(params, held.obs, held.valid, held.command)
        assert ((found >= 1) & (found <= 5)).all()
        error[augment] = float(jnp.abs(found - held.score).mean())
    assert error["none"] > 1.5
    assert error["both"] < 0.5 * error["none"]


def test_episodes_are_paid_at_their_end(step):
    data = _episodes(2, 3)
    learner = embodied.rubric_learner(SPACE, data, SIZES, _judge, embodied.RubricConfig(sizes=(8,)))
    model, params = learner.model, learner.init(jax.random.key(0)).params
    reward = embodied.rubric_reward(model, params, "command", limit=True)
    obs = jnp.moveaxis(data.obs, 0, 1)
    command = jnp.broadcast_to(data.command, (T - 1, 2, 2))
    wide = lambda x: jnp.broadcast_to(x, (T - 1, 2, *jnp.shape(x)))
    first, ended, cut = np.zeros((3, T - 1, 2), bool)
    first[0] = ended[-1, 0] = cut[-1, 1] = True
    t = jax.tree.map(wide, step())._replace(
        obs=obs[:-1], next_obs=obs[1:], first=jnp.asarray(first), terminated=jnp.asarray(ended),
        truncated=jnp.asarray(cut), next_features={"command": command},
    )  # fmt: skip
    pay = lambda reward, t=t: relabel(
        reward, init_slots(reward, jax.random.key(0), 2), Trajectory(t, t.reward, {}, {})
    )
    more = lambda obs: jnp.concatenate([obs, obs[..., ::-1]], -1)  # what the policy sees beside it
    wider = t._replace(obs=more(t.obs), next_obs=more(t.next_obs))
    cut = embodied.rubric_reward(model, params, "command", frame=lambda obs: obs[..., :2])
    paid, own = jax.jit(lambda: (pay(reward)[1].reward, pay(cut, wider)[1].reward))()
    np.testing.assert_array_equal(paid[:, 0], own[:, 0])
    np.testing.assert_array_equal(own[:, 1], 0.0)  # a time limit is no end for learners
    with pytest.raises(UsageError, match=r"an observation has shape \(4,\); expected"):
        pay(reward, wider)
    np.testing.assert_array_equal(paid[:-1], 0.0)
    whole = embodied.score_to_reward(jax.jit(model.score)(params, data.obs, data.valid, data.command))
    np.testing.assert_allclose(paid[-1], whole, atol=1e-4)
    with pytest.raises(UnknownNameError, match="did you mean 'command'"):
        pay(embodied.rubric_reward(model, params, "comand"))


def test_bad_input():
    data = _episodes(4, 0)
    for arguments, message in (
        ((SPACE, data, SIZES, None), "needs a judge"),
        ((Box((3,)), data, SIZES, _judge), r"frames have shape \(2,\)"),
        ((SPACE, data, (5,), _judge), r"commands have shape \(2,\)"),
        ((SPACE, data, (5, 0), _judge), "expected the number of values"),
        ((SPACE, data._replace(score=data.score - 5), SIZES, _judge), "expected 1 to 5"),
    ):
        with pytest.raises(UsageError, match=message):
            embodied.rubric_learner(*arguments)
    with pytest.raises(UnknownNameError, match="did you mean 'relabel'"):
        embodied.rubric_learner(SPACE, data, SIZES, _judge, embodied.RubricConfig(augment="relabl"))
