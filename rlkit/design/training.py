"""Training candidates side by side, and judging them by the task's own signals.

A row is one seed of one candidate. Rows of a group are trained in blocks by one program, which is compiled
once for the design: a candidate is a change of parameters. On a CPU a block is one row, because batching
gains nothing there; on accelerators it is all rows.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import fields
from rlkit.agents import registry
from rlkit.compiling import compiler_options
from rlkit.design.genome import Schema
from rlkit.design.grouping import Group, grouped
from rlkit.design.types import CURVES, Candidate, DesignTask, Outcome
from rlkit.errors import UsageError
from rlkit.experiment.training.health import born_finite
from rlkit.experiment.training.loop import compile_chunk
from rlkit.experiment.training.population import Population, population, resolve_batching
from rlkit.fields import option
from rlkit.parallel import over_seeds
from rlkit.rewards import read
from rlkit.rewards.designed import with_base
from rlkit.types import Agent, Key, PyTree

ROWS = 256  # most rows of a block
ENGINES = 4  # programs that are kept
WATCHING = 2**31 - 1  # folded into the key of judgements for episodes that are described


def _default_agent() -> Any:
    return registry.config_class("ppo")()


@dataclass(frozen=True)
class Training:
    """How candidates are trained; all alike."""

    agent: Any = field(default_factory=_default_agent, metadata={"help": "hyper-parameters of the agent"})
    algorithm: str = ""  # "module:maker" of an agent that is not in the table
    total_steps: int = option(100_000, "environment steps of each seed", low=1)
    seeds: int = option(2, "seeds of each candidate", low=1)
    checkpoints: int = option(10, "equally spaced points at which policies are judged", low=1)
    eval_episodes: int = option(16, "episodes of a judgement", low=1)

    def __post_init__(self) -> None:
        fields.check(self)
        fields.check(self.agent)

    @property
    def agent_name(self) -> str:
        """The agent's name in the table, or its maker."""
        return self.algorithm or registry.name_of(self.agent)


class _Block(NamedTuple):
    """What a block of ``R`` rows has given so far."""

    state: PyTree  # leaves [R, ...]
    points: list[dict[str, np.ndarray]]  # by checkpoint, [R] each
    finite: np.ndarray  # bool [R]


class Keep(NamedTuple):
    """When candidates are dropped: at a share of the training, keeping the better ones."""

    at: float  # share of the training
    chosen: Callable[[Sequence[Outcome]], Sequence[bool]]  # which go on


class Engine:
    """The compiled program of a group: it begins, advances and judges blocks of rows."""

    def __init__(self, agent: Agent, settings: Training, rows: int):
        self.agent, self.settings, self.rows = agent, settings, rows
        updates = -(-settings.total_steps // agent.steps_per_update)
        count = min(settings.checkpoints, updates)
        self.stops = [round((i + 1) * updates / count) for i in range(count)]
        longest = max(b - a for a, b in zip([0, *self.stops], self.stops, strict=False))
        self.pop: Population = population(agent, rows, max_chunk=longest)
        self.batching = resolve_batching("auto")
        start = lambda row: agent.init(row[0], agent.config, *row[1:])
        self.init = jax.jit(over_seeds(start, self.batching))
        options = compiler_options()
        self.judge = jax.jit(over_seeds(self._judge, self.batching), compiler_options=options)
        self.play: Any = None  # compiled where somebody looks at episodes
        self.program: Any = None
        self.born = np.zeros(0, bool)  # which floating leaves of a state are finite at its start

    def _judge(self, row: tuple[PyTree, Key]) -> dict[str, jax.Array]:
        from rlkit.agents import evaluate

        state, key = row
        settings = self.agent.settings(state)
        found = evaluate(
            self.agent,
            self.agent.policy(state),
            key,
            self.settings.eval_episodes,
            env_params=settings.env_params,
        )
        return {name: jnp.mean(getattr(found, name).astype(jnp.float32)) for name in CURVES}

    def begin(self, keys: Key, env_params: PyTree, params: PyTree) -> _Block:
        """Rows that have not been trained; ``params`` ``[R, ...]``."""
        wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.rows, *jnp.shape(x))), env_params)
        state = self.init((keys, wide, jax.tree.map(jnp.asarray, params)))
        if self.program is None:
            self.program = compile_chunk(self.pop, state)
            self.born = born_finite(self.pop, state)
        return _Block(state, [], np.ones(self.rows, bool))

    def advance(self, block: _Block, keys: Key) -> _Block:
        """To the next checkpoint; ``keys`` ``[R]`` for judging there."""
        done = len(block.points)
        count = self.stops[done] - (self.stops[done - 1] if done else 0)
        state, rows, finite = self.program.run(block.state, np.int32(count), self.born)
        means = np.asarray(rows)[:, :count].mean(1)
        point = dict(zip(self.pop.metrics, means.T, strict=True))
        point |= {f"eval/{name}": np.asarray(x) for name, x in self.judge((state, keys)).items()}
        return _Block(state, [*block.points, point], block.finite & (np.asarray(finite) | ~self.born).all(1))

    def watch(self, block: _Block, key: Key) -> dict[str, Any]:
        """How episodes of the policy of a block of one row end: :func:`rlkit.design.failures.describe`."""
        from rlkit.design.failures import describe, player

        state = jax.tree.map(lambda x: x[0], block.state)
        if self.play is None:
            limit = int(self.agent.settings(state).env_params.max_steps)
            self.play = jax.jit(player(self.agent, limit), compiler_options=compiler_options())
        return describe(jax.device_get(self.play(state, key)))

    @property
    def length(self) -> int:
        """Number of checkpoints."""
        return len(self.stops)


