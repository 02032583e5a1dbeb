"""Settings of all tests: compiled programs are kept between runs of the suite."""

from pathlib import Path

import jax
import jaxlib.version
import pytest

_CACHE = Path(__file__).parent.parent / ".cache" / f"xla-{jaxlib.version.__version__}"

jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
