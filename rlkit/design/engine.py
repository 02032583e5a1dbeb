"""The compiled programs that train and judge rows; a row is one seed of one candidate."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.compiling import compiler_options
from rlkit.design.curriculum import with_params
from rlkit.design.types import CURVES
from rlkit.experiment.training.health import born_finite
from rlkit.experiment.training.loop import compile_chunk
from rlkit.experiment.training.population import Population, population, resolve_batching
from rlkit.parallel import over_seeds
from rlkit.types import Agent, Key, PyTree


class Block(NamedTuple):
    """What a block of ``R`` rows has given so far."""

    state: PyTree  # leaves [R, ...]
    env_params: PyTree  # of the environment in which rows are judged, leaves [R, ...]
    points: list[dict[str, np.ndarray]]  # by checkpoint, [R] each
    finite: np.ndarray  # bool [R]


class Engine:
    """The programs of a group of candidates: they begin, advance and judge blocks of rows.

    Blocks may be used from several threads at once: programs are compiled under a lock, and hold no state.

    Args:
      agent: bound to the reward whose parameters tell candidates apart.
      rows: of a block.
      total_steps: environment steps of a row.
      checkpoints: equally spaced points at which rows are judged.
      eval_episodes: episodes of a judgement.
    """

    def __init__(self, agent: Agent, rows: int, total_steps: int, checkpoints: int, eval_episodes: int):
        self.agent, self.rows, self.eval_episodes = agent, rows, eval_episodes
        updates = -(-total_steps // agent.steps_per_update)
        count = min(checkpoints, updates)
        self.stops = [round((i + 1) * updates / count) for i in range(count)]
        longest = max(b - a for a, b in zip([0, *self.stops], self.stops, strict=False))
        self.pop: Population = population(agent, rows, max_chunk=longest)
        batching = resolve_batching("auto")
        start = lambda row: agent.init(row[0], agent.config, *row[1:])
        self._init: Any = jax.jit(over_seeds(start, batching))
        self._judge: Any = jax.jit(over_seeds(self._judged, batching))
        self._program: Any = None
        self._play: Any = None  # compiled where somebody looks at episodes
        self._record: Any = None  # compiled where somebody asks for latents
        self._lock = threading.Lock()
        self._born = np.zeros(0, bool)  # which floating leaves of a state are finite at its start

    @property
    def length(self) -> int:
        """Number of checkpoints."""
        return len(self.stops)

    def _judged(self, row: tuple[PyTree, Key, PyTree]) -> dict[str, jax.Array]:
        from rlkit.agents import evaluate

        state, key, params = row
        policy = self.agent.policy(state)
        found = evaluate(self.agent, policy, key, self.eval_episodes, env_params=params)
        return {name: jnp.mean(getattr(found, name).astype(jnp.float32)) for name in CURVES}

    def begin(self, keys: Key, env_params: PyTree, params: PyTree, first: PyTree = None) -> Block:
        """Rows that have not been trained.

        Args:
          keys: ``[R]``.
          env_params: of the environment, leaves ``[R, ...]``.
          params: of the reward, leaves ``[R, ...]``.
          first: of the environment in which they begin; None: the same.
        """
        env_params = jax.tree.map(jnp.array, env_params)  # copies: states are donated
        begins = env_params if first is None else jax.tree.map(jnp.asarray, first)
        rows = (keys, begins, jax.tree.map(jnp.asarray, params))
        with self._lock:
            if self._program is None:
                self._compile(rows)
        return Block(self._init(rows), env_params, [], np.ones(self.rows, bool))

    def _compile(self, rows: tuple) -> None:
        """All programs; judging is compiled beside training, in a thread."""
        state = self._init(rows)
        judging = self._judge.lower((state, rows[0], rows[1]))
        with ThreadPoolExecutor(1) as beside:
            judge = beside.submit(judging.compile, compiler_options())
            program = compile_chunk(self.pop, state)
            self._judge = judge.result()
        self._born = born_finite(self.pop, state)
        self._program = program

    def advance(self, block: Block, keys: Key, env_params: PyTree = None) -> Block:
        """To the next checkpoint.

        Args:
          block: which must not be used afterwards.
          keys: ``[R]``, for judging.
          env_params: of the environment from here on, leaves ``[R, ...]``; None: as before.
        """
        before = block.state if env_params is None else with_params(block.state, env_params)
        done = len(block.points)
        count = self.stops[done] - (self.stops[done - 1] if done else 0)
        state, rows, finite = self._program.run(before, np.int32(count), self._born)
        updates = dict(zip(self.pop.metrics, np.moveaxis(np.asarray(rows)[:, :count], -1, 0), strict=True))
        point = {name: values.mean(1) for name, values in updates.items()} | self._ended(updates)
        point |= {
            f"eval/{name}": np.asarray(x) for name, x in self._judge((state, keys, block.env_params)).items()
        }
        fine = block.finite & (np.asarray(finite) | ~self._born).all(1)
        return Block(state, block.env_params, [*block.points, point], fine)

    def _ended(self, updates: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Episodes that ended, and those with success, per step; of metrics ``[R, updates]``."""
        if not {"episode/count", "episode/success"} <= set(updates):
            return {}
        count, steps = updates["episode/count"], self.agent.steps_per_update
        successes = np.where(count > 0, updates["episode/success"] * count, 0.0)
        return {"ends": count.mean(1) / steps, "successes": successes.mean(1) / steps}

    def listen(self, block: Block, key: Key) -> dict[str, float]:
        """What the latents of a block of one row say: :func:`rlkit.design.latents.measured`."""
        from rlkit.design.latents import measured, recorder

        state = jax.tree.map(lambda x: x[0], block.state)
        key_record, key_draw = jax.random.split(key)

        def heard() -> dict[str, float]:
            latent, first = self._record(state, key_record)
            return {name: float(x[0]) for name, x in measured(latent[None], first[None], key_draw).items()}

        with self._lock:
            if self._record is None:  # the first one compiles, and the others wait for it
                self._record = jax.jit(recorder(self.agent), compiler_options=compiler_options())
                return heard()
        return heard()

    def watch(self, block: Block, key: Key) -> dict[str, Any]:
        """How episodes of the policy of a block of one row end: :func:`rlkit.design.failures.describe`."""
        from rlkit.design.failures import describe, player

        state = jax.tree.map(lambda x: x[0], block.state)
        with self._lock:
            if self._play is None:
                limit = int(self.agent.settings(state).env_params.max_steps)
                self._play = jax.jit(player(self.agent, limit), compiler_options=compiler_options())
            found = self._play(state, key)
        return describe(jax.device_get(found))


def split(block: Block) -> list[Block]:
    """Blocks of one row each."""
    rows = len(block.finite)
    if rows == 1:
        return [block]
    at = lambda tree, i: jax.tree.map(lambda x: x[i : i + 1], tree)
    return [
        Block(
            at(block.state, i),
            at(block.env_params, i),
            [at(p, i) for p in block.points],
            block.finite[i : i + 1],
        )
        for i in range(rows)
    ]


def joined(blocks: Sequence[Block]) -> Block:
    """Rows side by side again."""
    if len(blocks) == 1:
        return blocks[0]
    join = lambda *trees: jax.tree.map(lambda *x: jnp.concatenate(x), *trees)
    host = lambda *trees: jax.tree.map(lambda *x: np.concatenate(x), *trees)
    points = [host(*point) for point in zip(*(block.points for block in blocks), strict=True)]
    state, params = (join(*trees) for trees in zip(*((b.state, b.env_params) for b in blocks), strict=True))
    return Block(state, params, points, np.concatenate([b.finite for b in blocks]))
