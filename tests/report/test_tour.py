"""The notebook reads a finished run, and is kept without outputs."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "tour.ipynb"
SUMMARY = ROOT / "data" / "08_reporting" / "summary.json"


def test_no_output_is_stored() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_it_defines_nothing() -> None:
    code = ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"]]
    assert not [line for cell in code for line in cell.splitlines() if line.startswith(("def ", "class "))]


@pytest.mark.slow
@pytest.mark.skipif(not SUMMARY.is_file(), reason="no finished run: `kedro run` writes data/08_reporting/summary.json")
def test_it_runs_from_top_to_bottom() -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type == "error"]
    assert len(shown) > 8
