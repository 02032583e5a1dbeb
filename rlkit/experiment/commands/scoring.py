"""The command ``rlkit score``: how physically plausible motions are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlkit import fields
from rlkit.errors import UsageError
from rlkit.experiment.commands.arguments import parse
from rlkit.fields import option

FORMULAS = ("simulator", "published", "published-true-floor")
SCORE_HELP = """usage: rlkit score MOTION... [options]

MOTION is an .npz with the arrays qpos [frames, nq] and fps, or an .npy with qpos alone (--fps says the rate).
Scores are in [0, 1]; greater is better. See docs/embodied.md.
"""


@dataclass(frozen=True)
class ScoreConfig:
    """How motions are scored."""

    body: str = option("standing", "standing, gymnasium, or the path of a MuJoCo model")
    fps: float = option(0.0, "frames per second; 0 takes the file's", low=0.0)
    feet: tuple[str, ...] = option((), "bodies that stand on the floor; none takes those named ...foot")
    formula: str = option("simulator", "simulator, published or published-true-floor", choices=FORMULAS)
    backend: str = option("mujoco", "mujoco (C) or mjx (JAX)", choices=("mujoco", "mjx"))
    json: bool = option(False, "print a line of JSON for each motion")

    def __post_init__(self) -> None:
        fields.check(self)


def score(args: list[str]) -> int:
    """``rlkit score MOTION...``."""
    asked = "-h" in args or "--help" in args
    if asked:
        print(SCORE_HELP)
    count = next((i for i, arg in enumerate(args) if arg.startswith("-")), len(args))
    motions, args = args[:count], args[count:]
    config = parse(ScoreConfig, args, "rlkit score MOTION...")
    if not motions:
        raise UsageError("rlkit score takes the files of motions first: rlkit score MOTION... [options]")
    from rlkit.rewards.motion import body

    of = body(config.body, config.feet or None)
    for path in motions:
        found = score_file(path, of, config)
        print(json.dumps(found) if config.json else _shown(found))
    return 0


def score_file(path: str | Path, of: Any, config: ScoreConfig) -> dict[str, Any]:
    """Score one motion: its numbers as JSON has them.

    Raises:
      UsageError: the file is no motion of this body, see :func:`rlkit.rewards.motion.read_motion`.
    """
    import jax

    from rlkit.rewards.motion import (
        frame_score,
        motion_features,
        motion_score,
        published_motion_score,
        read_motion,
    )

    motion = read_motion(path, of, config.fps or None)
    seen = motion_features(of, motion.qpos, motion.dt, motion.qvel, motion.qacc, backend=config.backend)
    if config.formula == "simulator":
        result = jax.jit(motion_score)(seen)
    else:
        floor = "aligned" if config.formula == "published" else "true"
        result = jax.jit(lambda f: published_motion_score(f, floor=floor))(seen)
    frames = np.asarray(jax.jit(frame_score)(seen))
    number = lambda tree: {name: round(float(x), 6) for name, x in tree.items()}
    return {
        "motion": str(path),
        "formula": config.formula,
        "frames": len(motion.qpos),
        "fps": round(1.0 / motion.dt, 6),
        "score": round(float(result.score), 6),
        "axes": number(result.axes),
        "terms": number(result.terms),
        "worst_frame": {
            "time": round(float(seen.time[frames.argmin()]), 6),
            "score": round(float(frames.min()), 6),
        },
    }


def _shown(found: dict[str, Any]) -> str:
    worst = found["worst_frame"]
    lines = [
        f"{found['motion']}: {found['score']:.3f} ({found['formula']}; {found['frames']} frames at "
        f"{found['fps']:g} a second; worst at {worst['time']:.2f} s with {worst['score']:.3f})"
    ]
    for axis, value in found["axes"].items():
        parts = [
            f"{name.split('/')[1]} {x:.3f}"
            for name, x in found["terms"].items()
            if name.startswith(f"{axis}/")
        ]
        lines.append(f"  {axis:<10} {value:.3f}   {'  '.join(parts)}")
    return "\n".join(lines)
