"""Settings of all tests: compiled programs are kept between runs of the suite."""

import os
from pathlib import Path

import jax
import jaxlib.version
import pytest

_CACHE = Path(__file__).parent.parent / ".cache" / f"xla-{jaxlib.version.__version__}"

jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def pytest_configure(config: pytest.Config) -> None:
    """Compile quickly where programs are small and many; the slow tests run long enough to want good code."""
    if config.option.markexpr == "not slow":
        flags = os.environ.get("XLA_FLAGS", "")
        if "optimization_level" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0".strip()


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
