"""Screenshots of a finished run, for the README: `uv run python -m tests.screenshots` from the project's folder.

Needs a Chromium; writes `docs/images/tour_*.png`.
"""

import os
import sys
from pathlib import Path

from PIL import Image
from tests.browser import browse, serving

ROOT = Path(__file__).parents[1]
VIZ = ("-m", "kedro", "viz", "run", "--no-browser")
MLFLOW = ("-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1")


def shoot(url: str, file: Path, height: int = 900, budget_ms: int = 20000) -> None:
    """Save a page as a picture of few colours."""
    browse(url, f"--screenshot={file}", size=(1400, height), budget_ms=budget_ms)
    with Image.open(file) as picture:
        small = picture.convert("RGB").resize(
            (picture.width * 5 // 7, picture.height * 5 // 7), Image.Resampling.LANCZOS
        )
    small.quantize(128).save(file, optimize=True)


def main(project: Path, target: Path) -> None:
    """Shoot the report, Kedro-Viz and MLflow of a project that has run."""
    data = project / "data" / os.environ.get("KEDRO_ENV", "")
    shoot((data / "08_reporting/report.html").as_uri(), target / "tour_report.png")
    with serving(project, *VIZ) as url:
        shoot(url, target / "tour_viz.png")
    with serving(project, *MLFLOW, MLFLOW_DISABLE_TELEMETRY="true") as url:
        shoot(f"{url}/#/experiments/1", target / "tour_mlflow.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."), ROOT / "docs/images")
