"""How training programs are compiled."""

import jax
import pytest

from rlkit.compiling import compiler_options


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="options are for CPUs")
def test_what_the_environment_says_of_a_flag_stands(monkeypatch):
    level = "xla_backend_optimization_level"
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert compiler_options()[level] == 2
    assert compiler_options(once=True)[level] == 0
    assert "xla_cpu_prefer_vector_width" in compiler_options()
    monkeypatch.setenv("XLA_FLAGS", f"--{level}=1  --xla_cpu_prefer_vector_width=256")
    assert level not in compiler_options()
    assert level not in compiler_options(once=True)
    assert "xla_cpu_prefer_vector_width" not in compiler_options()
    assert "xla_cpu_scheduler_type" in compiler_options()
