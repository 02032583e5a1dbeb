"""Checkpoints: the whole state of a population, verified when it comes back.

Orbax writes the files (complete or not at all). Beside the leaves it stores their names, shapes,
dtypes and a digest, because Orbax by itself loads flipped bits, casts dtypes and takes an empty
folder for a checkpoint. Bulk (see :mod:`rlkit.bulk`) has a folder of its own, so that it can be left out, or
kept in the newest checkpoint alone.
"""

import base64
import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import outside
from rlkit.bulk import around, is_below, replace_rest, rest
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs.store import read_json
from rlkit.types import PyTree

VERSION = 3
REJECTED = "rejected"
BULK = "bulk"


class Checkpoint(NamedTuple):
    """A state that came back."""

    update: int
    state: PyTree  # NumPy leaves, and typed keys
    meta: dict[str, Any]  # what was saved beside it
    whole: bool = True  # False: its bulk is gone, and the fields around it begin anew


class Flat(NamedTuple):
    """A pytree as named host arrays; typed keys as their data."""

    arrays: list[np.ndarray]
    leaves: list[list]  # [path, shape, dtype] each; the dtype of a key is "key<implementation>"
    bulk: list[bool]  # whether it belongs to the bulk

    def part(self, bulk: bool) -> "Flat":
        """The bulk, or the rest."""
        chosen = [i for i, b in enumerate(self.bulk) if b == bulk]
        return Flat([self.arrays[i] for i in chosen], [self.leaves[i] for i in chosen], [bulk] * len(chosen))


def flatten(state: PyTree, bulk: tuple[str, ...] = ()) -> Flat:
    """Bring a pytree to the host as named arrays."""
    arrays, leaves, large = [], [], []
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            array = np.asarray(jax.random.key_data(leaf))
        else:
            array = np.asarray(leaf)
        arrays.append(array)
        leaves.append([jax.tree_util.keystr(path), list(array.shape), str(leaf.dtype)])
        large.append(is_below(path, bulk))
    return Flat(arrays, leaves, large)


def digest(flat: Flat) -> str:
    """sha256 over names, shapes, dtypes and bytes of all leaves."""
    total = hashlib.sha256()
    for array, leaf in zip(flat.arrays, flat.leaves, strict=True):
        total.update(json.dumps(leaf).encode())
        if array.size:
            total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # no copy
    return total.hexdigest()


def state_digest(state: PyTree) -> str:
    """sha256 of a state; equal digests mean equal bits."""
    return digest(flatten(state))


