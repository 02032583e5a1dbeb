"""Notebooks run from top to bottom and are stored without bulky outputs."""

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
QUICK = ("quickstart.ipynb", "cookbook.ipynb")  # what newcomers open; the others train for longer


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NOTEBOOKS]
)
def test_runs(name, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(FOLDER / name, as_version=4)
    # A kernel of this very interpreter, whatever kernels the user has installed.
    kernels = tmp_path / "kernels" / "rlkit-test"
    kernels.mkdir(parents=True)
    argv = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernels / "kernel.json").write_text(f'{{"argv": {argv}, "display_name": "test", "language": "python"}}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", os.fspath(FOLDER.parent / ".cache" / "notebooks"))
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="rlkit-test")
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_is_small(name):
    assert (FOLDER / name).stat().st_size < 300_000


def test_there_is_a_quickstart():
    assert "quickstart.ipynb" in NOTEBOOKS
