"""The pages a person looks at after a run, and what is on them once they are there."""

import json
from pathlib import Path
from urllib.parse import quote

from tests.browser import DESK, Page

VIZ = ("-m", "kedro", "viz", "build", "--include-previews")
MLFLOW = ("-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

_TRAINING = "?workflowType=machine_learning"
"""MLflow opens with what it has for chats; this asks for runs."""
_NO_ASSISTANT = (
    "for (const [key, value] of [['panelOpen', false], ['fab.autoOpenedOnFirstLoad', true]])"
    " for (const version of [0, 1, 2]) localStorage.setItem(`mlflow.assistant.${key}_v${version}`, value)"
)
_NO_HINTS = (  # of Kedro-Viz, to who opens it for the first time
    "document.head.insertAdjacentHTML('beforeend', '<style>[class^=feature-hints] {display: none !important}</style>')"
)


def see_report(page: Page, file: Path, size: tuple[int, int] = DESK) -> None:
    """Open a report of a run, with its figures drawn."""
    page.open(file.as_uri(), until="document.querySelectorAll('.js-plotly-plot .main-svg').length > 5", size=size)


def see_graph(page: Page, url: str, pipeline: str = "__default__") -> None:
    """Open a pipeline in Kedro-Viz as it first shows it."""
    _go(page, f"{url}/?pid={pipeline}", "document.querySelectorAll('.pipeline-node').length > 3")
    page.tell(_NO_HINTS)


def see_entry(page: Page, url: str, name: str, shown: str) -> None:
    """Open an entry of the catalog in Kedro-Viz.

    Args:
        page: The page.
        url: Of Kedro-Viz.
        name: Of the entry.
        shown: What its preview is drawn in: `img`, `table`, `.js-plotly-plot`, ...
    """
    until = f"document.querySelector({json.dumps('.pipeline-metadata ' + shown)})"
    _go(page, f"{url}/?pid=__default__&sn={quote(name)}", until)
    page.tell(_NO_HINTS)


def see_runs(page: Page, url: str, name: str) -> None:
    """Open the table of runs in MLflow, where the run of a name is among them."""
    page.open(f"{url}/static-files/favicon.ico", until="true")
    page.tell(_NO_ASSISTANT)
    _go(page, f"{url}/#/experiments/1/runs{_TRAINING}", f"document.body.innerText.includes({name!r})")


def see_run(page: Page, url: str, run: str, tab: str, words: str) -> None:
    """Open a run in MLflow.

    Args:
        page: The page.
        url: Of MLflow.
        run: The run's id.
        tab: `` (overview), `/model-metrics` or `/artifacts`.
        words: What is on the page once it is there.
    """
    _go(page, f"{url}/#/experiments/1/runs/{run}{tab}{_TRAINING}", f"document.body.innerText.includes({words!r})")


def search_metrics(page: Page, words: str) -> None:
    """Type into the search of a run's metrics in MLflow."""
    page.tell(
        "const box = document.querySelector('input[placeholder=\"Search metrics\"]');"
        f"Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(box, {json.dumps(words)});"
        "box.dispatchEvent(new Event('input', {bubbles: true}))"
    )


def _go(page: Page, url: str, until: str) -> None:
    page.open("about:blank", until="true")  # an address that differs after its # alone would not load anew
    page.open(url, until=until)
