"""All seeds of all candidates of a group, trained in blocks of rows by the group's programs."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.design.curriculum import Stage, now
from rlkit.design.engine import Block, Engine, joined, split
from rlkit.design.grouping import Group
from rlkit.design.types import CURVES, Outcome
from rlkit.experiment.training.population import resolve_batching
from rlkit.types import Key, PyTree

ROWS = 256  # most rows of a block
WATCHING = 2**31 - 1  # folded into the key of judgements for episodes that are described
LISTENING = 2**31 - 2  # and for recordings of latents


class Keep(NamedTuple):
    """When candidates are dropped: at shares of the training, keeping the better ones each time."""

    at: tuple[float, ...]  # ascending shares of the training
    chosen: Callable[[Sequence[Outcome]], Sequence[bool]]  # of those that are left, which go on
    latents: bool = False  # whether it reads what latents say


def width_of(total: int) -> int:
    """Rows of a block: one on a CPU, where batching gains nothing, else as many as there are, rounded up."""
    return 1 if resolve_batching("auto") == "map" else min(ROWS, 1 << (total - 1).bit_length())


class Rows:
    """The rows of a group: seed by seed of each candidate.

    Args:
      engine: the group's programs; its number of rows is the width of blocks.
      group: the candidates.
      env_params: of the environment, those of each candidate.
      key: typed PRNG key; seed k starts from ``fold_in(key, k)``.
      seeds: of each candidate.
      watch: describe how episodes of each candidate's first seed end.
      base: whether a base reward is paid beside the candidates'.
      workers: blocks that are advanced at once, each by a thread.
      stages: of a curriculum.
    """

    def __init__(
        self,
        engine: Engine,
        group: Group,
        env_params: Sequence[PyTree],
        key: Key,
        seeds: int,
        *,
        watch: bool = False,
        base: bool = False,
        workers: int = 1,
        stages: Sequence[Stage] = (),
    ):
        self.engine, self.group, self.env_params, self.seeds = engine, group, env_params, seeds
        self.watch, self.base, self.workers, self.stages = watch, base, workers, stages
        self.key_train, self.key_eval = jax.random.split(key)
        self.latents: dict[int, dict[str, list[float]]] = {}  # by member

    def train(self, keep: Keep | None, known: frozenset[int]) -> Iterator[tuple[int, Outcome]]:
        """Places and outcomes as they become known; see :meth:`rlkit.design.training.Trainer.train`."""
        engine, places = self.engine, self.group.places
        going, begun = list(range(len(places))), {}
        for rung in self._rungs(keep):
            begun = dict(self._advanced(self._batches(going), begun, rung))
            assert keep is not None
            if keep.latents:
                self._listen({m: begun[m] for m in going})
            outcomes = [self._outcome(m, begun[m], stopped=True) for m in going]
            stays = keep.chosen(outcomes)
            for member, outcome, stay in zip(going, outcomes, stays, strict=True):
                if not stay:
                    yield places[member], outcome
            going = [member for member, stay in zip(going, stays, strict=True) if stay]
        batches = self._batches(going)
        if keep is None:
            batches = [members for members in batches if not {places[m] for m in members} <= known]
        for member, blocks in self._advanced(batches, begun, engine.length):
            if keep is not None or places[member] not in known:
                yield places[member], self._outcome(member, blocks)

    def _listen(self, begun: dict[int, list[Block]]) -> None:
        """Note what the latents of members say now."""

        def heard(member: int) -> dict[str, list[float]]:
            rung = len(begun[member][0].points)
            key = jax.random.fold_in(jax.random.fold_in(self.key_eval, LISTENING), rung)
            found = [self.engine.listen(b, jax.random.fold_in(key, k)) for k, b in enumerate(begun[member])]
            return {name: [each[name] for each in found] for name in found[0]}

        members = list(begun)
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            self.latents.update(zip(members, pool.map(heard, members), strict=True))

    def _rungs(self, keep: Keep | None) -> list[int]:
        """Checkpoints at which candidates are dropped, never the last one."""
        last = self.engine.length - 1
        shares = keep.at if keep is not None and last > 0 else ()
        return sorted({max(1, min(last, round(share * self.engine.length))) for share in shares})

    def _batches(self, members: Sequence[int]) -> list[list[int]]:
        """Candidates that are trained together: as many as a block holds, at least one."""
        size = max(1, self.engine.rows // self.seeds)
        return [list(members[i : i + size]) for i in range(0, len(members), size)]

    def _advanced(
        self, batches: Sequence[Sequence[int]], begun: dict[int, list[Block]], until: int
    ) -> Iterator[tuple[int, list[Block]]]:
        """Members with their blocks of one row each, advanced to a checkpoint, in the order of batches."""
        workers = min(self.workers, len(batches))
        if workers <= 1:
            for members in batches:
                yield from zip(members, self._run(members, begun, until), strict=True)
            return
        pool = ThreadPoolExecutor(workers)
        try:
            found = [pool.submit(self._run, members, begun, until) for members in batches]
            for members, blocks in zip(batches, found, strict=True):
                yield from zip(members, blocks.result(), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)

    def _run(self, members: Sequence[int], begun: dict[int, list[Block]], until: int) -> list[list[Block]]:
        """The blocks of one row each of every member, advanced to a checkpoint."""
        rows = [(m, k) for m in members for k in range(self.seeds)]
        started = [block for m in members for block in begun.get(m, [None] * self.seeds)]
        done: list[Block] = []
        for i in range(0, len(rows), self.engine.rows):
            part = slice(i, i + self.engine.rows)
            done += self._block(rows[part], started[part], until)
        return [done[i * self.seeds : (i + 1) * self.seeds] for i in range(len(members))]

    def _block(self, rows: list[tuple[int, int]], started: Sequence[Block | None], until: int) -> list[Block]:
        """Advance one block, filled up with its last row, and take it apart again."""
        empty = self.engine.rows - len(rows)
        filled = rows + [rows[-1]] * empty
        index = jnp.array([k for _, k in filled], jnp.int32)
        fold = lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, index)
        before = [block for block in started if block is not None]
        stacked = lambda trees: jax.tree.map(lambda *x: jnp.stack(x), *trees)
        members = [m for m, _ in filled]
        if before:
            block = joined(before + [before[-1]] * empty)
        else:
            params, first = stacked([self.group.params[m] for m in members]), self._params(members, 0)
            own = stacked([self.env_params[m] for m in members])
            block = self.engine.begin(fold(self.key_train), own, params, first)
        for point in range(len(block.points), until):
            keys = fold(jax.random.fold_in(self.key_eval, point))
            block = self.engine.advance(block, keys, self._params(members, point))
        return split(block)[: len(rows)]

    def _params(self, members: Sequence[int], point: int) -> PyTree:
        """The environment's parameters after a checkpoint, ``[R, ...]``; None without a curriculum."""
        if not self.stages:
            return None
        params = [now(self.env_params[m], self.stages, point / self.engine.length) for m in members]
        return jax.tree.map(lambda *x: jnp.stack(x), *params)

    def _outcome(self, member: int, blocks: Sequence[Block], stopped: bool = False) -> Outcome:
        """The outcome of a candidate from its rows."""
        names, engine = self.group.names[member], self.engine
        points = len(blocks[0].points)
        if not all(block.finite.all() for block in blocks):
            return Outcome(
                error="training with this reward became infinite or not a number; use smaller values"
            )
        curve = lambda name: [[float(b.points[c][name][0]) for b in blocks] for c in range(points)]
        shown = {**names, "total": "total", **({"base": "base"} if self.base else {})}
        terms = {own: curve(f"reward/{slot}") for slot, own in shown.items()}
        steps = [stop * engine.agent.steps_per_update for stop in engine.stops[:points]]
        fitness, success, returned, length = (curve(f"eval/{name}") for name in CURVES)
        counts = "ends" in blocks[0].points[-1]
        successes, ends = (curve(name) if counts else [] for name in ("successes", "ends"))
        look = self.watch and not stopped
        seen = engine.watch(blocks[0], jax.random.fold_in(self.key_eval, WATCHING)) if look else {}
        for episode in seen.get("episodes", ()):
            for step in episode["steps"]:
                step["paid"] = {
                    own: step["paid"][slot] for slot, own in shown.items() if slot in step["paid"]
                }
        at = steps[-1] if stopped else 0
        said = self.latents.get(member, {})
        return Outcome(
            steps, fitness, success, returned, length, terms, at, failures=seen, latents=said,
            successes=successes, ends=ends,
        )  # fmt: skip
