"""What a reward is really worth: the behaviour that it pays best, and whether that is success."""

from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.design.checks import abstract
from rlkit.design.episodes import Episodes, discounted, pay, play
from rlkit.design.evidence import Evidence, success_first
from rlkit.design.search import search
from rlkit.design.tabular import Optimum, optimum, pay_table, tabulate
from rlkit.design.types import DesignTask, Verdict
from rlkit.errors import UsageError
from rlkit.keys import typed_key
from rlkit.types import Environment, Key, PyTree, Reward


class Audit(NamedTuple):
    """What an audit found.

    Attributes:
      verdicts: ``"exact optimum"`` and ``"highest paid"``.
      optimum: of a small world; None if it is none.
      highest: the episode that the reward pays most, for each start.
      success: the success that the reward pays most, or the best attempt, for each start.
    """

    verdicts: tuple[Verdict, ...]
    optimum: Optimum | None
    highest: Episodes
    success: Episodes

    @property
    def passed(self) -> bool | None:
        """False if a verdict is; None if none could be decided."""
        known = [verdict.passed for verdict in self.verdicts if verdict.passed is not None]
        return all(known) if known else None

    @property
    def exploits(self) -> Episodes:
        """The highest-paid episodes without success; none where the audit found nothing wrong."""
        wrong = any(verdict.passed is False for verdict in self.verdicts)
        return self.highest.take(~self.highest.solved & wrong)


def audit(
    reward: Reward | str,
    env: Environment | DesignTask,
    key: Key,
    *,
    params: PyTree = None,
    discount: float = 0.99,
    steps: int = 200,
    starts: int = 4,
    population: int = 48,
    generations: int = 24,
    states: int = 4096,
    known: Evidence | None = None,
) -> Audit:
    """Look for behaviour that a reward pays better than success.

    In a world that is small and without chance the optimal policies are computed exactly. Everywhere,
    open-loop actions are searched for those that the reward pays most and, from the same starts,
    for those that succeed; what each search finds is a starting point of the other. Where neither finds
    success there is nothing to compare with, and no third search.

    Args:
      reward: a reward, which is all that is paid, or the text of one, to which the base of the task is added.
      env: a pure environment, or a task, which then says what else is to be known.
      key: PRNG key or seed.
      params: of the environment; None takes the default ones.
      discount: γ of the learner.
      steps: the most steps of an episode.
      starts: initial states.
      population: sequences per start.
      generations: of each search.
      states: the most states of a small world.
      known: evidence of the task, gathered with the same key: success is not searched for again.

    Raises:
      UsageError: the reward does not fit the environment, or that runs on the host.
    """
    task = env if isinstance(env, DesignTask) else DesignTask(env, params, discount=discount)
    key = typed_key(key)
    if not task.env.spec.pure:
        raise UsageError(f"{task.env.spec.id} runs on the host; an audit needs a pure environment")
    reward = task.reward(reward) if isinstance(reward, str) else reward
    contract = abstract(reward, task.spec)
    if contract.stops:
        raise UsageError(contract.reason)
    exact, best = _exact(reward, task, key, states)
    options: dict[str, Any] = {
        "steps": min(steps, int(task.params.max_steps)),
        "starts": starts,
        "population": population,
        "generations": generations,
    }
    worth = lambda e: discounted(pay(reward, e).reward, e, task.discount, goes_on=True)
    succeeded, sought = _success(task, key, known, options)
    highest, actions = search(task.env, task.params, key, worth, begin=sought, reads=True, **options)
    if succeeded.solved.any() or highest.solved.any():
        # Of successes the one that is paid most, so that a slow one is not held against the reward.
        paid_success = lambda e: np.where(e.solved, 1e9 + worth(e), success_first(e))
        begin = np.concatenate([sought, actions], 1)
        succeeded, _ = search(task.env, task.params, key, paid_success, begin=begin, reads=True, **options)
    verdicts = (exact, _highest(worth(highest), worth(succeeded), highest, succeeded))
    return Audit(verdicts, best, highest, succeeded)


def _success(
    task: DesignTask, key: Key, known: Evidence | None, options: dict[str, Any]
) -> tuple[Episodes, np.ndarray]:
    """An episode with success from each start, or the best attempt; and its actions."""
    starts = options["starts"]
    if known is not None and known.actions.shape[1] >= starts:
        sought = known.actions[: options["steps"], :starts]
        found = play(task.env, task.params, key, sought, np.arange(starts), "sought")
        if found.solved.any() or not known.episodes.solved.any():
            return found, sought
    return search(task.env, task.params, key, success_first, **options)


def _exact(reward: Reward, task: DesignTask, key: Key, states: int) -> tuple[Verdict, Optimum | None]:
    name = "exact optimum"
    if jax.tree.leaves(reward.init(jax.random.key(0))):
        return Verdict(name, None, "undecided: the reward has memory"), None
    world = tabulate(task.env, task.params, key, states=states)
    if world is None:
        return Verdict(name, None, "undecided: the world is not small, discrete and without chance"), None
    # Where success cannot be reached no reward can be blamed.
    possible = optimum(world, world.success.astype(float), task.discount).can_solve
    found = optimum(world, pay_table(reward, world), task.discount)
    if not possible.any():
        return Verdict(name, None, "undecided: success cannot be reached"), found
    always, sometimes = (float(x[possible].mean()) for x in (found.solves, found.can_solve))
    numbers = {"states": float(world.successor.shape[0]), "solved": always, "can be solved": sometimes}
    if always == 1.0:
        return Verdict(name, True, numbers=numbers), found
    if sometimes == 1.0:
        reason = "some policies that it pays best succeed, others do not: it does not tell them apart"
        return Verdict(name, True, reason, numbers=numbers), found
    reason = f"the policies that it pays best succeed from {sometimes:.0%} of the starts"
    return Verdict(name, False, reason, numbers=numbers), found


def _highest(most: np.ndarray, honest: np.ndarray, highest: Episodes, succeeded: Episodes) -> Verdict:
    name = "highest paid"
    known = succeeded.solved
    if not known.any():
        return Verdict(name, None, "undecided: the search found no success to compare with")
    margin = 1e-3 * np.maximum(np.abs(most), np.abs(honest)) + 1e-6
    wrong = known & ~highest.solved & (most > honest + margin)
    success = float(highest.solved[known].mean())
    numbers = {
        "highest": float(most[known].mean()),
        "success": float(honest[known].mean()),
        "solved": success,
    }
    if not wrong.any():
        return Verdict(name, True, numbers=numbers)
    i = int(np.argmax(np.where(wrong, most - honest, -np.inf)))
    end = "ends by itself" if highest.terminated[i] else "goes on"
    reason = (
        f"an episode without success that {end} after {int(highest.length[i])} steps is worth {most[i]:.4g}, "
        f"the best success from there {honest[i]:.4g} (discounted)"
    )
    return Verdict(name, False, reason, numbers=numbers)
