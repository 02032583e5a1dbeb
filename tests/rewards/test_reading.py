"""Rewards from programs, texts, files and modules, in the hands of what pays rewards."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.reads import reward_reads
from rlkit.rewards import init_slots, read, relabel
from rlkit.rewards.language import ProgramError, parse_program, program_reward
from rlkit.types import Reward

PENDULUM = """
def reward(s, a, ns, done):
    swing = 0.5 * (1.0 + ns.height)
    effort = -0.01 * jnp.sum(a ** 2)
    return swing + effort, {"swing": swing, "effort": effort}
"""

BEST = """
memory = {"best": -2.0}

def reward(s, a, ns, done, m):
    best = jnp.maximum(m.best, ns.height)
    gain = jnp.where(m.best > -1.5, best - m.best, 0.0)
    return gain, {"gain": gain}, {"best": best}
"""


def by_hand(t):
    return 0.5 * (1.0 + t.next_features["height"]) + -0.01 * jnp.sum(t.action**2)


@pytest.fixture(scope="module")
def env():
    return make("classic/pendulum")


@pytest.fixture(scope="module")
def trajectory(env):
    config = PPOConfig(num_envs=3, num_steps=16, minibatches=1, epochs=1, sizes=(4,))
    agent = ppo(env, config)
    from rlkit.agents import probe

    policy = agent.policy(agent.init(jax.random.key(0)))
    params = env.default_params()._replace(max_steps=jnp.int32(7))
    return probe(agent, policy, jax.random.key(1), 16, 3, env_params=params)


def pay(reward, trajectory, **options):
    memory = init_slots(reward, jax.random.key(0), 3)
    return relabel(reward, memory, trajectory, **options)[1]


def test_a_program_pays_what_it_says(env, trajectory):
    reward = read(PENDULUM, env.spec)
    assert reward_reads(reward, env.spec) == ("height",)
    paid = pay(reward, trajectory)
    wanted = jax.vmap(jax.vmap(by_hand))(trajectory.transition)
    np.testing.assert_allclose(paid.reward, wanted, rtol=1e-6)
    assert set(paid.terms) == {"swing", "effort"}


def operations(compiled) -> list[str]:
    """The lines of an optimised program, without what says where in Python they were written."""
    tables = re.compile(r"^(\d+ |HloModule|FileNames|FunctionNames|FileLocations|StackFrames)")
    lines = [line for line in compiled.as_text().splitlines() if not tables.match(line)]
    return [re.sub(r",? metadata=\{[^}]*\}", "", line) for line in lines]


def hand_written() -> Reward:
    """What :data:`PENDULUM` says, as a person would write it."""

    def apply(memory, t, params):
        swing = 0.5 * (1.0 + t.next_features["height"])
        effort = -0.01 * jnp.sum(t.action**2)
        return memory, swing + effort, {"swing": swing, "effort": effort}

    return Reward(lambda key: (), apply, ())


def test_it_compiles_to_what_hand_written_code_compiles_to(env, trajectory):
    compiled = lambda reward: operations(jax.jit(lambda t: pay(reward, t)).lower(trajectory).compile())
    ours = compiled(program_reward(PENDULUM, env.spec))
    assert ours == compiled(hand_written())
    assert sum(" fusion(" in line or " multiply(" in line for line in ours) > 0
    other = program_reward(PENDULUM.replace("ns.height)", "ns.height * ns.height)"), env.spec)
    assert ours != compiled(other)


@pytest.mark.slow
def test_a_rollout_that_it_pays_is_the_program_that_hand_written_code_makes(env):
    """To the operation: a designed reward inside the scanned rollout of an agent costs nothing."""

    def compiled(reward):
        agent = ppo(env, PPOConfig(num_envs=3, num_steps=16, minibatches=1, epochs=1, sizes=(4,)), reward)
        return operations(jax.jit(agent.collect).lower(agent.init(jax.random.key(0))).compile())

    ours = compiled(program_reward(PENDULUM, env.spec))
    assert ours == compiled(hand_written())
    assert any(" while(" in line for line in ours)


def test_memory_is_reset_where_an_episode_begins(env, trajectory):
    paid = np.asarray(pay(program_reward(BEST, env.spec), trajectory).reward)
    cos, first = trajectory.transition.next_features["height"], trajectory.transition.first
    for slot in range(3):
        best = None
        for t in range(16):
            best = -2.0 if first[t, slot] else best
            new = max(best, float(cos[t, slot]))
            np.testing.assert_allclose(paid[t, slot], new - best if best > -1.5 else 0.0, atol=1e-6)
            best = new
    assert np.asarray(first)[1:].any()


def test_constants_as_parameters_share_a_program(env, trajectory):
    rewards = [read(PENDULUM.replace("0.01", x), env.spec, tune=True) for x in ("0.01", "0.5")]
    traces = []

    @jax.jit
    def paid(params):
        traces.append(1)
        return pay(rewards[0], trajectory, params=params).reward

    for reward in rewards:
        np.testing.assert_allclose(paid(reward.params), pay(reward, trajectory).reward, rtol=1e-6)
    assert len(traces) == 1
    population = jax.vmap(paid)(jnp.stack([reward.params for reward in rewards]))
    np.testing.assert_allclose(population[1], pay(rewards[1], trajectory).reward, rtol=1e-6)


def test_what_does_not_fit_the_environment_is_said_before_anything_compiles(env):
    with pytest.raises(ProgramError, match="unknown field 'heigth'; did you mean 'height'"):
        read(PENDULUM.replace("height", "heigth"), env.spec)
    with pytest.raises(UnknownNameError, match="did you mean 'height'"):
        ppo(env, PPOConfig(), read(PENDULUM.replace("height", "heigth")))


def test_files_texts_and_modules(tmp_path, monkeypatch, env, trajectory):
    wanted = pay(read(PENDULUM), trajectory).reward
    (tmp_path / "swing.reward").write_text(PENDULUM)
    (tmp_path / "text.reward").write_text("feature('height')\n")
    (tmp_path / "bytes.reward").write_bytes(b"\xff\xfe")
    (tmp_path / "big.reward").write_text("#" * 100_000)
    module = (
        "from rlkit.rewards import feature, read\npaid = feature('height')\ndef make():\n    return paid\n"
    )
    (tmp_path / "own_pay.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(pay(read("swing.reward"), trajectory).reward, wanted)
    np.testing.assert_array_equal(pay(read(tmp_path / "swing.reward"), trajectory).reward, wanted)
    features = [read("text.reward"), read("own_pay:paid"), read("own_pay:make"), read("feature('height')")]
    for reward in features:
        np.testing.assert_array_equal(
            pay(reward, trajectory).reward, trajectory.transition.next_features["height"]
        )
    for text, message in (
        ("none.reward", "cannot read the reward file"),
        ("bytes.reward", "is not text"),
        ("big.reward", "cannot be read|at most 4096|longer than"),
        ("own_pay:nothing", "unknown name 'nothing'"),
    ):
        with pytest.raises(UsageError, match=message):
            read(text)


def test_parsing_twice_gives_equal_hashable_programs():
    assert hash(parse_program(BEST)) == hash(parse_program(BEST))
