"""What a candidate says is read, and never imported, opened or run."""

import ast
import sys
from pathlib import Path

import pytest

import rlkit
from rlkit.design import DesignTask
from rlkit.design.reading import read_candidate
from rlkit.envs import make
from rlkit.errors import UsageError

TASK = DesignTask(make("classic/pendulum"))


@pytest.mark.parametrize("text", ["antigravity:fly", " this:d ", "some/where.reward"])
def test_names_of_modules_and_files_are_refused(text: str) -> None:
    for read in (lambda: read_candidate(text, TASK.spec), lambda: TASK.reward(text)):
        with pytest.raises(UsageError, match="not the name of a file"):
            read()
    assert not {"antigravity", "this"} & sys.modules.keys()


def test_generated_text_is_executed_in_the_jailed_child_alone() -> None:
    package = Path(rlkit.__file__).parent
    found = set()
    for file in [*package.rglob("*.py"), *(package.parent / "envs").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            loads = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            if called in ("exec", "eval", "compile") or loads & {"pickle", "runpy", "marshal"}:
                found.add(file.name)
    assert found == {"jailed.py"}
