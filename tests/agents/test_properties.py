"""What holds for every agent: transformations, isolation of seeds, replicas, resuming, sweeps, latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import KINDS, REPLAYING, WARM, build, flat, learned, parameters, small, value_metric
from small import close, jit, same_bits, trained

from rlkit.agents import evaluate, probe
from rlkit.bulk import is_below
from rlkit.experiment.runs import checkpoint
from rlkit.experiment.training.population import float_leaves
from rlkit.parallel import over_seeds, seed_keys

SEEDS = 3


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """Of the module, so that all tests of a kind follow each other and share its programs."""
    yield request.param
    small.cache_clear()


@pytest.fixture(scope="module")
def warm(kind):
    """A state that has begun to learn."""
    return small(kind).after(WARM)[0]


def test_the_state_keeps_its_structure_and_strong_types(kind):
    agent = small(kind).agent
    state = jax.eval_shape(agent.init, jax.random.key(0))
    after, metrics = jax.eval_shape(agent.step, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert not any(x.weak_type for x in jax.tree.leaves((state, after, metrics)))
    scalars = {name: x for name, x in metrics.items() if name != "latent"}
    assert {(x.shape, x.dtype.name) for x in scalars.values()} == {((), "float32")}
    config = agent.config
    assert agent.steps_per_update == config.num_envs * config.num_steps
    assert metrics["latent"].shape == (config.num_steps, config.num_envs, config.sizes[-1])


def test_one_compilation_serves_all_updates(kind, warm):
    small(kind).step(warm)
    assert small(kind).step._cache_size() == 1


def test_learning_begins_and_only_then_is_anything_undefined(kind, warm):
    agent = small(kind)
    start = agent.init(jax.random.key(0))
    _, metrics = agent.after(WARM + 2, start)
    for update, found in enumerate(metrics):
        learns = kind not in REPLAYING or (update + 1) * agent.agent.steps_per_update >= 16
        losses = [name for name in found if name.startswith(("loss/", "value/"))]
        assert losses
        for name, value in found.items():
            if name.startswith("episode/"):
                continue
            if np.isnan(value).any():
                assert not learns, name
                assert name.startswith(agent.agent.undefined), name
    moved = np.abs(flat(learned(agent.agent, warm)) - flat(learned(agent.agent, start)))
    assert moved.max() > 1e-4


def test_a_step_is_the_same_without_jit_and_in_its_two_halves(kind, warm):
    agent, state = small(kind), warm
    after, metrics = agent.step(state)
    begun, trajectory, found = agent.agent.collect(state)
    plain, more = agent.agent.learn(begun, trajectory)
    close(plain, after, rtol=2e-4, atol=1e-5)
    close(found | more, metrics, rtol=1e-3, atol=1e-4)


def test_a_scan_is_a_loop(kind, warm):
    agent, state = small(kind), warm
    scanned, metrics = jit(lambda s: jax.lax.scan(lambda s, _: agent.agent.step(s), s, length=3))(state)
    loop, each = agent.after(3, state)
    close(scanned, loop, rtol=1e-3, atol=1e-4)
    assert metrics[value_metric(kind)].shape == (3,)
    for name in metrics:
        np.testing.assert_allclose(metrics[name][0], each[0][name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def population(kind):
    """A compiled step of several seeds, and their states with everything that can be swept."""
    agent = small(kind).agent
    sweep = lambda tree: jax.tree.map(lambda x: jnp.full((SEEDS, *jnp.shape(x)), x), tree)
    arguments = (
        seed_keys(jax.random.key(0), SEEDS),
        sweep(agent.config),
        sweep(agent.env.default_params()),
    )
    step = jit(jax.vmap(agent.step))
    states = jit(jax.vmap(agent.init))(*arguments)
    for _ in range(WARM):
        states, _ = step(states)
    return step, states


def test_a_seed_learns_the_same_alone_and_in_a_batch(kind, population):
    agent, (step, states) = small(kind), population
    after, metrics = step(states)
    for k in range(SEEDS):
        mine = lambda tree, k=k: jax.tree.map(lambda x: x[k], tree)
        alone, found = agent.step(mine(states))
        close(learned(agent.agent, mine(after)), learned(agent.agent, alone), rtol=1e-3, atol=1e-5)
        name = value_metric(kind)
        np.testing.assert_allclose(metrics[name][k], found[name], rtol=1e-3)
    first, second = (jax.tree.map(lambda x, k=k: x[k], after) for k in range(2))
    assert float(jnp.abs(flat(learned(agent.agent, first)) - flat(learned(agent.agent, second))).max()) > 1e-3


def test_hyperparameters_and_physics_are_swept(kind, population):
    agent, (step, states) = small(kind).agent, population
    rates = jnp.array([0.0, 1e-3, 1e-2])
    limits = jnp.array([2, 3, 500], jnp.int32)
    env_params = states.experience.env_params._replace(max_steps=limits)
    swept = states._replace(
        config=states.config.replace(learning_rate=rates),
        experience=states.experience._replace(env_params=env_params),
    )
    after, metrics = step(swept)
    change = jax.tree.map(lambda new, old: new - old, parameters(after), parameters(swept))
    moved = jnp.abs(jax.vmap(flat)(change)).max(1)
    assert moved[0] == 0.0
    assert 0.0 < moved[1] < moved[2]
    assert (metrics["episode/length"][:2] <= WARM * agent.config.num_steps + 3).all()
    assert (metrics["episode/count"][:2] > 0).all()
    assert agent.settings(jax.tree.map(lambda x: x[1], swept)).env_params.max_steps == 3


@pytest.mark.bits
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere seeds are a batch")
def test_a_mapped_seed_has_the_same_bits_alone_and_in_a_batch(kind, population):
    states = population[1]
    step = trained(over_seeds(small(kind).agent.step))
    last = lambda tree: jax.tree.map(lambda x: x[SEEDS - 1 :], tree)
    same_bits(last(step(states)), step(last(states)))


def test_a_run_continues_from_a_checkpoint_to_the_bit(kind, warm, tmp_path):
    agent, state = small(kind), warm
    checkpoint.save(tmp_path, WARM, state, {})
    template = jax.eval_shape(agent.agent.init, jax.random.key(0))
    restored = jax.tree.map(jnp.asarray, checkpoint.restore(tmp_path, template, pytest.fail).state)
    same_bits(agent.after(2, restored)[0], agent.after(2, state)[0])


def test_a_state_can_be_donated(kind, warm):
    agent = small(kind)
    arrays = lambda x: x.size > 4 and not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    copy = jax.tree.map(jnp.copy, warm)
    step = jax.jit(agent.agent.step, donate_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
    fresh = agent.init(jax.random.key(1))
    pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(fresh) if arrays(x)]
    assert len(set(pointers)) == len(pointers)
    flat = jax.tree_util.tree_flatten_with_path
    bulk = lambda state: [x for path, x in flat(state)[0] if is_below(path, agent.agent.bulk)]
    before = [x.unsafe_buffer_pointer() for x in bulk(copy)]
    state, _ = step(copy)
    assert [x.unsafe_buffer_pointer() for x in bulk(state)] == before
    assert agent.agent.bulk == (("buffer.stored",) if kind in REPLAYING else ())
    assert bool(before) == (kind in REPLAYING)


def test_policies_act_and_say_their_latents(kind, warm):
    agent = small(kind).agent
    policy, config = agent.policy(warm), agent.config
    out = jit(lambda p, k: probe(agent, p, k, 6, 2))(policy, jax.random.key(3))
    assert out.extras["latent"].shape == (6, 2, config.sizes[-1])
    assert bool(jnp.isfinite(out.extras["log_prob"]).all())
    assert bool(jnp.isnan(out.extras["value"]).all()) == (kind == "sac")
    assert bool(jax.vmap(jax.vmap(agent.env.spec.action_space.contains))(out.transition.action).all())
    judged = jit(lambda p, k: evaluate(agent, p, k, 4))(policy, jax.random.key(4))
    assert judged.returned.shape == (4,)
    assert float_leaves(policy)


def test_replicas_share_what_is_learned_and_nothing_else(kind):
    agent = build(kind, axis_name="batch")
    init = jit(jax.vmap(lambda _, key: agent.init(key), (0, None), axis_name="batch"))
    step = jit(jax.vmap(agent.step, axis_name="batch"))
    state = init(jnp.arange(2), jax.random.key(0))
    begin = learned(agent, jax.tree.map(lambda x: x[0], state))
    for _ in range(WARM):
        state, metrics = step(state)
    first, second = (jax.tree.map(lambda x, k=k: x[k], state) for k in range(2))
    same_bits(learned(agent, first), learned(agent, second))
    same_bits(first.experience.moments, second.experience.moments)
    assert float(jnp.abs(flat(learned(agent, first)) - flat(begin)).max()) > 1e-4
    assert (first.experience.slots.row.obs != second.experience.slots.row.obs).any()
    for name, value in metrics.items():
        np.testing.assert_allclose(value[0], value[1], rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_latents_cost_nothing_when_off():
    for kind in KINDS:
        program = lambda kind=kind, **options: jit(build(kind, **options).step).lower(
            jax.eval_shape(build(kind).init, jax.random.key(0))
        )
        silent, on = program(), program(latents=True)
        assert silent.as_text() == program(latents=False).as_text() != on.as_text()
        assert set(on.out_info[1]) - set(silent.out_info[1]) == {"latent"}
