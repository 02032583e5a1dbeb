"""What a run has learned, back in Python."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.envs.tokens import TokenTask
from rlkit.errors import UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import config, integrity
from rlkit.experiment.training.config import TrainConfig
from rlkit.experiment.training.group_config import PolicyRunConfig
from rlkit.experiment.training.members import grid_labels, parse_grid
from rlkit.experiment.training.population import population
from rlkit.experiment.training.resuming import same_config
from rlkit.group.policies.adapters import with_params
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.types import Agent, PyTree


class Loaded(NamedTuple):
    """A run's agent and what it has learned."""

    agent: Agent
    policy: PyTree  # what `agent.act` takes
    state: PyTree  # what `agent.step` takes
    settings: TrainConfig
    update: int  # updates made


def load(
    folder: str | Path, seed: int | None = None, *, member: int = 0, update: int | None = None
) -> Loaded:
    """Load what a run has learned from a checkpoint::

        agent, policy, state, *_ = load("runs/classic-cartpole/ppo/...", seed=0)
        action, carry, info = agent.act(policy, agent.carry(), obs, None)

    Args:
      folder: the run folder; nothing is written there.
      seed: which seed; None gives all, leaves ``[S, ...]``.
      member: which member of a sweep the seed belongs to.
      update: which checkpoint; None takes the newest one that is intact. Replay buffers that it does not
        hold are empty in the state.

    Raises:
      UsageError: not a run folder, no such seed, member or checkpoint, or no checkpoint was made yet.
      RlkitError: no checkpoint is intact.
    """
    agent, state, settings, reached = load_state(folder, seed, member=member, update=update)
    if not isinstance(agent, Agent):
        raise UsageError(f"{folder} has trained no agent but a {agent.title}, which does not act")
    policy = agent.policy(state) if seed is not None else jax.vmap(agent.policy)(state)
    return Loaded(agent, policy, state, settings, reached)


class LoadedState(NamedTuple):
    """A run's learner and its state."""

    learner: Any
    state: PyTree
    settings: TrainConfig
    update: int  # updates made


def load_state(
    folder: str | Path, seed: int | None = None, *, member: int = 0, update: int | None = None
) -> LoadedState:
    """Load the state that a run has reached, of an agent or another learner; arguments as of :func:`load`."""
    path = store.existing(folder)
    settings = config.load(path / store.CONFIG)
    _refuse_group(path, settings)
    return _reached(path, settings, seed, member, update)


class LoadedGroup(NamedTuple):
    """What a run of a group trainer has learned, ready to write."""

    policy: TokenPolicy
    params: PyTree  # what `policy.logits` takes
    task: TokenTask
    trainer: Any  # of the run
    state: PyTree  # what `trainer.step` takes
    settings: PolicyRunConfig
    update: int  # updates made


def load_group(folder: str | Path, seed: int = 0, *, update: int | None = None) -> LoadedGroup:
    """Load what a run of ``rlkit group train`` or ``rlkit group fit`` has learned from a checkpoint::

        policy, params, task, *_ = load_group("runs/tokens-modular/dr_grpo/...")
        prompts = sample_prompts(task, jax.random.key(0), 4)  # of rlkit.envs.tokens
        keys, length = jax.random.split(jax.random.key(1), 4), task.spec.completion_length
        written = write(policy, params, prompts, keys, group=2, length=length, eos=task.spec.eos)

    Args:
      folder: the run folder; nothing is written there.
      seed: which seed.
      update: which checkpoint; None takes the newest one that is intact.

    Raises:
      UsageError: not a run folder, not of a group trainer, no such seed or checkpoint, or no checkpoint yet.
      RlkitError: no checkpoint is intact.
    """
    path = store.existing(folder)
    settings: Any = config.load(path / store.CONFIG)
    if not isinstance(settings, PolicyRunConfig):
        raise UsageError(f"{path} is no run of a group trainer but of {settings.agent_name}; see load")
    trainer, state, _, reached = _reached(path, settings, seed, 0, update)
    one = getattr(trainer, "inner", trainer)  # of one device, where prompts are spread
    # A checkpoint holds NumPy's arrays, which no tracer can index.
    params = jax.device_put(trainer.params(state))
    return LoadedGroup(one.policy, params, one.task, trainer, state, settings, reached)


