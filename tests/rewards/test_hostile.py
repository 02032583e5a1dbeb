"""Texts that mean harm, or are broken, are refused in a sentence, quickly, and nothing of them runs."""

import contextlib
import json
import os
import resource
import sys
import time

import pytest
from hostile import PROGRAMS, TEXTS, program
from refused import REFUSED

from rlkit.cli import main
from rlkit.envs import make
from rlkit.errors import UsageError
from rlkit.rewards import read
from rlkit.rewards.designed import FORMAT, seal
from rlkit.rewards.language import ProgramError

SPEC = make("classic/pendulum").spec
DEEDS = ("open", "exec", "import", "os.", "subprocess", "socket", "shutil", "ctypes", "pickle", "marshal")
WATCHED: list[list[str]] = []  # lists that are being filled


def _watch(event: str, arguments: tuple) -> None:
    for seen in WATCHED:
        # For the text of a syntax error the parser looks for a file of its source's name.
        if event.startswith(DEEDS) and arguments[:1] != ("<unknown>",):
            seen.append(f"{event} {arguments}")


sys.addaudithook(_watch)  # it cannot be taken away again, and does nothing while no list is watched


@contextlib.contextmanager
def nothing_done():
    """Python does nothing beside computing: no files, imports, processes, no code that is run."""
    read(program("r = ns.height"), SPEC)  # what JAX does once has been done
    for text in (program("r = s.\u00e9"), "success() +", "9e99 * success()", program("r = ns.heigt")):
        with pytest.raises(UsageError):
            read(text, SPEC)
    seen: list[str] = []
    WATCHED.append(seen)
    yield
    WATCHED.remove(seen)
    assert seen == []


def refused(text, spec=SPEC) -> str:
    with pytest.raises(UsageError) as caught:
        read(text, spec)
    reason = str(caught.value)
    assert len(reason) < 400
    assert reason.isprintable()
    return reason


@pytest.mark.parametrize("table", [PROGRAMS, TEXTS], ids=["programs", "texts"])
def test_hostile_texts_are_refused_and_nothing_of_them_runs(table) -> None:
    with nothing_done():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, (text, words) in table.items():
            begin = time.process_time()
            reason = refused(text)
            assert words in reason, (name, reason)
            assert time.process_time() - begin < 1.0, name
            assert "IGNORE ALL" not in reason or "\\n" in reason, name  # quoted, never as it stands
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_what_the_language_refuses_has_no_effect_and_takes_no_time() -> None:
    with nothing_done():
        for name, text, *_ in REFUSED:
            begin = time.process_time()
            refused(text)
            assert time.process_time() - begin < 1.0, name


def test_reasons_for_programs_quote_no_orders() -> None:
    for name, (text, _) in PROGRAMS.items():
        with pytest.raises(ProgramError) as caught:
            read(text, SPEC)
        assert "IGNORE" not in str(caught.value), name


def test_the_command_says_it_in_a_line(capsys) -> None:
    texts = [text for text, _ in (*PROGRAMS.values(), *TEXTS.values()) if isinstance(text, str) and text]
    for text in texts:
        assert main(["reward", "check", text, "--env", "classic/pendulum"]) in (1, 2), text[:60]
        out, err = capsys.readouterr()
        assert len((out + err).splitlines()) == 1, (text[:60], out, err)
        assert "Traceback" not in out + err


def test_files_are_read_and_name_no_modules(tmp_path) -> None:
    file = tmp_path / "x.reward"
    good = program("r = ns.height")
    for content in (good, "\ufeff" + good, good.replace("\n", "\r\n")):  # as some editors save it
        file.write_bytes(content.encode())
        assert read(file, SPEC).init
    for content in ("antigravity:fly", "os:abort", str(tmp_path / "y.reward"), "z.reward.json"):
        file.write_text(content)
        assert "not the name of a file or of a module" in refused(file)
    file.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refused(file)
    assert "cannot read" in refused(tmp_path / "none.reward")
    (tmp_path / "folder.reward").mkdir()
    assert "cannot read" in refused(tmp_path / "folder.reward")
    endless = tmp_path / "endless.reward"
    os.symlink("/dev/zero", endless)
    assert "at most 4096 characters" in refused(endless)
    assert not {"antigravity"} & sys.modules.keys()


SEALED = {"text": program("r = ns.height"), "base": ""}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": "os:abort"}, "not the name of a file"),
        ({"base": "os:abort"}, "not the name of a file"),
        ({"text": "other.reward"}, "not the name of a file"),
        ({"text": 7}, "no text"),
        ({"text": None}, "no text"),
        ({"base": ["success()"]}, "no text"),
    ],
)
def test_a_sealed_file_is_no_more_trusted_than_a_text(change, words, tmp_path, capsys) -> None:
    """Whoever writes a file can write its digest as well."""
    file = tmp_path / "x.reward.json"
    file.write_text(json.dumps(seal(SEALED | change)))
    assert words in refused(str(file))
    for command, *options in (["show"], *([c, "--env", "classic/pendulum"] for c in ("check", "audit"))):
        assert main(["reward", command, str(file), *options]) > 0
        out, err = capsys.readouterr()
        assert words in out + err


def test_a_sealed_file_does_not_choose_what_is_imported(tmp_path, capsys) -> None:
    file = tmp_path / "x.reward.json"
    for env in ("os:abort", 7, None):
        file.write_text(json.dumps(seal(SEALED | {"environment": {"id": env}})))
        assert main(["reward", "check", str(file)]) == 2
        assert "--env" in capsys.readouterr().err
    assert main(["reward", "show", str(file)]) == 2
    assert "does not say where" in capsys.readouterr().err
    file.write_text(json.dumps({"format": FORMAT, "digest": "0"}))
    assert "has been changed" in refused(str(file))
    os.remove(file)
    os.symlink("/dev/zero", file)
    assert "is a pipe or a device" in refused(str(file))
    os.remove(file)
    os.mkfifo(file)  # nobody writes: it would wait for ever
    assert "is a pipe or a device" in refused(str(file))
