"""The persistent compilation cache: the second process does not compile what the first one did."""

import os
import sys
from pathlib import Path

VARIABLE = "RLKIT_CACHE"
_OFF = ("off", "0", "no", "none", "false")


def folder() -> Path | None:
    """Where compiled programs are kept: ``$RLKIT_CACHE`` or the user's cache folder; None if it is off.

    The version of jaxlib is part of the name: entries of another one are never read.
    """
    from jaxlib.version import __version__ as version

    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() in _OFF:
        return None
    return (Path(chosen) if chosen else _user_cache() / "rlkit") / f"xla-{version}"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def enable() -> Path | None:
    """Turn the cache on for this process and return its folder (None if it is off or not writable).

    A cache that the user has configured through JAX itself is left as it is. Results do not depend
    on the cache; a folder that cannot be written costs time, not the run.
    """
    import jax

    configured = jax.config.jax_compilation_cache_dir  # pyrefly: ignore
    if configured:
        return Path(str(configured))
    path = folder()
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return path
