"""A batch of host environments under a time limit: a ``gymnasium.vector`` environment and its thread."""

import queue
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from rlkit.envs import host_meters, host_worker
from rlkit.envs.host_worker import Blueprint, said
from rlkit.errors import RlkitError

_PICKLING = threading.Lock()
_CREATION = 10.0  # seconds that making one environment may take, beside the time limit


class HostError(RlkitError):
    """An environment on the host failed or did not answer; the message names it and its slot.

    Attributes:
      update: updates made in ``state``.
      state: the state of the training before the failure, if a training was going on.
    """

    update: int = 0
    state: Any = None


class Outcome(NamedTuple):
    """One step of a batch."""

    records: np.ndarray  # [B, R]: of the states to act on next, after any reset
    next_records: np.ndarray  # [B, R]: of the true successors, before any reset
    terminated: np.ndarray  # bool [B]
    truncated: np.ndarray  # bool [B]


class Thread:
    """A thread that runs one call at a time, so that whoever waits for it can stop waiting."""

    def __init__(self, name: str):
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(self._calls, self._results), name=name, daemon=True).start()

    def run(self, call: Callable[[], Any], seconds: float) -> Any:
        """The result of ``call()``.

        Raises:
          TimeoutError: it took longer; the thread is lost then.
        """
        self._calls.put(call)
        try:
            result, error = self._results.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """End the thread when it has done what it is doing."""
        self._calls.put(None)


def _serve(calls: queue.SimpleQueue, results: queue.SimpleQueue) -> None:
    while (call := calls.get()) is not None:
        try:
            results.put((call(), None))
        except BaseException as error:
            results.put((None, error))
        del call  # it may hold what its owner wants to be collected


class Batch:
    """``B`` environments side by side, with automatic reset in the step in which an episode ends.

    Args:
      name: of the environment, for messages.
      blueprints: one for each slot.
      vectorization: ``"sync"`` (in this process, one after the other) or ``"async"`` (a process each).
      time_limit: seconds that a reset or a step of the batch may take.

    Raises:
      HostError: an environment cannot be made. All methods raise it too; the batch is closed then.
    """

    def __init__(self, name: str, blueprints: list[Blueprint], vectorization: str, time_limit: float):
        self.name, self.time_limit, self.size = name, time_limit, len(blueprints)
        self.vector: Any = None
        self._thread = Thread(f"rlkit {name}")
        self.vector = self._do("start", lambda: _vector(blueprints, vectorization), _CREATION * self.size)

    def reset(self, seeds: list[int]) -> np.ndarray:
        """Begin all episodes anew; records ``[B, R]``."""
        return self._do("reset", lambda: self._checked(np.array(self._reset(seeds)[0])))

    def step(self, actions: np.ndarray) -> Outcome:
        """Step all environments."""
        return self._do("step", lambda: self._step(actions))

    def _reset(self, seeds: list[int]) -> Any:
        if not isinstance(self.vector, AsyncVectorEnv):
            return self.vector.reset(seed=seeds)
        self.vector.reset_async(seed=list[int | None](seeds))
        _await(self.vector)
        return self.vector.reset_wait()

    def _step(self, actions: np.ndarray) -> Outcome:
        if isinstance(actions, np.ndarray) and actions.dtype.kind == "f" and not np.isfinite(actions).all():
            slot = int(np.flatnonzero(~np.isfinite(actions.reshape(self.size, -1)).all(1))[0])
            raise RuntimeError(f"slot {slot} was given an action that is not finite: {actions[slot]}")
        if isinstance(self.vector, _InOrder):
            outcome = self.vector.outcome(actions)
            self._checked(outcome.next_records)
            self._checked(outcome.records)
            return outcome
        if isinstance(self.vector, AsyncVectorEnv):
            self.vector.step_async(actions)
            _await(self.vector)
            records, _, terminated, truncated, infos = self.vector.step_wait()
        else:
            records, _, terminated, truncated, infos = self.vector.step(actions)
        records = np.array(records)
        after = records
        if "final_obs" in infos:
            after = records.copy()
            for slot in np.flatnonzero(terminated | truncated):
                after[slot] = infos["final_obs"][slot]
            self._checked(after)
        return Outcome(self._checked(records), after, terminated, truncated)

    def _checked(self, records: np.ndarray) -> np.ndarray:
        if records.dtype != np.uint8 and not np.isfinite(records).all():
            slot = int(np.flatnonzero(~np.isfinite(records).all(1))[0])
            raise RuntimeError(f"slot {slot} returned an observation or a reward that is not finite")
        return records

    def _do(self, what: str, call: Callable[[], Any], extra: float = 0.0) -> Any:
        try:
            return self._thread.run(call, self.time_limit + extra)
        except TimeoutError:
            limit = self.time_limit + extra
            message = f"{self._hung()} took longer than {limit:g} s to {what} (time_limit)"
        except (EOFError, ConnectionError) as error:
            message = f"{self._dead()} while it had to {what} ({type(error).__name__})"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of whatever makes one, too
            text = said(error)
            message = text.removeprefix("RuntimeError: ") if text.startswith("RuntimeError: slot ") else text
        self.close(kill=True)
        raise HostError(f"{self.name}: {message}")

    def _hung(self) -> str:
        """Which slots keep the batch waiting."""
        if isinstance(self.vector, SyncVectorEnv):
            slots = [slot for slot, env in enumerate(self.vector.envs) if getattr(env, "doing", None)]
        elif isinstance(self.vector, AsyncVectorEnv):
            pipes = enumerate(self.vector.parent_pipes)
            slots = [slot for slot, pipe in pipes if pipe is None or not pipe.poll(0)]
        else:
            slots = []
        return _which(slots)

    def _dead(self) -> str:
        """Which slots' processes have ended."""
        processes = enumerate(getattr(self.vector, "processes", ()))
        gone = []
        for slot, process in processes:
            process.join(0.2)
            if process.exitcode is not None:
                gone.append((slot, process.exitcode))
        codes = ", ".join(str(code) for _, code in gone)
        return f"the process of {_which([slot for slot, _ in gone])} ended (exit code {codes or 'unknown'})"

    def close(self, kill: bool = False) -> None:
        """End threads and processes; ``kill`` does not wait for them to finish what they do."""
        vector, self.vector = self.vector, None
        self._thread.end()
        if isinstance(vector, AsyncVectorEnv):
            end_processes(vector)
        elif vector is not None and not kill:
            vector.close()


