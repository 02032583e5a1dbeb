"""Fitting reward models under the driver that trains agents: what is learnt, kept, resumed and refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from processes import environment

from rlkit.agents.ppo import PPOConfig
from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.train import train
from rlkit.prefs import ensemble, pairs, reward_model
from rlkit.prefs.feedback import LOSSES, FitConfig, fit, fit_steps, margins, step_rewards
from rlkit.prefs.feedback.fitting import agreement, optimiser_of
from rlkit.prefs.losses import pairwise_logistic
from rlkit.prefs.types import take

B, T, D = 400, 4, 3
TRUE = np.array([1.0, -2.0, 0.5], np.float32)


def _data(flips=0.0, count=B):
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, count, T, D)).astype(np.float32)
    label = (((one - two) @ TRUE).sum(1) > 0) ^ (rng.random(count) < flips)
    return pairs(one, two, label.astype(np.float32))


DATA = _data()
MODEL = reward_model(step_rewards((16,)), DATA.first)
CONFIG = FitConfig(learning_rate=1e-2, members=2, batch_size=32, num_steps=5, holdout=0.25)


def test_an_ensemble_learns_a_utility_and_each_seed_has_its_own():
    trained = train(fit(MODEL, DATA, CONFIG), 60, seeds=2, probes=0, progress=False, log_every=20)
    assert trained.curve("held_out/accuracy")[-1].min() > 0.93
    assert trained.curve("fit/loss")[-1].max() < 0.2
    assert trained.steps()[-1] == 60 * 5
    kernels = jax.tree.leaves(trained.state.params)[-1]
    assert kernels.shape[:2] == (2, 2)  # seeds, members
    assert (kernels[0, 0] != kernels[0, 1]).any()
    assert (kernels[0] != kernels[1]).any()
    assert trained.population.agent.title == "reward model"


def test_members_by_vmap_are_members_one_after_the_other():
    keys = jax.random.split(jax.random.key(0), 2)
    params = jax.vmap(MODEL.init)(keys)
    state = jax.vmap(optimiser_of(CONFIG).init)(params)
    bits = jax.random.bits(jax.random.key(1), (3, 2, 8))
    both, _, found = fit_steps(MODEL, params, state, DATA, bits, CONFIG)
    for m in range(2):
        one = lambda tree: jax.tree.map(lambda x: x[m : m + 1], tree)  # noqa: B023
        alone, _, _ = fit_steps(MODEL, one(params), one(state), DATA, bits[:, m : m + 1], CONFIG)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[m], b[0], rtol=1e-4, atol=1e-6), both, alone)  # noqa: B023
    assert np.isfinite(found["loss"])


def test_only_the_rows_that_count_are_drawn():
    params = jax.vmap(MODEL.init)(jax.random.split(jax.random.key(0), 1))
    state = jax.vmap(optimiser_of(CONFIG).init)(params)
    bits = jax.random.bits(jax.random.key(1), (4, 1, 16))
    poisoned = DATA._replace(label=jnp.where(jnp.arange(B) < 10, DATA.label, jnp.nan))
    clean = fit_steps(MODEL, params, state, jax.tree.map(lambda x: x[:10], DATA), bits, CONFIG)[0]
    same = fit_steps(MODEL, params, state, poisoned, bits, CONFIG, count=jnp.int32(10))[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), clean, same)


def test_curation_sees_margins_and_decides_what_counts():
    seen = {}

    def curate(margin, loss, batch, update):
        seen["shapes"] = (margin.shape, loss.shape, batch.label.shape)
        weight = jnp.zeros_like(margin).at[0].set(1.0)  # the second member learns from nothing
        return weight, jnp.broadcast_to(batch.label, margin.shape)

    params = jax.vmap(MODEL.init)(jax.random.split(jax.random.key(0), 2))
    state = jax.vmap(optimiser_of(CONFIG).init)(params)
    bits = jax.random.bits(jax.random.key(1), (3, 2, 8))
    new, _, _ = fit_steps(MODEL, params, state, DATA, bits, CONFIG, curate=curate)
    assert seen["shapes"] == ((2, 8), (2, 8), (8,))
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).reshape(2, -1).max(1), params, new)
    assert max(float(x[0]) for x in jax.tree.leaves(moved)) > 1e-3
    assert max(float(x[1]) for x in jax.tree.leaves(moved)) == 0.0


HEADS = reward_model(step_rewards((16,), heads=2), DATA.first)
SHARED = dataclasses.replace(CONFIG, members=4, heads=2)


def _one_head(params, head):
    """The same weights for a model of one head."""
    return {**params, "score": jax.tree.map(lambda x: x[..., head : head + 1], params["score"])}


def test_heads_are_models_that_share_their_layers():
    params = HEADS.init(jax.random.key(0))
    both = HEADS.apply(params, DATA.first)
    assert both.total.shape == (2, B)
    for head in range(2):
        alone = MODEL.apply(_one_head(params, head), DATA.first)
        np.testing.assert_allclose(both.total[head], alone.total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(both.step[head], alone.step, rtol=1e-5, atol=1e-6)
    whole = ensemble(HEADS, 4, 2)
    params = whole.init(jax.random.key(1))
    found = whole.apply(params, DATA.first).total
    assert found.shape == (4, B)
    for member in range(4):
        own = jax.tree.map(lambda x: x[member // 2], params)  # noqa: B023
        alone = MODEL.apply(_one_head(own, member % 2), DATA.first).total
        np.testing.assert_allclose(found[member], alone, rtol=1e-5, atol=1e-6)


def test_each_head_learns_from_a_random_half_of_what_its_network_sees():
    params = ensemble(HEADS, 4, 2).init(jax.random.key(0))
    state = jax.vmap(optimiser_of(SHARED).init)(params)
    bits = jax.random.bits(jax.random.key(1), (1, 4, 8))
    new, _, _ = fit_steps(HEADS, params, state, DATA, bits, SHARED)
    for group in range(2):
        own = jax.tree.map(lambda x: x[group], params)  # noqa: B023
        batch = take(DATA, (bits[0, 2 * group] % B).astype(jnp.int32))
        counts = 2.0 * (bits[0, 2 * group : 2 * group + 2] >> 31)
        assert 0 < float(counts.mean()) < 2

        def loss(own, batch=batch, counts=counts):
            total = 0.0
            for head in range(2):
                margin = margins(MODEL, _one_head(own, head), batch)
                total += jnp.sum(counts[head] * pairwise_logistic(margin, batch.label))
            return total / jnp.sum(counts)

        update, _ = optimiser_of(SHARED).update(jax.grad(loss)(own), optimiser_of(SHARED).init(own), own)
        wanted = optax.apply_updates(own, update)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[group], b, rtol=1e-3, atol=1e-5), new, wanted)  # noqa: B023


def test_heads_learn_a_utility_too_and_curation_decides_for_each():
    shapes = []

    def curate(margin, loss, batch, update):
        shapes.append((margin.shape, loss.shape))
        return jnp.ones_like(margin), jnp.broadcast_to(batch.label, margin.shape)

    learner = fit(HEADS, DATA, SHARED, curate=curate)
    trained = train(learner, 60, seeds=1, probes=0, progress=False, log_every=20)
    assert trained.curve("held_out/accuracy")[-1].min() > 0.93
    assert set(shapes) == {((4, 32), (4, 32))}
    params = jax.tree.map(lambda x: x[0], trained.state.params)
    members = margins(learner.model, params, DATA)
    assert members.shape == (4, B)
    assert (jnp.abs(members[0] - members[1]).max()) > 1e-2


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"heads=3: expected a divisor of the number of members, 4"):
        fit(HEADS, DATA, dataclasses.replace(SHARED, heads=3))
    with pytest.raises(UsageError, match=r"expected \[2, 300\], e\.g\. of step_rewards\(heads=2\)"):
        fit(MODEL, DATA, SHARED)
    with pytest.raises(UsageError, match=r"heads=1: the model gives scores \[2, 300\]"):
        fit(HEADS, DATA, CONFIG)


def test_gradients_are_finite_at_any_margin():
    params = jax.tree.map(lambda x: 1e3 * x, MODEL.init(jax.random.key(0)))
    assert float(jnp.abs(margins(MODEL, params, DATA)).max()) > 1e3

    @jax.jit
    def gradients(params):
        def total(params, loss):
            return jnp.sum(loss(margins(MODEL, params, DATA), DATA.label, 0.1))

        return {name: jax.grad(total)(params, loss) for name, loss in LOSSES.items()}

    for name, found in gradients(params).items():
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(found)), name


def test_accuracy_counts_decided_comparisons():
    margin, label = jnp.array([1.0, -1.0, 0.0, 5.0, 2.0]), jnp.array([1.0, 1.0, 0.0, 0.5, 0.0])
    assert float(agreement(margin, label, jnp.ones(5))) == pytest.approx(1.5 / 4)
    assert float(agreement(margin, label, jnp.array([1.0, 0, 0, 0, 0]))) == 1.0
    np.testing.assert_allclose(pairwise_logistic(jnp.array(0.0), 0.5), np.log(2), rtol=1e-6)


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'backward'"):
        fit(MODEL, DATA, FitConfig(loss="backwards"))
    with pytest.raises(UsageError, match=r"noise=0\.5"):
        fit(MODEL, DATA, FitConfig(noise=0.5))
    with pytest.raises(UsageError, match=r"holdout=0\.95"):
        fit(MODEL, DATA, FitConfig(holdout=0.95))
    with pytest.raises(UsageError, match="every label is 1/2"):
        pairs(np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), [0.5, 0.5])
    with pytest.raises(UsageError, match="is no agent"):
        train(fit(MODEL, DATA, CONFIG), 2, seeds=1, members=_members(), progress=False)


def _members():
    from rlkit.experiment.training.members import Members

    return Members(("a",), PPOConfig())


@pytest.mark.slow
def test_four_devices_do_what_one_does():
    command = [sys.executable, str(Path(__file__).resolve().parent / "fit_devices.py")]
    done = subprocess.run(command, env=environment(4), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == found["placed"] == 4
    assert found["seeds"] == 0.0, found  # seeds do not know each other
    assert found["rows"] < 1e-5, found  # sums in another order
    assert found["loss"] < 1e-5, found
