"""How training programs are compiled."""

import functools

import jax


@functools.cache
def _known(name: str, value: str) -> bool:
    """Whether this version of XLA has an option: they come and go."""
    try:
        jax.jit(lambda: 0).lower().compile({name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


def compiler_options(*, once: bool = False) -> dict[str, int | str]:
    """Options for compiling a training program, to be given to ``jax.jit`` or ``lowered.compile``.

    A training program is hundreds of small kernels. On CPUs, therefore: kernels run in an order
    that leaves no two of them at once, because handing them to threads costs more CPU time than it
    saves wall time (PPO on CartPole, two cores: 1.6 against 2.2 CPU seconds, 1.5 against 1.7 s of
    wall time), and LLVM optimises at its first level, because higher ones take a third longer to
    compile and gain nothing measurable. On accelerators: none.

    Args:
      once: the program runs once, like an initialisation: do not optimise it at all.
    """
    if jax.default_backend() != "cpu":
        return {}
    options: dict[str, int | str] = {"xla_backend_optimization_level": 0 if once else 1}
    scheduler = ("xla_cpu_scheduler_type", "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED")
    return options | dict([scheduler]) if _known(*scheduler) else options
