"""Processes that tests start: how their programs are compiled, and where those are kept."""

import os
from pathlib import Path

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
