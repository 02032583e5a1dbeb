"""Memory of programs from their traces: against sizes that can be counted, and against XLA's own plan."""

import jax
import jax.numpy as jnp
import pytest

from rlkit.errors import UsageError
from rlkit.footprint import Memory, available_bytes, check_room, predict_memory

N = 64
SQUARE = 4 * N * N
X = jax.ShapeDtypeStruct((N, N), jnp.float32)


def test_what_is_computed_where_it_is_read_takes_no_room():
    fn = lambda x: jnp.sum(jnp.where(x > 0, 2.0 * x + 1.0, -x))
    found = predict_memory(fn, X)
    assert found.arguments == SQUARE
    assert found.temporaries < 0.1 * SQUARE


def test_products_need_their_operands_and_free_them():
    def fn(x):
        for _ in range(5):
            x = jnp.tanh(x @ x)
        return x

    # One operand and one result at a time, never five of them.
    assert predict_memory(fn, X).temporaries == pytest.approx(2 * SQUARE, rel=0.3)


@pytest.mark.parametrize("length", [4, 16])
def test_a_loop_keeps_what_the_gradient_reads(length):
    def loss(x):
        body = lambda carry, _: (jnp.tanh(carry @ carry), None)
        return jnp.sum(jax.lax.scan(body, x, length=length)[0])

    kept = predict_memory(jax.grad(loss), X).temporaries / SQUARE
    assert 2 * length <= kept <= 3 * length + 8  # operands and results of each iteration
    again = lambda x: jnp.sum(
        jax.lax.scan(jax.checkpoint(lambda c, _: (jnp.tanh(c @ c), None)), x, length=length)[0]
    )
    assert predict_memory(jax.grad(again), X).temporaries / SQUARE < length + 8


def test_functions_that_are_called_twice_count_twice():
    inner = jax.jit(lambda x: x @ x)
    both = predict_memory(lambda x: jnp.stack([inner(x), inner(x + 1.0)]), X).temporaries
    assert both >= 3 * SQUARE


def test_too_much_is_refused():
    need = Memory(2**20, 2**22)
    assert (
        check_room(need, 3, available=2**30)
        == "about 7 MiB of memory: 3 MiB of state, 4 MiB during an update"
    )
    with pytest.raises(UsageError, match=r"needs about 7 MiB .*; there are 6 MiB. Buy more"):
        check_room(need, 3, "Buy more", available=6 * 2**20)
    assert available_bytes() is None or available_bytes() > 2**20


def test_results_that_a_loop_stacks_are_written_into_their_places():
    rows = jax.ShapeDtypeStruct((8, N, N), jnp.float32)
    found = predict_memory(lambda x: jax.lax.map(lambda x: (x + 1.0, 2.0 * x, x - 3.0), x), rows)
    assert found.temporaries == 3 * 8 * SQUARE


def test_a_number_everywhere_is_made_where_a_loop_reads_it():
    def fn(x, low):
        wide = jnp.broadcast_to(low, (4, N, N))
        return jax.lax.scan(lambda c, _: (c @ c + jnp.sum(wide * c, 0), None), x, length=3)[0]

    number, column = (
        predict_memory(fn, X, jax.ShapeDtypeStruct(shape, jnp.float32)).temporaries for shape in ((), (N, 1))
    )
    assert column - number == 4 * SQUARE


@pytest.mark.slow
@pytest.mark.parametrize("packed", [1, 8])
def test_the_update_of_a_decoder_is_what_xla_plans(packed):
    if jax.default_backend() != "cpu":
        pytest.skip("how operations are fused is measured on CPUs")
    from rlkit.envs.tokens import make_task
    from rlkit.group import GroupConfig, trainer
    from rlkit.group.policies import DecoderConfig, decoder

    task = make_task("tokens/calculator", most_calls=3)
    spec = task.spec._replace(completion_length=16)
    sizes = DecoderConfig(len(spec.vocabulary), spec.prompt_length + 16, width=64, layers=2)
    config = GroupConfig(prompts=32, group_size=8, completion_length=16, packed=packed)
    built = trainer(task._replace(spec=spec), decoder(sizes), "grpo", config)
    state = jax.eval_shape(built.init, jax.random.key(0))
    plan = jax.jit(built.step).lower(state).compile().memory_analysis()
    planned = plan.temp_size_in_bytes + plan.output_size_in_bytes
    assert 1 / 1.2 < built.memory().temporaries / planned < 1.2
