"""The columns, their vocabularies and the label rules."""

import io
import re

import pandas as pd
import pandera.errors
import pytest

from dermdit_kedro.dermoscopy.records import (
    IMAGE_ID_PATTERN,
    MALIGNANT,
    MANIFEST_COLUMNS,
    MANIFEST_DTYPES,
    RECORD_DTYPES,
    Diagnosis,
    clean_ages,
    conform,
    label_diagnoses,
    make_image_id,
    settle_tones,
)
from dermdit_kedro.dermoscopy.schemas import MANIFEST_SCHEMA, QUARANTINE_SCHEMA

ROW = {
    "image_id": "s/1",
    "source": "s",
    "file": "1.png",
    "modality": "dermoscopic",
    "lesion_id": "l1",
    "is_malignant": True,
    "tone_group": "light",
    "tone_source": "ita",
    "ita_degrees": 50.0,
    "ita_iqr": 2.0,
    "role": "train",
    "split": "train",
    "duplicate_cluster": "c1",
    "sha256": "0" * 64,
    "width": 4,
    "height": 3,
}


def manifest(**changes: object) -> pd.DataFrame:
    return conform(pd.DataFrame([ROW | changes]), MANIFEST_DTYPES)


def test_manifest_holds_the_records_and_what_was_measured_and_decided() -> None:
    assert tuple(MANIFEST_DTYPES) == MANIFEST_COLUMNS
    shared = [name for name in RECORD_DTYPES if name in MANIFEST_DTYPES]
    assert [name for name in MANIFEST_COLUMNS if name in RECORD_DTYPES] == shared
    assert set(RECORD_DTYPES) - set(shared) == {"expert_tone_group", "listed_duplicate_of"}


def test_valid_manifest_passes_and_survives_parquet() -> None:
    table = MANIFEST_SCHEMA.validate(manifest())
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    read = pd.read_parquet(buffer)
    pd.testing.assert_frame_equal(read, table)
    MANIFEST_SCHEMA.validate(read)


def test_empty_table_conforms() -> None:
    table = conform(pd.DataFrame(), MANIFEST_DTYPES)
    assert list(table) == list(MANIFEST_COLUMNS)
    MANIFEST_SCHEMA.validate(table)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("image_id", "s/../1"),
        ("image_id", "no_source"),
        ("tone_group", "medium"),
        ("split", "dev"),
        ("role", "both"),
        ("sex", "unknown"),
        ("site", "back"),
        ("age_approx", 0.0),
        ("fitzpatrick_skin_type", 7),
        ("width", 0),
        ("sha256", "abc"),
        ("split", None),
    ],
)
def test_value_outside_the_vocabulary_is_refused(column: str, value: object) -> None:
    with pytest.raises(pandera.errors.SchemaError, match=column):
        MANIFEST_SCHEMA.validate(manifest(**{column: value}))


def test_repeated_image_is_refused() -> None:
    with pytest.raises(pandera.errors.SchemaError, match="image_id"):
        MANIFEST_SCHEMA.validate(pd.concat([manifest(), manifest()], ignore_index=True))


def test_a_reason_is_one_of_the_closed_list() -> None:
    row = {"source": "s", "file": "a.jpg", "image_id": "s/a", "reason": "unreadable", "detail": ""}
    table = pd.DataFrame([row]).astype("str")
    QUARANTINE_SCHEMA.validate(table)
    QUARANTINE_SCHEMA.validate(table.iloc[:0])
    with pytest.raises(pandera.errors.SchemaError, match="reason"):
        QUARANTINE_SCHEMA.validate(table.assign(reason="ugly").astype("str"))


@pytest.mark.parametrize("name", ["ISIC_0024306", "a b/ü.x", "../../etc/passwd", ".hidden", "", "x" * 90])
def test_every_name_becomes_a_safe_image_id(name: str) -> None:
    image_id = make_image_id("my source", name)
    assert re.match(IMAGE_ID_PATTERN, image_id)
    assert image_id.count("/") == 1


def test_both_labels_follow_the_diagnosis() -> None:
    labels = label_diagnoses(pd.Series([*Diagnosis, None], dtype="object"))
    assert labels["is_malignant"].iloc[:-1].tolist() == [MALIGNANT[diagnosis] for diagnosis in Diagnosis]
    assert labels["is_melanoma"].iloc[:-1].tolist() == [diagnosis is Diagnosis.MELANOMA for diagnosis in Diagnosis]
    assert labels.iloc[-1].isna().all()


def test_akiec_switch_moves_actinic_keratosis_alone() -> None:
    diagnosis = pd.Series(list(Diagnosis), dtype="object")
    on, off = label_diagnoses(diagnosis), label_diagnoses(diagnosis, akiec_is_malignant=False)
    moved = diagnosis[on["is_malignant"] != off["is_malignant"]]
    assert moved.tolist() == [Diagnosis.ACTINIC_KERATOSIS]
    assert on["is_melanoma"].equals(off["is_melanoma"])


def test_age_zero_is_missing() -> None:
    ages = clean_ages(pd.Series(["0.0", "", None, "unknown", "5", "85.0", "-1"]))
    assert ages.isna().tolist() == [True, True, True, True, False, False, True]


def test_expert_skin_type_wins_over_the_measured_tone() -> None:
    skin_type = pd.Series([1, 3, 6, None, None, None], dtype="Int64")
    group = pd.Series([None, None, None, None, None, "dark"], dtype="str")
    settled = settle_tones(skin_type, group, pd.Series(["dark", "unknown", "light", "brown", "unknown", "light"]))
    assert settled["tone_group"].tolist() == ["light", "brown", "dark", "brown", "unknown", "dark"]
    assert settled["tone_source"].tolist() == ["expert", "expert", "expert", "ita", "none", "expert"]


def test_sources_of_different_names_never_share_an_image_id() -> None:
    names = ["中国", "韩国", "site 1", "site_1", "site.1"]
    assert len({make_image_id(name, "1") for name in names}) == len(names)
