"""Completions for an update: prompts are drawn, the policy writes, everything is judged."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.tokens import Prompt, TokenTask, read_groups, sample_prompts, verify_groups
from rlkit.group.credit import informative
from rlkit.group.judging import RewardFunction
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.policies.sampling import Sampling, Written, write
from rlkit.group.policies.scoring import score
from rlkit.group.shaping import overlong_punishment
from rlkit.group.statistics import AxisName, mean, over_devices
from rlkit.group.types import Completions
from rlkit.types import Key, Metrics, PyTree


class Rollout(NamedTuple):
    """How completions come about."""

    task: TokenTask
    policy: TokenPolicy
    functions: tuple[RewardFunction, ...]  # that judge beside the task
    paid: tuple[str, ...]  # names of what goes to `rewards`; the rest of what is judged goes to `extras`
    prompts: int  # P, on this device
    group: int  # G
    length: int  # T
    sampling: Sampling
    reference: bool  # whether the reference's opinion is needed
    overlong: int = 0  # tokens of the buffer before the longest completion; 0: no such term
    pieces: int = 1  # in which completions are written
    axis_name: AxisName = None  # over which prompts are spread


def collect_groups(
    rollout: Rollout,
    params: PyTree,
    reference: PyTree,
    key: Key,
    worth: Callable[[Completions], jax.Array] | None = None,
    rounds: int = 0,
) -> tuple[Completions, Metrics]:
    """Draw prompts and let the policy write groups of completions.

    What a prompt gets depends on its index among those of all devices, not on how they are spread.

    Args:
      rollout: how.
      params: of the policy.
      reference: parameters of the reference policy, if it is needed.
      key: of the update, the same on all devices.
      worth: ``worth(batch) -> reward [P, G]``, by which groups are compared; for ``rounds``.
      rounds: how often prompts whose completions all earn the same are replaced by others (dynamic sampling
        of DAPO, 2503.14476); it ends early when all differ. What cannot be replaced stays.

    Returns:
      The batch and metrics about it, means over all devices.
    """
    draw = lambda round: _one_round(rollout, params, reference, jax.random.fold_in(key, round))
    batch = draw(0)
    told: Metrics = {}
    if rounds and worth is not None:
        batch, used = _refill(rollout, draw, worth, batch, rounds)
        # A round draws P prompts; devices may need different numbers of them.
        told["sampling/rounds"] = mean(used.astype(jnp.float32), rollout.axis_name)
    return batch, told | _lengths(rollout, batch) | _terms(rollout, batch)


def record_groups(rollout: Rollout, params: PyTree, key: Key, prompts: int) -> dict[str, jax.Array]:
    """Groups of completions of a few fresh prompts, and what they are worth, for people to read."""
    together = rollout.task.spec.together
    few = rollout._replace(
        prompts=-(-prompts // together) * together, pieces=1, reference=False, axis_name=None
    )
    batch, _ = collect_groups(few, params, None, key)
    kept = {name: getattr(batch, name) for name in ("prompt", "prompt_mask", "tokens", "mask")}
    return kept | {f"reward/{name}": value for name, value in batch.rewards.items()}


def _one_round(rollout: Rollout, params: PyTree, reference: PyTree, key: Key) -> Completions:
    task, count = rollout.task, rollout.prompts
    first = 0 if rollout.axis_name is None else jax.lax.axis_index(rollout.axis_name) * count
    one, two = jax.random.split(key)
    prompts = sample_prompts(task, one, count, first)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(two, first + jnp.arange(count))

    def piece(item: tuple[Prompt, Key]):
        prompts, keys = item
        return write(
            rollout.policy, params, prompts, keys, group=rollout.group, length=rollout.length,
            eos=task.spec.eos, how=rollout.sampling, tool=task.tool,
        )  # fmt: skip

    written = _in_pieces(piece, (prompts, keys), rollout.pieces)
    terms = verify_groups(task, prompts, written.tokens)
    for function in rollout.functions:
        terms[function.name] = function.apply(prompts, written)
    if rollout.overlong:
        size = written.mask.sum(-1)
        terms["overlong"] = overlong_punishment(size, rollout.length, rollout.overlong)
    seen = None
    if rollout.reference:
        rate = lambda item: score(
            rollout.policy, reference, item[0].tokens, item[0].mask, item[1],
            temperature=rollout.sampling.temperature, entropy=False,
        ).log_prob  # fmt: skip
        seen = _in_pieces(rate, (prompts, written.tokens), rollout.pieces)
    return Completions(
        prompt=prompts.tokens,
        prompt_mask=prompts.mask,
        tokens=written.tokens,
        mask=written.mask,
        behaviour_log_prob=written.log_prob,
        rewards={name: terms[name] for name in rollout.paid},
        reference_log_prob=seen,
        truncated=written.truncated if task.spec.eos is not None else None,
        extras=_extras(rollout, prompts, written)
        | {name: x for name, x in terms.items() if name not in rollout.paid},
    )


def _extras(rollout: Rollout, prompts: Prompt, written: Written) -> dict[str, jax.Array]:
    """Columns of the prompts and of the completions; ``pair`` is the place of the other one of a pair.

    ``confidence`` is the mean probability of a completion's tokens (geometric mean, the definition is ours).
    """
    count = jnp.maximum(written.mask.sum(-1), 1.0)
    columns = {"confidence": jnp.exp(written.log_prob.sum(-1) / count)}
    if rollout.task.spec.together == 2:
        columns["pair"] = jnp.arange(rollout.prompts) ^ 1
    return prompts.columns | columns | read_groups(rollout.task, prompts, written.tokens)


def _in_pieces(fn: Callable, items: PyTree, pieces: int) -> PyTree:
    """``fn`` of all items, a part of them after the other."""
    if pieces == 1:
        return fn(items)
    cut = jax.tree.map(lambda x: x.reshape(pieces, x.shape[0] // pieces, *x.shape[1:]), items)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(fn, cut))


def _refill(
    rollout: Rollout, draw: Callable, worth: Callable, batch: Completions, rounds: int
) -> tuple[Completions, jax.Array]:
    """Replace groups that say nothing by groups of other prompts that do, round after round."""
    together = rollout.task.spec.together

    def good(batch: Completions) -> jax.Array:
        tells = informative(worth(batch))
        return jnp.repeat(tells.reshape(-1, together).any(1), together)  # what belongs together stays so

    def more(carry) -> jax.Array:
        round, _, fine = carry
        # All devices go on as long as one of them needs to: their collectives must meet.
        return (round < rounds) & (over_devices((~fine).sum(), rollout.axis_name) > 0)

    def another(carry):
        round, batch, fine = carry
        fresh = draw(round + 1)
        tells = good(fresh)
        # The i-th group to be replaced takes the i-th new one that tells something.
        order = jnp.argsort(~tells, stable=True)
        rank = jnp.cumsum(~fine) - 1
        take = ~fine & (rank < tells.sum())
        source = order[jnp.clip(rank, 0, rollout.prompts - 1)]
        choose = lambda old, new: jnp.where(take.reshape(-1, *[1] * (old.ndim - 1)), new[source], old)
        return round + 1, jax.tree.map(choose, batch, fresh), fine | take

    used, batch, _ = jax.lax.while_loop(more, another, (jnp.int32(0), batch, good(batch)))
    return batch, used


def _lengths(rollout: Rollout, batch: Completions) -> Metrics:
    size, axis = batch.mask.sum(-1), rollout.axis_name
    low, high = size.min(), size.max()
    if axis is not None:
        low, high = jax.lax.pmin(low, axis), jax.lax.pmax(high, axis)
    told = {"length/mean": mean(size, axis), "length/min": low, "length/max": high}
    if batch.truncated is not None:
        ends = ~batch.truncated
        count = over_devices(ends.sum(), axis)
        total = over_devices(jnp.where(ends, size, 0.0).sum(), axis)
        told["length/ended"] = jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan)
        told["frac_truncated"] = mean(batch.truncated.astype(jnp.float32), axis)
    return told


def _terms(rollout: Rollout, batch: Completions) -> Metrics:
    """Means of the task's terms, whether they are paid or not."""
    both = batch.extras | batch.rewards
    return {f"task/{term.name}": mean(both[term.name], rollout.axis_name) for term in rollout.task.spec.terms}
