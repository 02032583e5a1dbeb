"""A program as a reward: its operations are applied where the reward is traced."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.rewards.language.checking import Fields, check_program, fields_of
from rlkit.rewards.language.ir import Program
from rlkit.rewards.language.operations import OPERATIONS, Type
from rlkit.rewards.language.parsing import parse_program
from rlkit.types import EnvSpec, Key, PyTree, Reward, Transition


def run_program(
    program: Program,
    constants: Sequence[Any],
    s: Mapping[str, jax.Array],
    a: jax.Array,
    ns: Mapping[str, jax.Array],
    done: jax.Array,
    m: Mapping[str, jax.Array] = {},
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, jax.Array]]:
    """Compute a program, with the operations that its text would run as Python.

    Args:
      program: the program.
      constants: its numbers: Python floats, or scalar arrays.
      s: features before the action, float32 or bool.
      a: the action.
      ns: features after it.
      done: bool [].
      m: memory.

    Returns:
      ``(total, terms, memory)``.
    """
    sides = {"s": s, "ns": ns, "m": m}
    values: list[Any] = []
    for node in program.nodes:
        if node.op in OPERATIONS:
            values.append(OPERATIONS[node.op].run([values[i] for i in node.args], node.attrs))
        elif node.op in sides:
            values.append(sides[node.op][node.attrs[0]])
        else:
            values.append(
                {"constant": lambda i: constants[i], "a": lambda: a, "done": lambda: done}[node.op](
                    *node.attrs
                )
            )
    of = lambda named: {name: values[i] for name, i in named}
    return values[program.total], of(program.terms), of(program.remember)


def program_reward(program: Program | str, spec: EnvSpec | None = None, *, tune: bool = False) -> Reward:
    """The reward that a program describes.

    Args:
      program: a program, or its text.
      spec: of the environment that it is for: it is then checked at once, else when it is first traced.
      tune: its constants are the parameters of the reward (float32 ``[n]``), so that programs of one
        structure share a compiled program; False compiles them in.

    Returns:
      The reward. Its memory is reset where an episode begins. Integer features are read as float32.

    Raises:
      ProgramError: the text is no program, or it does not fit the environment.
    """
    if isinstance(program, str):
        program = parse_program(program)
    if spec is not None:
        check_program(program, fields_of(spec), spec.action_space.shape)
    fresh = {
        name: jnp.asarray(value, bool if isinstance(value, bool) else jnp.float32)
        for name, value in program.memory
    }

    reads = program.reads()

    def init(key: Key) -> PyTree:
        return fresh if fresh else ()

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> tuple[PyTree, jax.Array, dict]:
        s, ns = _read(transition.features, reads["s"]), _read(transition.next_features, reads["ns"])
        check_program(program, _types(s | ns), jnp.shape(transition.action))
        constants = [params[i] for i in range(len(program.constants))] if tune else program.constants
        before = {name: jnp.where(transition.first, value, memory[name]) for name, value in fresh.items()}
        action = _value(transition.action)
        total, terms, after = run_program(program, constants, s, action, ns, transition.terminated, before)
        dtype = transition.reward.dtype
        cast = lambda x: jnp.asarray(x, dtype)
        kept = {name: jnp.asarray(after[name], value.dtype) for name, value in fresh.items()}
        return (kept if fresh else ()), cast(total), {name: cast(x) for name, x in terms.items()}

    return Reward(init, apply, jnp.asarray(program.constants, jnp.float32) if tune else ())


def _types(fields: Mapping[str, jax.Array]) -> Fields:
    return Fields({name: Type(x.shape, x.dtype == jnp.bool_) for name, x in fields.items()})


def _value(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    return x if x.dtype in (jnp.bool_, jnp.float32) else x.astype(jnp.float32)


def _read(features: Mapping[str, jax.Array], names: Sequence[str]) -> dict[str, jax.Array]:
    """Features as a program reads them: those that it names, and no others are touched."""
    return {name: _value(features[name]) for name in names}
