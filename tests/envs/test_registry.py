"""Environments by name."""

import subprocess
import sys
import textwrap

import pytest

import rlkit.envs
from rlkit.envs.registry import TABLE
from rlkit.errors import UnknownNameError, UsageError
from rlkit.types import Environment


def test_ids_are_listed_in_order_and_described():
    ids = rlkit.envs.names()
    assert list(ids) == sorted(TABLE)
    assert {"classic/cartpole", "classic/pendulum", "nav/pointmaze-umaze-far", "nav/pointmaze-rooms"} <= set(
        ids
    )
    assert all(entry.summary for entry in TABLE.values())


@pytest.mark.parametrize("id", [i for i in TABLE if i.split("/")[0] in ("classic", "nav")])
def test_made_environments_have_the_id_they_were_made_by(id):
    env = rlkit.envs.make(id)
    assert env.spec.id == id
    assert isinstance(env, Environment)


def test_options_are_passed_on():
    env = rlkit.envs.make("nav/pointmaze-umaze", actions="discrete", frame_skip=10)
    assert env.spec.action_space.n == 9
    assert env.spec.max_steps == 30


@pytest.mark.parametrize(
    ("id", "options", "error", "message"),
    [
        ("classic/cartpol", {}, UnknownNameError, "did you mean 'classic/cartpole'"),
        ("nav/pointmaze-umaze", {"action": "discrete"}, UnknownNameError, "did you mean 'actions'"),
        ("nav/pointmaze-umaze", {"layout": "large"}, UnknownNameError, "unknown option 'layout'"),
        ("classic/cartpole", {"length": 2}, UsageError, "has no options"),
    ],
)
def test_mistakes_are_answered_with_a_suggestion(id, options, error, message):
    with pytest.raises(error, match=message):
        rlkit.envs.make(id, **options)


def test_importing_and_listing_loads_no_simulator():
    code = """
        import sys
        import rlkit.envs
        rlkit.envs.names()
        rlkit.envs.make("classic/cartpole").spec
        heavy = {"brax", "craftax", "mujoco", "gymnasium", "gymnasium_robotics", "envpool"}
        heavy |= {"matplotlib", "flax", "scipy.stats", "PIL"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
