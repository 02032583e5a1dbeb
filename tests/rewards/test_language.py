"""Reward programs: what is read, what is refused and why, and that they compute what their text says."""

import ast
import random
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import random_program

import rlkit.rewards.language as language
from rlkit.rewards.language import (
    LIMITS,
    ProgramError,
    Type,
    check_program,
    parse_program,
    print_program,
    program_reward,
    run_program,
)

FIELDS = {"ee": Type((3,)), "goal": Type((3,)), "speed": Type(()), "held": Type((), True)}
ACTION = (2,)


def body(*lines, total="r"):
    text = "".join(f"    {line}\n" for line in lines)
    return f'def reward(s, a, ns, done):\n{text}    return {total}, {{"r": {total}}}\n'


DISTANCE = "r = -jnp.linalg.norm(ns.ee - ns.goal)"

REFUSED = [  # number of the reference's list where there is one, text, layer, part of the reason
    ("1", "import os\n" + body(DISTANCE), "parse", "exactly one function"),
    ("2", body("import subprocess", DISTANCE), "parse", "not allowed"),
    ("3", body("r = __import__('os').listdir('.')"), "parse", "unknown call"),
    ("4", body("r = ().__class__.__base__.__subclasses__()"), "parse", "unknown call"),
    ("4b", body("r = s.ee.__class__"), "parse", "attributes are fields"),
    ("4c", body("r = s.__class__"), "parse", "no declared field"),
    ("5", body("r = eval('jnp.sum(a)')"), "parse", "unknown call"),
    ("6", body("r = getattr(jnp, 'sa' + 've')('x', a)"), "parse", "unknown call"),
    ("7", body("r = jnp.save('x', jnp.zeros(3))"), "parse", "unknown call jnp.save"),
    ("8", body("r = jnp.load('x', allow_pickle=True)"), "parse", "unknown call jnp.load"),
    ("9", body("z = jnp.linalg.jnp", DISTANCE), "parse", "attributes are fields"),
    ("9b", body("z = jnp", DISTANCE), "parse", "unknown name 'jnp'"),
    ("10", body("r = open('x').read()"), "parse", "unknown call"),
    ("11", body("while True: pass", DISTANCE), "parse", "loops"),
    ("12", body("for i in range(10**12): r = i", DISTANCE), "parse", "loops"),
    ("13", body("r = ns.speed * 9 ** 9 ** 9"), "numbers", "power out of range"),
    ("13b", body("r = ns.speed * 9 ** 99"), "numbers", "power out of range"),
    ("13c", body("r = ns.speed * (1e30 * 1e30)"), "numbers", "no finite float32"),
    ("13d", body("r = ns.speed * (1.0 / 0.0)"), "numbers", "no finite number"),
    ("14", body("r = 1 << 10**12"), "parse", "operator is not allowed"),
    ("15", body("r = jnp.sum(jnp.zeros((10**6, 10**6)))"), "shape", "size"),
    ("15b", body("r = jnp.sum(jnp.zeros((65536, 2)))"), "shape", "limit is 65536"),
    (
        "16",
        body("z = ns.ee", *["z = jnp.concatenate([z, z])"] * 40, "r = jnp.sum(z)"),
        "shape",
        "limit is 65536",
    ),
    ("17", body("r = [0] * 10**10"), "parse", "lists are not values"),
    ("17b", body("r = 'a' * 10**10"), "parse", "not values"),
    ("18", body("f = lambda g: g(g)", "r = f(f)"), "parse", "lambda"),
    ("19", body("jax.debug.callback(print, a)", DISTANCE), "parse", "not allowed"),
    ("19b", body("r = jax.experimental.io_callback(print, a)"), "parse", "unknown call"),
    ("20", body("r = jax.lax.while_loop(lambda c: True, lambda c: c, 0.0)"), "parse", "unknown call"),
    ("21", body("raise ValueError(str(globals()))", DISTANCE), "parse", "not allowed"),
    ("22", body("ns['goal'] = ns.ee", DISTANCE), "parse", "assignments are to names"),
    ("23", body("global STATE", "STATE = 1", DISTANCE), "parse", "not allowed"),
    ("23b", body(DISTANCE).replace("done)", "done, memo=[])"), "parse", "expected def reward"),
    ("23c", "@print\n" + body(DISTANCE), "parse", "decorators"),
    ("24", body("r = '{0.__class__}'.format(a)"), "parse", "unknown call"),
    ("24b", body("r = f'{a}'"), "parse", "strings"),
    ("25", body("r = (q for q in [1]).gi_frame.f_back"), "parse", "attributes are fields"),
    ("26", body("try:\n        x = 1.0\n    except E:\n        pass", DISTANCE), "parse", "not allowed"),
    ("27", body("r = " + "(" * 3000 + "1.0" + ")" * 3000), "parse", ""),
    ("27b", body("r = " + "-" * 6000 + "ns.speed"), "parse", ""),
    ("27c", body(DISTANCE) + "#" * 5_000_000, "parse", "longer than"),
    ("27d", body("r = " + "+".join(["ns.speed"] * 100)), "parse", "40 levels deep"),
    ("28", body("r = ns.speed\0"), "parse", "NUL"),
    ("28b", body("r = s.\uff3f\uff3fclass\uff3f\uff3f"), "parse", "grammar"),
    ("28c", body("r\u00e9sum\u00e9 = ns.speed", DISTANCE), "parse", "ASCII"),
    ("29", body("r = jnp.sum(ns.object_pos)"), "names", "unknown field 'object_pos'; known: ee, goal"),
    ("29b", body("r = ns.sped"), "names", "did you mean 'speed'"),
    ("31", body(DISTANCE).replace(", ns, done", ""), "parse", "expected def reward(s, a, ns, done)"),
    ("31b", body(DISTANCE) + body(DISTANCE), "parse", "exactly one function"),
    ("31c", "The reward should be large near the goal.", "parse", ""),
    ("31d", "def reward(s, a, ns, done):\n    return (ns.speed", "parse", "grammar"),
    ("31e", "", "parse", "exactly one function"),
    ("32", "def reward(s, a, ns, done):\n    return ns.speed\n", "abstract", "expected return total"),
    ("32b", body("r = ns.ee"), "abstract", "is float[3]; expected one number"),
    ("32c", body("r = 1"), "abstract", "the total is a number"),
    ("32d", body("r = ns.held"), "abstract", "is bool[]; expected one number"),
    ("32e", body("r = 1.0 + 2.0"), "abstract", "depends on nothing"),
    ("39", body("r = jax.random.normal(jax.random.key(0))"), "parse", "unknown call"),
    ("40", body("x = ns.ee", *["x = x / jnp.sum(x)"] * 60, "r = jnp.sum(x)"), "limits", "more than 24"),
    ("nodes", body("x = ns.speed", *["x=x+1"] * 750, "r = x"), "limits", "more than 1500 operations"),
    ("shapes", body("r = jnp.sum(ns.ee + a)"), "shape", "shapes [3] and [2] do not fit"),
    ("index", body("r = ns.ee[3]"), "shape", "index that a value of shape [3]"),
    ("axis", body("r = jnp.sum(ns.ee, axis=1)"), "shape", "axis 1 of a value of shape [3]"),
    ("bools", body("r = ns.held + ns.held"), "shape", "only conditions"),
    ("condition", body("r = jnp.where(ns.speed, 1.0, 0.0)"), "shape", "expected a condition"),
    ("ifexp", body("r = 1.0 if ns.held else ns.speed"), "parse", "use jnp.where"),
    ("and", body("r = jnp.where(ns.held and ns.held, 1.0, ns.speed)"), "parse", "use & and |"),
    ("chained", body("r = jnp.where(0.0 < ns.speed < 1.0, 1.0, 0.0)"), "parse", "chained"),
    ("walrus", body("r = (x := ns.speed)"), "parse", "inside expressions"),
    ("star", body("r = jnp.sum(*a)"), "parse", "stars"),
    ("starstar", body("r = jnp.sum(a, **a)"), "parse", "stars"),
    ("kwarg", body("r = jnp.sum(a, dtype=3)"), "parse", "does not take 'dtype'"),
    ("twice", 'def reward(s, a, ns, done):\n    return a[0], {"r": a[0], "r": a[0]}\n', "parse", "twice"),
    ("hidden", 'def reward(s, a, ns, done):\n    return a[0], {"_r": a[0]}\n', "parse", "underscore"),
    ("computed key", body(DISTANCE).replace('"r"', "a"), "parse", "identifiers in quotes"),
    ("shadow", body("jnp = ns.speed", DISTANCE), "parse", "cannot be assigned"),
    ("state", body("r = ns"), "names", "read a field of it"),
    ("later", body("r = q", "q = ns.speed"), "names", "unknown name 'q'"),
    ("memory", body("r = m.best"), "names", "declares no memory"),
    ("huge", body("r = ns.speed * 1e39"), "numbers", "infinite in float32"),
    ("tiny", body("r = ns.speed * 1e-60"), "numbers", "zero in float32"),
    ("complex", body("r = ns.speed * 1j"), "parse", "not values"),
    ("class", "class reward:\n    pass\n", "parse", "exactly one function"),
    ("async", "async " + body(DISTANCE), "parse", "exactly one function"),
    ("annotation", body(DISTANCE).replace("done)", "done) -> float"), "parse", "annotations"),
    ("print", body("print(a)", DISTANCE), "parse", "not allowed"),
    ("del", body("x = ns.speed", "del x", DISTANCE), "parse", "not allowed"),
    ("assert", body("assert ns.held", DISTANCE), "parse", "not allowed"),
    ("with", body("with a: r = ns.speed", "r = ns.speed"), "parse", "not allowed"),
    ("unpack", body("x, y = a", DISTANCE), "parse", "assignments are to names"),
    ("match", body("match a:\n        case _: r = 1", DISTANCE), "parse", "not allowed"),
    ("yield", body("r = (yield ns.speed)"), "parse", "not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "layer", "reason"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_no_reward_is_refused_with_the_reason(text, layer, reason):
    with pytest.raises(ProgramError) as caught:
        check_program(parse_program(text), FIELDS, ACTION)
    assert caught.value.layer == layer
    assert reason in caught.value.reason
    assert len(str(caught.value)) < 400


MEMORY = """
memory = {"best": 10.0, "seen": False}

def reward(s, a, ns, done, m):
    d = jnp.linalg.norm(ns.ee - ns.goal)
    best = jnp.minimum(m.best, d)
    seen = m.seen | (d < 0.1)
    near = 0.5 * (m.best - best)
    bonus = jnp.where(seen & ~m.seen, 1.0, 0.0)
    return near + bonus, {"near": near, "bonus": bonus}, {"best": best, "seen": seen}
"""

ACCEPTED = {
    "distance": body(DISTANCE),
    "potential": body(
        "before = -jnp.linalg.norm(s.ee - s.goal)",
        "after = jnp.where(done, 0.0, -jnp.linalg.norm(ns.ee - ns.goal))",
        "r = 0.99 * after - before",
    ),
    "gaussian": body(
        "temperature = 0.1", "d = ns.ee - ns.goal", "r = jnp.exp(-jnp.sum(d ** 2) / temperature ** 2)"
    ),
    "where": body("r = jnp.where(done, 0.0, jnp.clip(ns.speed, -1.0, 1.0))"),
    "scales": body(
        "d = jnp.linalg.norm(ns.ee - ns.goal)",
        "fine = jnp.exp(-d / 0.05)",
        "coarse = jnp.exp(-d / 1.0)",
        "r = 0.7 * fine",
        "r += 0.3 * coarse",
    ),
    "memory": MEMORY,
    "comments": '"""About."""\n'
    + body('"""Near is good: d \u2264 0.1 m."""', "# the distance \u00e5", DISTANCE),
    "indices": body(
        "x = ns.ee[:2] - ns.goal[0:2]",
        "y = ns.ee[-1] + a[1] * ns.ee[None, :][0, 2]",
        "z = jnp.sum(jnp.stack([x, x]), axis=0)",
        "r = jnp.sum(jnp.abs(x)) + y - jnp.mean(z) + jnp.max(ns.ee, axis=0, keepdims=True)[0]",
    ),
    "conditions": body(
        "inside = (ns.speed > 0.1) & ~s.held | (ns.speed != s.speed)",
        "r = jnp.where(inside, 1.0, 0.0) + 2.0 * (ns.speed <= 1) - jax.nn.sigmoid(-ns.speed)",
    ),
    "shadows": body(
        "x = ns.speed", *["x = 0.5 * x + s.speed", "x_2 = x * x", "x = x + x_2 - x"] * 3, "r = x"
    ),
    "plus": body("r = -+2.0 * ns.speed + +-+1.0"),
    "numbers alone": body(
        "sharp = 2.0",
        "r = jnp.where(sharp > 1.0, ns.speed, 0.0) * (1.0 < 2.0) + jnp.sum(jnp.stack([1.0, ns.speed, 2.0]))",
    ),
    "signs": body("r = (-2.0) ** 2 * ns.speed ** -1 - -ns.speed + abs(-3.0 * ns.speed) % 1.5"),
}


def values(seed):
    key = jax.random.key(seed)
    ee, goal, next_ee, a = jax.random.normal(key, (4, 3))
    s = {"ee": ee, "goal": goal, "speed": jnp.abs(ee[0]), "held": ee[1] > 0}
    ns = {"ee": next_ee, "goal": goal, "speed": jnp.abs(next_ee[0]) + 0.1, "held": next_ee[1] > 0}
    return s, a[:2], ns, goal[2] > 0


class Attributes:
    """What native code reads fields of."""

    def __init__(self, fields):
        self.__dict__.update(fields)


def native(text):
    """The text as Python: the oracle, which only tests run."""
    names = {"jnp": jnp, "jax": jax}
    exec(compile(text, "program", "exec"), names)

    def run(s, a, ns, done, m):
        out = names["reward"](*(Attributes(s), a, Attributes(ns), done, *((Attributes(m),) if m else ())))
        return out if m else (*out, {})

    return run


def ours(program):
    return lambda s, a, ns, done, m: run_program(program, program.constants, s, a, ns, done, m)


def same_program(text):
    program = parse_program(text)
    check_program(program, FIELDS, ACTION)
    m = {name: jnp.asarray(value) for name, value in program.memory}
    arguments = (*values(0), m)
    assert str(jax.make_jaxpr(ours(program))(*arguments)) == str(jax.make_jaxpr(native(text))(*arguments))
    return program


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_program_is_what_its_text_computes(name):
    text = ACCEPTED[name]
    program = same_program(text)
    m = {name: jnp.asarray(value) for name, value in program.memory}
    for seed in range(3):
        found, wanted = (jax.jit(f)(*values(seed), m) for f in (ours(program), native(text)))
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_conditions_on_numbers_alone_are_conditions() -> None:
    """Python's own ``~True`` is the number -2, and its numbers have no entries."""
    for expression, wanted in [
        ("jnp.where(~(1.0 < 2.0), 1.0, 3.0)", 3.0),
        ("jnp.where(~~(1.0 < 2.0) & ~(3.0 < 2.0), 1.0, 3.0)", 1.0),
        ("jnp.sum((2.0)[None]) + (1.0)[...]", 3.0),
        ("jnp.where((1.0 < 2.0)[...], 1.0, 3.0)", 1.0),
    ]:
        program = parse_program(body(f"r = 0.0 * ns.speed + {expression}"))
        check_program(program, FIELDS, ACTION)
        assert parse_program(print_program(program)).digest == program.digest
        for constants in (program.constants, [jnp.float32(x) for x in program.constants]):
            assert run_program(program, constants, *values(0))[0] == wanted, expression


def test_transformations_of_a_program_are_those_of_its_text():
    """jit, nested vmap, scan and grad; memory goes through the scan."""
    text = MEMORY
    program = parse_program(text)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *[values(seed) for seed in range(6)])
    wide = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), stacked)
    memory = {name: jnp.asarray(value) for name, value in program.memory}
    step = lambda f: lambda m, x: (lambda out: (out[2], out[:2]))(f(*x, m))

    def transformed(f):
        whole = jax.jit(lambda x: jax.vmap(jax.vmap(lambda *y: f(*y, memory)))(*x))(wide)
        loop = jax.lax.scan(step(f), memory, stacked)
        s, a, ns, done = values(0)
        slope = jax.grad(lambda ns: f(s, a, ns, done, memory)[0], allow_int=True)
        return whole, loop, {name: x for name, x in slope(ns).items() if name != "held"}

    found, wanted = transformed(ours(program)), transformed(native(text))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), found, wanted)


