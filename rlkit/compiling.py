"""How thoroughly programs are compiled."""

import jax


def compiler_options(*, once: bool = False) -> dict[str, int]:
    """Options for compiling a training program, to be given to ``jax.jit`` or ``lowered.compile``.

    On CPUs: a lower LLVM optimisation level than XLA's own. A training program is hundreds of
    small kernels; the higher levels take a third longer to compile and gain nothing measurable
    (``benchmarks/ppo.py`` prints both times). On accelerators: none.

    Args:
      once: the program runs once, like an initialisation: do not optimise it at all.
    """
    return {"xla_backend_optimization_level": 0 if once else 1} if jax.default_backend() == "cpu" else {}
