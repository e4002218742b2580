"""The page of the data: every number, every caution, self-contained and escaped."""

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from dermdit_kedro.dermoscopy.data_report import summarise_data
from dermdit_kedro.dermoscopy.records import QUARANTINE_COLUMNS
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.report.data_cautions import find_cautions
from dermdit_kedro.report.data_figures import balance_figure, people_figure, source_figure, tone_figure
from dermdit_kedro.report.data_page import render_data_page

Change = Callable[[pd.DataFrame], pd.DataFrame]
EVIL = "<script>alert(1)</script><img src=https://evil.example/x.png>"


def draw_quarantine(**reasons: int) -> pd.DataFrame:
    """A quarantine of `clinic` with so many images of each reason."""
    rows = [("clinic", f"{i}.jpg", f"clinic/{i}", reason, "") for reason, n in reasons.items() for i in range(n)]
    return pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS), dtype="object")


def text(html: str) -> str:
    """The words a reader sees."""
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shown)).replace("&lt;", "<")


def without_plotly(html: str) -> str:
    """The page less the library that draws, which names addresses it never asks for."""
    return html.replace(get_plotlyjs(), "")


def report_of(manifest: pd.DataFrame, layout: str = "table", **reasons: int) -> dict[str, Any]:
    layouts = dict.fromkeys(manifest["source"], layout)
    return summarise_data(layouts, manifest, manifest, draw_quarantine(**reasons), SkinToneConfig())


def cautions_of(report: dict[str, Any]) -> str:
    return " ".join(" ".join(caution) for caution in find_cautions(report, pd.DataFrame(report["counts"])))


@pytest.fixture(scope="module")
def full(drawn_manifest: pd.DataFrame) -> dict[str, Any]:
    return report_of(drawn_manifest, unreadable=1203, missing_file=1)


@pytest.fixture(scope="module")
def page(full: dict[str, Any]) -> str:
    return render_data_page(full)


def test_the_first_screen_has_the_headline_numbers(page: str, full: dict[str, Any]) -> None:
    words = re.findall(r"<dd>([^<]*)</dd>", page)
    expected = [full[key] for key in ("images", "lesions", "malignant", "melanoma")]
    assert words == [f"{n:,}" for n in [*expected, 2, 1204, full["leak_guard"]["excluded"]]]


def test_every_number_of_the_report_is_on_the_page(page: str, full: dict[str, Any]) -> None:
    found = set(re.findall(r"[\d,]*\d", text(page)))
    told = [*full["quarantined"].values(), *full["duplicates"].values(), *full["leak_guard"]["by_source_pair"].values()]
    told += [n for kinds in full["by_tone_source"].values() for n in kinds.values()]
    told += [full["missing"][column] for column in ("patient_id", "sex", "site", "age_approx", "ita_degrees")]
    for source in full["sources"].values():
        told += [source[key] for key in ("records", "images", "lesions", "malignant", "melanoma")]
    experts = full["tone_by_pixels_and_experts"]["ddi"]
    told += [experts["n"], *(n for row in experts["expert_by_estimated"].values() for n in row.values())]
    assert {f"{n:,}" for n in told} <= found
    assert "not a Fitzpatrick type" in text(page)


def test_the_figures_show_every_image_once(drawn_manifest: pd.DataFrame, full: dict[str, Any]) -> None:
    counts = pd.DataFrame(full["counts"])
    for figure, times in ((balance_figure(counts), 1), (source_figure(counts), 1), (people_figure(counts), 3)):
        shown = sum(x for trace in figure.data if trace.type == "bar" for x in trace.x if x)
        assert shown == times * full["images"]
    histograms = tone_figure(full["ita_degrees"])
    assert sum(sum(trace.y) for trace in histograms.data) == drawn_manifest["ita_degrees"].notna().sum()


def test_what_must_not_be_missed_is_said(drawn_manifest: pd.DataFrame, full: dict[str, Any]) -> None:
    said = cautions_of(full)
    train = drawn_manifest[drawn_manifest["split"] == "train"]
    assert f"Only {(train['tone_group'] == 'brown').sum()} of {len(train)} training images show brown skin." in said
    unknown = drawn_manifest["is_malignant"].isna().sum()
    assert f"Images without a label: {unknown}" in said
    assert "of images (57 of 400) have unknown tone." in said
    assert "Patients are not named in clinic (300 of 300 images)." in said
    assert f"Images excluded from training: {full['leak_guard']['excluded']}." in said
    assert "clinic in ddi" in said
    both = drawn_manifest.groupby("sha256")["is_malignant"].nunique()
    assert f"benign under one name and malignant under another: {(both > 1).sum()}." in said
    assert "Images in quarantine, used nowhere: 1,204. Unreadable 1,203, missing file 1." in said
    assert "Unknown is the sex of" in said


