"""Settings of all tests: compiled programs are kept between runs of the suite."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jaxlib.version
import pytest

_CACHE = Path(__file__).parent.parent / ".cache" / f"xla-{jaxlib.version.__version__}"

jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


# Compile quickly where programs are small and many: the least optimisation, and kernels generated the older
# way. Slow tests run long enough to want good code.
_QUICK = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how programs are compiled, before JAX starts and before other test processes inherit it."""
    if config.option.markexpr == "not slow" and "optimization_level" not in os.environ.get("XLA_FLAGS", ""):
        for flag in _QUICK:
            flags = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
            if _starts(flags):
                os.environ["XLA_FLAGS"] = flags


def _starts(flags: str) -> bool:
    """Whether JAX starts with these flags: it ends the process at one that its version does not know."""
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True)
    return done.returncode == 0


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
