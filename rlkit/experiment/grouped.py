"""Training policies of tokens from Python, in one call: on a task, or on recorded rows."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from rlkit.envs.tokens import TokenTask, make_task
from rlkit.envs.tokens.texts import TextTokenizer
from rlkit.experiment.runs.logbook import Line
from rlkit.experiment.runs.sinks import Sink
from rlkit.experiment.train import Trained
from rlkit.experiment.train import train as train_learner
from rlkit.group.fitting import fitter
from rlkit.group.judging import RewardFunction, from_text
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.policies.registry import make_policy
from rlkit.group.rows import Rows, read_rows
from rlkit.group.spreading import spread
from rlkit.group.trainer_config import GroupConfig, RecordedConfig
from rlkit.group.training import trainer
from rlkit.group.types import Method
from rlkit.keys import typed_key
from rlkit.types import Key, PyTree


def train(
    task: str | TokenTask,
    policy: str | TokenPolicy = "decoder",
    method: str | Method = "grpo",
    updates: int = 300,
    *,
    config: GroupConfig | None = None,
    rewards: Sequence[RewardFunction | Callable[..., Any]] = (),
    weights: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    key: Key | int | None = None,
    seeds: int = 1,
    devices: Sequence[jax.Device] | None = None,
    spread_prompts: bool = False,
    probes: int = 10,
    eval_prompts: int = 64,
    samples: int = 0,
    log_every: int | None = None,
    log: Sequence[str | Sink | Callable[[Line], None]] = (),
    log_folder: str | Path = ".",
    on_nan: str = "stop",
    progress: bool = True,
) -> Trained:
    """Train a policy of tokens; ``rlkit group train`` does the same in a run folder.

    Args:
      task: a task, or its name.
      policy: a policy, or its name.
      method: a preset's name, or what one returned.
      updates: how many; schedules are laid out over them.
      config: hyper-parameters of the trainer.
      rewards: reward functions: of texts with TRL's signature (see :func:`rlkit.group.judging.from_text`),
        or what ``on_device`` and ``from_text`` give.
      weights: see :func:`rlkit.group.training.trainer`.
      options: arguments of the preset.
      loss: arguments of the method's loss, see :func:`rlkit.group.training.trainer`.
      key: typed PRNG key or a seed.
      seeds: trained side by side.
      devices: None takes all.
      spread_prompts: deal the prompts of each seed out over the devices, instead of the seeds.
      probes: times that the policy is judged, beside the start.
      eval_prompts: fresh prompts that judge it; 0: none.
      samples: prompts whose completions are kept at these times, in ``latents`` of the result.
      log_every: updates between log points; None makes about 200.
      log: sinks, see :func:`rlkit.experiment.train`.
      log_folder: where sinks that write files do so.
      on_nan: see :func:`rlkit.experiment.train`.
      progress: show a progress bar.

    Returns:
      What the training gave; ``population.agent.params(state)`` of a seed's state are its parameters.

    Raises:
      UsageError: something does not fit, or an update will need more memory than there is.
      RewardError: a reward function of texts failed; the message names it.
      NonFiniteError: a loss or a parameter is not finite; the message names what went first.
    """
    task = make_task(task) if isinstance(task, str) else task
    policy = make_policy(policy, task) if isinstance(policy, str) else policy
    judges = [x if isinstance(x, RewardFunction) or not callable(x) else from_text(x, task) for x in rewards]
    chosen = (config or GroupConfig()).replace(total_updates=updates)

    def make(prompts: int, axis_name: str | None) -> Any:
        return trainer(
            task, policy, method, chosen.replace(prompts=prompts), rewards=judges, weights=weights,
            options=options, loss=loss, axis_name=axis_name,
        )  # fmt: skip

    learner: Any = spread(make, chosen.prompts, devices) if spread_prompts else make(chosen.prompts, None)
    return _trained(
        learner, updates, key, samples, seeds=seeds, devices=None if spread_prompts else devices,
        probes=probes, eval_episodes=eval_prompts, log_every=log_every, log=log, log_folder=log_folder,
        on_nan=on_nan, progress=progress,
    )  # fmt: skip


def fit(
    rows: Rows | str | Path,
    policy: str | TokenPolicy = "decoder",
    method: str | Method = "dpo",
    updates: int = 300,
    *,
    config: RecordedConfig | None = None,
    task: str | TokenTask | None = None,
    tokenizer: TextTokenizer | None = None,
    held_out: float | Rows | str | Path = 0.1,
    columns: Mapping[str, str] | None = None,
    chat: bool = False,
    guide: tuple[TokenPolicy, PyTree] | None = None,
    options: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    key: Key | int | None = None,
    seeds: int = 1,
    devices: Sequence[jax.Device] | None = None,
    spread_rows: bool = False,
    probes: int = 10,
    samples: int = 0,
    log_every: int | None = None,
    log: Sequence[str | Sink | Callable[[Line], None]] = (),
    log_folder: str | Path = ".",
    on_nan: str = "stop",
    progress: bool = True,
) -> Trained:
    """Train a policy of tokens on recorded rows; ``rlkit group fit`` does the same in a run folder.

    Args:
      rows: texts with the columns that the method learns from (see :func:`rlkit.group.fitting.fitter`), or a
        file of them (:func:`rlkit.group.read_rows`).
      policy: a policy, or its name.
      method: the name of a preset that learns from recorded rows, or what one returned.
      updates: gradient steps on ``config.batch`` rows each; schedules are laid out over them.
      config: hyper-parameters.
      task: that judges the policy, or its name; None: prompts are those of the rows, and nothing is verified.
      tokenizer: of the policy; None takes the task's.
      held_out: a share of the rows, rows of their own, or a file of them.
      columns: see :func:`rlkit.group.fitting.fitter`, as for ``chat``, ``guide``, ``options`` and ``loss``.
      chat: put the prompts into the tokenizer's template of chats.
      guide: a policy and its parameters, for ``tgdpo``.
      options: arguments of the preset.
      loss: arguments of the method's loss.
      key: typed PRNG key or a seed.
      seeds: trained side by side, on the same rows in another order.
      devices: None takes all.
      spread_rows: deal the rows of a batch out over the devices, instead of the seeds.
      probes: times that the policy is judged on what is held out and by the task, beside the start.
      samples: prompts whose completions are kept at these times, in ``latents`` of the result.
      log_every: updates between log points; None makes about 200.
      log: sinks, see :func:`rlkit.experiment.train`.
      log_folder: where sinks that write files do so.
      on_nan: see :func:`rlkit.experiment.train`.
      progress: show a progress bar.

    Returns:
      What the training gave; ``population.agent.params(state)`` of a seed's state are its parameters.

    Raises:
      UsageError: something does not fit, or an update will need more memory than there is.
      NonFiniteError: a loss or a parameter is not finite; the message names what went first.
    """
    read = lambda rows: read_rows(rows) if isinstance(rows, str | Path) else rows
    given: Any = read(rows)
    task = make_task(task) if isinstance(task, str) else task
    learns: Any = functools.partial(make_policy, policy) if isinstance(policy, str) else policy
    chosen = (config or RecordedConfig()).replace(total_updates=updates)

    def make(batch: int, axis_name: str | None) -> Any:
        return fitter(
            given, learns, method, chosen.replace(batch=batch), task=task, tokenizer=tokenizer,
            held_out=read(held_out), columns=columns, chat=chat, guide=guide, options=options, loss=loss,
            axis_name=axis_name, file=str(rows) if isinstance(rows, str | Path) else "",
        )  # fmt: skip

    learner: Any = spread(make, chosen.batch, devices) if spread_rows else make(chosen.batch, None)
    return _trained(
        learner, updates, key, samples, seeds=seeds, devices=None if spread_rows else devices,
        probes=probes, eval_episodes=int(learner.judge is not None), log_every=log_every, log=log,
        log_folder=log_folder, on_nan=on_nan, progress=progress,
    )  # fmt: skip


def _trained(
    learner: Any, updates: int, key: Key | int | None, samples: int, *, eval_episodes: int, **how: Any
) -> Trained:
    """Train a learner, if its memory fits; without probes nothing is judged or kept."""
    said, probes = learner.room(how["seeds"]), how["probes"]
    if how["progress"]:
        print(f"{learner.title} needs {said}", file=sys.stderr)
    return train_learner(
        learner, updates, typed_key(0 if key is None else key), probe_steps=samples if probes else 0,
        eval_episodes=eval_episodes if probes else 0, **how,
    )  # fmt: skip
