"""How long training programs are compiled for."""

import jax


def compiler_options() -> dict[str, int]:
    """Options for compiling a training program, to be given to ``jax.jit`` or ``lowered.compile``.

    On CPUs: LLVM's first optimisation level instead of its third. A training program is hundreds
    of small kernels; the higher levels take a third longer to compile and gain nothing measurable
    (``benchmarks/ppo.py`` prints both). On accelerators: none.
    """
    return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}
