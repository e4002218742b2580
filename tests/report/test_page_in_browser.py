"""Both pages as a browser shows them: phone and desk, light and dark, on paper; nothing cut off, nothing fetched."""

import json
import re
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.browser import browse, find_browser
from tests.report.drawing import figures_of
from tests.report.test_data_page import report_of

from dermdit_kedro.report.data_page import render_data_page
from dermdit_kedro.report.page import render_page
from dermdit_kedro.report.summary import build_summary, sort_parts
from dermdit_kedro.report.swap_figure import prompt_swap_figure

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")
PHONE, DESK = 390, 1400
LEAST_CONTRAST = 4.5
"""Of text, by the Web Content Accessibility Guidelines, level AA."""

PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const wide = document.scrollingElement.clientWidth;
  const out = [...document.querySelectorAll("main *")].filter(e => !e.closest("table, svg") &&
    e.getBoundingClientRect().right > wide + 1).map(e => e.tagName + "." + e.className);
  const told = {
    width: innerWidth, scrolls: document.scrollingElement.scrollWidth, out,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    paper: getComputedStyle(document.body).backgroundColor,
    fetched: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
    drawn: document.querySelectorAll(".chart .main-svg").length, charts: document.querySelectorAll(".chart").length,
    captions: [...document.querySelectorAll("figure")].map(f => f.querySelector("figcaption").textContent.trim()),
    text: [...document.querySelectorAll(".chart text")].map(t => getComputedStyle(t).fill),
  };
  const place = document.createElement("pre");
  place.id = "probe";
  place.textContent = JSON.stringify(told);
  document.body.append(place);
}, 500));
</script>
"""
"""Measured within the page; with `--dump-dom` it comes back."""


@pytest.fixture(scope="module")
def pages(
    parts: dict[str, Any],
    drawing_inputs: dict[str, Any],
    drawn_manifest: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with both pages, each as it is and with the probe."""
    folder = tmp_path_factory.mktemp("pages")
    figures = figures_of(drawing_inputs)
    plan = pd.DataFrame({"sample_id": [], "attribute": [], "value": [], "number": []})
    figures["dermdit.prompt_swap_figure"] = prompt_swap_figure(plan, None, {}, shown=1, thumbnail_px=8)
    found = sort_parts({**parts, **figures})
    summary = build_summary(found, baseline="real", seed=0, image_size=64)
    written = {
        "report": render_page(summary, found.figures),
        "data_report": render_data_page(report_of(drawn_manifest)),
    }
    for name, page in written.items():
        (folder / f"{name}.html").write_text(page)
        (folder / f"probed_{name}.html").write_text(page.replace("</body>", PROBE + "</body>"))
    return folder


def probe(folder: Path, name: str, width: int, *, dark: bool) -> dict[str, Any]:
    """Return what the probe measured in a page of a width."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    if width >= 500:
        shown = browse((folder / name).as_uri(), scheme, "--dump-dom", size=(width, 900))
        found = re.search(r'<pre id="probe">(.*?)</pre>', shown, re.DOTALL)
    else:
        frame = folder / f"frame_{name}"
        read = "f.contentDocument.getElementById('probe')"
        wait = (
            f"setInterval(() => {{ const p = {read}; if (p && !window.done) {{ window.done = 1; b.append(p) }} }}, 100)"
        )
        frame.write_text(
            f'<body><iframe id="f" src="{name}" style="width: {width}px; height: 844px; border: 0"></iframe>'
            f"<script>const b = document.body, f = document.getElementById('f'); {wait}</script></body>"
        )
        shown = browse(frame.as_uri(), scheme, "--allow-file-access-from-files", "--dump-dom", size=(500, 900))
        found = re.search(r'<pre id="probe">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None, "the page did not finish"
    return dict(json.loads(unescape(found[1])))


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", ["report", "data_report"])
def test_nothing_is_cut_off_and_nothing_fetched(pages: Path, name: str, width: int, dark: bool) -> None:
    told = probe(pages, f"probed_{name}.html", width, dark=dark)
    assert told["width"] == width
    assert told["scrolls"] <= width
    assert told["out"] == []
    assert told["fetched"] == []
    assert told["dark"] is dark
    assert told["charts"] >= 4
    assert told["drawn"] >= told["charts"]
    assert all(len(caption) > 60 for caption in told["captions"])
    paper = colour(told["paper"])
    assert max(paper) < 60 if dark else min(paper) > 240
    faint = {
        fill for fill in told["text"] if fill.startswith("rgb(") and contrast(colour(fill), paper) < LEAST_CONTRAST
    }
    assert faint <= {"rgb(255, 255, 255)"}  # numbers inside bars, which stand on the bar's colour


@needs_browser
@pytest.mark.parametrize(("name", "least"), [("report", 6), ("data_report", 2)])
def test_a_page_prints(pages: Path, name: str, least: int) -> None:
    printed = pages / f"{name}.pdf"
    browse((pages / f"{name}.html").as_uri(), f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= least


def colour(text: str) -> tuple[int, ...]:
    """Read `#rgb`, `#rrggbb` or `rgb(r, g, b)`."""
    if not text.startswith("#"):
        return tuple(int(float(part)) for part in re.findall(r"[\d.]+", text)[:3])
    digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
    return tuple(int(digits[k : k + 2], 16) for k in (0, 2, 4))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""

    def light(rgb: tuple[int, ...]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(colour("#777"), colour("#ffffff")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_its_ground(scheme: int) -> None:
    style = (files("dermdit_kedro.report") / "templates" / "report.css").read_text()
    blocks = [
        dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    names = {**blocks[0], **(blocks[scheme])}
    pairs = [
        (ink, ground) for ink in ("ink", "soft", "link", "better", "worse", "unsure") for ground in ("paper", "panel")
    ]
    ratios = {
        pair: contrast(colour(names[pair[0]]), colour(names[pair[1]])) for pair in [*pairs, ("banner-ink", "banner")]
    }
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < LEAST_CONTRAST} == {}


def test_white_numbers_can_be_read_on_their_bars() -> None:
    from dermdit_kedro.report.figures import LABEL_COLOURS

    assert all(contrast(colour(bar), (255, 255, 255)) >= LEAST_CONTRAST for bar in LABEL_COLOURS.values())