class Trainer:
    """Trains candidates of one task; programs are kept between calls.

    Attributes:
      task: the task.
      settings: how candidates are trained.
      schema: of genomes; None: they are read as texts.
      compiled: how many programs have been compiled.
    """

    def __init__(self, task: DesignTask, settings: Training, schema: Schema | None = None):
        self.task, self.settings, self.schema = task, settings, schema
        self.base = read(task.base, task.env.spec) if task.base else None
        self.engines: OrderedDict[tuple, Engine] = OrderedDict()
        self.compiled = 0
        if not task.env.spec.pure:
            raise UsageError(
                f"{task.env.spec.id} runs on the host; a design trains many candidates in compiled programs "
                "and needs an environment that JAX can trace"
            )

    def train(
        self,
        candidates: Sequence[Candidate],
        key: Key,
        *,
        seeds: int | None = None,
        keep: Keep | None = None,
        known: frozenset[int] = frozenset(),
        watch: bool = False,
    ) -> Iterator[tuple[int, Outcome]]:
        """Train candidates; each with the same keys, so that they differ by their rewards alone.

        Args:
          candidates: with texts or genomes that have passed the checks.
          key: typed PRNG key; seed k starts from ``fold_in(key, k)``.
          seeds: of each; None takes the settings'.
          keep: drop the worse ones on the way.
          known: places whose outcome is known already; a block of nothing else is not trained again.
          watch: describe how episodes of each candidate's first seed end (``Outcome.failures``).

        Yields:
          Places and outcomes, as they become known. A candidate that cannot be trained has an error.
        """
        seeds = self.settings.seeds if seeds is None else seeds
        groups, errors = grouped(candidates, self.task, self.schema)
        yield from ((i, Outcome(error=error)) for i, error in errors.items())
        for group in groups:
            yield from _Rows(self, group, key, seeds, watch).train(keep, known)

    def engine(self, group: Group, rows: int) -> Engine:
        """The program of a group, compiled at the first use."""
        key = (group.key, rows)
        if key not in self.engines:
            paid = with_base(self.base, group.reward)
            name, config = self.settings.agent_name, self.settings.agent
            agent = registry.TABLE.make(name, self.task.env, config, reward=paid)
            self.engines[key] = Engine(agent, self.settings, rows)
            self.compiled += 1
            while len(self.engines) > ENGINES:
                self.engines.popitem(last=False)
        self.engines.move_to_end(key)
        return self.engines[key]


