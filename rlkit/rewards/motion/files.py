"""Motions in files."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit import outside
from rlkit.errors import UsageError
from rlkit.rewards.motion.body import BODIES, Body, body
from rlkit.rewards.motion.extract import LEAST

SLOWEST, FASTEST = 1.0, 10_000.0
"""Frames per second that a motion may have."""
FARTHEST = 10_000.0  # metres from the origin


class Motion(NamedTuple):
    """Poses at equal distances in time."""

    qpos: np.ndarray  # float64 [N, nq]
    dt: float  # s
    qvel: np.ndarray | None = None  # float64 [N, nv]
    qacc: np.ndarray | None = None  # float64 [N, nv]


def read_motion(path: str | Path, of: Body, fps: float | None = None) -> Motion:
    """Read a motion.

    Args:
      path: an ``.npz`` with the arrays ``qpos`` ``[N, nq]``, ``fps`` (or ``dt``, seconds) and perhaps
        ``qvel`` and ``qacc``; or an ``.npy`` with ``qpos`` alone. Positions are those of MuJoCo: metres, unit
        quaternion (w, x, y, z), radians.
      of: whose motion it is.
      fps: frames per second; needed where the file does not say, and refused where it says otherwise.

    Raises:
      UsageError: the file cannot be read, or holds other arrays; frames hold another number of joints; there
        are fewer than three; a number is not finite; the frame rate is missing, contradictory or not between
        1 and 10,000 a second.
    """
    path = Path(path)
    arrays = _arrays(path)
    qpos = _numbers(path, "qpos", arrays["qpos"])
    nq, nv = of.model.nq, of.model.nv
    if qpos.ndim != 2 or qpos.shape[1] != nq:
        raise UsageError(
            f"{path}: qpos has shape {qpos.shape}; expected [frames, {nq}], {of.frames}{_others(qpos, nq)}"
        )
    if len(qpos) < LEAST:
        raise UsageError(f"{path} has {len(qpos)} frames; expected at least {LEAST}")
    far = np.abs(qpos[:, :3]).max()
    if far > FARTHEST:
        raise UsageError(
            f"{path}: a position of the root is {far:.3g} m off; expected at most {FARTHEST:g}: metres, and "
            "near the origin, where float32 tells steps apart"
        )
    length = np.linalg.norm(qpos[:, 3:7], axis=1)
    if np.abs(length - 1).max() > 0.05:
        frame = int(np.abs(length - 1).argmax())
        raise UsageError(
            f"{path}: the quaternion in frame {frame}, qpos[{frame}, 3:7], has length {length[frame]:.3g}; "
            "expected unit quaternions (w, x, y, z)"
        )
    rates = {}
    for name in ("qvel", "qacc"):
        if name in arrays:
            rates[name] = _numbers(path, name, arrays[name])
            if rates[name].shape != (len(qpos), nv):
                raise UsageError(f"{path}: {name} has shape {rates[name].shape}; expected {(len(qpos), nv)}")
    return Motion(qpos, 1.0 / _rate(path, arrays, fps), **rates)


def write_motion(path: str | Path, qpos: Any, fps: float, **rates: Any) -> None:
    """Write a motion as an ``.npz`` for :func:`read_motion`; ``rates`` may be ``qvel`` and ``qacc``."""
    np.savez_compressed(path, qpos=np.asarray(qpos, np.float32), fps=np.float64(fps), **rates)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix not in (".npz", ".npy"):
        raise UsageError(f"{path}: expected a motion as .npz (qpos, fps) or .npy (qpos)")
    arrays = outside.read_arrays(path, "motion", "make it again, as .npz or .npy without objects")
    if "" in arrays:
        arrays = {"qpos": arrays[""]}
    if "qpos" not in arrays:
        raise UsageError(f"{path} has no array 'qpos'; it has {', '.join(sorted(arrays)) or 'none'}")
    return arrays


def _numbers(path: Path, name: str, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind not in "fiu":
        raise UsageError(f"{path}: {name} is of type {value.dtype}; expected real numbers")
    bad = np.argwhere(~np.isfinite(value))
    if bad.size:
        place = ", ".join(str(i) for i in bad[0])
        raise UsageError(f"{path}: {name}[{place}] is {value[tuple(bad[0])]}; expected finite numbers")
    return value.astype(np.float64)


def _others(qpos: np.ndarray, nq: int) -> str:
    """Which of the bodies that are known by name would fit."""
    if qpos.ndim != 2:
        return ""
    fitting = [name for name in BODIES if body(name).model.nq == qpos.shape[1]]
    return f"; the body {fitting[0]!r} has {qpos.shape[1]}" if fitting else ""


def _rate(path: Path, arrays: dict[str, np.ndarray], fps: float | None) -> float:
    said = []
    for name, rate in (("fps", lambda x: x), ("dt", lambda x: 1.0 / x if x else np.inf)):
        if name in arrays:
            if arrays[name].size != 1:
                raise UsageError(f"{path}: {name} has shape {arrays[name].shape}; expected one number")
            said.append(rate(float(_numbers(path, name, arrays[name].reshape(())))))
    said += [] if fps is None else [float(fps)]
    if not said:
        raise UsageError(f"{path} does not say its frame rate; give it: fps=30 (--fps 30)")
    for rate in said:
        if not SLOWEST <= rate <= FASTEST:
            raise UsageError(f"{path}: {rate:g} frames per second; expected {SLOWEST:g} to {FASTEST:g}")
        if abs(rate - said[0]) > 1e-3 * said[0]:
            raise UsageError(f"{path} has {said[0]:g} frames per second, but {rate:g} is said as well")
    return said[0]
