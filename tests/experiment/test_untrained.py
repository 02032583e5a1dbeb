"""Untrained networks on recorded observations: what is replayed, what a fresh network knows, what is kept."""

import shutil

import jax
import numpy as np
import pytest
from toy_agent import ToyConfig

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import integrity, run
from rlkit.experiment.training.config import TrainConfig, load, to_dict
from rlkit.experiment.training.observe import latent_probe
from rlkit.experiment.training.population import population
from rlkit.experiment.training.untrained import replay, untrained_latents

STEPS = 24


@pytest.fixture(scope="module", params=["mlp", "gru"])
def seen(request):
    """A population whose statistics of observations have moved, and what it was recorded on."""
    config = PPOConfig(
        num_envs=2, num_steps=8, minibatches=1, sizes=(8,), torso=request.param, normalize_obs=True
    )
    agent = ppo(make("classic/cartpole"), config)
    pop = population(agent, 2)
    state, _ = jax.jit(jax.vmap(agent.step))(pop.init(jax.random.key(0)))
    return pop, state, latent_probe(pop, jax.random.key(1), STEPS)(state, 0)


def test_a_policy_on_its_own_observations_has_its_own_latents(seen):
    pop, state, recorded = seen
    for row in range(2):
        policy = pop.agent.policy(jax.tree.map(lambda x, row=row: x[row], state))
        found = replay(pop.agent, policy, recorded["obs"][row], recorded["first"][row])
        np.testing.assert_allclose(found, recorded["latent"][row], rtol=1e-5, atol=1e-6)


def test_fresh_networks_differ_in_their_weights_and_see_the_same_inputs(seen):
    pop, state, recorded = seen
    arguments = recorded["obs"], recorded["first"], jax.random.key(2), 3
    found = untrained_latents(pop, state, *arguments)
    assert found.shape == (2, 3, STEPS, 8)
    rows = [*found.reshape(6, -1), *recorded["latent"].reshape(2, -1)]
    assert len({row.tobytes() for row in rows}) == 8  # no two networks are the same
    np.testing.assert_array_equal(untrained_latents(pop, state, *arguments), found)
    # By hand: the weights of a fresh initialisation, the statistics of the trained network.
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(2), 1), 2)
    fresh = pop.agent.policy(pop.agent.init(key))
    trained = pop.agent.policy(jax.tree.map(lambda x: x[1], state))
    assert not np.allclose(trained.moments.mean, fresh.moments.mean)
    expected = replay(
        pop.agent,
        fresh._replace(moments=trained.moments),
        recorded["obs"][1],
        recorded["first"][1],
    )
    np.testing.assert_allclose(found[1, 2], expected, rtol=1e-5, atol=1e-6)


def test_an_agent_that_sees_nothing_is_compared_as_well():
    """The toy learner has no statistics of observations, and its latents do not follow them."""
    from toy_agent import toy

    pop = population(toy(config=ToyConfig()), 2)
    state = pop.init(jax.random.key(0))
    obs, first = np.zeros((2, STEPS, 4), np.float32), np.zeros((2, STEPS), bool)
    found = untrained_latents(pop, state, obs, first, jax.random.key(3), 2)
    assert found.shape == (2, 2, STEPS, 5)
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :, :1], found.shape))
    assert len({row.tobytes() for row in found[:, :, 0].reshape(4, 5)}) == 4


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run of PPO with recordings at updates 0, 3 and 6 and checkpoints every 2."""
    agent = PPOConfig(num_envs=2, num_steps=8, sizes=(8,), epochs=1, minibatches=1, normalize_obs=True)
    settings = TrainConfig(
        agent=agent, seeds=2, total_steps=6 * 16, probes=2, probe_steps=STEPS, eval_episodes=0, untrained=2,
        checkpoint_every=2, keep=10,
    )  # fmt: skip
    return run.run(settings, tmp_path_factory.mktemp("untrained") / "run", progress=False).folder


def _untrained(folder):
    return folder / store.LATENTS / store.UNTRAINED


def _check(folder):
    return integrity.check_run(folder, to_dict(load(folder / store.CONFIG)))


@pytest.mark.bits
@pytest.mark.parametrize("lost", [(6,), (4, 6), (2, 4, 6)])
def test_a_run_that_was_killed_makes_the_same_untrained_latents(kept, tmp_path, lost):
    """As after a kill: recordings are ahead of the newest checkpoint."""
    folder = tmp_path / "run"
    shutil.copytree(kept, folder)
    (folder / store.DONE).unlink()
    _untrained(folder).write_bytes(b"half")
    for update in lost:
        shutil.rmtree(folder / store.CHECKPOINTS / str(update))
    assert run.resume(folder, progress=False).finished
    assert _untrained(folder).read_bytes() == _untrained(kept).read_bytes()
    assert _check(folder) == []


def test_untrained_latents_are_on_the_runs_account(kept, tmp_path):
    name = f"{store.LATENTS}/{store.UNTRAINED}"
    assert name in checkpoint.describe(kept / store.CHECKPOINTS, 6)["files"]
    assert name not in checkpoint.describe(kept / store.CHECKPOINTS, 4)["files"]
    assert _check(kept) == []
    folder = tmp_path / "run"
    shutil.copytree(kept, folder)
    data = bytearray(_untrained(folder).read_bytes())
    data[len(data) // 2] ^= 1
    _untrained(folder).write_bytes(bytes(data))
    (sentence,) = _check(folder)
    assert store.UNTRAINED in sentence
    assert "is not what the run wrote" in sentence
    _untrained(folder).unlink()
    (sentence,) = _check(folder)
    assert f"{store.UNTRAINED} is missing" in sentence


def test_only_the_last_recording_keeps_observations(kept):
    held = {update: set(store.read_arrays(path)) for update, path in store.recordings(kept).items()}
    assert ["obs" in held[update] for update in (0, 3, 6)] == [False, False, True]
