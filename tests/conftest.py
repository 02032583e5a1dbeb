"""Settings of all tests: compiled programs are kept between runs of the suite."""

import ctypes
import gc
import inspect
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `processes` is imported by name, whatever is collected

_CACHE = Path(__file__).parent.parent / ".cache" / f"xla-{jaxlib.version.__version__}"

# Tests start a hundred processes: where Python keeps no bytecode, each would compile all of it again.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(_CACHE.with_name("bytecode")))

jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
jax.config.update("jax_traceback_in_locations_limit", 0)  # no call stacks in programs: compiled 5 % sooner
gc.set_threshold(20_000, 20, 20)  # tracing makes many objects and few cycles


# Compile quickly where programs are small and many: the least optimisation, kernels generated the older way,
# each program as one piece of LLVM's, and on a GPU no kernel chosen by timing it, by which
# compilations would differ in bits. Slow tests run long enough to want good code.
_QUICK = (
    "--xla_gpu_autotune_level=0",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def pytest_configure(config: pytest.Config) -> None:
    """Choose how programs are compiled, before JAX starts and before other test processes inherit it."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # keep the order of `pytest_collection_modifyitems`
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # workers share a card
    if config.option.markexpr == "not slow" and "optimization_level" not in os.environ.get("XLA_FLAGS", ""):
        before = os.environ.get("XLA_FLAGS", "")
        wanted = list(_QUICK) if _starts(" ".join([before, *_QUICK])) else []
        for flag in () if wanted else _QUICK:
            if _starts(" ".join([before, *wanted, flag])):
                wanted.append(flag)
        os.environ["XLA_FLAGS"] = " ".join([before, *wanted]).strip()


def _starts(flags: str) -> bool:
    """Whether JAX starts with these flags: it ends the process at one that its version does not know."""
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True)
    return done.returncode == 0


_BYTES_PER_WORKER = 1.5e9
_FORGET_ABOVE = {"module": 0.9e9, "test": 1.1e9}  # bytes; one test adds less than the rest

# Files that take long, the longest first: a worker that begins one of them last keeps the others waiting.
_LONG = (
    "tests/agents/test_properties.py",
    "tests/test_notebooks.py",
    "tests/experiment/test_report.py",
    "tests/design/test_loop.py",
    "tests/experiment/test_faults.py",
    "tests/group/test_training.py",
    "tests/analysis/test_nulls.py",
    "tests/group/test_preset_properties.py",
    "tests/studies/test_measure.py",
    "tests/experiment/test_group_runs.py",
    "tests/test_docs.py",
    "tests/analysis/test_in_the_loop.py",
    "tests/design/test_afterwards.py",
    "tests/experiment/test_run.py",
    "tests/experiment/test_cli.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    place = {name: i for i, name in enumerate(_LONG)}
    items.sort(key=lambda item: place.get(item.location[0].replace(os.sep, "/"), len(_LONG)))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker per core that this process may use, but no more than the memory carries."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(memory / 2 / _BYTES_PER_WORKER)))


def _resident() -> float:
    """Bytes of memory that this process holds now, 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Forget compiled programs between files of tests when they have piled up."""
    yield
    _forget("module")


@pytest.fixture(autouse=True)
def bounded_memory_of_a_file():
    """The same between tests of a file, when still more have."""
    yield
    _forget("test")


_left = [0.0]  # bytes that were still held after the last time


def _forget(between: str) -> None:
    if _resident() > max(_FORGET_ABOVE[between], _left[0] + 0.2e9):
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # the C library keeps freed pages otherwise
        _left[0] = _resident()


_TOP = str(Path(__file__).parent.parent) + os.sep
_INITIALISING = os.path.join(_TOP, "rlkit", "initialisers.py")  # traces the networks of others
_REPEATING = ("backward_pass", "eval_jaxpr")  # JAX repeats products that were seen when they were written
_careless: list[str] = []  # where this test multiplied at the device's own precision


def _watched(bind):
    """A product that remembers where it was asked for without a precision."""

    def multiply(*factors, **options):
        if options["precision"] is None and all(x.dtype == jnp.float32 for x in factors):
            frame = inspect.currentframe()
            while (frame := frame.f_back) and not frame.f_code.co_name.startswith(_REPEATING):
                file = frame.f_code.co_filename
                if file.startswith(_TOP) and "site-packages" not in file:
                    if not file.startswith((_TOP + "tests", _INITIALISING)):
                        _careless.append(f"{file.removeprefix(_TOP)}:{frame.f_lineno}")
                    break
        return bind(*factors, **options)

    return multiply


for _product in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p):
    _product.bind = _watched(_product.bind)


@pytest.fixture(autouse=True)
def products_have_a_precision():
    """No product of rlkit's is left to the device: an accelerator would keep 10 bits of its factors."""
    yield
    found = sorted(set(_careless))  # of fixtures with a wider scope, too
    _careless.clear()
    assert not found, f"products without a precision: {found}"


@pytest.fixture(autouse=True, scope="session")
def last_bits():
    """NumPy compares to 1e-7 by default, the last bit of a float32, in which accelerators differ."""
    with pytest.MonkeyPatch.context() as patch:
        if jax.default_backend() != "cpu":
            compare = np.testing.assert_allclose
            close = lambda a, b, rtol=1e-6, *more, **options: compare(a, b, rtol, *more, **options)
            patch.setattr(np.testing, "assert_allclose", close)
        yield


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
