"""What a person must not miss in a data report, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import pandas as pd

from dermdit_kedro.report.cells import number, percent
from dermdit_kedro.report.wording import readable

FEW_TO_LEARN: Final = 100
"""A tone group with fewer training images is named, and so is one that is less than a tenth of them."""

FEW_TO_JUDGE: Final = 10
"""Fewer test images of a label than this judge nothing."""

MUCH_UNKNOWN: Final = 0.2
LITTLE_AGREEMENT: Final = 0.8
NAMED_AT_MOST: Final = 4
"""A caution names so many sources or pairs, and says how many more there are; the tables have them all."""

ATTRIBUTES: Final = {"sex": "sex", "age_band": "age", "site": "site"}
SKIN: Final = ("light", "brown", "dark")
JUDGED: Final = ("benign", "malignant")


class Caution(NamedTuple):
    """One thing to know before using the data.

    Attributes:
        lead: The fact, with its number.
        detail: What it is made of, or what follows from it.
    """

    lead: str
    detail: str


def find_cautions(report: Mapping[str, Any], counts: pd.DataFrame) -> list[Caution]:
    """List what a person must not miss, the gravest first.

    Args:
        report: `data_report`.
        counts: Its `counts` as a table.

    Returns:
        The cautions; empty where nothing stands out.
    """
    return [
        *_lost_sources(report),
        *_short_of_training(counts),
        *_short_of_tests(counts),
        *_unlabelled(counts),
        *_unknown_tone(counts),
        *_unnamed_patients(report),
        *_contradictions(report),
        *_excluded(report),
        *_quarantined(report),
        *_unknown_attributes(counts),
        *_disagreement(report),
    ]


def _lost_sources(report: Mapping[str, Any]) -> Iterator[Caution]:
    for source, reasons in report["quarantined_by_source"].items():
        if source not in report["sources"]:
            yield Caution(f"No image of {source} could be used.", f"In quarantine: {_reasons(reasons)}.")


def _short_of_training(counts: pd.DataFrame) -> Iterator[Caution]:
    train = counts[counts["split"] == "train"]
    total = _sum(train)
    if not total:
        yield Caution("There is no training image.", "Nothing can be trained on this data.")
        return
    by_tone = train.groupby("tone_group")["images"].sum()
    for tone in sorted(SKIN, key=lambda name: by_tone.get(name, 0)):
        part = train[train["tone_group"] == tone]
        images, malignant = _sum(part), _sum(part[part["label"] == "malignant"])
        if not images:
            yield Caution(f"No training image shows {tone} skin.", "What is trained here has never seen any.")
        elif images < FEW_TO_LEARN or images < total / 10:
            lead = f"Only {number(images)} of {number(total)} training images show {tone} skin."
            yield Caution(lead, f"{number(malignant) if malignant else 'None'} of them malignant.")


def _short_of_tests(counts: pd.DataFrame) -> Iterator[Caution]:
    test = counts[counts["split"] == "test"]
    if test.empty:
        yield Caution("There is no test image.", "Nothing can be judged on this data.")
    short = []
    for source, part in test.groupby("source"):
        cells = part.groupby(["tone_group", "label"])["images"].sum()
        images = {f"{tone} {label}": int(cells.get((tone, label), 0)) for tone in SKIN for label in JUDGED}
        few = [f"{name} {n}" for name, n in images.items() if n < FEW_TO_JUDGE]
        if few:
            short.append(f"{source}: {'every group' if len(few) == len(images) else ', '.join(few)}")
    if short:
        lead = f"Some groups have fewer than {FEW_TO_JUDGE} test images, too few to judge."
        yield Caution(lead, f"{_some(short, '; ')}.")


def _unlabelled(counts: pd.DataFrame) -> Iterator[Caution]:
    total, unknown = _sum(counts), counts[counts["label"] == "unknown"]
    if len(unknown):
        by_source = unknown.groupby("source")["images"].sum()
        lead = f"Images without a label: {number(_sum(unknown))} ({percent(_sum(unknown), total)})."
        yield Caution(lead, f"Whether they show a malignant lesion is not known: {_list(by_source)}.")
    for label in JUDGED:
        if label not in set(counts["label"]):
            yield Caution(f"No image is {label}.", "Malignant cannot be told from benign on this data.")


def _unknown_tone(counts: pd.DataFrame) -> Iterator[Caution]:
    total, unknown = _sum(counts), _sum(counts[counts["tone_group"] == "unknown"])
    if unknown > total / 10:
        detail = "Their pixels give no trustworthy angle and no expert named it: they count in no tone group."
        lead = f"{percent(unknown, total)} of images ({number(unknown)} of {number(total)}) have unknown tone."
        yield Caution(lead, detail)


def _unnamed_patients(report: Mapping[str, Any]) -> Iterator[Caution]:
    missing = report["missing_by_source"]
    shares = [
        f"{name} ({number(missing[name]['patient_id'])} of {number(source['images'])} images)"
        for name, source in report["sources"].items()
        if source["role"] == "train" and missing[name]["patient_id"]
    ]
    if shares:
        detail = "Two lesions of one such patient may lie in training and in test."
        yield Caution(f"Patients are not named in {_some(shares)}.", detail)


def _contradictions(report: Mapping[str, Any]) -> Iterator[Caution]:
    pictures = report["duplicates"]["labelled_differently"]
    if pictures:
        lead = f"Pictures that are benign under one name and malignant under another: {number(pictures)}."
        yield Caution(lead, "One of the sources is wrong; both rows are in the manifest.")


def _excluded(report: Mapping[str, Any]) -> Iterator[Caution]:
    guard = report["leak_guard"]
    if guard["excluded"]:
        lead = f"Images excluded from training: {number(guard['excluded'])}."
        pairs = _list(guard["by_source_pair"])
        yield Caution(lead, f"They share a patient, a lesion or a picture with a test image: {pairs}.")


def _quarantined(report: Mapping[str, Any]) -> Iterator[Caution]:
    reasons = report["quarantined"]
    if reasons:
        lead = f"Images in quarantine, used nowhere: {number(sum(reasons.values()))}."
        yield Caution(lead, f"{_reasons(reasons)}.".capitalize())


def _unknown_attributes(counts: pd.DataFrame) -> Iterator[Caution]:
    total = _sum(counts)
    unknown = {word: _sum(counts[counts[column] == "unknown"]) for column, word in ATTRIBUTES.items()}
    much = [f"the {word} of {percent(n, total)}" for word, n in unknown.items() if n > MUCH_UNKNOWN * total]
    if much:
        detail = "By what is unknown, nothing can be balanced or compared."
        yield Caution(f"Unknown is {' and '.join(much)} of the images.", detail)


def _disagreement(report: Mapping[str, Any]) -> Iterator[Caution]:
    for source, found in report["tone_by_pixels_and_experts"].items():
        if found["value"] < LITTLE_AGREEMENT:
            agree = percent(found["value"], 1)
            lead = f"In {source}, pixels and experts name the same tone group in only {agree} of images."
            yield Caution(lead, "Estimated tone elsewhere is to be read with that in mind.")


def _sum(counts: pd.DataFrame) -> int:
    return int(counts["images"].sum())


def _list(numbers: Any) -> str:
    """Name the largest numbers."""
    largest = sorted(numbers.items(), key=lambda item: -item[1])
    return _some([f"{name} {number(int(count))}" for name, count in largest])


def _some(names: list[str], between: str = ", ") -> str:
    more = len(names) - NAMED_AT_MOST
    return between.join([*names[:NAMED_AT_MOST], *([f"and {more} more"] if more > 0 else [])])


def _reasons(reasons: Mapping[str, int]) -> str:
    return _list({readable(reason): count for reason, count in reasons.items()})
