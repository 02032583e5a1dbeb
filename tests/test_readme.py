"""The README runs, and what it names exists."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_block_runs_and_learns(capsys):
    (code,) = _blocks("python")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    success = names["trained"].curve("eval/success")
    assert success.shape == (4, 4)
    assert success[-1].mean() > success[0].mean() + 0.5
    phi = float(capsys.readouterr().out.strip().splitlines()[-1])
    assert np.isfinite(phi)
    assert phi > 0


def test_commands_exist_with_their_options():
    from rlkit.cli import COMMANDS
    from rlkit.experiment.training.config import TrainConfig

    shell = "\n".join(_blocks("sh"))
    for command in re.findall(r"rlkit (\w+)", shell):
        assert command in COMMANDS
    for option in re.findall(r"rlkit train [^\n]*", shell)[0].split("--")[1:]:
        assert hasattr(TrainConfig(), option.split()[0].replace("-", "_"))
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make ([a-z-]+)", TEXT)) - {"and"} <= set(targets)


def test_links_and_folders_exist():
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
    for folder in re.findall(r"^\| `([a-z]+)/`", TEXT, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_pictures_are_small():
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / target).stat().st_size < 300_000


def test_environments_and_extras_are_real():
    import tomllib

    from rlkit.envs import registry

    families = {name.split("/")[0] for name in registry.names()} | {"gymnax"}  # whatever gymnax has
    for name in re.findall(r"`([a-z]+)/[a-z*-]+`", TEXT):
        assert name in families
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    line = TEXT[TEXT.index("Extras:") : TEXT.index("## How fast")]
    assert set(re.findall(r"`(\w+)`", line)) <= set(extras)
