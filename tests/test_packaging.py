"""What an installed copy is like: complete, quick to import, and nothing lands beside ``rlkit``."""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("agents", "analysis", "envs")
# Packages that are slow to import or drawn in by one environment only.
HEAVY = (
    *("brax", "mujoco", "gymnasium", "craftax", "jumanji", "gymnasium_robotics"),
    *("orbax", "matplotlib", "flax", "jax", "tyro", "rich", "jinja2", "PIL"),
)


def _python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options
    )


def _sources() -> dict[str, Path]:
    """Path inside the wheel -> path in the tree, of every source and data file."""
    found = {}
    for room in ("rlkit", *ROOMS):
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".typed", ".css", ".html", ".xml"):
                inside = path.relative_to(ROOT).as_posix()
                if inside.split("/")[0] == "rlkit" and inside.split("/")[1] in ROOMS:
                    continue  # seen through its link, which newer Pythons follow
                found[inside if room == "rlkit" else f"rlkit/{inside}"] = path
    return found


def test_import_is_quick_and_brings_no_environment_package():
    code = (
        "import sys, time; t = time.process_time(); import rlkit; took = time.process_time() - t\n"
        f"print(took, [m for m in {HEAVY} if m in sys.modules])"
    )
    _python(code)  # byte-compiles
    took, modules = _python(code).stdout.strip().split(" ", 1)
    assert modules == "[]"
    assert float(took) < 2.0


@pytest.mark.parametrize("module", ["rlkit.envs", "rlkit.agents", "rlkit.analysis", "rlkit.rewards"])
def test_subpackages_bring_no_simulator(module):
    light = ("brax", "mujoco", "gymnasium", "craftax", "orbax", "matplotlib", "tyro", "jinja2")
    done = _python(f"import sys, {module}; print([m for m in {light} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_every_package_of_the_tree_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    in_tree = {
        str(Path(inside).parent).replace("/", ".") for inside in _sources() if inside.endswith("__init__.py")
    }
    assert set(declared["packages"]) == in_tree
    assert {f"rlkit.{room}": room for room in ROOMS} == {
        name: where for name, where in declared["package-dir"].items() if name != "rlkit"
    }


def test_links_lead_to_the_rooms():
    for room in ROOMS:
        link = ROOT / "rlkit" / room
        if (
            link.is_symlink()
        ):  # some systems check links out as text files; the package map does not need them
            assert link.resolve() == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imported_by_its_folder_says_its_name(room):
    done = _python(f"import {room}", cwd=ROOT)
    assert done.returncode == 1
    assert f"import rlkit.{room} instead of {room}" in done.stderr


def test_constraints_have_no_addresses_and_cover_the_requirements():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if "://" in line or "@" in line]
    pinned = {line.split("==")[0].strip().lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {w.split("[")[0].split(">")[0].split("<")[0].split("=")[0].strip().lower() for w in wanted}
    assert names <= pinned


def test_make_prints_its_targets():
    if shutil.which("make") is None:
        pytest.skip("there is no make here")
    # `make test` runs this within a make of its own, whose variables would change what is printed.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert listed == ["help", "demo", "test", "test-bits", "test-accelerator", "test-all", "lint", "bench"]
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines()[1:])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build an sdist, and the wheel from the sdist, in a copy of the tree."""
    copy, out = tmp_path_factory.mktemp("tree") / "rlkit", tmp_path_factory.mktemp("dist")
    patterns = (".git", ".venv*", ".cache", "*.egg-info", "__pycache__", "build", ".*_cache")
    everywhere, on_top = shutil.ignore_patterns(*patterns), shutil.ignore_patterns(*patterns, "runs")
    skip = lambda folder, names: (on_top if Path(folder) == ROOT else everywhere)(folder, names)
    shutil.copytree(ROOT, copy, symlinks=True, ignore=skip)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(copy)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


@pytest.mark.slow
def test_the_wheel_holds_the_tree_and_nothing_else(built):
    assert len(list(built.glob("*.tar.gz"))) == 1
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert content == {inside: path.read_bytes() for inside, path in _sources().items()}


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(built, tmp_path):
    """Installed without its requirements, which are taken from this environment's folder."""
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(target)], check=True)
    python = target / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Appended, and without the editable hook's .pth file: this environment gives requirements only.
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "import rlkit, rlkit.agents, rlkit.analysis, rlkit.envs, rlkit.rewards, rlkit.experiment\n"
        "import rlkit.cli, importlib.util\n"
        "assert rlkit.__file__.startswith(sys.prefix), rlkit.__file__\n"
        "assert rlkit.agents.__file__.startswith(sys.prefix)\n"
        "print([m for m in ('agents', 'analysis', 'envs') if importlib.util.find_spec(m)])\n"
        "print(rlkit.envs.make('nav/pointmaze-umaze-far').spec.id)"
    )
    done = subprocess.run(
        [python, "-c", code, sysconfig.get_path("purelib")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "nav/pointmaze-umaze-far"]