class _Rows:
    """All rows of a group: seed by seed of each candidate."""

    def __init__(self, trainer: Trainer, group: Group, key: Key, seeds: int, watch: bool):
        self.trainer, self.group, self.seeds, self.watch = trainer, group, seeds, watch
        self.key_train, self.key_eval = jax.random.split(key)
        total = len(group.places) * seeds
        self.width = 1 if resolve_batching("auto") == "map" else min(ROWS, 1 << (total - 1).bit_length())
        self.engine = trainer.engine(group, self.width)

    def train(self, keep: Keep | None, known: frozenset[int]) -> Iterator[tuple[int, Outcome]]:
        engine, everyone = self.engine, range(len(self.group.places))
        if keep is None:
            for members in self._batches(everyone):
                if {self.group.places[m] for m in members} <= known:
                    continue
                points = self._run(members, [None] * len(members), engine.length)
                yield from (
                    (self.group.places[m], self._outcome(m, p)) for m, p in zip(members, points, strict=True)
                )
            return
        rung = max(1, min(engine.length - 1, round(keep.at * engine.length)))
        first = self._run(list(everyone), [None] * len(everyone), rung)
        outcomes = [self._outcome(m, p, stopped=True) for m, p in zip(everyone, first, strict=True)]
        stays = list(keep.chosen(outcomes))
        going = [m for m in everyone if stays[m]]
        yield from ((self.group.places[m], outcomes[m]) for m in everyone if not stays[m])
        for members in self._batches(going):
            points = self._run(members, [first[m] for m in members], engine.length)
            yield from (
                (self.group.places[m], self._outcome(m, p)) for m, p in zip(members, points, strict=True)
            )

    def _batches(self, members: Sequence[int]) -> list[list[int]]:
        """Candidates that are trained together: as many as a block holds, at least one."""
        size = max(1, self.width // self.seeds)
        return [list(members[i : i + size]) for i in range(0, len(members), size)]

    def _run(self, members: Sequence[int], before: Sequence[Any], until: int) -> list[list[_Block]]:
        """The blocks of one row each of every member, advanced to a checkpoint."""
        rows = [(m, k) for m in members for k in range(self.seeds)]
        started = [block for blocks in before for block in (blocks or [None] * self.seeds)]
        done: list[_Block] = []
        for i in range(0, len(rows), self.width):
            done += self._block(rows[i : i + self.width], started[i : i + self.width], until)
        return [done[i * self.seeds : (i + 1) * self.seeds] for i in range(len(members))]

    def _block(self, rows: list[tuple[int, int]], started: list[Any], until: int) -> list[_Block]:
        """Advance one block, filled up with its last row, and take it apart again."""
        filled = rows + [rows[-1]] * (self.width - len(rows))
        index = jnp.array([k for _, k in filled], jnp.int32)
        fold = lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, index)
        if started[0] is None:
            params = jax.tree.map(lambda *x: jnp.stack(x), *[self.group.params[m] for m, _ in filled])
            block = self.engine.begin(fold(self.key_train), self.trainer.task.params, params)
        else:
            parts = started + [started[-1]] * (self.width - len(rows))
            block = _joined(parts)
        for point in range(len(block.points), until):
            block = self.engine.advance(block, fold(jax.random.fold_in(self.key_eval, point)))
        return _split(block)[: len(rows)]

    def _outcome(self, member: int, blocks: Sequence[_Block], stopped: bool = False) -> Outcome:
        """The outcome of a candidate from its rows."""
        names, engine = self.group.names[member], self.engine
        points = len(blocks[0].points)
        per_update = engine.agent.steps_per_update
        if not all(block.finite.all() for block in blocks):
            return Outcome(
                error="training with this reward became infinite or not a number; use smaller values"
            )
        curve = lambda name: [[float(b.points[c][name][0]) for b in blocks] for c in range(points)]
        shown = {**names, "total": "total", **({} if self.trainer.base is None else {"base": "base"})}
        terms = {own: curve(f"reward/{slot}") for slot, own in shown.items()}
        steps = [stop * per_update for stop in engine.stops[:points]]
        fitness, success, returned, length = (curve(f"eval/{name}") for name in CURVES)
        at = steps[-1] if stopped else 0
        look = self.watch and not stopped
        seen = engine.watch(blocks[0], jax.random.fold_in(self.key_eval, WATCHING)) if look else {}
        for episode in seen.get("episodes", ()):
            for step in episode["steps"]:
                step["paid"] = {
                    own: step["paid"][slot] for slot, own in shown.items() if slot in step["paid"]
                }
        return Outcome(steps, fitness, success, returned, length, terms, at, failures=seen)


def _split(block: _Block) -> list[_Block]:
    """One row each."""
    rows = len(block.finite)
    if rows == 1:
        return [block]
    at = lambda tree, i: jax.tree.map(lambda x: x[i : i + 1], tree)
    return [
        _Block(at(block.state, i), [at(p, i) for p in block.points], block.finite[i : i + 1])
        for i in range(rows)
    ]


def _joined(blocks: Sequence[_Block]) -> _Block:
    """Rows side by side again."""
    if len(blocks) == 1:
        return blocks[0]
    join = lambda *trees: jax.tree.map(lambda *x: jnp.concatenate(x), *trees)
    host = lambda *trees: jax.tree.map(lambda *x: np.concatenate(x), *trees)
    points = [host(*point) for point in zip(*(block.points for block in blocks), strict=True)]
    return _Block(join(*(b.state for b in blocks)), points, np.concatenate([b.finite for b in blocks]))
