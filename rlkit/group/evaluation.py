"""How good a policy of tokens is: success, pass@k and maj@k on fresh prompts."""

import jax
import jax.numpy as jnp

from rlkit.envs.tokens import TokenTask, read_groups, sample_prompts, task_reward, verify_groups
from rlkit.errors import UsageError, check_count
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.policies.sampling import Sampling, Written, write
from rlkit.group.votes import weighted_vote
from rlkit.types import Key, Metrics, PyTree


def pass_at_k(solved: jax.Array, k: int) -> jax.Array:
    """The probability that one of ``k`` completions is right, without bias (Chen et al. 2021, 2107.03374).

    ``1 - C(n - c, k) / C(n, k)`` for ``c`` right ones of ``n``.

    Args:
      solved: ``[P, n]``, 1 or 0.
      k: at most ``n``.

    Returns:
      float32 ``[P]``.

    Raises:
      UsageError: ``k`` is larger than ``n``.
    """
    n = solved.shape[1]
    if not 1 <= k <= n:
        raise UsageError(f"k={k}: expected 1 to {n}, the completions of a prompt")
    wrong, drawn = n - jnp.sum(solved, 1, keepdims=True), jnp.arange(k)
    return 1.0 - jnp.prod(jnp.maximum(wrong - drawn, 0.0) / (n - drawn), 1)


def majority_at_k(answer: jax.Array, solved: jax.Array, k: int) -> jax.Array:
    """Whether the most frequent answer of the first ``k`` completions is right; of ties the smallest id.

    Args:
      answer: int32 ``[P, n]``, negative where no answer can be read.
      solved: ``[P, n]``, 1 or 0; completions of equal answers count as equally right.
      k: at most ``n``.

    Returns:
      float32 ``[P]``; 0 where no answer can be read.

    Raises:
      UsageError: ``k`` is larger than ``n``.
    """
    if not 1 <= k <= answer.shape[1]:
        raise UsageError(f"k={k}: expected 1 to {answer.shape[1]}, the completions of a prompt")
    answer, solved = answer[:, :k], solved[:, :k]
    label = weighted_vote(answer, jnp.ones(answer.shape))[:, None]
    # A completion may hold the right answer and yet break the form: the best one of the answer counts.
    return jnp.max(jnp.where((answer == label) & (answer >= 0), solved, 0.0), 1).astype(jnp.float32)


def same_completions(tokens: jax.Array) -> jax.Array:
    """Completions ``[P, G, T]`` as answers int32 ``[P, G]``: the place of the first that is equal."""
    return jnp.argmax((tokens[:, :, None] == tokens[:, None]).all(-1), -1).astype(jnp.int32)


def evaluate_policy(
    task: TokenTask,
    policy: TokenPolicy,
    params: PyTree,
    key: Key,
    *,
    prompts: int = 64,
    samples: int = 8,
    how: Sampling = Sampling(),
    length: int = 0,
) -> Metrics:
    """Judge a policy by the task alone, on fresh prompts.

    Args:
      task: the task.
      policy: the policy.
      params: its parameters.
      key: typed PRNG key.
      prompts: how many.
      samples: completions of each.
      how: how they are drawn; ``eval/greedy`` is of the likeliest tokens.
      length: tokens of a completion at most; 0: the task's.

    Returns:
      Means float32 ``[]``: ``eval/success``, ``eval/reward`` (the task's own), ``eval/greedy`` (success),
      ``eval/length``, ``eval/pass@k`` and ``eval/maj@k`` for k = 2, 4, ... up to ``samples``. What needs a
      success is left out for tasks without one.
    """
    check_count("samples", samples)
    one, two = jax.random.split(key)
    asked = sample_prompts(task, one, prompts)
    keys = jax.random.split(two, prompts)
    length = length or task.spec.completion_length

    def written(group: int, how: Sampling) -> Written:
        eos, tool = task.spec.eos, task.tool
        return write(policy, params, asked, keys, group=group, length=length, eos=eos, how=how, tool=tool)

    out = written(samples, how)
    terms = verify_groups(task, asked, out.tokens)
    told = {"eval/length": jnp.mean(out.mask.sum(-1))}
    if any(term.weight for term in task.spec.terms):
        told["eval/reward"] = jnp.mean(task_reward(task.spec, terms))
    if task.spec.success:
        solved = terms[task.spec.success]
        answer = read_groups(task, asked, out.tokens).get("answer", same_completions(out.tokens))
        greedy = written(1, Sampling(temperature=0.0))
        told["eval/success"] = jnp.mean(solved)
        told["eval/greedy"] = jnp.mean(verify_groups(task, asked, greedy.tokens)[task.spec.success])
        k = 2
        while k <= samples:
            told[f"eval/pass@{k}"] = jnp.mean(pass_at_k(solved, k))
            told[f"eval/maj@{k}"] = jnp.mean(majority_at_k(answer, solved, k))
            k *= 2
    return {name: value.astype(jnp.float32) for name, value in told.items()}
