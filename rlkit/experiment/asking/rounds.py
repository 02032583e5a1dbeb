"""A round of questions: whose clips, which pairs, and simulated answers to them."""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.experiment.asking.answers import Questions, add, answer, read_pair, unanswered
from rlkit.experiment.asking.clips import Clips, acting, exploring, record_clips, take_clips
from rlkit.experiment.asking.fitting import REWARD
from rlkit.experiment.runs import store
from rlkit.prefs.feedback.queries import choose
from rlkit.prefs.feedback.saved import read_model
from rlkit.prefs.feedback.teachers import simulate, teacher
from rlkit.prefs.types import Segment


def add_round(
    questions: Questions,
    count: int,
    *,
    runs: Sequence[str | Path] = (),
    how: str = "disagreement",
    candidates: int = 10,
    seed: int = 0,
    size: int = 192,
) -> Questions:
    """Draw clips, choose pairs of them and add them to a folder.

    Args:
      questions: the folder.
      count: how many pairs.
      runs: run folders whose best policies act, all in the folder's environment; none: random actions.
      how: a way of :func:`rlkit.prefs.feedback.queries.choose`, by the reward fitted last; without one the
        choice is uniform.
      candidates: pairs to choose from, for each question.
      seed: of the clips, with the number of questions asked before.
      size: of the pictures, pixels.

    Raises:
      UsageError: a run is of another environment.
    """
    env, key = questions.env, jax.random.fold_in(jax.random.key(seed), questions.size)
    actors = [_actor(questions, run) for run in runs] or [exploring(env)]
    fitted = questions.folder / REWARD
    informed = how != "uniform" and fitted.exists()
    drawn = record_clips(
        env, actors, key, 2 * count * (candidates if informed else 1), questions.about["segment"]
    )
    if informed:
        index = np.asarray(choose(_margins(drawn, fitted, questions), how, count))
        drawn = take_clips(drawn, np.stack([2 * index, 2 * index + 1], 1).reshape(-1))
    with store.locked(questions.folder):
        return add(questions, drawn, size)


def _actor(questions: Questions, run: str | Path):
    from rlkit.experiment.training import loading

    for sentence in loading.damage(run):
        print(f"warning: {sentence}", file=sys.stderr, flush=True)
    member, seed = loading.best_seed(run)
    found = loading.load(run, seed, member=member)
    if found.agent.env.spec != questions.env.spec:
        raise UsageError(
            f"{run} has acted in {found.agent.env.spec.id}; expected {questions.env.spec.id}, as in "
            f"{questions.folder}"
        )
    return acting(found.agent, found.policy)


def _margins(clips: Clips, fitted: Path, questions: Questions) -> jax.Array:
    """Margins of the clips' pairs by each member, ``[M, C]``."""
    built, params = read_model(fitted, questions.env.spec)
    feats = built.inputs.of(jax.tree.map(jnp.asarray, clips.transition))
    total = built.whole.apply(params, Segment(feats, jnp.asarray(clips.mask))).total
    total = total if total.ndim == 2 else total[None]
    return total[:, 0::2] - total[:, 1::2]


def simulated(questions: Questions, kind: str, seed: int = 0) -> int:
    """Answer all that is unanswered as a simulated teacher, by the environment's own reward.

    Args:
      questions: the folder.
      kind: a name of :data:`rlkit.prefs.feedback.teachers.KINDS`, kept with the answers.
      seed: of the teacher's faults.

    Returns:
      How many were answered.
    """
    left = unanswered(questions)
    if not left:
        return 0
    both = [read_pair(questions, pair) for pair in left]
    rewards, masks = (
        [jnp.stack([jnp.asarray(pick(pair[side])) for pair in both]) for side in (0, 1)]
        for pick in (lambda clip: clip[0].reward, lambda clip: clip[1])
    )
    key = jax.random.fold_in(jax.random.key(seed), left[0])
    found = simulate(key, (rewards[0], masks[0]), (rewards[1], masks[1]), teacher(kind))
    with store.locked(questions.folder):
        for pair, label, given in zip(left, found.label.tolist(), found.given.tolist(), strict=True):
            said = {1.0: "first", 0.0: "second", 0.5: "equal"}[label] if given else "skip"
            answer(questions, pair, said, kind)
    return len(left)
