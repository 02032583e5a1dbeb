"""Choosing devices before JAX starts its backend."""

import os

from rlkit.errors import UsageError


def use_host_devices(count: int) -> None:
    """Split the CPU into devices, so that seeds spread over cores.

    Must run before anything asks JAX for a device; afterwards, or if the user has set the number
    through JAX or ``XLA_FLAGS``, it does nothing.

    Args:
      count: how many; 0 takes one per core this process may use.
    """
    import jax

    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if jax.config.jax_num_cpu_devices > 0:  # pyrefly: ignore
        return
    try:
        jax.config.update("jax_num_cpu_devices", count or cores())
    except RuntimeError:  # the backend runs already
        return


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(count: int) -> list:
    """The first ``count`` local devices (0: all of them).

    Raises:
      UsageError: there are fewer.
    """
    import jax

    have = jax.local_devices()
    if count > len(have):
        raise UsageError(f"devices={count}: there are {len(have)} ({have[0].platform}); ask for fewer")
    return have[: count or len(have)]
