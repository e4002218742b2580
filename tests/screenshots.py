"""Screenshots of a finished run, for the documents: `uv run pytest tests/screenshots.py`.

Needs a Chromium, and the run of the environment that `KEDRO_ENV` names; writes `docs/images/tour_*.png`.
"""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.browser import Page, browsing, serving, serving_files
from tests.views import MLFLOW, QUIET, VIZ, search_metrics, see_entry, see_graph, see_report, see_run, see_runs


def save(page: Page, file: Path, project: Path) -> None:
    """Save what the page shows as a picture of few colours, without the folder in which the project lies."""
    folders = json.dumps([f"{project.as_posix()}/", f"{project.as_posix()[1:]}/", project.as_posix()])
    page.tell(
        "const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
        f"while (texts.nextNode()) for (const folder of {folders})"
        " texts.currentNode.data = texts.currentNode.data.replaceAll(folder, '')"
    )
    page.shoot(file)
    with Image.open(file) as picture:
        small = picture.convert("RGB").resize(
            (picture.width * 5 // 7, picture.height * 5 // 7), Image.Resampling.LANCZOS
        )
    small.quantize(128).save(file, optimize=True)
    assert file.stat().st_size < 300_000, file


def main(project: Path, target: Path) -> None:
    """Shoot the report, Kedro-Viz and MLflow of a project that has run."""
    data = project / "data" / os.environ.get("KEDRO_ENV", "")
    with sqlite3.connect(project / "mlflow.db") as store:
        latest = "select run_uuid, name from runs where status = 'FINISHED' order by start_time desc"
        run, name = store.execute(latest).fetchone()
    with browsing() as page:
        see_report(page, data / "08_reporting/report.html")
        save(page, target / "tour_report.png", project)
        subprocess.run([sys.executable, *VIZ], cwd=project, check=True)
        with serving_files(project / "build") as url:
            see_graph(page, url)
            save(page, target / "tour_viz.png", project)
            see_entry(page, url, "dermdit.synthetic_images", "img[src^='data:image/png']")
            save(page, target / "tour_viz_images.png", project)
            see_entry(page, url, "dermdit.training_history", ".js-plotly-plot .scatterlayer path")
            save(page, target / "tour_viz_curve.png", project)
        with serving(project, *MLFLOW, **QUIET) as url:
            see_runs(page, url, name)
            see_run(page, url, run, "", "Metrics (")
            search_metrics(page, "headline")
            save(page, target / "tour_mlflow_run.png", project)


@pytest.mark.timeout(1200)
def test_the_pictures_are_taken(root: Path) -> None:
    main(root, root / "docs/images")
