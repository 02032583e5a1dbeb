"""A program as text again, for people and models: the same computation in one canonical form."""

import ast
import itertools
import math
from collections.abc import Iterator
from typing import Any

from rlkit.rewards.language.ir import ARGUMENTS, MEMORY, Program
from rlkit.rewards.language.operations import OPERATIONS

_BINARY: dict[str, ast.operator] = {
    "+": ast.Add(), "-": ast.Sub(), "*": ast.Mult(), "/": ast.Div(), "%": ast.Mod(), "**": ast.Pow(),
    "&": ast.BitAnd(), "|": ast.BitOr(),
}  # fmt: skip
_COMPARE: dict[str, ast.cmpop] = {
    "<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE(), "==": ast.Eq(), "!=": ast.NotEq(),
}  # fmt: skip
_UNARY: dict[str, ast.unaryop] = {"neg": ast.USub(), "~": ast.Invert()}


def print_program(program: Program) -> str:
    """The text of a program. Reading it gives a program of the same digest.

    Intermediate values keep their names; one that is used more than once and has none is ``x`` and
    a number. Comments are gone.
    """
    return _Printer(program).text()


class _Printer:
    def __init__(self, program: Program):
        self.program = program
        self.bound: dict[int, str] = {}  # nodes that have been assigned to a name
        self.statements: list[ast.stmt] = []

    def text(self) -> str:
        program = self.program
        for node, name in self._bindings():
            value = self._expression(node)
            self.statements.append(ast.Assign([ast.Name(name, ast.Store())], value))
            self.bound[node] = name
        terms = _dictionary([(name, self._expression(node)) for name, node in program.terms])
        parts: list[ast.expr] = [self._expression(program.total), terms]
        if program.memory:
            parts.append(_dictionary([(name, self._expression(node)) for name, node in program.remember]))
        result = ast.Return(ast.Tuple(parts, ast.Load()))
        arguments = (*ARGUMENTS, MEMORY) if program.memory else ARGUMENTS
        (function,) = ast.parse(f"def reward({', '.join(arguments)}): pass").body
        assert isinstance(function, ast.FunctionDef)
        function.body = [*self.statements, result]
        body: list[ast.stmt] = [function]
        if program.memory:
            initial = _dictionary([(name, ast.Constant(value)) for name, value in program.memory])
            body.insert(0, ast.Assign([ast.Name("memory", ast.Store())], initial))
        return ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"

    def _bindings(self) -> list[tuple[int, str]]:
        """Nodes that get a statement of their own, in the order of computation, with unique names."""
        given: dict[int, str] = {}
        for name, node in self.program.names:
            given.setdefault(node, name)
        uses = [0] * len(self.program.nodes)
        for node in self.program.nodes:
            for i in node.args:
                uses[i] += 1
        results = [self.program.total, *(i for _, i in (*self.program.terms, *self.program.remember))]
        for i in results:
            uses[i] += 1
        out: list[tuple[int, str]] = []
        taken: set[str] = set()
        others: dict[str, Iterator[str]] = {}  # further names for what a name is bound to again
        for i, count in enumerate(uses):
            if count != 1 or i in given:  # also what is computed for nothing, so that nothing is lost
                name = given.get(i, f"x{i}")
                if name in taken:
                    numbered = others.setdefault(name, _numbered(name))
                    name = next(other for other in numbered if other not in taken)
                taken.add(name)
                out.append((i, name))
        return out

    def _expression(self, i: int) -> ast.expr:
        if i in self.bound:
            return ast.Name(self.bound[i], ast.Load())
        node = self.program.nodes[i]
        if node.op == "constant":
            return _literal(self.program.constants[node.attrs[0]])
        if node.op in ("s", "ns", "m"):
            return ast.Attribute(ast.Name(node.op, ast.Load()), node.attrs[0], ast.Load())
        if node.op in ("a", "done"):
            return ast.Name(node.op, ast.Load())
        args = [self._expression(j) for j in node.args]
        if node.op == "**":
            return ast.BinOp(args[0], ast.Pow(), _literal(node.attrs[0]))
        if node.op in _BINARY:
            return ast.BinOp(args[0], _BINARY[node.op], args[1])
        if node.op in _COMPARE:
            return ast.Compare(args[0], [_COMPARE[node.op]], [args[1]])
        if node.op in _UNARY:
            return ast.UnaryOp(_UNARY[node.op], args[0])
        if node.op == "[]":
            return ast.Subscript(args[0], _index(node.attrs), ast.Load())
        return self._call(node.op, args, node.attrs)

    def _call(self, op: str, args: list[ast.expr], attrs: tuple) -> ast.expr:
        operation = OPERATIONS[op]
        keywords = []
        if operation.axes:
            axis, keep = attrs
            if axis is not None:
                keywords.append(ast.keyword("axis", _literal(axis)))
            if keep:
                keywords.append(ast.keyword("keepdims", ast.Constant(True)))
        elif operation.arity is None:
            args = [ast.List(args, ast.Load())]
            keywords = [ast.keyword("axis", _literal(attrs[0]))]
        elif operation.arity == 0:
            args = [_literal(attrs)]
        return ast.Call(_attribute(op), args, keywords)


def _numbered(name: str) -> Iterator[str]:
    """Names like one: not longer than a name may be, and without two underscores in a row."""
    stem = name[:58].strip("_") or "x"
    return (f"{stem}_{i}" for i in itertools.count(2))


def _attribute(name: str) -> ast.expr:
    first, *rest = name.split(".")
    out: ast.expr = ast.Name(first, ast.Load())
    for part in rest:
        out = ast.Attribute(out, part, ast.Load())
    return out


def _literal(value: Any) -> ast.expr:
    if isinstance(value, tuple):
        return ast.Tuple([_literal(part) for part in value], ast.Load())
    if isinstance(value, int | float) and not isinstance(value, bool) and math.copysign(1, value) < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))  # the sign binds less than a power
    return ast.Constant(value)


def _index(attrs: tuple) -> ast.expr:
    parts: list[ast.expr] = []
    for part in attrs:
        if isinstance(part, tuple):
            lower, upper, step = (None if x is None else _literal(x) for x in part[1:])
            parts.append(ast.Slice(lower, upper, step))
        else:
            parts.append(_literal(part))
    return parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())


def _dictionary(entries: list[tuple[str, ast.expr]]) -> ast.Dict:
    return ast.Dict([ast.Constant(name) for name, _ in entries], [value for _, value in entries])
