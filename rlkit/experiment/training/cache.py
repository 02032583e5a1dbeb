"""The persistent compilation cache: the second process does not compile what the first one did."""

import os
import stat
import sys
from pathlib import Path

VARIABLE = "RLKIT_CACHE"
_OFF = ("off", "0", "no", "none", "false")


def folder() -> Path | None:
    """Where compiled programs are kept: ``$RLKIT_CACHE`` or the user's cache folder; None if it is off.

    The version of jaxlib is part of the name: entries of another one are never read. None also if the user
    has no home folder.
    """
    from jaxlib.version import __version__ as version

    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() in _OFF:
        return None
    try:
        return (Path(chosen) if chosen else _user_cache() / "rlkit") / f"xla-{version}"
    except RuntimeError:  # there is no home
        return None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def enable() -> Path | None:
    """Turn the cache on for this process and return its folder (None if it is off or not writable).

    A cache that the user has configured through JAX itself is left as it is. Results do not depend
    on the cache; a folder that cannot be written costs time, not the run. The folder holds machine code
    that this process will execute, so nobody else may open it: its mode becomes 0700, and a folder of
    another user is not used.
    """
    import jax

    configured = jax.config.jax_compilation_cache_dir  # pyrefly: ignore
    if configured:
        return Path(str(configured))
    path = folder()
    if path is None:
        return None
    if not _private(path):
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return path


def _private(path: Path) -> bool:
    """Make a folder that only this user can open; False if that cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not hasattr(os, "getuid"):
            return True
        found = path.stat()
        if found.st_uid != os.getuid():
            return False
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError:
        return False
    return True
