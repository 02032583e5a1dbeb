"""A policy that was exported acts in a process that has no rlkit."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from processes import environment

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.errors import UsageError
from rlkit.experiment.training.export import export_policy

ELSEWHERE = """
import json, pathlib, sys
sys.modules["rlkit"] = None
import jax, numpy as np, safetensors.flax as st
folder = pathlib.Path(sys.argv[1])
params, carry = st.load_file(folder / "parameters.safetensors"), st.load_file(folder / "carry.safetensors")
act = jax.export.deserialize(bytearray((folder / "act.stablehlo").read_bytes())).call
said = []
for greedy in (True, False):
    memory = carry
    for step, obs in enumerate(np.load(sys.argv[2])):
        action, memory = act(params, memory, obs, greedy, np.uint32(step))
        said.append(np.asarray(action).tolist())
print(json.dumps(said))
"""


@pytest.mark.parametrize(("env", "torso"), [("classic/pendulum", "gru"), ("classic/cartpole", "mlp")])
def test_it_acts_without_rlkit(tmp_path, env, torso):
    config = PPOConfig(num_envs=2, num_steps=4, minibatches=2, torso=torso, sizes=(8, 8), normalize_obs=True)
    agent = ppo(make(env), config)
    policy = agent.policy(jax.jit(agent.init)(jax.random.key(0)))
    folder = export_policy(agent, policy, tmp_path / "policy")
    shape = agent.env.spec.observation_space.shape
    seen = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    np.save(tmp_path / "seen.npy", seen)
    command = [sys.executable, "-c", ELSEWHERE, str(folder), str(tmp_path / "seen.npy")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    wanted = []
    for greedy in (True, False):
        carry = agent.carry()
        for step, obs in enumerate(seen):
            key = None if greedy else jax.random.key(step)
            action, carry, _ = jax.jit(agent.act)(policy, carry, obs, key)
            wanted.append(np.asarray(action).tolist())
    np.testing.assert_allclose(json.loads(done.stdout), wanted, rtol=1e-4, atol=1e-5)
    assert json.loads((folder / "policy.json").read_text())["env"] == env
    with pytest.raises(UsageError, match="nothing is overwritten"):
        export_policy(agent, policy, folder)