def _await(vector: AsyncVectorEnv) -> None:
    """Wait until every process has answered, and read none of it: a pipe without an answer is then of a slot
    that keeps the batch waiting."""
    for pipe in vector.parent_pipes:
        if pipe is not None:
            pipe.poll(None)


class _InOrder(SyncVectorEnv):
    """Steps one environment after the other, as ``SAME_STEP`` does, without collecting what nobody reads."""

    def outcome(self, actions: np.ndarray) -> Outcome:
        """One step of all; infos and rewards are in the records."""
        space: Any = self.single_observation_space
        records = np.empty((self.num_envs, *space.shape), space.dtype)
        flags = np.zeros((2, self.num_envs), bool)
        last = []
        for slot, (env, action) in enumerate(
            zip(self.envs, iterate(self.action_space, actions), strict=True)
        ):
            record, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                flags[:, slot] = terminated, truncated
                last.append((slot, record))
                record = env.reset()[0]
            records[slot] = record
        after = records.copy() if last else records
        for slot, record in last:
            after[slot] = record
        return Outcome(records, after, *flags)


def end_processes(vector: AsyncVectorEnv) -> None:
    """End the worker processes of a vector environment, whatever they are doing."""
    vector.closed = True  # its own way of closing waits for answers
    for process in vector.processes:
        process.terminate()
    for process in vector.processes:
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join(1.0)
    for pipe in vector.parent_pipes:
        if pipe is not None:
            pipe.close()


def _which(slots: list[int]) -> str:
    if not slots:
        return "an environment"
    return f"slot {slots[0]}" if len(slots) == 1 else f"slots {slots}"


def _vector(blueprints: list[Blueprint], vectorization: str) -> Any:
    if vectorization == "sync":
        return _InOrder(blueprints, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    import cloudpickle

    with _PICKLING:
        # By value, so that workers need not import this package, which imports JAX.
        for module in (host_worker, host_meters):
            cloudpickle.register_pickle_by_value(module)
        # Nor the main module, whose every line would run again if the script has no guard against it.
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            # Spawned, because a fork of a process that runs JAX can deadlock.
            return AsyncVectorEnv(
                blueprints, copy=False, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP
            )
        finally:
            sys.modules["__main__"] = main
            for module in (host_worker, host_meters):
                cloudpickle.unregister_pickle_by_value(module)
