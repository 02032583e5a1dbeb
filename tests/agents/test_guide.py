"""The agent that the guide writes is an agent."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from small import jit

from rlkit.agents import evaluate, probe
from rlkit.envs import make
from rlkit.rewards import from_function, task, weighted

GUIDE = Path(__file__).parents[2] / "docs" / "agents.md"


def guide():
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    return names["actor_critic"]


def test_the_guides_agent_learns_and_is_paid_by_what_it_offers():
    size = from_function(lambda t: jnp.mean(t.next_features["agent_latent"] ** 2), "size")
    reward = weighted(task=(1.0, task()), size=(np.array(0.5), size))
    agent = guide()(make("classic/cartpole"), reward=reward)
    state = jit(agent.init)(jax.random.key(0))
    assert float(agent.settings(state).reward_params["size"].weight) == 0.5
    _, trajectory, _ = jit(agent.collect)(state)
    assert 0.0 < float(trajectory.terms["size"].mean()) < 0.5
    both, metrics = jit(lambda s: jax.lax.scan(lambda s, _: agent.step(s), s, length=150))(state)
    assert float(jnp.nanmean(metrics["episode/length"][-10:])) > 100 > 2 * float(metrics["episode/length"][0])
    greedy = jit(lambda s: evaluate(agent, agent.policy(s), jax.random.key(1), 8))(both)
    assert float(greedy.returned.mean()) > 100
    seen = jit(lambda s: probe(agent, agent.policy(s), jax.random.key(2), 16, 2))(both)
    np.testing.assert_allclose(
        seen.terms["size"][:-1], 0.5 * (seen.extras["latent"][1:] ** 2).mean(-1), atol=1e-4
    )
