"""Devices that tests run on: the processes that they start there, and how far a device may round."""

import os
from pathlib import Path

import jax

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "tests"


def environment(devices: int = 1) -> dict[str, str]:
    """The environment of a process with so many CPU devices that compiles as users do.

    Of the flags of this process only the width of vectors is handed on: it stands for another processor.
    """
    widths = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if "xla_cpu_max_isa" in flag]
    return os.environ | {
        "XLA_FLAGS": " ".join([f"--xla_force_host_platform_device_count={devices}", *widths]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(CACHE / "plain"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def tolerance(cpu: float, elsewhere: float) -> float:
    """Of a comparison: accelerators add in another order and compute functions to other last bits."""
    return cpu if jax.default_backend() == "cpu" else elsewhere
