"""A policy that has seen solutions before it is trained by rewards: a supervised start."""

import jax
import jax.numpy as jnp
import optax

from rlkit.envs.tokens import TokenTask, sample_prompts
from rlkit.errors import check_count
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.policies.scoring import score
from rlkit.types import Key, PyTree


def warm_started(
    task: TokenTask, policy: TokenPolicy, updates: int, *, prompts: int = 64, learning_rate: float = 3e-3
) -> TokenPolicy:
    """The policy whose ``init`` imitates the task's solutions for a while.

    From random weights a decoder does not find what earns a sparse reward; a few hundred updates on solutions
    bring it to where groups differ. Tokens that a tool replies are not learnt.

    Args:
      task: that knows its solutions.
      policy: the policy.
      updates: of AdamW, each on fresh prompts.
      prompts: in each of them.
      learning_rate: of AdamW.

    Raises:
      UsageError: a number is too small.
    """
    check_count("updates", updates)
    check_count("prompts", prompts)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(learning_rate, b2=0.99))

    def own(prompt, tokens: jax.Array) -> jax.Array:
        """float32 [T]: 1 on tokens that the policy is to write."""
        size = task.spec.completion_length
        inside = jnp.ones(size)
        if task.spec.eos is not None:
            ends = jnp.cumsum(tokens == task.spec.eos)
            inside = ((ends == 0) | ((tokens == task.spec.eos) & (ends == 1))).astype(jnp.float32)
        if task.tool is None:
            return inside
        tool = task.tool
        _, replies = jax.lax.scan(lambda s, token: tool.apply(s, prompt, token), tool.init(prompt), tokens)
        return inside * jnp.append(True, replies[:-1] < 0)

    def loss(params: PyTree, key: Key) -> jax.Array:
        asked = sample_prompts(task, key, prompts)
        tokens = jax.vmap(task.solve)(asked)
        mask = jax.vmap(own)(asked, tokens)
        found = score(policy, params, asked.tokens, asked.mask, tokens[:, None], entropy=False)
        return -jnp.sum(found.log_prob[:, 0] * mask) / jnp.sum(mask)

    def init(key: Key) -> PyTree:
        one, two = jax.random.split(key)
        params = policy.init(one)

        def step(carry, key):
            params, moments = carry
            change, moments = optimiser.update(jax.grad(loss)(params, key), moments, params)
            return (optax.apply_updates(params, change), moments), None

        keys = jax.random.split(two, updates)
        (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), keys)
        return params

    return policy._replace(init=init)
