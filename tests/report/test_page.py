"""The page: self-contained, escaped, honest about phantoms and about what is missing."""

import copy
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.report.drawing import figures_of

from dermdit_kedro.report.page import render_page
from dermdit_kedro.report.summary import build_summary, sort_parts


class Reader(HTMLParser):
    """Collects tags, text outside scripts, and what the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.hidden += tag in ("script", "style")
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words.append(data)


RUN = {
    "mlflow_run_id": "a1b2c3", "written": "2026-11-28T12:00:00+00:00", "environment": "test",
    "pipelines": ["__default__"], "code": {"dermdit_kedro": "0.1.0", "commit": "abc123", "is_changed": True},
    "python": "3.11.7", "system": "Linux", "libraries": {"torch": "2.15.0"},
    "configuration": {
        "denoiser": {"depth": 2, "names": ["a"]},
        "real.arm": {"real": True, "synthetic": False}, "synthetic.arm": {"real": False, "synthetic": True},
        "real_oversampled.arm": {"real": True, "oversample": True},
    },
    "files": {"The data, counted": "data_report.html", "Model card": "../06_models/dermdit/generator/README.md"},
}  # fmt: skip


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def text(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(read(html).words))


def render(parts: dict[str, Any]) -> str:
    sorted_parts = sort_parts(parts)
    summary = build_summary(sorted_parts, baseline="real", seed=0, image_size=64, run=RUN)
    return render_page(summary, sorted_parts.figures)


@pytest.fixture(scope="module")
def page(parts: dict[str, Any], drawing_inputs: dict[str, Any]) -> str:
    return render({**parts, **figures_of(drawing_inputs)})


def test_nothing_is_fetched(page: str) -> None:
    beside = set(RUN["files"].values())
    assert all(link.startswith(("data:image/png;base64,", "#")) or link in beside for link in read(page).links)
    assert beside <= set(read(page).links)
    assert "default-src 'none'" in page


def test_every_figure_has_a_caption(page: str) -> None:
    tags = read(page).tags
    assert tags.count("figure") == tags.count("figcaption") == 7


def test_tables_say_what_is_too_small_and_what_is_not_supported(page: str) -> None:
    words = text(page)
    assert "not judged" in words
    assert re.search(r"too small: \d positive images, fewer than 10", words)
    assert "Too small to judge, and left out: dark" in words
    assert "dark, malignant (2 training images)" in words
    assert "cannot tell" in words


def test_the_verdict_stands_in_words_with_its_rules(page: str, parts: dict[str, Any]) -> None:
    words = text(page)
    for paragraph in parts["verdict"]["paragraphs"]:
        assert re.sub(r"\s+", " ", paragraph["text"]) in words
    for rule in parts["verdict"]["rules"]:
        assert rule in words


def test_the_answer_stands_first(page: str) -> None:
    words = text(page)
    assert words.index("Is diagnosis better?") < words.index("real training images") < words.index("Verdict Against")
    assert "No: on " in words[: words.index("real training images")]


def test_the_page_says_how_it_came_about(page: str) -> None:
    words = text(page[page.index('<section id="provenance">') :])
    for told in (
        "a1b2c3",
        "abc123",
        "src or conf were changed",
        "torch 2.15.0",
        "classifiers real 0, 1, 2",
        "begun 2026",
    ):
        assert told in words, told
    assert "kept 3 images out of training" in words
    assert "denoiser.depth = 2" in words
    assert "denoiser.names = [ &#34;a&#34; ]".replace("&#34;", '"').replace("[ ", "[").replace(" ]", "]") in words


def test_image_metrics_stand_by_question(page: str) -> None:
    words = text(page)
    for told in (
        "Fréchet distance fd_efficientnet_lite0 41.235",
        "41.235 n 120 33.100 12.500",
        "0.031 0.027–0.035",
        "benign, light 40 0.020 0.010–0.030",
        "synthetic 500 120 0.310 0.290–0.330",
        "the judge is right on 0.880 (0.840–0.920) of 240 real images",
    ):
        assert told in words, told


def test_the_first_screen_answers_for_the_images(page: str, parts: dict[str, Any]) -> None:
    answer = (
        "Fréchet distance to held-out images 41 (fd_efficientnet_lite0), of other real ones 12 and 33 after the "
        "autoencoder alone; two of them are as like as MS-SSIM 0.31, two real ones 0.27; 6 of 120 look like copies of "
        "training images."
    )
    assert f"Are the images of dermdit like real ones? {answer}" in text(page)
    bare = {**parts["dermdit.image_metrics"], "autoencoder": None, "ms_ssim": None}
    words = text(render({"dermdit.image_metrics": bare}))
    assert "of other real ones 12." in words
    assert "after the autoencoder" not in words
    assert "Are the images of" not in text(render({}))


def test_the_page_says_how_sure_its_intervals_are(parts: dict[str, Any]) -> None:
    def told(image_quality: float, group_fairness: float) -> str:
        levels = {"image_quality": {"confidence": image_quality}, "group_fairness": {"confidence": group_fairness}}
        run = {**RUN, "configuration": levels}
        summary = build_summary(sort_parts(parts), baseline="real", seed=0, image_size=64, run=run)
        return text(render_page(summary, {}))

    assert "every interval is a 95 % interval." in told(0.95, 0.95)
    assert "every interval is one of 50 % where it is about images and one of 60 % where it is about classifiers." in (
        told(0.5, 0.6)
    )
    assert "every interval" not in text(render(parts))  # not recorded


def test_what_was_not_measured_of_images_says_so(parts: dict[str, Any]) -> None:
    bare = {**parts["dermdit.image_metrics"], "manifold": [], "ms_ssim": None}
    bare["passed_over"] = [{"name": "clip", "reason": "its weights are not there"}]
    words = text(render({"dermdit.image_metrics": bare}))
    assert "Whether they are plausible and varied: not measured" in words
    assert "How alike two of them are: not measured" in words
    assert "Not asked: clip: its weights are not there" in words


def test_variants_of_which_nothing_was_asked_are_named(parts: dict[str, Any]) -> None:
    metrics = parts["dermdit.image_metrics"]
    unconditional = {**metrics, "variant": "ldm", "kid_by_group": []}
    words = text(render({"dermdit.image_metrics": metrics, "ldm.image_metrics": unconditional}))
    assert "Not of ldm: no label or tone was asked of their images." in words
    assert "no label or tone was asked" not in text(render({"dermdit.image_metrics": metrics}))


def test_arms_and_test_sets_are_explained(page: str, parts: dict[str, Any]) -> None:
    words = text(page)
    for told in (
        "Real Trained on the real training images.",
        "Synthetic alone Trained on generated images that passed the screens, no real one.",
        "Real oversampled Trained on the real training images, each repeated until every label and tone has as many.",
        "Held out The test split of the sources that train: ",
        "Phantom even A source that trains nothing: ",
    ):
        assert told in words, told


def test_bold_differences_are_findings_and_no_others(parts: dict[str, Any]) -> None:
    def bold(is_finding: bool) -> bool:
        comparison = copy.deepcopy(parts["arm_comparison"])
        cell = comparison["accuracy"]["held_out"]["synthetic"]["overall"]["auc"]
        cell |= {"value": 0.4321, "finding": is_finding}
        return "<b>+0.432</b>" in render({**parts, "arm_comparison": comparison})

    assert bold(True)
    assert not bold(False)


def test_differences_stand_beside_the_values(page: str, parts: dict[str, Any]) -> None:
    cell = parts["arm_comparison"]["accuracy"]["held_out"]["synthetic"]["overall"]["auc"]
    assert f"{cell['value']:+.3f}".replace("-", "\u2212") in text(page)
    found = parts["real.group_fairness"]["attributes"]["tone_group"]["phantom_even"]["differences"]["dark"]["auc"]
    assert f"{found['value']:+.3f}".replace("-", "\u2212") in text(page)


def test_what_the_autoencoder_loses_stands_beside_its_floor(page: str, parts: dict[str, Any]) -> None:
    assert "Fréchet distance of 1,000 of them to their reconstructions" in text(page)
    assert "136.4 ; between held-out and training images, the floor to read it against, 121.7 (no unit" in text(page)
    assert "PSNR 27.3 dB over 36 images; higher is nearer. By tone group: light 27.9 dB." in text(page)
    report = parts["autoencoder_report"]
    few = {**report, "frechet_distance": {"name": "fd_efficientnet_lite0", "value": None, "floor": None, "n": 36}}
    for without in ({**report, "frechet_distance": None}, few):
        assert "Fréchet distance to their reconstructions: not measured" in text(
            render({"autoencoder_report": without})
        )


@pytest.mark.parametrize(
    ("layout", "phrase", "shown"),
    [
        ("phantom", "Phantoms: these figures say nothing about patients", True),
        ("ham10000", "nothing about patients", False),
    ],
)
def test_phantoms_are_called_phantoms(parts: dict[str, Any], layout: str, phrase: str, shown: bool) -> None:
    data = {**parts["data_report"], "sources": {"mine": {"layout": layout}}}
    assert (phrase in text(render({**parts, "data_report": data}))) is shown


def test_what_is_missing_is_said_to_be_missing() -> None:
    words = text(render({}))
    assert words.count("not measured") > 5
    assert "not drawn" in words


def test_text_from_the_data_is_escaped(parts: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>"
    data = {**parts["data_report"], "quarantined": {evil: 2}, "sources": {evil: {}}}
    html = render({**parts, "data_report": data, f"{evil}.screening": parts["dermdit.screening"]})
    assert evil not in html
    assert "&lt;script&gt;" in html


def test_a_figure_cannot_end_its_script(parts: dict[str, Any], drawing_inputs: dict[str, Any]) -> None:
    figures = figures_of(drawing_inputs)
    figures["pca_figure"].data[0].name = "</script><script>alert(1)</script>"
    assert "<script>alert(1)" not in render({**parts, **figures})


def test_the_page_is_the_same_twice(parts: dict[str, Any]) -> None:
    assert render(parts) == render(parts)
