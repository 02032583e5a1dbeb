"""Rewards in free JAX code, opt-in: traced in a jailed child, and only what was traced comes back.

The text may use all of :mod:`jax` and :mod:`jax.numpy`; it is executed in a process that can read the
interpreter and its libraries, write nothing, reach nothing and take little (:mod:`rlkit.rewards.jail`). What
comes back is StableHLO. A second jailed process reads and compiles it once; then this process checks every
operation (:mod:`rlkit.rewards.stablehlo`) and writes the reward again with operations of JAX. Where no jail
can be had, nothing is traced: :class:`rlkit.errors.UsageError` says why, and the reward language remains.
"""

import base64
import functools
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.errors import UsageError
from rlkit.rewards import jail
from rlkit.rewards.language.ir import LIMITS, ProgramError
from rlkit.rewards.lowered import lowered_text, read_lowered
from rlkit.types import EnvSpec

_CHILD = Path(__file__).with_name("jailed.py")
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/proc/cpuinfo",
           "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu", "/dev/urandom", "/dev/random",
           "/dev/null")  # fmt: skip
_ANSWER = 1_000_000  # most bytes


class Limits(NamedTuple):
    """What a child may take."""

    memory: int = jail.MEMORY  # bytes of address space
    seconds: int = jail.SECONDS  # of CPU time
    wall: float = 120.0  # seconds until it is killed


def trace(text: str, spec: EnvSpec, *, limits: Limits = Limits(), how: str = "") -> str:
    """The text of the reward that free JAX code describes, see :mod:`rlkit.rewards.lowered`.

    Args:
      text: it defines ``reward(s, a, ns, done)`` that returns the total and a dictionary of terms; with
        ``memory = {...}`` beside it ``reward(s, a, ns, done, m)``, which also returns the memory after it.
        Features are attributes of ``s`` and ``ns``, float32 or bool.
      spec: of the environment, with the features that it may read.
      limits: of each child.
      how: see :func:`rlkit.rewards.jail.confine`.

    Returns:
      The text, which :func:`rlkit.rewards.read` reads.

    Raises:
      ProgramError: the code failed, took too much, or does what is not allowed; the reason quotes nothing.
      UsageError: this machine has no jail.
    """
    if len(text.encode("utf-8", "replace")) > LIMITS.source:
        raise ProgramError("parse", f"longer than {LIMITS.source} bytes; write a shorter program")
    fields = [[f.name, list(f.shape), "bool" if f.dtype == "bool" else "float32"] for f in spec.features]
    asked = {"do": "trace", "text": text, "fields": fields, "action": list(spec.action_space.shape)}
    answer = ask(asked, limits=limits, how=how)
    try:
        module, terms, memory = str(answer["module"]), list(answer["terms"]), dict(answer["memory"])
        base64.b64decode(module, validate=True)
    except (KeyError, TypeError, ValueError):
        raise ProgramError("jail", "the child answered with something else than a reward") from None
    names = sorted(f.name for f in spec.features)
    inputs = [*(f"s.{name}" for name in names), "a", *(f"ns.{name}" for name in names), "done"]
    inputs += [f"m.{name}" for name in sorted(memory)]
    made = lowered_text(module, inputs, terms, memory, text)
    _vetted(made, limits, how)
    read_lowered(made)
    return made


def vet(text: str) -> None:
    """Have a jailed child read and compile a traced reward, once in the life of this process.

    Raises:
      ProgramError: it is refused, or the child came to harm.
      UsageError: this machine has no jail.
    """
    _vetted(text, Limits(), "")


@functools.lru_cache(maxsize=256)
def _vetted(text: str, limits: Limits, how: str) -> None:
    checked = ask({"do": "check", "text": text}, limits=limits, how=how)
    if "fine" not in checked:
        raise ProgramError("jail", str(checked.get("refused", "it cannot be compiled"))[:300])


