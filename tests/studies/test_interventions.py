"""Pushes of equal force, and training some units only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlkit.agents.ppo import PPOConfig, ppo
from rlkit.analysis.atoms.gaussian import all_pairs_atoms
from rlkit.analysis.moments.streaming import pair_moments
from rlkit.envs import make
from rlkit.errors import UsageError
from rlkit.experiment.training import config
from rlkit.studies import interventions
from rlkit.studies.arms import MaskedConfig, masked
from rlkit.studies.masks import chosen_units
from rlkit.studies.pushes import PUSHES, push
from rlkit.studies.results import contrasts

SMALL = {"num_envs": 2, "num_steps": 16, "epochs": 1, "minibatches": 2, "sizes": (8, 6)}


@pytest.mark.parametrize("name", PUSHES[1:])
def test_every_push_is_as_strong(name):
    auxiliary = push(name, 0.3)
    latent, after = jax.random.normal(jax.random.key(0), (2, 64, 5))
    latent = latent.at[:, 1].add(latent[:, 0])
    mask = jnp.ones(64, bool)
    state = auxiliary.init(5)
    loss = jax.jit(jax.grad(lambda z: auxiliary.apply(state, z[0], z[1], mask)[0]))
    pull = loss(jnp.stack([latent, after]))
    np.testing.assert_allclose(jnp.linalg.norm(pull), 0.3 / np.sqrt(64), rtol=1e-4)
    assert push("untouched", 0.3) is None


def test_pushes_go_where_they_say():
    """A small step along the pull moves what it is to move."""
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=(400, 4)), jnp.float32)
    z = z.at[:, 1].add(0.7 * z[:, 0])
    mask = jnp.ones(399, bool)
    for name, measure, sign in (
        ("decorrelation", lambda z: jnp.square(jnp.corrcoef(z.T)).sum(), -1),
        ("latent entropy", lambda z: jnp.linalg.slogdet(jnp.cov(z.T))[1], 1),
    ):
        auxiliary = push(name, 1.0)
        loss = lambda z, a=auxiliary: a.apply(a.init(4), z[:-1], z[1:], mask)[0]
        moved = z - jax.jit(jax.grad(loss))(z) * 5
        assert sign * (measure(moved) - measure(z)) > 0
    up, down = (push(f"emergence {way}", 1.0) for way in ("up", "down"))
    pull = lambda a: jax.jit(jax.grad(lambda z: a.apply(a.init(4), z[:-1], z[1:], mask)[0]))(z)
    pulls = [pull(a) for a in (up, down)]
    np.testing.assert_allclose(pulls[0], -pulls[1], atol=1e-6)


def test_units_are_ranked_by_synergy_less_redundancy():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6))
    z = jnp.asarray(0.5 * z[1:] + z[:-1], jnp.float32)
    moments, lot = pair_moments(z[:-1], z[1:]), jnp.arange(6.0)
    atoms = all_pairs_atoms(moments, shrinkage=1e-3)
    off = ~np.eye(6, dtype=bool)
    mean = lambda values: np.array([np.asarray(values)[i][off[i]].mean() for i in range(6)])
    score = stats.rankdata(mean(atoms.sts)) - stats.rankdata(mean(atoms.rtr))
    most, least = (np.asarray(chosen_units(c, moments, lot, 2), bool) for c in ("synergistic", "redundant"))
    assert most.sum() == least.sum() == 2
    assert score[most].min() >= np.delete(score, np.flatnonzero(most)).max()
    assert score[least].max() <= np.delete(score, np.flatnonzero(least)).min()
    assert chosen_units("random", moments, lot, 2).tolist() == [0, 0, 0, 0, 1, 1]
    assert chosen_units("all", moments, lot, 2).sum() == 6


@pytest.mark.parametrize("torso", ["mlp", "gru"])
def test_only_the_chosen_units_change_after_the_choice(torso):
    env = make("classic/cartpole")
    base = {**SMALL, "torso": torso}
    agent = masked(env, MaskedConfig(**base, choice="random", share=0.5, begin=1))
    step, start = jax.jit(agent.step), agent.init(jax.random.key(0))
    chosen, metrics = step(start)
    plain = ppo(env, PPOConfig(**base))
    same, _ = jax.jit(plain.step)(plain.init(jax.random.key(0)))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, chosen.inner.params, same.params)  # until the choice arms are the agent itself
    assert metrics["units/trained"] == 3
    after, _ = step(chosen)
    moved = jax.tree.map(lambda a, b: np.asarray(a != b), chosen.inner.params, after.inner.params)
    some = np.asarray(chosen.chosen, bool)
    head = moved["actor_head"]["kernel"].any(1)
    np.testing.assert_array_equal(head, some)
    actor = moved["actor_torso"]
    into = actor["Dense_1"]["kernel"] if torso == "mlp" else actor["gates"]["kernel"]
    np.testing.assert_array_equal(into.any(0), np.tile(some, into.shape[1] // 6))
    earlier = actor["Dense_0" if torso == "mlp" else "layers_0"]
    assert not any(leaf.any() for leaf in jax.tree.leaves(earlier))
    assert all(
        leaf.any()
        for leaf in jax.tree.leaves(moved["critic_torso"]["Dense_0" if torso == "mlp" else "gates"])
    )


def test_bad_arms_are_refused():
    env = make("classic/cartpole")
    with pytest.raises(UsageError, match="shared_torso=True"):
        masked(env, MaskedConfig(**SMALL, shared_torso=True))
    with pytest.raises(UsageError, match="did you mean 'redundant'"):
        masked(env, MaskedConfig(**SMALL, choice="redundnt"))
    with pytest.raises(UsageError, match="did you mean 'emergence up'"):
        push("emergence-up", 1.0)


def test_arms_are_ordinary_cells_that_share_all_but_their_push():
    made = interventions.study()
    assert len(made.cells) == 2 * 9
    for cell in made.cells:
        config.build(config.from_dict(cell.config))
    one, other = (cell.config["agent"] for cell in made.cells[:2])
    assert {name for name in one if one[name] != other[name]} == {"push"}
    arms = {cell.arm for cell in made.cells}
    for hypothesis in made.hypotheses:
        assert set(hypothesis.metric.split(" - ")) <= arms


def test_arms_are_compared_seed_by_seed():
    made = interventions.study()
    up, rest = [1.0, 2.0, 4.0], [0.5, 1.5, 3.5]
    row = lambda arm, found, state="done": {
        "environment": "Pendulum", "arm": arm, "state": state, "final_returns": found, "emergences": found,
    }  # fmt: skip
    rows = [row("emergence up", up), row("untouched", rest), row("decorrelation", up, "missing")]
    (found,) = contrasts(rows, made)
    assert (found["environment"], found["arms"]) == ("Pendulum", "emergence up - untouched")
    for name in ("final_return", "emergence"):
        assert found[name]["mean"] == found[name]["low"] == found[name]["high"] == 0.5