def test_sound_data_gives_no_caution(drawn_manifest: pd.DataFrame) -> None:
    sound = pd.concat([drawn_manifest] * 20, ignore_index=True)
    known = sound["tone_group"].ne("unknown") & sound["is_malignant"].notna() & sound["split"].ne("excluded")
    sound = sound[known].fillna({"sex": "female", "age_approx": 50.0, "site": "trunk", "patient_id": "p"})
    sound["sha256"] = [f"{number:064x}" for number in range(len(sound))]
    report = report_of(sound)
    assert find_cautions(report, pd.DataFrame(report["counts"])) == []
    assert "Nothing stands out." in text(render_data_page(report))


def test_a_source_without_a_usable_image_is_named(full: dict[str, Any]) -> None:
    lost = {**full, "quarantined_by_source": {**full["quarantined_by_source"], "gone": {"missing_file": 5}}}
    assert cautions_of(lost).startswith("No image of gone could be used. In quarantine: missing file 5.")


def test_a_long_list_is_cut_and_says_so(drawn_manifest: pd.DataFrame) -> None:
    parts = [drawn_manifest[drawn_manifest["role"] == "test"].assign(source=f"test_{i}") for i in range(6)]
    said = cautions_of(report_of(pd.concat([drawn_manifest, *parts], ignore_index=True).assign(is_malignant=True)))
    assert "test_2: " in said
    assert "test_4: " not in said
    assert "and 3 more." in said
    assert "No image is benign." in said


def test_a_split_without_images_is_named(drawn_manifest: pd.DataFrame) -> None:
    assert "There is no test image." in cautions_of(report_of(drawn_manifest[drawn_manifest["split"] != "test"]))
    assert "There is no training image." in cautions_of(report_of(drawn_manifest[drawn_manifest["split"] == "test"]))
    light = drawn_manifest[~((drawn_manifest["split"] == "train") & (drawn_manifest["tone_group"] == "dark"))]
    assert "No training image shows dark skin." in cautions_of(report_of(light))


def bare(*columns: str) -> Change:
    """Return what takes these columns from every image."""
    return lambda m: m.assign(**{column: m[column].mask(m["image_id"].notna()) for column in columns})


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda m: m, "No image is in quarantine"),
        (lambda m: m.assign(tone_source=m["tone_source"].replace("expert", "ita")), "no image has both"),
        (bare("sex"), "Unknown is the sex of 100"),
        (
            bare("sex", "age_approx", "site", "is_malignant", "is_melanoma", "lesion_id"),
            "Images without a label: 400",
        ),
        (bare("ita_degrees"), "No image has a measured angle."),
        (lambda m: m[m["source"] == "clinic"], "clinic"),
        (lambda m: m.head(1), "Clusters in two splits: 0."),
    ],
    ids=["no quarantine", "no experts", "no sex", "little known", "no angle", "one source", "one image"],
)
def test_whatever_is_missing_a_page_is_drawn(drawn_manifest: pd.DataFrame, change: Change, phrase: str) -> None:
    assert phrase in text(render_data_page(report_of(change(drawn_manifest))))


def test_nothing_is_fetched(page: str) -> None:
    links = re.findall(r"""(?:src|href|srcset|action)\s*=\s*["']([^"']*)""", without_plotly(page))
    assert links
    assert all(link.startswith("#") for link in links)
    assert "://" not in without_plotly(page)
    assert "default-src 'none'" in page


def test_hostile_names_are_words(drawn_manifest: pd.DataFrame) -> None:
    hostile = drawn_manifest.assign(source=drawn_manifest["source"].replace("clinic", EVIL))
    html = render_data_page(report_of(hostile, unreadable=1))
    assert EVIL not in html
    assert "<img" not in without_plotly(html)
    assert "&lt;script&gt;alert(1)" in html
    counts = pd.DataFrame(report_of(hostile)["counts"])
    assert "<script>" not in source_figure(counts).to_json().replace("\\u003c", "<")
    assert "<script>" not in tone_figure(report_of(hostile)["ita_degrees"]).to_json().replace("\\u003c", "<")


@pytest.mark.parametrize(("layout", "shown"), [("phantom", True), ("table", False)])
def test_phantoms_are_called_phantoms(drawn_manifest: pd.DataFrame, layout: str, shown: bool) -> None:
    html = render_data_page(report_of(drawn_manifest, layout=layout))
    assert ("Phantoms: these figures say nothing about patients" in text(html)) is shown


def test_the_page_is_the_same_twice(page: str, full: dict[str, Any]) -> None:
    assert render_data_page(full) == page


def test_a_report_of_an_older_version_is_refused(full: dict[str, Any]) -> None:
    older = {key: value for key, value in full.items() if key != "counts"}
    with pytest.raises(UserError, match="run data_engineering again"):
        render_data_page(older)
