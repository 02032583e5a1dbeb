"""All checks of a task, bound to what was gathered about it once."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from rlkit.design import checks, incentives, invariance
from rlkit.design.episodes import Episodes, join, play
from rlkit.design.evidence import Evidence, gather
from rlkit.design.genome import Schema, encode, from_json, term_names
from rlkit.design.interpreter import genome_reward
from rlkit.design.paying import kept
from rlkit.design.reading import read_candidate
from rlkit.design.types import Candidate, DesignTask, Exploit, History, Verdict
from rlkit.errors import RlkitError, unknown_name
from rlkit.rewards.designed import with_base
from rlkit.rewards.lowered import is_lowered
from rlkit.rewards.reading import is_program, read_text
from rlkit.types import Key, Reward

MOST = 16
"""Exploits of each source that a candidate is held against; the newest."""


@dataclass(frozen=True, eq=False)
class Screen:
    """The checks before training, as one call: made by :func:`screen`.

    It remembers canonical forms of rewards and episodes of exploits that it has seen, which saves time and
    changes no verdict.

    Attributes:
      task: the task.
      evidence: what was gathered about it.
      schema: of genomes: what they pay is computed by programs that all share; None: by those of their texts.
      skip: names of checks that are left out.
      warn: names of checks that warn instead of stopping a candidate.
      stop: names of checks that stop a candidate instead of warning.
    """

    task: DesignTask
    evidence: Evidence
    schema: Schema | None = None
    skip: tuple[str, ...] = ()
    warn: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __call__(self, candidate: Candidate, history: History = History()) -> tuple[Verdict, ...]:
        """All verdicts on a candidate; the first that stops it before it can be paid is the last one."""
        spec = self.task.spec
        if candidate.error:
            return (Verdict("read", False, candidate.error),)
        try:
            reward = read_candidate(candidate.text, spec)
            own, whole, names = self._paid(candidate, reward)
        except RlkitError as error:
            return (Verdict("read", False, str(error)),)
        contract = checks.abstract(reward, spec)
        if contract.stops:
            return (contract,)
        run = {
            "probe": lambda: checks.probe(
                own,
                spec,
                self.evidence,
                names=names,
                terms_add_up=is_program(candidate.text) or is_lowered(candidate.text),
            ),
            "clock": lambda: checks.clock(own, spec, self.evidence),
            "potential-based": lambda: invariance.potential_based(own, self.evidence),
            "farming": lambda: incentives.farming(whole, self.evidence),
            "dying": lambda: incentives.dying(whole, self.evidence),
            "hovering": lambda: incentives.hovering(whole, self.evidence),
            "order": lambda: incentives.order(whole, self.evidence),
            "equivalence": lambda: invariance.equivalence(
                own, self.evidence, self._trained(candidate, history)
            ),
            "hack replay": lambda: incentives.hack_replay(
                own, self.evidence, self._parents(candidate, history), self.exploits(history)
            ),
        }
        verdicts = [contract]
        for name, check in run.items():
            if name in self.skip:
                continue
            verdicts.append(self._level(check()))
            if name == "probe" and verdicts[-1].passed is False:
                break  # what is not finite cannot be compared
        return tuple(verdicts)

    def exploits(self, history: History) -> Episodes | None:
        """What earlier rewards were found to pay for without success: episodes of the evidence that a check
        named, those that audits found, and what the evidence holds already. None if there is none."""
        named = {
            int(v.numbers[incentives.EPISODE])
            for record in history.records
            for v in record.verdicts
            if v.stops and incentives.EPISODE in v.numbers
        }
        parts = [self.evidence.exploits] if self.evidence.exploits is not None else []
        parts += [self.evidence.episodes.take(sorted(named)[-MOST:])] if named else []
        parts += [self._played(exploit) for exploit in history.exploits[-MOST:]]
        return join(*parts) if parts else None

    def _played(self, exploit: Exploit) -> Episodes:
        if exploit not in self._known:
            space = self.task.env.spec.action_space
            actions = np.asarray(exploit.actions, space.dtype if space.shape else np.int32)[:, None]
            key, start = jax.random.key(exploit.seed), np.array([exploit.start])
            self._known[exploit] = play(self.task.env, self.task.params, key, actions, start, "exploit")
        return self._known[exploit]

    def _level(self, verdict: Verdict) -> Verdict:
        blocks = (verdict.blocks or verdict.check in self.stop) and verdict.check not in self.warn
        return Verdict(verdict.check, verdict.passed, verdict.reason, blocks, verdict.numbers)

    @functools.cached_property
    def _shared(self) -> tuple[Reward, Reward] | None:
        """The reward of which genomes are parameters, alone and beside the base."""
        if self.schema is None:
            return None
        shared = genome_reward(self.schema)
        return kept(shared), kept(with_base(self._base, shared))

    @functools.cached_property
    def _base(self) -> Reward | None:
        return read_text(self.task.base, self.task.env.spec) if self.task.base else None

    def _paid(self, candidate: Candidate, reward: Reward) -> tuple[Reward, Reward, dict[str, str] | None]:
        """What a candidate pays, and what is paid with the base; of a genome by programs that are kept, whose
        terms have other names: its own by these."""
        if self._shared is None or self.schema is None or candidate.genome is None:
            return reward, reward if self._base is None else with_base(self._base, reward), None
        genome = from_json(candidate.genome, self.schema)
        params = encode(genome, self.schema)
        own, whole = (shared._replace(params=params) for shared in self._shared)
        return own, whole, {f"slot{i}": name for i, name in enumerate(term_names(genome))}

    def _reward(self, candidate: Candidate) -> Reward | None:
        try:
            return self._paid(candidate, read_candidate(candidate.text, self.task.spec))[0]
        except RlkitError:
            return None

    def _trained(self, candidate: Candidate, history: History) -> dict[str, invariance.Forms]:
        found = {}
        for record in history.records:
            text = record.candidate.text
            if record.outcome is None or record.outcome.error or record.candidate.id == candidate.id:
                continue
            if text not in self._known and (reward := self._reward(record.candidate)) is not None:
                self._known[text] = invariance.forms(reward, self.evidence)
            if text in self._known:
                found[record.candidate.id] = self._known[text]
        return found

    def _parents(self, candidate: Candidate, history: History) -> Sequence[Reward]:
        known = {record.candidate.id: record.candidate for record in history.records}
        rewards = (self._reward(known[name]) for name in candidate.parents if name in known)
        return [reward for reward in rewards if reward is not None]


class Later:
    """A screen that gathers its evidence when it is first asked: a design that goes on may need none.

    Args:
      make: makes it.
    """

    def __init__(self, make: Callable[[], Screen]):
        self._make = make

    @functools.cached_property
    def screen(self) -> Screen:
        """The screen, made at the first use."""
        return self._make()

    @property
    def evidence(self) -> Evidence:
        """What it gathers."""
        return self.screen.evidence

    def __call__(self, candidate: Candidate, history: History = History()) -> tuple[Verdict, ...]:
        """As of :class:`Screen`."""
        return self.screen(candidate, history)


CHECKS = (
    *("probe", "clock", "potential-based", "farming", "dying", "hovering", "order"),
    *("equivalence", "hack replay"),
)


def screen(
    task: DesignTask,
    key: Key | int,
    *,
    skip: tuple[str, ...] = (),
    warn: tuple[str, ...] = (),
    stop: tuple[str, ...] = (),
    evidence: Evidence | None = None,
    schema: Schema | None = None,
    **options: int,
) -> Screen:
    """The checks of a task, with what they need gathered once.

    Args:
      task: the task.
      key: PRNG key or seed of the evidence.
      skip: names of :data:`CHECKS` to leave out.
      warn: those that shall warn instead of stopping a candidate.
      stop: those that shall stop one instead of warning, e.g. ``"potential-based"``.
      evidence: what is known; None gathers it (:func:`rlkit.design.evidence.gather`).
      schema: of genomes, which are then checked by programs that all of them share.
      **options: of ``gather``.

    Raises:
      UnknownNameError: there is no such check.
    """
    for name in (*skip, *warn, *stop):
        if name not in CHECKS:
            raise unknown_name("check", name, CHECKS)
    evidence = gather(task, key, **options) if evidence is None else evidence
    return Screen(task, evidence, schema, skip, warn, stop)