@pytest.mark.parametrize("name", ACCEPTED)
def test_printing_and_reading_changes_nothing(name):
    program = parse_program(ACCEPTED[name])
    text = print_program(program)
    again = parse_program(text)
    assert again.digest == program.digest
    assert print_program(again) == text
    same_program(text)


@pytest.mark.parametrize("block", range(4))
def test_random_programs_are_accepted_compute_their_text_and_survive_printing(block):
    for seed in range(50 * block, 50 * block + 50):
        text = random_program(random.Random(seed), FIELDS, ACTION)
        program = same_program(text)
        assert parse_program(print_program(program)).digest == program.digest


def test_a_changed_token_is_read_or_refused_and_never_an_accident():
    chance = random.Random(0)
    tokens = [
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "-",
        "**",
        "s",
        "ns",
        "a",
        "jnp",
        "0",
        "1e9",
        "x",
        "=",
        "\n",
        "if",
        "m",
        ":",
    ]
    refused = 0
    for text in ACCEPTED.values():
        parts = re.findall(r"\w+|\s+|[^\w\s]", text)
        for _ in range(60):
            changed = list(parts)
            changed[chance.randrange(len(parts))] = chance.choice(tokens)
            try:
                program = parse_program("".join(changed))
                check_program(program, FIELDS, ACTION)
            except ProgramError:
                refused += 1
            else:
                assert parse_program(print_program(program)).digest == program.digest
    assert refused > 300


