"""What goes wrong in the tables of ten years is named or read right, never guessed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.records import clean_ages, make_image_id
from dermdit_kedro.errors import UserError

COLUMNS = {"image": "f", "diagnosis": "d"}


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)


def table(folder: Path, content: str | bytes, **options: Any) -> pd.DataFrame:
    (folder / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    entry = {"layout": "table", "role": "train", "path": str(folder), "table": "t.csv", "columns": COLUMNS}
    return open_source("s", entry | options).records()


def archive(folder: Path, **columns: list[Any]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    names = [f"ISIC_{number:07d}" for number in range(count)]
    images(folder, *(f"{name}.jpg" for name in names))
    pd.DataFrame({"isic_id": names, **columns}).to_csv(folder / "metadata.csv", index=False)
    return open_source("s", {"layout": "isic_archive", "role": "train", "path": str(folder)}).records()


def known(values: pd.Series) -> list[Any]:
    return values.astype("object").where(values.notna(), None).tolist()


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    images(tmp_path, "photos/a.png", "masks/a.png")
    with pytest.raises(UserError, match=r"'a' may be masks/a\.png or photos/a\.png"):
        table(tmp_path, "f,d\na,nevus\n")
    assert table(tmp_path, "f,d\nphotos/a,nevus\n")["file"].tolist() == ["photos/a.png"]


def test_case_and_ending_decide_between_images(tmp_path: Path) -> None:
    images(tmp_path, "A.jpg", "a.jpg", "a.png")
    content = "f,d\nA.jpg,melanoma\na.jpg,nevus\na.png,nevus\n"
    assert table(tmp_path, content)["file"].tolist() == ["A.jpg", "a.jpg", "a.png"]


@pytest.mark.parametrize(
    "content",
    [
        "f,d\na,nevus,\n",
        "f,d\na,nevus\nb,nevus,x,y\n",
        "f,d\na,nevus\nb",
        "",
        "f,d\n",
        "f, f,d\na,a,nevus\n",
        "f,d,f\na,nevus,a\n",
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(UserError, match=r"t\.csv"):
        table(tmp_path, content)


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    content = "f;d;p\r\na;nevus;Müller\r\nb;nevus;Möller\r\n".encode("cp1252")
    records = table(tmp_path, content, columns=COLUMNS | {"patient_id": "p"})
    assert records["patient_id"].tolist() == ["Müller", "Möller"]
    assert clean_ages(pd.Series(["45,5", "85+", "60"])).tolist() == [45.5, 85.0, 60.0]


def test_a_missing_image_is_not_replaced_by_another_of_its_name(tmp_path: Path) -> None:
    images(tmp_path, "photos/a.JPEG", "masks/b.png", "photos/c.tif")
    records = table(tmp_path, "f,d\na.jpg,nevus\nb.jpg,nevus\nc.tiff,nevus\n")
    assert records["file"].tolist() == ["photos/a.JPEG", "b.jpg", "photos/c.tif"]


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    (tmp_path / "a.png").rename(str(tmp_path / "b") + "\udcff.png")
    with pytest.raises(UserError, match="must be UTF-8"):
        table(tmp_path, "f,d\na,nevus\n")


def test_ids_are_translated_like_words(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png", "c.png")
    values = {"patient_id": {"Pat-7 (old)": "P7", "0": None}}
    content = "f,d,p\na,nevus,pat-7 (OLD)\nb,nevus,P7\nc,nevus,0\n"
    records = table(tmp_path, content, columns=COLUMNS | {"patient_id": "p"}, values=values)
    assert known(records["patient_id"]) == ["P7", "P7", None]


def test_files_that_no_record_names_are_counted(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png", "c.jpg")
    (tmp_path / "t.csv").write_text("f,d\na,nevus\n")
    entry = {"layout": "table", "role": "train", "path": str(tmp_path), "table": "t.csv", "columns": COLUMNS}
    assert open_source("s", entry).num_unused_files() == 2


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(UserError, match="Row 2 has none"):
        table(tmp_path, "f,d\na,nevus\n,nevus\n")


def test_no_patient_is_called_unknown(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png", "c.png")
    records = table(tmp_path, "f,d,p\na,nevus,NA\nb,nevus,unknown\nc,nevus,7\n", columns=COLUMNS | {"patient_id": "p"})
    assert known(records["patient_id"]) == [None, None, "7"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"diagnosis": {"MM": "Melanoma"}}, "values.diagnosis must lead to one of .* Got 'Melanoma'"),
        ({"sex": {"m": "male"}}, "a column of words that is in columns. Got sex"),
    ],
)
def test_translations_that_lead_nowhere_are_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        table(tmp_path, "f,d\na,nevus\n", values=values)


def test_a_melanoma_is_malignant(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    columns = {"image": "f", "is_melanoma": "m"}
    assert known(table(tmp_path, "f,m\na,1\nb,0\n", columns=columns)["is_malignant"]) == [True, None]
    with pytest.raises(UserError, match=r"a melanoma must be malignant\. 'a'"):
        table(tmp_path, "f,m,x\na,1,0\n", columns=columns | {"is_malignant": "x"})


def test_names_that_differ_have_ids_that_differ() -> None:
    names = ["a b", "a_b", "皮肤", "黑痣", "x/y", "x_y", ".a", "_a"]
    assert len({make_image_id("s", name) for name in names}) == len(names)
    assert make_image_id("s", "ISIC_0000001") == "s/ISIC_0000001"
    long = [make_image_id("s", "x" * length) for length in (250, 251)]
    assert long[0] != long[1]
    assert len(max(long).partition("/")[2]) < 220


def test_several_parts_in_one_folder_are_refused(tmp_path: Path) -> None:
    images(tmp_path, "ISIC_0000001.jpg")
    for part in ("Training", "Test_v2"):
        text = "image_id,melanoma,seborrheic_keratosis\nISIC_0000001,1.0,0.0\n"
        (tmp_path / f"ISIC-2017_{part}_Part3_GroundTruth.csv").write_text(text)
    with pytest.raises(UserError, match="give each part a folder"):
        open_source("s", {"layout": "isic_2017", "role": "train", "path": str(tmp_path)})


def test_an_indeterminate_diagnosis_is_not_overruled_by_the_older_column(tmp_path: Path) -> None:
    records = archive(
        tmp_path,
        diagnosis_1=["Indeterminate", None, "Malignant", "Malignant"],
        diagnosis_2=[
            "Indeterminate melanocytic proliferations",
            None,
            "Collision - one is",
            "Malignant epidermal",
        ],
        benign_malignant=["benign", "benign", None, None],
    )
    assert known(records["is_malignant"]) == [None, False, True, True]
    assert known(records["is_melanoma"]) == [None, False, None, False]


def test_the_archive_of_each_era_says_the_same(tmp_path: Path) -> None:
    older = archive(
        tmp_path / "a",
        diagnosis=["melanoma", "nevus", "actinic keratosis"],
        benign_malignant=["malignant", "benign", "benign"],
        anatom_site_general=["anterior torso"] * 3,
    )
    newer = archive(
        tmp_path / "b", diagnosis_1=["Malignant", "Benign", "Indeterminate"],
        diagnosis_2=["Malignant melanocytic proliferations (Melanoma)", "Benign melanocytic proliferations", "x"],
        diagnosis_3=["Melanoma Invasive", "Nevus", "Solar or actinic keratosis"], anatom_site_1=["Trunk"] * 3,
        image_type=["dermoscopic"] * 3,
    )  # fmt: skip
    between = archive(
        tmp_path / "c",
        diagnosis=[
            "Malignant:Malignant melanocytic proliferations (Melanoma):Melanoma Invasive",
            "Benign:Benign melanocytic proliferations:Nevus",
            "Indeterminate:Indeterminate epidermal proliferations:Solar or actinic keratosis",
        ],
        anatom_site_general=["lateral torso"] * 3,
        skin_type=["II", None, "V"],
    )
    for column in ("diagnosis", "is_malignant", "is_melanoma", "site"):
        assert known(older[column]) == known(between[column]) == known(newer[column]), column
    assert known(between["fitzpatrick_skin_type"]) == [2, None, 5]
    assert known(newer["is_malignant"]) == [True, False, True]


def test_what_is_no_plain_dermoscopy_is_left_out(tmp_path: Path) -> None:
    kinds = ["dermoscopic", "clinical: overview", "dermoscopic", None]
    records = archive(
        tmp_path, image_type=kinds, image_manipulation=[None, None, "synthetic", None], diagnosis_1=["Benign"] * 4
    )
    assert records["image_id"].tolist() == ["s/ISIC_0000000", "s/ISIC_0000003"]


def test_accents_of_either_writing_find_an_image(tmp_path: Path) -> None:
    apart, together = "e\u0301.png", "\u00e9.png"
    images(tmp_path, apart)
    assert table(tmp_path, f"f,d\n{together},nevus\n")["file"].tolist() == [apart]
    images(tmp_path, together)
    assert table(tmp_path, f"f,d\n{together},nevus\n{apart},nevus\n")["file"].tolist() == [together, apart]


def test_a_folder_that_holds_none_of_the_images_is_refused(tmp_path: Path) -> None:
    images(tmp_path, "other.png", "b/more.png")
    message = r"holds none of the images that the table .* names, such as 'a\.jpg'\. It holds 'b/more\.png', 'other"
    with pytest.raises(UserError, match=message):
        table(tmp_path, "f,d\na,nevus\n")
    assert len(table(tmp_path, "f,d\na,nevus\nother,nevus\n")) == 2


def test_an_image_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    images(tmp_path, "benign/a.png")
    (tmp_path / "benign" / "a.png").rename(tmp_path / "benign" / b"caf\xe9.png".decode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"must be UTF-8\. Rename 'benign/caf"):
        open_source("s", {"layout": "mclass", "role": "train", "path": str(tmp_path)})
