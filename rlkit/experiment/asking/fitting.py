"""Reward models fitted to the answers in a folder, as runs: logged, kept, resumed, reported."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from rlkit.errors import UsageError
from rlkit.experiment.asking.answers import Questions, comparisons, digest, load
from rlkit.experiment.runs import store
from rlkit.fields import static
from rlkit.networks import ACTIVATIONS
from rlkit.prefs.feedback.fitting import Fit, FitConfig, fit
from rlkit.prefs.feedback.models import ModelConfig, build
from rlkit.prefs.feedback.saved import save_reward
from rlkit.prefs.feedback.scoring import MEMBERS
from rlkit.types import Environment, Reward

REWARD = "learned.reward.npz"
"""The file, in a folder of questions, with the reward that was fitted last."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnswersConfig(FitConfig):
    """How reward models are fitted to the answers in a folder."""

    answers: str = static("", "folder of questions and answers, see rlkit prefs")
    digest: str = static("", "of the answers; a run goes on only with the answers it began with")
    reads: tuple[str, ...] = static(
        ("obs", "action"), "what the model sees: obs, action, next_obs, or features of the environment"
    )
    sizes: tuple[int, ...] = static((64, 64), "layer sizes of a reward model", low=1)
    activation: str = static("tanh", "tanh, relu, silu, gelu or elu", choices=ACTIVATIONS)
    join: str = static("mean", "what is paid: mean or min over the ensemble", choices=MEMBERS[:2])
    bounded: bool = static(True, "rewards of steps are within -1 .. 1")


def model_config(config: AnswersConfig) -> ModelConfig:
    """What the reward model is built from."""
    return ModelConfig(**{name: getattr(config, name) for name in ModelConfig._fields})


def answered_model(
    env: Environment, config: AnswersConfig | None = None, reward: Reward | None = None
) -> Fit:
    """A learner that fits an ensemble to the answers in a folder.

    Args:
      env: the environment that the clips are of.
      config: how, with the folder in ``answers``.
      reward: must be None: rewards come from the answers.

    Raises:
      UsageError: no folder, answers of another environment, none that prefers a clip, or other answers than
        the run began with.
    """
    config = config or AnswersConfig()
    if not config.answers:
        raise UsageError(
            "answers='': expected a folder of questions and answers; ask some: rlkit prefs ask FOLDER"
        )
    if reward is not None:
        raise UsageError("a reward model is fitted to answers, not paid a reward; leave --reward out")
    questions = load(config.answers)
    if questions.env.spec != env.spec:
        raise UsageError(f"{config.answers} has clips of {questions.env.spec.id}; expected {env.spec.id}")
    if config.digest and config.digest != (now := digest(questions)):
        raise UsageError(
            f"the answers in {config.answers} have changed ({now}) since the run began ({config.digest}); "
            "start a new one: rlkit prefs fit"
        )
    built = build(env.spec, model_config(config))
    return fit(built.member, comparisons(questions, built.inputs), config, title=f"reward of {env.spec.id}")


def fit_folder(questions: Questions, config: AnswersConfig, steps: int, seed: int = 0, **options: Any) -> Any:
    """Fit to all answers of a folder, in a run folder inside it, and write the reward to :data:`REWARD`.

    Args:
      questions: the folder.
      config: how; the folder and the digest are filled in.
      steps: gradient steps of each member.
      seed: of the weights and the order of the answers.
      **options: of :func:`rlkit.experiment.training.run.run`.

    Returns:
      The run's :class:`rlkit.experiment.training.run.Outcome`.
    """
    from rlkit.experiment.training import run
    from rlkit.experiment.training.config import TrainConfig

    config = dataclasses.replace(config, answers=str(questions.folder.resolve()), digest=digest(questions))
    settings = TrainConfig(
        env=questions.about["env"],
        env_options=tuple(f"{name}={value!r}" for name, value in questions.about["env_options"].items()),
        agent=config,
        seeds=1,
        seed=seed,
        total_steps=steps,
        probes=0,
    )
    outcome = run.run(settings, root=questions.folder / "fits", **options)
    if outcome.finished:
        write_reward(outcome.folder)
    return outcome


def told(run: str | Path) -> str:
    """What the last line of a run's log says of the fit, in a sentence."""
    last = store.read_jsonl(Path(run) / store.METRICS)[-1]["mean"]
    said = f"accuracy {last['fit/accuracy']:.3f} on the answers"
    held = last.get("held_out/accuracy")
    return said + ("" if held is None else f", {held:.3f} on those held out")


def write_reward(run: str | Path) -> Path:
    """The reward that a run has fitted, as the file :data:`REWARD` of its folder of questions."""
    from rlkit.experiment.training.loading import load_state

    _, state, settings, _ = load_state(run, 0)
    questions = load(settings.agent.answers)
    path = questions.folder / REWARD
    return save_reward(path, questions.env.spec, model_config(settings.agent), state.params)
