"""How training programs are compiled."""

import functools
import os
from typing import Any

import jax


@functools.cache
def known(name: str, value: Any) -> bool:
    """Whether this version of XLA has an option: they come and go."""
    try:
        jax.jit(lambda: 0).lower().compile({name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


def compiler_options(*, once: bool = False) -> dict[str, int | str | bool]:
    """Options for compiling a training program, to be given to ``jax.jit`` or ``lowered.compile``.

    A training program is hundreds of small kernels. On CPUs, therefore: kernels run in an order
    that leaves no two of them at once, because handing them to threads costs more CPU time than it
    saves wall time (PPO on CartPole, two cores: a third more CPU time for the same wall time); LLVM
    optimises at its second level, because the third takes longer to compile and gains nothing
    measurable; and vectors are as wide as the processor's, where XLA's own choice is 256 bits (with
    AVX-512, 4 to 8 % of the run). On accelerators: none. What the environment variable ``XLA_FLAGS``
    says stands: an option that it names is left out.

    Args:
      once: the program runs once, like an initialisation: do not optimise it at all, and generate its
        kernels the older way, in a third of the time. Last bits may differ from those of other options.
    """
    if jax.default_backend() != "cpu":
        return {}
    options: dict[str, int | str | bool] = {"xla_backend_optimization_level": 0 if once else 2}
    wanted: dict[str, int | str | bool] = {
        "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
        "xla_cpu_prefer_vector_width": 512,
    }
    if once:
        wanted["xla_cpu_use_fusion_emitters"] = False
    options |= {name: value for name, value in wanted.items() if known(name, value)}
    asked = {flag.partition("=")[0].lstrip("-") for flag in os.environ.get("XLA_FLAGS", "").split()}
    return {name: value for name, value in options.items() if name not in asked}
