"""Comparisons of texts that were recorded before, for losses of preferences without a rollout."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens.texts import TextTokenizer
from rlkit.errors import UsageError, check_count
from rlkit.group.policies.protocol import TokenPolicy, check_policy
from rlkit.group.policies.sampling import check_room
from rlkit.group.policies.scoring import score
from rlkit.group.types import Completions
from rlkit.types import PyTree

COLUMNS = ("prompt", "chosen", "rejected")


def preference_batch(
    policy: TokenPolicy,
    reference: PyTree,
    rows: Sequence[Mapping[str, Any]],
    tokenizer: TextTokenizer,
    *,
    length: int = 0,
    temperature: float = 1.0,
) -> Completions:
    """A data set of comparisons as groups of two: for ``dpo``, ``ipo``, ``slic``, ``kto``, ``tgdpo``.

    ::

        batch = preference_batch(policy, params, rows, tokenizer)
        method = group.preset("dpo", weights={"chosen": 1.0})

    and then as with any batch (``docs/group.md``). All rows are scored by the reference at once; give parts
    of a large data set.

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
      UsageError: no rows, a column is missing or no text, a prompt is empty, the tokenizer does not fit the
        policy, or texts are longer than its context.
    """
    check_policy(policy)
    if tokenizer.size != policy.vocabulary:
        raise UsageError(
            f"{policy.title} knows {policy.vocabulary} tokens, the tokenizer has {tokenizer.size}: they do "
            "not fit; take the policy's own"
        )
    prompts, completions = _encoded(rows, tokenizer)
    longest = max(len(tokens) for pair in completions for tokens in pair)
    longest = min(longest, check_count("length", length)) if length else longest
    check_room(policy, max(map(len, prompts)), longest)
    count, widest = len(prompts), max(map(len, prompts))
    prompt, prompt_mask = np.zeros((count, widest), np.int32), np.zeros((count, widest), np.float32)
    tokens = np.full((count, 2, longest), tokenizer.eos, np.int32)
    mask, cut = np.zeros(tokens.shape, np.float32), np.zeros((count, 2), bool)
    for p, (text, pair) in enumerate(zip(prompts, completions, strict=True)):
        prompt[p, : len(text)], prompt_mask[p, : len(text)] = text, 1.0
        for g, said in enumerate(pair):
            kept = said[:longest]
            tokens[p, g, : len(kept)], mask[p, g, : len(kept)] = kept, 1.0
            cut[p, g] = len(said) > longest
    asked, lengths, written, counts = (jnp.asarray(x) for x in (prompt, prompt_mask, tokens, mask))

    @jax.jit
    def opinion(params: PyTree) -> jax.Array:
        found = score(policy, params, asked, lengths, written, temperature=temperature, entropy=False)
        return found.log_prob

    seen = opinion(reference)
    chosen = jnp.tile(jnp.array([1.0, 0.0]), (count, 1))
    return Completions(
        asked, lengths, written, counts, behaviour_log_prob=seen, rewards={"chosen": chosen},
        reference_log_prob=seen, truncated=jnp.asarray(cut),
    )  # fmt: skip


def _encoded(
    rows: Sequence[Mapping[str, Any]], tokenizer: TextTokenizer
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Tokens of the prompts, and of both completions with an end."""
    if not rows:
        raise UsageError("rows is empty; expected at least one comparison")
    prompts, completions = [], []
    for i, row in enumerate(rows):
        for name in COLUMNS:
            if not isinstance(row.get(name), str):
                raise UsageError(
                    f"row {i} has {name}={row.get(name)!r:.60}; expected the texts {', '.join(COLUMNS)}"
                )
        prompts.append(list(tokenizer.encode(row["prompt"])))
        if not prompts[-1]:
            raise UsageError(f"row {i} has an empty prompt")
        completions.append([[*tokenizer.encode(row[name]), tokenizer.eos] for name in COLUMNS[1:]])
    return prompts, completions
