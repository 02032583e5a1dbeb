"""Choosing devices before JAX starts its backend."""

import os

from rlkit.errors import UsageError


def use_host_devices(count: int = 0, threads: int = 0) -> None:
    """Split the CPU into devices, so that seeds spread over cores.

    Must run before anything asks JAX for a device; afterwards, or if the user has set the number
    through JAX or ``XLA_FLAGS``, it does nothing.

    Args:
      count: how many; 0 takes one per core this process may use.
      threads: most threads that one kernel is split over (XLA keeps at least one per device; a number
        in the variable ``NPROC`` stays, and for LAPACK one in ``OPENBLAS_NUM_THREADS``); 0 gives each
        device its share of the cores. For one seed with small networks, 1 is best: its kernels are over
        before a second thread has woken up.
    """
    import jax

    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if jax.config.jax_num_cpu_devices > 0:  # pyrefly: ignore
        return
    count = count or cores()
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # the backend runs already
        return
    share = str(threads or max(cores() // count, 1))
    os.environ.setdefault("NPROC", share)
    # LAPACK's threads wait actively for each other, at the cost of the other devices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", share)


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
