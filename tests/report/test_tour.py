"""The notebooks are kept without outputs and define nothing; `tests/test_smoke.py` runs them."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_stored(notebook: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing(notebook: Path) -> None:
    code = ["".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"]]
    assert not [line for cell in code for line in cell.splitlines() if line.startswith(("def ", "class "))]