def run_policy(task: TokenTask, *, folder: str, seed: int = 0, update: int | None = None) -> TokenPolicy:
    """The policy that an earlier run has learned, to be trained on: preferences after demonstrations, say.

    Args:
      task: what it is for; its vocabulary must be that of the earlier run.
      folder: run folder of ``rlkit group train`` or ``rlkit group fit``.
      seed: which seed; all seeds of the new training begin with it.
      update: which checkpoint; None takes the newest one.

    Raises:
      UsageError: as :func:`load_group`, or the policy does not fit the task.
    """
    found = load_group(folder, seed, update=update)
    spec = task.spec
    needed = spec.prompt_length + spec.completion_length
    if found.policy.vocabulary != len(spec.vocabulary) or found.policy.context < needed:
        raise UsageError(
            f"{folder} has a policy of {found.policy.vocabulary} tokens and rows of {found.policy.context}; "
            f"{spec.id} has {len(spec.vocabulary)} and {needed}: it does not fit"
        )
    return with_params(found.policy, found.params)


def _reached(path: Path, settings: Any, seed: int | None, member: int, update: int | None) -> LoadedState:
    """The state in a run's checkpoint."""
    agent = config.build(settings)
    pop = population(agent, settings.seeds, members=config.members(settings, agent))
    row = _row(seed, member, settings.seeds, pop.size)
    where = path / store.CHECKPOINTS
    have = checkpoint.steps(where)
    if update is not None and update not in have:
        raise UsageError(f"update={update}: {path} has checkpoints of {have or 'no update'}")
    key = jax.random.key(settings.seed)
    found = checkpoint.restore(
        where, jax.eval_shape(pop.init, key), _warn, lambda u: update in (None, u),
        bulk=agent.bulk, fresh=lambda: pop.init(key),
    )  # fmt: skip
    if found is None:
        raise UsageError(f"{path} has no checkpoint yet; train it on with: rlkit train --resume {path}")
    same_config(path, found.meta["config"], json.loads(json.dumps(config.to_dict(settings))))
    state = found.state
    if row is not None:
        state = jax.tree.map(lambda leaf: leaf[row], state)
    return LoadedState(agent, state, settings, found.update)


def _warn(sentence: str) -> None:
    print(f"warning: {sentence}", file=sys.stderr)


def _row(seed: int | None, member: int, seeds: int, size: int) -> int | None:
    members = size // seeds
    if not isinstance(member, int | np.integer) or not 0 <= member < members:
        raise UsageError(f"member={member!r}: the run has members 0 to {members - 1}")
    if seed is None:
        return None
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < seeds:
        raise UsageError(f"seed={seed!r}: the run has seeds 0 to {seeds - 1}")
    return member * seeds + int(seed)


def damage(folder: str | Path) -> list[str]:
    """What in a run folder is not as the run wrote it, one sentence each."""
    path = store.existing(folder)
    return integrity.check_run(path, config.to_dict(config.load(path / store.CONFIG)))


def best_seed(folder: str | Path, member: int | None = None) -> tuple[int, int]:
    """Member and seed of the best last evaluation, by success and then by return; the first without any.

    Args:
      folder: the run folder.
      member: of a sweep, whose seeds alone count; None: all.

    Raises:
      UsageError: not a run of an agent, no such member, or its last evaluation cannot be read.
    """
    path = store.existing(folder)
    settings = config.load(path / store.CONFIG)
    _refuse_group(path, settings)
    seeds, count = settings.seeds, len(grid_labels(parse_grid(settings.sweep)))
    if member is not None:
        _row(None, member, seeds, seeds * count)
    last: Any = {}
    for line in store.read_jsonl(path / store.METRICS):
        if line.get("kind") == "eval":
            last = line.get("seeds")
    if last == {}:
        return member or 0, 0
    try:
        scores = [np.array(last[name], np.float64) for name in ("eval/success", "eval/return")]  # null: NaN
    except (KeyError, TypeError, ValueError, OverflowError):
        scores = []
    if not scores or any(score.shape != (seeds * count,) for score in scores):
        raise UsageError(
            f"the last evaluation in {path / store.METRICS} is not of {seeds * count} seeds: it is damaged; "
            "restore it, or name one with --seed"
        )
    order = list(zip(*(np.nan_to_num(score, nan=-np.inf).tolist() for score in scores), strict=True))
    rows = range(seeds * count) if member is None else range(member * seeds, (member + 1) * seeds)
    return divmod(max(rows, key=order.__getitem__), seeds)


def _refuse_group(path: Path, settings: Any) -> None:
    if getattr(settings, "kind", ""):
        raise UsageError(f"{path} is a run of a group trainer, which has no agent; see load_group")
