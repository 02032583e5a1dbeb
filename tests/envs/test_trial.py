# ruff: noqa: E501 (tables)
"""Random steps show what abstract values cannot."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from host_toys import Drifting, Failing
from plain import Plain, changed

from rlkit import cli
from rlkit.envs import from_gymnasium, make, wrappers
from rlkit.envs.host_batch import HostError
from rlkit.envs.trial import trial
from rlkit.spaces import Box, Discrete

STEP = iter(range(10**6))


@pytest.mark.parametrize("id", ["classic/cartpole", "classic/pendulum", "nav/pointmaze-umaze", "craft/mini"])
def test_nothing_is_wrong_with_ours(id):
    seen = trial(make(id), num_steps=40)
    assert seen.findings == ()
    assert seen.steps == 160


def test_composed_wrappers_are_fine():
    env = wrappers.frame_stack(
        wrappers.time_in_observation(wrappers.action_repeat(make("classic/cartpole"), 3)), 2
    )
    assert trial(wrappers.sticky_actions(env), num_steps=60).findings == ()


def unlucky(self, key, state, params):
    return jax.pure_callback(lambda: np.float32([next(STEP)]), jax.ShapeDtypeStruct((1,), np.float32))


WRONG = {
    "NaN observation": (
        changed(observe=lambda self, key, state, params: jnp.where(state.count > 3, jnp.nan, 0.0)[None])(),
        "the observation .next_obs. is NaN first at step 3",
    ),
    "infinite reward": (
        changed(task_reward=lambda self, before, *_: (1.0 / (1.0 - before["paid"]), {}))(), "the reward is infinite"),
    "outside the space": (Plain(seen=Box((1,), 0.0, 5.0)), "goes to 10 at entry .0., beyond the high of observation_space"),
    "outside the numbers": (
        changed(observe=lambda self, key, state, params: state.count.astype(int))(seen=Discrete(3, start=1)), "goes to 0, beyond the low"),
    "terms": (changed(task_reward=lambda self, *_: (1.0, {"a": 0.5}))(), "terms do not sum to it: they differ by up to 0.5"),
    "another world each time": (changed(observe=unlucky)(), "differs when the same steps are repeated"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_looks_wrong_is_said(case):
    env, message = WRONG[case]
    findings = trial(env, num_steps=12, num_envs=1).findings
    assert any(re.search(message, finding) for finding in findings), findings


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trial_env.py").write_text(
        "import jax.numpy as jnp\nfrom rlkit.envs import from_functions\nfrom rlkit.spaces import Box, Discrete\n"
        "def good(scale=1.0):\n"
        "    return from_functions(lambda key: (jnp.zeros(1), 0.0), lambda k, s, a: (jnp.zeros(1) + scale * s, s + a, s, False),\n"
        "                          action_space=Discrete(2), observation_space=Box((1,), 0, 9), max_steps=9)\n"
        "def bad():\n    return good(9.0)\n"
        "def worse():\n    return 3\n"
    )
    assert cli.main(["envs", "check", "trial_env:good"]) == 0
    assert "own/environment: fine; 1200 random steps" in capsys.readouterr().out
    assert cli.main(["envs", "check", "trial_env:bad"]) == 1
    assert "beyond the high of observation_space" in capsys.readouterr().out
    assert cli.main(["envs", "check", "trial_env:worse"]) == 2
    assert "without a spec" in capsys.readouterr().err
    assert cli.main(["envs", "check"]) == 2
    assert "usage" in capsys.readouterr().err


def test_an_environment_on_the_host_is_run_as_well():
    fine, drifts = (
        trial(from_gymnasium(lambda own=own: Drifting(own)), num_steps=12) for own in (True, False)
    )
    assert fine.findings == ()
    assert (fine.steps, fine.episodes) == (48, 8)
    (finding,) = drifts.findings
    assert "differs when the same steps are repeated" in finding
    assert "np_random" in finding
    Failing.made = 3  # one is made to be looked at: the slots are 0 to 3 after it
    with pytest.raises(HostError, match=r"slot 3.*boom"):
        trial(from_gymnasium(lambda: Failing("crash")), num_steps=12)
