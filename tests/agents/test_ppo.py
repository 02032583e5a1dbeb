"""PPO as a bundle of pure functions: construction, transformations, isolation of seeds, replicas."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from small import KINDS, Inside, Restless, close, jit, looking_inside, same_bits, small, trained

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.envs.wrapping import Wrapper
from rlkit.errors import UnknownNameError
from rlkit.optimisers import decayed_adam
from rlkit.parallel import over_seeds, seed_keys
from rlkit.rewards import chain, progress, task

SEEDS = 3


def weak(tree):
    """Paths of the weakly typed leaves."""
    return [
        jax.tree_util.keystr(path) for path, x in jax.tree_util.tree_leaves_with_path(tree) if x.weak_type
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_keeps_its_structure_and_strong_types(kind):
    agent = small(kind).agent
    state = jax.eval_shape(agent.init, jax.random.key(0))
    after, metrics = jax.eval_shape(agent.step, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert weak((state, after, metrics)) == []
    scalars = {name: x for name, x in metrics.items() if name != "latent"}
    assert {(x.shape, x.dtype.name) for x in scalars.values()} == {((), "float32")}
    assert agent.steps_per_update == agent.config.num_envs * agent.config.num_steps


@pytest.mark.parametrize("kind", KINDS)
def test_one_compilation_serves_all_updates(kind):
    agent = small(kind)
    *_, (_, state, _, _) = agent.states(2)
    compiled = agent.step._cache_size()
    agent.step(state)
    assert agent.step._cache_size() == compiled == 1
    assert int(state.update) == 2


def test_a_step_is_the_same_without_jit():
    agent = small("discrete")
    ((state, after, metrics, _),) = agent.states(1)
    plain, plain_metrics = agent.agent.step(state)
    close(plain, after)
    close(plain_metrics, metrics, rtol=1e-4, atol=1e-5)


def test_a_scan_is_a_loop():
    agent = small("discrete")
    state = agent.init(jax.random.key(3))
    scanned, metrics = jit(lambda s: jax.lax.scan(lambda s, _: agent.agent.step(s), s, length=3))(state)
    loop = list(agent.states(3, state))
    close(scanned, loop[-1][1], rtol=1e-4, atol=1e-5)
    assert metrics["loss/value"].shape == (3,)
    np.testing.assert_allclose(metrics["loss/value"], [m["loss/value"] for _, _, m, _ in loop], rtol=1e-4)


@pytest.fixture(scope="module")
def batched():
    """A compiled step of a batch of seeds."""
    return jit(jax.vmap(small("discrete").agent.step))


@pytest.fixture(scope="module")
def population():
    """States of a batch of seeds, with all hyper-parameters and environment parameters as arrays."""
    agent = small("discrete").agent
    config, physics = (
        jax.tree.map(lambda x: jnp.full(SEEDS, x), tree)
        for tree in (agent.config, Restless().default_params())
    )
    return jit(jax.vmap(agent.init))(seed_keys(jax.random.key(0), SEEDS), config, physics)


def test_a_seed_learns_the_same_alone_and_in_a_batch(batched, population):
    agent = small("discrete")
    keys = seed_keys(jax.random.key(0), SEEDS)
    states, metrics = batched(population)
    for k in range(SEEDS):
        state, alone, _ = agent.step(agent.init(keys[k]))
        mine = jax.tree.map(lambda x, k=k: x[k], states)
        close(mine.params, state.params, atol=1e-6)
        close(mine.experience.slots, state.experience.slots, atol=1e-6)
        np.testing.assert_allclose(metrics["loss/value"][k], alone["loss/value"], rtol=1e-5)
    assert len({float(x) for x in metrics["loss/value"]}) == SEEDS


@pytest.mark.bits
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere seeds are a batch")
def test_a_mapped_seed_has_the_same_bits_alone_and_in_a_batch(population):
    step = trained(over_seeds(small("discrete").agent.step))
    last = lambda tree: jax.tree.map(lambda x: x[SEEDS - 1 :], tree)
    same_bits(last(step(population)), step(last(population)))


def test_hyperparameters_and_physics_are_swept(batched, population):
    assert weak(jax.eval_shape(lambda: population)) == []
    rates, limits = jnp.array([0.0, 1e-3, 1e-2]), jnp.array([3, 5, 500], jnp.int32)
    states = population._replace(
        config=population.config.replace(learning_rate=rates),
        experience=population.experience._replace(
            env_params=population.experience.env_params._replace(max_steps=limits)
        ),
    )
    after, metrics = batched(states)
    kernel = lambda s: np.asarray(s.params["actor_head"]["kernel"])
    moved = np.abs(kernel(after) - kernel(states)).max((1, 2))
    assert moved[0] == 0.0
    assert 0.0 < moved[1] < moved[2]
    np.testing.assert_array_equal(metrics["episode/length"][:2], [3.0, 5.0])
    np.testing.assert_array_equal(metrics["episode/count"][:2], [4 * (16 // 3), 4 * (16 // 5)])


def test_different_seeds_and_updates_draw_different_numbers():
    agent = small("discrete")
    (_, _, _, first), (_, _, _, second) = agent.states(2)
    ((_, _, _, other),) = agent.states(1, key=1)
    for a, b in ((first, second), (first, other)):
        assert (a.trajectory.extras["raw"] != b.trajectory.extras["raw"]).mean() > 0.2
        assert (a.order != b.order).mean() > 0.5


def test_replicas_share_parameters_and_statistics_and_average_gradients():
    config = PPOConfig(
        learning_rate=1e-3,
        num_envs=4,
        num_steps=16,
        epochs=2,
        minibatches=2,
        sizes=(8, 8),
        normalize_obs=True,
        normalize_reward=True,
    )
    agent = ppo(Restless(), config, axis_name="batch")
    init = jit(jax.vmap(lambda _, key: agent.init(key), (0, None), axis_name="batch"))
    start = init(jnp.arange(2), jax.random.key(0))
    step = jit(jax.vmap(looking_inside(agent), axis_name="batch"))
    state, seen, params = start, [], None
    for update in range(3):
        before = state
        state, metrics, inside = step(state)
        inside: Inside = jax.tree.map(np.asarray, inside)
        seen.append(inside.trajectory.transition.obs)
        if update == 0:
            batches = [jax.tree.map(lambda x, i=i: x[i], inside.batch) for i in range(2)]
            params, learned = (jax.tree.map(lambda x: x[0], s.params) for s in (before, state))
            wanted = oracle.learn(config, params, None, batches, list(inside.order))
            close(learned, wanted, atol=2e-5)
        assert {x.shape for x in metrics.values()} == {(2,)}
        for name, value in metrics.items():
            np.testing.assert_allclose(value[0], value[1], rtol=1e-6, err_msg=name)
    first, second = (jax.tree.map(lambda x, i=i: x[i], state) for i in range(2))
    same_bits((first.params, first.experience.moments), (second.params, second.experience.moments))
    same_bits(first.optimiser, second.optimiser)
    same_bits(first.experience.reward[1].moments, second.experience.reward[1].moments)
    assert (first.experience.reward[1].discounted != second.experience.reward[1].discounted).any()
    assert (first.experience.slots.row.obs != second.experience.slots.row.obs).all()
    rows = np.concatenate([obs.reshape(-1, 4) for obs in seen]).astype(np.float64)
    np.testing.assert_allclose(first.experience.moments.count, len(rows))
    np.testing.assert_allclose(first.experience.moments.mean, rows.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.experience.moments.var, rows.var(0), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_envs": 0}, "num_envs=0: expected an integer of at least 1"),
        ({"num_steps": 2.0}, "num_steps=2.0"),
        ({"epochs": -1}, "epochs=-1"),
        ({"minibatches": 3}, "num_envs \\* num_steps = 2048 is not a multiple of minibatches=3"),
        ({"torso": "gru", "num_envs": 6}, "num_envs = 6 is not a multiple of minibatches=4"),
        ({"sizes": ()}, "sizes=\\(\\): expected a tuple that is not empty"),
        ({"sizes": (8, 0)}, "sizes\\[1\\]=0: expected an integer of at least 1"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0: expected a number of at least 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan \\(not a number\\)"),
        ({"discount": 2.0}, "discount=2.0: expected a number of at least 0 and at most 1"),
        ({"gae_lambda": 1.5}, "gae_lambda=1.5"),
        ({"clip": -1.0}, "clip=-1.0: expected a number above 0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm=0.0: expected a number above 0"),
        ({"entropy_coef": 1e38}, "entropy_coef=1e\\+38: .* at most 1000000"),
        ({"value_coef": 1e39}, "infinite in float32"),
    ],
)
def test_impossible_hyperparameters_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ppo(make("classic/cartpole"), PPOConfig(**change))


@pytest.mark.parametrize(
    ("change", "hint"), [({"torso": "gruu"}, "'gru'"), ({"activation": "than"}, "'tanh'")]
)
def test_misspelt_choices_get_a_suggestion(change, hint):
    with pytest.raises(UnknownNameError, match=f"did you mean {hint}"):
        ppo(make("classic/cartpole"), PPOConfig(**change))


def test_a_reward_that_the_environment_cannot_serve_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'pole_angle'"):
        ppo(make("classic/cartpole"), reward=chain(task(), progress("pole_angel")))


def test_an_impure_environment_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Host(Wrapper):
        @property
        def spec(self):
            return self.respec("host", pure=False)

    with pytest.raises(ValueError, match=r"cartpole\+host says pure=False .* no source\(\)"):
        ppo(Host(make("classic/cartpole")))


def test_static_hyperparameters_are_fixed_when_the_agent_is_built():
    agent = small("discrete").agent
    with pytest.raises(ValueError, match="static fields"):
        agent.init(jax.random.key(0), agent.config.replace(num_envs=8))


def test_every_hyperparameter_has_help():
    assert all(field.metadata["help"] for field in dataclasses.fields(PPOConfig))


def test_latents_cost_nothing_when_off():
    config = small("discrete").agent.config
    state = jax.eval_shape(ppo(Restless(), config).init, jax.random.key(0))

    def program(**options):
        return jit(ppo(Restless(), config, **options).step).lower(state)

    silent, off, on = program(), program(latents=False), program(latents=True)
    assert silent.as_text() == off.as_text() != on.as_text()
    assert set(on.out_info[1]) - set(off.out_info[1]) == {"latent"}
    assert on.out_info[1]["latent"].shape == (config.num_steps, config.num_envs, config.sizes[-1])


def test_the_optimiser_decays_linearly_to_nothing():
    config = PPOConfig(learning_rate=0.01, decay_updates=4.0, max_grad_norm=1e9)

    def step(update):
        optimiser, gradient = decayed_adam(config, update), jnp.ones(3)
        return -optimiser.update(gradient, optimiser.init(gradient))[0][0]

    rates = jit(jax.vmap(step))(jnp.arange(6))
    np.testing.assert_allclose(rates, [0.01, 0.0075, 0.005, 0.0025, 0.0, 0.0], rtol=1e-4, atol=1e-9)
    agent = small("discrete")
    state = agent.init(jax.random.key(0))
    state = state._replace(config=state.config.replace(decay_updates=jnp.float32(2.0)))
    steps = list(agent.states(3, state))
    same_bits(steps[2][0].params, steps[2][1].params)
    before, after = (s.params["critic_head"]["kernel"] for s in steps[1][:2])
    assert not np.array_equal(before, after)
