"""Tables of names, and what users define themselves."""

import re
import sys

import pytest

from rlkit.errors import UnknownNameError, UsageError
from rlkit.registry import Entry, Table, check_options, is_target, load_target, origin
from rlkit.spaces import Discrete

TABLE = Table(
    "action",
    {
        "two": Entry("rlkit.spaces:Discrete", "of two", {"n": 2}),
        "one": Entry("rlkit.spaces:Discrete", "of any number"),
    },
)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's module in the working directory."""
    (tmp_path / "own_things.py").write_text(
        "class Maze:\n    def __init__(self, size=3):\n        self.size = size\n"
        "NUMBER = 3\ndef named(name, factory):\n    return name, factory\n"
        "def broken():\n    return {}['no cell']\n"
    )
    (tmp_path / "own_broken.py").write_text("raise ValueError('no maze today')\n")
    (tmp_path / "own_ending.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "own_needy.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_names_are_sorted_and_fix_options():
    assert tuple(TABLE) == ("one", "two")
    assert TABLE.make("two", start=4) == Discrete(2, start=4)
    assert TABLE.make("one", 3) == Discrete(3)


def test_what_is_unknown_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="unknown action 'twoo'; did you mean 'two'"):
        TABLE.make("twoo")
    with pytest.raises(UnknownNameError, match="did you mean 'start'"):
        TABLE.make("two", starts=4)
    with pytest.raises(UsageError, match=re.escape("four has no options, but got size=3")):
        check_options(lambda: 4, "four", {"size": 3})


def test_own_things_need_no_registration(own):
    assert TABLE.make("own_things:Maze", size=5).size == 5
    with pytest.raises(
        UnknownNameError, match="unknown option 'sise' of own_things:Maze; did you mean 'size'"
    ):
        TABLE.make("own_things:Maze", sise=5)
    assert TABLE.make("own_things:named", name="a", factory="b") == ("a", "b")
    with pytest.raises(UnknownNameError, match="did you mean 'Maze'"):
        TABLE.make("own_things:Mase")


def test_modules_that_cannot_be_imported_are_one_sentence(own):
    with pytest.raises(UsageError, match="there is no module 'own_thing'"):
        load_target("own_thing:Maze")
    with pytest.raises(UsageError, match="importing own_broken failed with ValueError: no maze today"):
        load_target("own_broken:Maze")
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        load_target("own_needy:Maze")
    with pytest.raises(UsageError, match="importing own_ending failed with SystemExit: 3"):
        load_target("own_ending:Maze")
    with pytest.raises(UsageError, match="own_things:broken failed with KeyError: 'no cell'"):
        TABLE.make("own_things:broken")
    with pytest.raises(UsageError, match="'own_things:NUMBER' is 3; expected what makes the action"):
        TABLE.make("own_things:NUMBER")


def test_a_change_of_the_source_is_noticed(own):
    before = origin("own_things:Maze")
    assert before.file == str(own / "own_things.py")
    assert origin("own_things:Maze") == before
    (own / "own_things.py").write_text("class Maze: ...\n")
    assert origin("own_things:Maze").digest != before.digest


@pytest.mark.parametrize("text", ["a:b", "my.mazes:Maze", "a.b:C.d"])
def test_targets(text):
    assert is_target(text)


@pytest.mark.parametrize("text", ["a", "a/b", ":b", "a:", "host:Ant-v5", "a b:c", "nav/x:y"])
def test_what_is_no_target(text):
    assert not is_target(text)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("os:system", "the module os is part of Python"),
        ("os.path:join", "the module os.path is part of Python"),
        ("builtins:exec", "the module builtins is part of Python"),
        ("subprocess:Popen", "the module subprocess is part of Python"),
        ("own_imports:os.system", "os is a module"),
        ("own_imports:run", "run is defined in subprocess, which is part of Python"),
        ("own_imports:shell", r"shell is defined in (posix|nt), which is part of Python"),
        ("rlkit.registry:importlib.import_module", "importlib is a module"),
    ],
)
def test_nothing_that_python_ships_can_be_named(own, target, why):
    source = "import os\nfrom os import system as shell\nfrom subprocess import run\n"
    (own / "own_imports.py").write_text(source)
    with pytest.raises(UsageError, match=f"{why}.*; name a factory of your own"):
        load_target(target)


def test_a_factory_may_be_partial(own):
    (own / "own_partial.py").write_text("import functools\nMaze = functools.partial(dict, size=3)\n")
    assert load_target("own_partial:Maze")() == {"size": 3}