def encode(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON data, exactly."""
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "data": data}


def decode(data: dict[str, Any]) -> np.ndarray:
    """The inverse of :func:`encode`."""
    return np.frombuffer(base64.b64decode(data["data"]), data["dtype"]).reshape(data["shape"]).copy()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax's remarks about settings we chose off the terminal."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep standard error silent: on damage, TensorStore's threads write pages there, also afterwards."""
    try:
        keep, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # there is no standard error
        yield
        return
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        os.dup2(nowhere, 2)
        yield
    except Exception:
        time.sleep(0.2)  # the stragglers
        raise
    finally:
        sys.unraisablehook = hook
        os.dup2(keep, 2)
        os.close(keep)
        os.close(nowhere)


@contextlib.contextmanager
def _manager(folder: Path, keep: int | None) -> Iterator[Any]:
    import orbax.checkpoint as ocp  # slow to import

    with _quiet():
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
        items = ("state", BULK, "meta")
        manager = ocp.CheckpointManager(folder.resolve(), options=options, item_names=items)
        try:
            yield manager
        finally:
            manager.close()


def _meta_digest(meta: dict[str, Any]) -> str:
    rest = {name: value for name, value in meta.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def save(
    folder: Path,
    update: int,
    state: PyTree,
    meta: dict[str, Any],
    *,
    keep: int = 3,
    exempt: tuple[str, ...] = (),
    bulk: tuple[str, ...] = (),
    forget: bool = False,
) -> None:
    """Save a state; when this returns it is durable.

    Args:
      folder: the checkpoint folder of a run.
      update: updates made; the checkpoint's name.
      state: any pytree of arrays, typed keys included.
      meta: JSON data to store beside it.
      keep: how many of the newest checkpoints to keep.
      exempt: paths of floating leaves that need not be finite (those that never were).
      bulk: names of fields that the newest checkpoint alone keeps: older ones lose them. They may hold
        anything.
      forget: do not keep them at all.

    Raises:
      RlkitError: a leaf is not finite, or the folder cannot be written; older checkpoints are intact.
    """
    import orbax.checkpoint as ocp

    flat = flatten(state, bulk)
    small, large = flat.part(False), flat.part(True)
    for array, (path, _, _) in zip(small.arrays, small.leaves, strict=True):
        if jnp.issubdtype(array.dtype, jnp.floating) and path not in exempt and not np.isfinite(array).all():
            raise RlkitError(f"state{path} is not finite at update {update}; nothing was saved")
    whole = {**meta, "version": VERSION, "update": update, "leaves": flat.leaves, "state": digest(small)}
    whole["large"] = flat.bulk
    whole[BULK] = None if forget else digest(large)
    whole["digest"] = _meta_digest(whole)
    items = {"state": ocp.args.StandardSave(_named(small)), "meta": ocp.args.JsonSave(whole)}
    if _named(large) and not forget:
        items[BULK] = ocp.args.StandardSave(_named(large))
    args = ocp.args.Composite(**items)
    with (
        outside.at(folder, "save a checkpoint (earlier ones are intact) in"),
        _hushed(),
        _manager(folder, keep) as manager,
    ):
        manager.save(update, args=args, force=True)
        manager.wait_until_finished()
        for older in steps(folder):
            if older < update:
                shutil.rmtree(folder / str(older) / BULK, ignore_errors=True)


def _named(flat: Flat) -> dict[str, np.ndarray]:
    """Arrays as Orbax takes them: it has no empty ones; their shapes are in the meta data."""
    return {f"{i:05d}": array for i, array in enumerate(flat.arrays) if array.size}


def steps(folder: Path) -> list[int]:
    """The updates that seem to have a checkpoint, ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())


def describe(folder: Path, update: int) -> dict[str, Any]:
    """The description of a checkpoint: what was saved beside its state.

    Raises:
      OSError, ValueError: it is missing, damaged, of another format, or of another checkpoint.
    """
    meta = read_json(folder / str(update) / "meta" / "metadata")
    if not isinstance(meta, dict) or meta.get("digest") != _meta_digest(meta):
        raise ValueError("its description is damaged")
    if meta["version"] != VERSION:
        raise ValueError(f"it has format {meta['version']}, this rlkit reads {VERSION}")
    if meta["update"] != update:
        raise ValueError(f"it is a copy of checkpoint {meta['update']}")
    return meta


def _load(folder: Path, update: int) -> tuple[Flat, dict[str, Any]]:
    """Read a checkpoint but its bulk and verify that it is what was saved; any exception: it is not."""
    meta = describe(folder, update)
    return _read(folder, update, "state", _blank(meta, False), meta["state"]), meta


def _load_bulk(folder: Path, update: int, meta: dict[str, Any]) -> Flat | None:
    """Read the bulk of one checkpoint; None if it was not kept, or is not what was saved."""
    flat = _blank(meta, True)
    if not _named(flat):
        return flat
    if meta[BULK] is None or not (folder / str(update) / BULK).is_dir():
        return None
    try:
        return _read(folder, update, BULK, flat, meta[BULK])
    except Exception:  # Orbax raises anything on damage
        return None


def _blank(meta: dict[str, Any], bulk: bool) -> Flat:
    """Zeros like the arrays that were saved, which take no memory."""
    large = meta["large"] if bulk else [not x for x in meta["large"]]
    leaves = [leaf for leaf, chosen in zip(meta["leaves"], large, strict=True) if chosen]
    dtypes = [np.dtype("uint32") if d.startswith("key<") else jnp.dtype(d) for _, _, d in leaves]
    arrays = [np.broadcast_to(np.zeros((), d), leaf[1]) for leaf, d in zip(leaves, dtypes, strict=True)]
    return Flat(arrays, leaves, [bulk] * len(leaves))


def _read(folder: Path, update: int, item: str, blank: Flat, wanted: str) -> Flat:
    """Read a part of a checkpoint and verify it."""
    import orbax.checkpoint as ocp

    args = ocp.args.Composite(**{item: ocp.args.StandardRestore(_named(blank))})
    with _hushed(), _manager(folder, None) as manager:
        found = manager.restore(update, args=args)[item]
    arrays = [np.asarray(found.get(f"{i:05d}", empty)) for i, empty in enumerate(blank.arrays)]
    flat = blank._replace(arrays=arrays)
    if digest(flat) != wanted:
        raise ValueError("its content does not match its digest")
    return flat


def _match(saved: list[list], template: PyTree, where: str) -> None:
    """Raise unless the saved leaves are those of the template."""
    wanted = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(template)[0]:
        data = leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = jax.eval_shape(jax.random.key_data, leaf)
        wanted[jax.tree_util.keystr(path)] = (list(data.shape), str(leaf.dtype))
    found = {path: (shape, dtype) for path, shape, dtype in saved}
    advice = "it belongs to another agent, environment or configuration"
    for path, (shape, dtype) in wanted.items():
        if path not in found:
            raise UsageError(f"{where} has no leaf state{path}; {advice}")
        if found[path] != (shape, dtype):
            have = f"{found[path][1]}{found[path][0]}"
            raise UsageError(f"{where} has {have} in state{path}, expected {dtype}{shape}; {advice}")
    for path in found:
        if path not in wanted:
            raise UsageError(f"{where} has the unexpected leaf state{path}; {advice}")


def _unflatten(small: Flat, large: Flat, meta: dict[str, Any], template: PyTree) -> PyTree:
    leaves, treedef = jax.tree.flatten(template)
    back, parts = [], {False: iter(small.arrays), True: iter(large.arrays)}
    for bulk, leaf in zip(meta["large"], leaves, strict=True):
        array = next(parts[bulk])
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(jnp.empty((), leaf.dtype))
            back.append(jax.random.wrap_key_data(jnp.asarray(array), impl=impl))
        else:
            back.append(array)
    return treedef.unflatten(back)


def restore(
    folder: Path,
    template: PyTree,
    warn: Callable[[str], None],
    accept: Callable[[int], bool] = lambda update: True,
    *,
    bulk: tuple[str, ...] = (),
    fresh: Callable[[], PyTree] | None = None,
) -> Checkpoint | None:
    """Restore the newest checkpoint whose content is what was saved.

    Args:
      folder: the checkpoint folder of a run.
      template: a pytree of the expected structure, shapes and dtypes (``jax.eval_shape`` gives one).
      warn: called with one sentence for each newer checkpoint that is damaged.
      accept: which updates to consider; asked from the newest to the oldest.
      bulk: the names that the checkpoints were saved with.
      fresh: makes a new state: where bulk is gone, the fields around it are taken from there. None: bulk is
        not read, and zeros that take no memory stand for it, which is enough to act.

    Returns:
      The checkpoint; None if the folder holds none of those. Nothing is cast or reshaped.

    Raises:
      UsageError: the checkpoint is intact but another agent's; the message names the leaf.
      RlkitError: there are checkpoints and all are damaged.
    """
    rejected = 0
    for update in reversed(steps(folder)):
        if not accept(update):
            continue
        try:
            flat, meta = _load(folder, update)
            large = _load_bulk(folder, update, meta) if fresh is not None else None
        except Exception as error:  # Orbax raises anything on damage
            rejected += 1
            reason = str(error).strip().split("\n")[0][:160] or type(error).__name__
            warn(f"checkpoint {update} in {folder} is rejected: {reason}")
            continue
        _match(meta["leaves"], template, f"checkpoint {update} in {folder}")
        state = _unflatten(flat, _blank(meta, True) if large is None else large, meta, template)
        whole = large is not None or not any(meta["large"])
        if fresh is not None and not whole:
            fields = around(bulk)
            state = replace_rest(fields, fresh(), rest(fields, state))
        return Checkpoint(update, state, meta, whole)
    if rejected:
        raise RlkitError(f"none of the {rejected} checkpoints in {folder} is intact; start a new run")
    return None


def set_aside(folder: Path, after: int) -> None:
    """Move checkpoints newer than ``after`` to the folder ``rejected`` beside it."""
    for update in steps(folder):
        if update > after:
            target = folder.parent / REJECTED
            target.mkdir(exist_ok=True)
            number = sum(1 for _ in target.iterdir())
            (folder / str(update)).rename(target / f"{update}-{number}")
