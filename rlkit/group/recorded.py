"""Comparisons of texts that were recorded before, for losses of preferences without a rollout."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens.texts import TextTokenizer
from rlkit.errors import UsageError
from rlkit.group.policies.protocol import TokenPolicy, check_policy
from rlkit.group.policies.scoring import score
from rlkit.group.rows import Recorded, Rows, encode_rows
from rlkit.group.types import Completions
from rlkit.types import PyTree


def preference_batch(
    policy: TokenPolicy,
    reference: PyTree,
    rows: Rows,
    tokenizer: TextTokenizer,
    *,
    length: int = 0,
    temperature: float = 1.0,
) -> Completions:
    """A data set of comparisons as groups of two: for ``dpo``, ``ipo``, ``slic``, ``kto``, ``tgdpo``.

    ::

        batch = preference_batch(policy, params, rows, tokenizer)
        method = group.preset("dpo", weights={"chosen": 1.0})

    and then as with any batch, in a loop of one's own (``docs/group_methods.md``); :func:`rlkit.group.fit`
    trains on rows. All rows are scored by the reference at once; give parts of a large data set.

    Args:
      policy: what will learn.
      reference: its parameters before.
      rows: texts ``prompt``, ``chosen`` and ``rejected``, as TRL's preference data sets have them.
      tokenizer: of the policy.
      length: tokens of a completion at most, its end included; longer ones are cut. 0: the longest one.
      temperature: that the policy is trained at.

    Returns:
      ``P`` rows, ``G = 2``, the chosen completion first; ``rewards["chosen"]`` is 1 and 0.

    Raises:
      UsageError: no rows, a column is missing or no text, a prompt is empty, both completions are the same,
        the tokenizer does not fit the policy, or texts are longer than its context.
    """
    check_tokenizer(policy, tokenizer)
    data = encode_rows(rows, "pairs", tokenizer, length=length)
    check_lengths(policy, data)
    every = np.arange(len(data.prompt))
    seen = jax.jit(
        lambda params: recorded_log_prob(policy, params, data, every, every, len(every), temperature)
    )
    return recorded_batch(data, jnp.arange(len(every)), seen(reference), "chosen")


def check_tokenizer(policy: TokenPolicy, tokenizer: TextTokenizer) -> None:
    """Check that a policy keeps its contract and reads what a tokenizer writes.

    Raises:
      UsageError: it does not.
    """
    check_policy(policy)
    if tokenizer.size != policy.vocabulary:
        raise UsageError(
            f"{policy.title} knows {policy.vocabulary} tokens, the tokenizer has {tokenizer.size}: they do "
            "not fit; take the policy's own"
        )


def check_lengths(policy: TokenPolicy, data: Recorded) -> None:
    """Check that every prompt with every completion fits into a policy's context.

    Raises:
      UsageError: they do not; the message names the longest.
    """
    prompt, said = int(data.prompt_size.max()), int(data.size.max())
    if prompt + said > policy.context:
        p, c = int(data.prompt_size.argmax()), int(data.size.max(1).argmax())
        raise UsageError(
            f"row {p} has a prompt of {prompt} tokens and row {c} a completion of {said}: {policy.title} "
            f"reads at most {policy.context} in all; leave long prompts out, or cut completions "
            "(completion_length)"
        )


def recorded_batch(data: Recorded, index: jax.Array, reference: jax.Array | None, column: str) -> Completions:
    """Some rows as a batch.

    Args:
      data: all rows.
      index: int32 ``[P]``, which of them.
      reference: float32 ``[N, G, T]`` of all rows, see :func:`recorded_log_prob`; None: nothing needs it.
      column: the reward that says what is good.
    """
    some = Recorded(*(jnp.asarray(x)[index] for x in data))
    longest, length = data.prompt.shape[1], data.tokens.shape[2]
    mask = (jnp.arange(length) < some.size[..., None]).astype(jnp.float32)
    seen = jnp.zeros(mask.shape) if reference is None else reference[index]
    return Completions(
        prompt=some.prompt,
        prompt_mask=(jnp.arange(longest) < some.prompt_size[:, None]).astype(jnp.float32),
        tokens=some.tokens,
        mask=mask,
        behaviour_log_prob=seen,
        rewards={column: some.good},
        reference_log_prob=None if reference is None else seen,
        truncated=some.cut,
    )


def recorded_log_prob(
    policy: TokenPolicy,
    params: PyTree,
    data: Recorded,
    asked: np.ndarray | jax.Array,
    said: np.ndarray | jax.Array,
    size: int,
    temperature: float,
) -> jax.Array:
    """Log-probabilities of the tokens of recorded completions, some rows after the other.

    Args:
      policy: whose opinion it is.
      params: its parameters.
      data: the rows.
      asked: int ``[M]``, rows whose prompts are read.
      said: int ``[M]``, rows whose completions follow them.
      size: rows that are scored at once.
      temperature: that the policy is trained at.

    Returns:
      float32 ``[M, G, T]``.
    """
    count = len(asked)
    size = min(size, count)
    turns = -(-count // size)
    prompts, tokens, sizes = (jnp.asarray(x) for x in (data.prompt, data.tokens, data.prompt_size))
    asked, said = jnp.asarray(asked), jnp.asarray(said)

    def some(index: jax.Array) -> jax.Array:
        rows = asked[index]
        mask = (jnp.arange(prompts.shape[1]) < sizes[rows][:, None]).astype(jnp.float32)
        completions = tokens[said[index]]
        return score(
            policy, params, prompts[rows], mask, completions, temperature=temperature, entropy=False
        ).log_prob

    found = jax.lax.map(some, jnp.arange(turns * size).reshape(turns, size) % count)
    return found.reshape(turns * size, *found.shape[2:])[:count]
