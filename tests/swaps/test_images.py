"""Images of one's own, by a change of `conf/mine/catalog.yml` alone: a zip, an object store, an image folder."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tests.dermoscopy.archives import DX, write_archive
from tests.dermoscopy.test_stores import pack
from tests.object_store import object_store, upload
from tests.swaps.guide import run, shown, write_environment

from dermdit_kedro.dermoscopy.layouts import Source, open_source

FEW = 60


def phantoms(count: int, seed: int) -> tuple[Source, pd.DataFrame, list[bytes]]:
    source = open_source("ph", {"layout": "phantom", "role": "train", "num_images": count, "size": 32, "seed": seed})
    rows = source.records().assign(name=[f"{seed}_{index:07d}" for index in range(count)])
    return source, rows, [source.read_bytes(file) for file in rows["file"]]


def manifest_of(data: Path) -> pd.DataFrame:
    return pd.read_parquet(data / "03_primary/manifest.parquet")


def test_images_in_a_zip_and_in_an_object_store(tracked_project: Path) -> None:
    """Enough of them for worker processes, each of which opens the archive and the store for itself."""
    raw = tracked_project / "data/01_raw"
    data = write_environment(tracked_project, files=shown("Images in a zip or an object store"))
    _, rows, contents = phantoms(80, seed=1)
    rows.drop(columns="file").to_csv(raw / "lesions.csv", index=False)
    folder, hospital = tracked_project / "unpacked", tracked_project / "hospital"
    for place in (folder, hospital):
        place.mkdir()
    for name, content in zip(rows["name"], contents, strict=True):
        (folder / f"{name}.png").write_bytes(content)
    pack(folder, raw / "clinic.zip")
    write_archive(hospital, "ham10000", *phantoms(FEW, seed=2)[1:])
    with object_store() as options:
        upload(hospital, "hospital/ham10000", options)
        (tracked_project / "conf/mine/credentials.yml").write_text(yaml.safe_dump({"hospital_bucket": options}))
        run(tracked_project, "data_engineering")
    manifest = manifest_of(data)
    assert len(pd.read_parquet(data / "03_primary/quarantine.parquet")) == 0
    assert manifest["source"].value_counts().to_dict() == {"clinic": 80, "hospital": FEW}
    originals = {
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (*folder.iterdir(), *hospital.rglob("*.jpg"))
    }
    assert set(manifest["sha256"]) == originals
    assert manifest.loc[manifest["source"] == "hospital", "role"].eq("test").all()
    assert len(list((data / "03_primary/images").rglob("*.png"))) == 80 + FEW
    said = "".join(path.read_text() for path in (data / "08_reporting").glob("*.*"))
    assert options["secret"] not in said


def test_an_image_folder(tracked_project: Path, tmp_path: Path) -> None:
    import datasets

    _, rows, contents = phantoms(FEW, seed=3)
    folder = tracked_project / "data/01_raw/collected"
    splits = ["train", "validation", "test"]
    for index, (diagnosis, name) in enumerate(zip(rows["diagnosis"], rows["name"], strict=True)):
        if diagnosis in ("melanoma", "nevus"):
            target = folder / splits[index % 3] / DX[diagnosis].upper() / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(contents[index])
    files = {name: text for name, text in shown("An image folder of Hugging Face").items() if "mine" in name}
    data = write_environment(tracked_project, files=files)
    run(tracked_project, "data_engineering")
    manifest = manifest_of(data)
    theirs = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    words = {"MEL": "melanoma", "NV": "nevus"}
    for role, read in (("train", ("train", "validation")), ("test", ("test",))):
        ours = manifest[manifest["role"] == role]
        expected = {}
        for split in read:
            part = theirs[split].cast_column("image", datasets.Image(decode=False))
            names = part.features["label"].names
            expected |= {Path(row["image"]["path"]).name: words[names[row["label"]]] for row in part}
        assert {Path(file).name: word for file, word in zip(ours["file"], ours["diagnosis"], strict=True)} == expected
    report = json.loads((data / "08_reporting/data_report.json").read_text())
    unread = {"collected": len(theirs["test"]), "collected_test": len(theirs["train"]) + len(theirs["validation"])}
    assert {name: source["unused_files"] for name, source in report["sources"].items()} == unread


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_that_datasets_writes_reads_as_it_reads_it(suffix: str, tmp_path: Path) -> None:
    import datasets

    _, rows, contents = phantoms(12, seed=4)
    table = rows[["diagnosis", "sex", "age_approx", "site", "is_malignant"]].assign(
        file_name=rows["name"] + ".png", fitzpatrick_skin_type=pd.array([1, None, 3] * 4, dtype="Int64")
    )
    folder = tmp_path / "set"
    folder.mkdir()
    for name, content in zip(rows["name"], contents, strict=True):
        (folder / f"{name}.png").write_bytes(content)
    written = datasets.Dataset.from_pandas(table)
    write = {"csv": written.to_csv, "jsonl": written.to_json, "parquet": written.to_parquet}[suffix]
    write(str(folder / f"metadata.{suffix}"))
    ours = open_source("x", {"layout": "imagefolder", "role": "train", "path": str(folder)}).records()
    theirs = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(ours) == len(theirs) == 12
    back = theirs.remove_columns("image").to_pandas()
    for column in ("diagnosis", "sex", "site", "is_malignant", "age_approx", "fitzpatrick_skin_type"):
        found = ours[column].astype("object").where(ours[column].notna(), None).tolist()
        assert found == back[column].astype("object").where(back[column].notna(), None).tolist(), column
