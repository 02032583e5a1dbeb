"""Learning from experience that came from elsewhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import KINDS, build, small
from small import close, jit
from small import small as small_ppo

from rlkit.agents import trajectory_from
from rlkit.errors import UsageError

OWN = tuple(kind for kind in KINDS if kind != "toponav")


@pytest.fixture(scope="module", params=(*OWN, "ppo-gru"))
def own(request):
    """An agent, a state of it that has collected, and the trajectory that it collected."""
    kind = small_ppo("recurrent") if request.param == "ppo-gru" else small(request.param)
    state, trajectory, _ = jit(kind.agent.collect)(kind.init(jax.random.key(0)))
    return kind.agent, state, trajectory


def arrays(trajectory):
    """A trajectory as a user would have it: plain arrays."""
    seen = jax.tree.map(np.asarray, trajectory.transition)
    return (
        {"reward": np.asarray(trajectory.reward)}
        | {
            name: getattr(seen, name)
            for name in (
                "obs",
                "action",
                "next_obs",
                "terminated",
                "truncated",
                "first",
                "success",
                "features",
            )
        }
        | {"next_features": seen.next_features}
    )


def test_what_is_collected_has_what_learning_needs(own):
    agent, _, trajectory = own
    assert set(agent.needs) <= set(trajectory.extras)


def test_plain_arrays_of_an_agents_own_steps_teach_it_the_same(own):
    agent, state, trajectory = own
    found = trajectory_from(agent, state, **arrays(trajectory))
    assert set(found.extras) == set(agent.needs)
    learned, again = jit(lambda state, a, b: (agent.learn(state, a), agent.learn(state, b)))(
        state, trajectory, found
    )
    close(learned, again, 1e-4, 1e-5)


def test_what_is_not_said_is_filled_in():
    agent = small("pqn").agent
    state, trajectory, _ = agent.collect(agent.init(jax.random.key(0)))
    told = {
        name: value
        for name, value in arrays(trajectory).items()
        if name not in ("first", "success", "features", "next_features")
    }
    seen = trajectory_from(agent, state, **told).transition
    np.testing.assert_array_equal(seen.first[1:], (told["terminated"] | told["truncated"])[:-1])
    assert seen.first[0].all()
    assert not seen.success.any()
    assert jax.tree.structure(seen) == jax.tree.structure(trajectory.transition)
    assert all(jnp.isnan(x).all() for x in seen.features.values() if x.dtype == jnp.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"reward": a["reward"][:, 0]}, r"reward has the shape \(8,\); expected \[T, B\]"),
        (lambda a: {"obs": a["obs"][..., :2]}, r"obs has the shape \(8, 4, 2\); expected \(8, 4, 4\)"),
        (lambda a: {"action": a["action"] + 5}, r"action lies in \d .. \d; expected 0 .. 1"),
        (lambda a: {"action": a["action"] + 0.5}, "action has .*, and values that are no int32"),
        (lambda a: {"obs": np.full_like(a["obs"], np.nan)}, "obs has entries that are not finite"),
        (lambda a: {"obs": a["obs"].astype(str)}, "obs has the dtype <U.*; expected numbers, float32"),
        (lambda a: {"next_obs": a["obs"]}, r"next_obs\[0, 0\] is not obs\[1, 0\], though no episode begins"),
        (lambda a: {"features": {"speed": 0.0}}, "features has speed; this agent's trajectories keep"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_named(change, message):
    agent = small("pqn").agent
    state, trajectory, _ = agent.collect(agent.init(jax.random.key(0)))
    given = arrays(trajectory)
    with pytest.raises(UsageError, match=message):
        trajectory_from(agent, state, **(given | change(given)))


def test_learning_says_what_it_misses(own):
    agent, state, trajectory = own
    name = type(agent.config).__name__.removesuffix("Config")
    if agent.needs:
        bare = trajectory._replace(extras={})
        with pytest.raises(UsageError, match=f"{name} learns from the extras {agent.needs[0]},.*adopt"):
            jax.eval_shape(agent.learn, state, bare)
    part = jax.tree.map(lambda x: x[:, :1], trajectory)
    with pytest.raises(UsageError, match=r"leading axes \[\d+, 1\]; this .* learns from \[T, B\] with"):
        jax.eval_shape(agent.learn, state, part)
    with pytest.raises(UsageError, match=r"not from a dict; .*trajectory_from makes one"):
        agent.learn(state, {"obs": trajectory.transition.obs})
    with pytest.raises(UsageError, match=r"learning_rate=-1\.0: expected a number of at least 0"):
        agent.init(jax.random.key(0), agent.config.replace(learning_rate=-1.0))


def test_a_buffer_says_which_features_it_keeps():
    agent = small("dqn").agent
    state, trajectory, _ = jax.eval_shape(agent.collect, jax.eval_shape(agent.init, jax.random.key(0)))
    other = trajectory._replace(
        transition=trajectory.transition._replace(features={"speed": trajectory.reward})
    )
    with pytest.raises(UsageError, match=r"has the features \['speed'\]; the buffer keeps \["):
        jax.eval_shape(agent.learn, state, other)


def test_an_agent_of_its_own_experience_only_says_so():
    agent = build("toponav")
    assert agent.adopt is None
    nothing = dict.fromkeys(("obs", "action", "next_obs", "reward", "terminated"), 0)
    with pytest.raises(UsageError, match="TopoNav cannot learn from experience that is not its own"):
        trajectory_from(agent, None, **nothing)
    assert dataclasses.is_dataclass(agent.config)
