"""What a candidate says is read, and never imported, opened or run."""

import sys

import pytest

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