def ask(request: dict[str, Any], *, limits: Limits = Limits(), how: str = "") -> dict[str, Any]:
    """The answer of a jailed child.

    Raises:
      ProgramError: it failed or was ended.
      UsageError: it could not be jailed.
    """
    with tempfile.TemporaryDirectory() as root:
        code, answer = _run(request, limits, how, root)
    if answer is None:
        raise ProgramError("jail", _ending(code, limits))
    if answer["jail"] is not None:
        raise UsageError(
            f"free code cannot be jailed on this machine, so that it is not run: {answer['jail']}; "
            "use the reward language"
        )
    if "error" in answer:
        name = str(answer["error"])
        known = name if re.fullmatch(r"[A-Za-z]{1,40}", name) else "an error"
        raise ProgramError("jail", f"tracing it raised {known}")
    return answer


def _run(request: dict[str, Any], limits: Limits, how: str, root: str) -> tuple[int, dict[str, Any] | None]:
    ours, theirs = os.pipe()
    data = bytearray()
    whole = request | {
        "answer": theirs, "how": how, "root": root, "path": _path(), "readable": _readable(),
        "limits": {"memory": limits.memory, "seconds": limits.seconds},
    }  # fmt: skip
    # Nothing of this process's environment: keys may be in it.
    child = subprocess.Popen(
        [sys.executable, "-I", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, pass_fds=(theirs,), start_new_session=True, env=_ENVIRONMENT, cwd="/",
    )  # fmt: skip
    os.close(theirs)
    reader = threading.Thread(target=_drain, args=(ours, data, child), daemon=True)
    reader.start()  # a pipe holds less than an answer may
    try:
        child.communicate(json.dumps(whole).encode(), timeout=limits.wall)
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM, None
    finally:
        child.kill()
        child.wait()
    reader.join(5.0)  # whoever else holds the other end cannot keep this waiting
    return child.returncode, _answer(bytes(data))


def _drain(pipe: int, data: bytearray, child: subprocess.Popen) -> None:
    """Read what a child writes; one that writes too much is ended."""
    with os.fdopen(pipe, "rb", buffering=0) as file:
        while len(data) <= _ANSWER and (part := file.read(1 << 16)):
            data += part
    if len(data) > _ANSWER:
        child.kill()


def _answer(data: bytes) -> dict[str, Any] | None:
    """What a child says: a line of the jail, and then an answer that the text may have written."""
    first, _, rest = data.partition(b"\n")
    try:
        jailed = json.loads(first)
        answer = json.loads(rest) if "jail" not in jailed and len(data) <= _ANSWER else {}
    except (ValueError, RecursionError, TypeError):
        return None
    if "jail" in jailed:
        return jailed
    return {**answer, "how": jailed["how"], "jail": None} if isinstance(answer, dict) and answer else None


_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": "/",
    "LANG": "C.UTF-8", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "PYTHONDONTWRITEBYTECODE": "1",
    "JAX_ENABLE_COMPILATION_CACHE": "false", "TF_CPP_MIN_LOG_LEVEL": "3",
}  # fmt: skip


_IMPORTED = ("jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "opt_einsum", "rlkit")


def _schemes() -> list[str]:
    return [*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, sys.exec_prefix]


def _path() -> list[str]:
    """Where the child imports from: the interpreter's folders, and those that hold a library it needs.

    Others are none of its business: a user's own modules, and their secrets, lie in the working folder.
    """
    standard = [Path(path).resolve() for path in _schemes()]

    def needed(path: str) -> bool:
        place = Path(path).resolve()
        inside = any(place.is_relative_to(folder) for folder in standard)
        return inside or any((place / name).is_dir() for name in _IMPORTED)

    return [path for path in sys.path if path and needed(path)]


def _readable() -> list[str]:
    """The interpreter, its libraries and this package."""
    files = [path for path in (*_schemes(), *_path(), *_SYSTEM) if os.path.exists(path)]
    package = Path(__file__).parents[2]
    folders = [package / "rlkit", *(package / room for room in ("envs", "agents", "analysis"))]
    kept = [path for path in files if Path(path).resolve() not in (package.resolve(), Path("/"), Path.home())]
    return [*kept, *map(str, folders)]


def _ending(code: int, limits: Limits) -> str:
    if code == -signal.SIGALRM:
        return f"it was ended after {limits.wall:g} seconds"
    if code in (-signal.SIGKILL, -signal.SIGXCPU):
        most = f"more than {limits.seconds} seconds of CPU time"
        return f"it was ended: it took {most} or too much memory, or said too much"
    return "it crashed, or answered with nothing"
