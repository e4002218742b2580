"""What commands import before there is anything to compute."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NETWORKS = {"torch", "torchvision", "diffusers", "transformers", "timm", "accelerate"}
HEAVY = {*NETWORKS, "mlflow", "kedro_mlflow", "plotly"}
VIZ = """
from pathlib import Path
from kedro_viz.integrations.kedro.data_loader import load_data
catalog, pipelines, *_ = load_data(Path.cwd(), "test", False, "dermdit_kedro", {}, is_lite=%s)
assert "images" in catalog and len(pipelines) > 5
print(type(catalog.get("images")).__name__, type(catalog.get("manifest")).__name__, len(pipelines["__default__"].nodes))
"""


def imported(folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """Run Python with arguments; return what it prints, and the top-level packages it imports."""
    line = [sys.executable, "-X", "importtime", *arguments]
    environment = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    times = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.stdout, {line.rpartition("|")[2].strip().partition(".")[0] for line in times}


def test_the_help_imports_no_networks(project: Path) -> None:
    """MLflow it does import: kedro-mlflow's own commands do, whenever any `kedro` command starts."""
    said, modules = imported(project, "-m", "kedro", "--help")
    assert "Project specific commands" in said
    assert {"kedro", "dermdit_kedro"} <= modules
    assert modules & NETWORKS == set()


def test_registering_the_pipelines_imports_nothing_heavy(project: Path) -> None:
    code = "import dermdit_kedro.pipeline_registry as registry; print(len(registry.register_pipelines()))"
    said, modules = imported(project, "-c", code)
    assert int(said) >= 9
    assert modules & HEAVY == set()


@pytest.mark.parametrize("lite", [True, False])
def test_kedro_viz_loads_the_graph_without_networks(project: Path, lite: bool) -> None:
    """What the server of `kedro viz run`, with `--lite` and without, does before it answers."""
    said, modules = imported(project, "-c", VIZ % lite)
    images, manifest, nodes = said.split()[-3:]
    assert (images, manifest) == ("ImageFolderDataset", "ParquetDataset")
    assert int(nodes) > 50
    assert modules & NETWORKS == set()
