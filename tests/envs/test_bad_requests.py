"""What cannot be asked of an environment is said in one sentence."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make, reset, rollout, start, step
from rlkit.envs.gymnasium import to_gymnasium
from rlkit.envs.keydoor import KeyDoor
from rlkit.envs.privileged import forbid_privileged
from rlkit.errors import UsageError
from rlkit.reads import reward_reads
from rlkit.rewards import progress, success, total

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("id", "action", "message"),
    [
        ("classic/pendulum", [np.nan], "classic/pendulum: action=.* is not a number"),
        ("classic/pendulum", [2.5], r"is outside -2 \.\. 2; clip it"),
        ("classic/cartpole", 2, r"is outside 0 \.\. 1; clip it"),
        ("classic/cartpole", -1, r"is outside 0 \.\. 1; clip it"),
        ("classic/cartpole", 0.5, "is no whole number"),
        # A list is no equal of the number in it, and would push the other way without a word.
        ("classic/cartpole", [1], r"action=\[1\] has shape \(1,\); expected \(\)"),
        ("classic/pendulum", 0.0, r"action=0.0 has shape \(\); expected \(1,\)"),
        ("classic/pendulum", "left", "is of the type <U4; expected numbers"),
        ("classic/pendulum", None, "is of the type object; expected numbers"),
    ],
)
def test_actions_that_are_none(id, action, message):
    env = make(id)
    params = env.default_params()
    _, state = reset(env, KEY, params)
    with pytest.raises(UsageError, match=message):
        step(env, KEY, state, action, params)
    exported = to_gymnasium(env)
    exported.reset(seed=0)
    with pytest.raises(UsageError, match=message.removeprefix("classic/pendulum: ")):
        exported.step(action)


def test_bounds_themselves_are_actions():
    env = make("classic/pendulum")
    exported = to_gymnasium(env, 2)
    exported.reset(seed=0)
    exported.step(np.array([[2.0], [-2.0]], np.float32))
    with pytest.raises(ValueError, match="is outside -2"):
        exported.step(np.array([[2.0], [-2.1]], np.float32))


def test_an_environment_on_the_host_gets_no_action_that_is_none():
    env = make("host:Pendulum-v1")
    params = env.default_params()
    policy = lambda carry, obs, first, x: (jnp.array([[0.0], [jnp.nan]]), carry, {})
    slots = start(env, KEY, params, 2)
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        jax.block_until_ready(rollout(env, policy, (), slots, KEY, params, 2)[2].reward)
    assert "slot 1 was given an action that is not finite" in re.sub(r"\s+", " ", str(error.value))
    env.close()


def test_parameters_of_an_environment_on_the_host_cannot_vary():
    env = make("host:CartPole-v1")
    params = env.default_params()
    with pytest.raises(UsageError, match=r"max_steps=7, but it runs on the host.*its limit is 500 steps"):
        start(env, KEY, params._replace(max_steps=jnp.int32(7)), 2)
    many = params._replace(max_steps=jnp.array([500, 7], jnp.int32))
    begin = lambda: jax.block_until_ready(jax.vmap(lambda p: start(env, KEY, p, 2))(many).stream)
    with pytest.raises((jax.errors.JaxRuntimeError, UsageError)) as error:
        begin()
    assert "nothing can be varied or mapped over" in re.sub(r"\s+", " ", str(error.value))
    start(env, KEY, params, 2)
    env.close()


def test_rewards_that_need_what_is_forbidden_are_refused():
    maze = make("nav/pointmaze-umaze")
    honest = forbid_privileged(maze)
    agent = ppo(honest, PPOConfig(num_envs=2, num_steps=4, minibatches=1), reward=success())
    assert agent.env.spec.id == maze.spec.id
    for reward in (progress("path_distance"), total((1.0, success()), (1.0, progress("goal_distance")))):
        assert reward_reads(reward, maze.spec)  # allowed without
        with pytest.raises(
            UsageError, match=r"of nav/pointmaze-umaze is privileged: the agent cannot see it"
        ):
            ppo(honest, reward=reward)
    with pytest.raises(UsageError, match=r"'path_distance' .* is privileged"):
        honest.spec.feature("path_distance")
    names = [feature.name for feature in honest.spec.features]
    assert "rays" in names
    assert "goal_distance" not in names
    assert "at_goal" in names


def test_what_the_task_pays_stays_although_it_reads_what_is_forbidden():
    class Shaped(KeyDoor):
        def task_reward(self, features, action, next_features, params):
            paid = features["steps_left"] - next_features["steps_left"]
            return paid, {"nearer": paid}

    world = Shaped()
    honest = forbid_privileged(world)
    params = world.default_params()
    _, state = reset(honest, KEY, params)
    one, two = (step(env, KEY, state, jnp.int32(0), params) for env in (world, honest))
    assert float(one.reward) == float(two.reward)
    assert set(two.features) <= set(one.features)
