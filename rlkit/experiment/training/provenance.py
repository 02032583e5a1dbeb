"""Where and with what a run was made."""

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from rlkit.experiment.training.devices import cores
from rlkit.outside import read_bytes
from rlkit.registry import is_target, origin
from rlkit.rewards.reading import reward_file

PACKAGES = (
    "rlkit-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scipy",
    "brax",
    "mujoco",
)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*args: str) -> str | None:
    """Output of a git command in the folder of the source, None without git."""
    where = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *args], cwd=where, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The processor's name: XLA compiles for what it can do."""
    try:
        rows = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (row.split(":", 1)[1].strip() for row in rows if row.startswith("model name"))
    return next(names, platform.machine())


CONTENT = "content of "
"""Begins the names of files in :func:`machine`."""


def machine(num_devices: int, names: Iterable[str] = ()) -> dict[str, Any]:
    """What the last bits of a training depend on beside its configuration, as JSON data.

    Args:
      num_devices: devices that the seeds are spread over.
      names: of environment, agent and reward; those of the user's own modules (``"module:factory"``) are
        there with a digest of the module's file, those of files with a digest of the file.
    """
    setting = lambda name: getattr(jax.config, name, None)
    found = {
        "devices": num_devices,
        "device": jax.local_devices()[0].device_kind,
        "processor": _processor(),
        "cores": cores(),
        "jax": jax.__version__,
        "jaxlib": metadata.version("jaxlib"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "NPROC": os.environ.get("NPROC", ""),
        "x64": bool(setting("jax_enable_x64")),
        "threefry_partitionable": setting("jax_threefry_partitionable"),
        "matmul_precision": setting("jax_default_matmul_precision"),
        "disable_jit": setting("jax_disable_jit"),
    }
    names = list(names)
    found |= {f"source of {name}": origin(name).digest[:16] for name in names if is_target(name)}
    files = [file for name in names if (file := reward_file(name)) is not None and file.is_file()]
    found |= {f"{CONTENT}{file}": hashlib.sha256(read_bytes(file)).hexdigest()[:16] for file in files}
    return {name: v if isinstance(v, (bool, int, str, type(None))) else str(v) for name, v in found.items()}


def provenance() -> dict[str, Any]:
    """Versions, devices, commit, command line and hardware, as JSON data.

    ``commit`` is None unless the source lies in its own git checkout; ``modified`` says
    whether tracked files differ from it.
    """
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name) is not None
    commit = _git("rev-parse", "HEAD") if tracked else None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [f"{device.device_kind} {device.id}" for device in jax.local_devices()],
        "x64": bool(jax.config.jax_enable_x64),  # pyrefly: ignore
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "versions": _versions(),
        "commit": commit,
        "modified": None if commit is None else bool(changes),
    }
