"""How many kernels a compiled program runs, read from its HLO."""

import re

_NO_KERNEL = {"parameter", "get-tuple-element", "tuple", "constant", "bitcast"}
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*?\{\n(?P<body>.*?)^\}", re.S | re.M)
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*? (?P<kind>[\w\-]+)\(")
_TURNS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


def kernels(text: str, unknown: int = 1) -> float:
    """Kernels that one call of a program runs: operations outside fusions, times the turns of their loops.

    Args:
      text: ``compiled.as_text()``.
      unknown: turns of loops whose number the compiler does not know.

    Returns:
      The count. Both branches of a conditional are counted. A library call counts as one kernel, and what a
      command buffer launches together counts one by one.
    """
    bodies, entry = {}, ""
    for found in _COMPUTATION.finditer(text):
        bodies[found["name"]] = found["body"]
        entry = found["name"] if found["entry"] else entry
    counts: dict[str, float] = {}

    def count(name: str) -> float:
        if name not in counts:
            counts[name] = sum(one(line) for line in bodies[name].splitlines())
        return counts[name]

    def one(line: str) -> float:
        found = _OPERATION.match(line)
        if not found:
            return 0
        kind = found["kind"]
        if kind == "while":
            turns = _TURNS.search(line)
            parts = re.search(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)", line)
            assert parts is not None
            return (int(turns[1]) if turns else unknown) * sum(count(part) for part in parts.groups())
        if kind == "call":
            called = re.search(r"to_apply=%?([\w.\-]+)", line)
            assert called is not None
            return count(called[1])
        if kind == "conditional":
            named = re.search(r"branch_computations=\{([^}]*)\}", line)
            either = re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", line)
            branches = [b.strip().lstrip("%") for b in named[1].split(",")] if named else either
            return sum(count(branch) for branch in branches)
        return kind not in _NO_KERNEL  # loops and calls have returned above

    return count(entry)