def test_structure_leaves_constants_out_and_names_do_not_count():
    one, two = (parse_program(body(f"r = {x} * ns.speed")) for x in ("0.1", "0.2"))
    assert one.structure == two.structure
    assert one.digest != two.digest
    other = parse_program(body("q = 0.1 * ns.speed # the same", total="q").replace('{"q"', '{"r"'))
    renamed = parse_program(body("q = 0.1 * ns.speed", total="q"))
    assert renamed.digest == other.digest == one.digest
    assert parse_program(body("r = ns.speed * 0.1")).structure != one.structure


def test_nothing_of_a_text_can_be_executed():
    for file in Path(language.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("exec", "eval", "compile", "__import__")
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"importlib", "pickle", "runpy", "code", "subprocess", "os"}


def test_the_limits_are_small_enough_for_a_parser():
    assert LIMITS.source <= 8192
    assert LIMITS.depth <= 40


def test_an_unknown_dtype_of_memory_is_refused():
    with pytest.raises(ProgramError, match="expected a number, True or False"):
        parse_program('memory = {"best": "x"}\n' + body(DISTANCE))
    with pytest.raises(ProgramError, match="all entries of memory: best, seen"):
        parse_program(MEMORY.replace(', "seen": seen}', "}"))
    with pytest.raises(ProgramError, match=r"the memory 'seen' is float\[\]; expected bool\[\]"):
        check_program(parse_program(MEMORY.replace('"seen": seen}', '"seen": best}')), FIELDS, ACTION)
    assert program_reward(MEMORY).init(jax.random.key(0))["best"] == 10.0
