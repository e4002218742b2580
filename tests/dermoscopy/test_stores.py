"""A source in a zip or an object store is the source in a folder: same records, same bytes, same faults."""

import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.dermoscopy.archives import WRITERS, write_archive
from tests.dermoscopy.conftest import encode, paint
from tests.dermoscopy.test_round_trips import OPTIONS
from tests.object_store import KEYS, object_store, upload

from dermdit_kedro.dermoscopy.inspect import inspect_image
from dermdit_kedro.dermoscopy.layouts import Source, open_source, stores
from dermdit_kedro.errors import UserError

COUNT = 6
NAMES = [f"isic_{number:07d}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def phantoms() -> tuple[pd.DataFrame, list[bytes]]:
    source = open_source("ph", {"layout": "phantom", "role": "train", "num_images": COUNT, "size": 24, "seed": 5})
    rows = source.records().assign(name=NAMES)
    return rows, [source.read_bytes(file) for file in rows["file"]]


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, Any]]:
    with object_store() as options:
        yield options


def pack(folder: Path, archive: Path) -> Path:
    """Zip a folder."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder))
    return archive


def assert_same(source: Source, plain: Source) -> None:
    pd.testing.assert_frame_equal(source.records(), plain.records())
    assert source.num_unused_files() == plain.num_unused_files()
    for file in plain.records()["file"]:
        assert source.read_bytes(file) == plain.read_bytes(file)
        assert source.stamp(file) is not None


@pytest.mark.parametrize("layout", WRITERS)
def test_a_zip_is_its_folder(layout: str, phantoms: tuple[pd.DataFrame, list[bytes]], tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    write_archive(folder, layout, *phantoms)
    entry = {"layout": layout, "role": "test", **OPTIONS.get(layout, {})}
    plain = open_source("x", entry | {"path": str(folder)})
    assert_same(open_source("x", entry | {"path": str(pack(folder, tmp_path / "x.zip"))}), plain)


@pytest.fixture
def ham(phantoms: tuple[pd.DataFrame, list[bytes]], tmp_path: Path) -> Path:
    folder = tmp_path / "ham"
    folder.mkdir()
    write_archive(folder, "ham10000", *phantoms)
    return folder


def entry(path: object, **options: Any) -> dict[str, Any]:
    return {"layout": "ham10000", "role": "train", "path": str(path), **options}


def test_every_way_to_write_an_address(ham: Path, store: dict[str, Any]) -> None:
    plain = open_source("x", entry(ham))
    archive = pack(ham, ham.parent / "x.zip")
    outer = pack(ham.parent / "ham", ham.parent / "outer.zip")
    with zipfile.ZipFile(outer, "w") as packed:
        for file in ham.rglob("*"):
            packed.write(file, Path("inner") / file.relative_to(ham))
    with tarfile.open(ham.parent / "x.tar.gz", "w:gz") as packed:
        for file in ham.iterdir():
            packed.add(file, file.name)
    tar = f"tar::file://{ham.parent}/x.tar.gz"
    for way in (tar, f"zip://{archive}", f"zip::file://{archive}", f"zip://inner::file://{outer}", f"file://{ham}"):
        assert_same(open_source("x", entry(way)), plain)
    upload(ham, "clinic/dermoscopy", store)
    fsspec.filesystem("s3", **store).put_file(str(archive), "clinic/x.zip")
    for way in ("s3://clinic/dermoscopy/", "zip::s3://clinic/x.zip"):
        assert_same(open_source("x", entry(way, storage_options=store)), plain)
    assert_same(open_source("x", entry("zip::s3://clinic/x.zip", storage_options={"s3": store})), plain)
    endpoint = {"endpoint_url": store["endpoint_url"]}
    assert_same(open_source("x", entry("s3://clinic/dermoscopy", storage_options=endpoint, credentials=KEYS)), plain)


def test_images_of_a_store_may_be_fetched_once_into_a_cache(ham: Path, store: dict[str, Any], tmp_path: Path) -> None:
    upload(ham, "once/ham", store)
    options = {"s3": store, "filecache": {"cache_storage": str(tmp_path / "cache")}}
    source = open_source("x", entry("filecache::s3://once/ham", storage_options=options))
    assert_same(source, open_source("x", entry(ham)))
    assert len(list((tmp_path / "cache").iterdir())) > COUNT


def test_a_source_of_a_store_travels_light_and_is_opened_once_in_a_process(ham: Path, store: dict[str, Any]) -> None:
    (ham / "nothing.jpg").touch()
    upload(ham, "travel/ham", store)
    archive = pack(ham, ham.parent / "x.zip")
    for path, options in ((archive, {}), ("s3://travel/ham", store)):
        source = open_source("x", entry(path, storage_options=options))
        assert source.read_bytes("nothing.jpg") == b""
        luggage = pickle.dumps(source)
        assert len(luggage) < 2000
        assert pickle.loads(luggage) == source
        file, opened = source.records()["file"][0], stores._open.cache_info().misses
        with pytest.raises(FileNotFoundError, match="there is no file 'gone'"):
            source.read_bytes("gone")
        for _ in range(3):
            assert pickle.loads(luggage).read_bytes(file) == source.read_bytes(file)
        assert stores._open.cache_info().misses == opened


def test_an_archive_that_was_made_anew_is_read_anew(ham: Path) -> None:
    archive = pack(ham, ham.parent / "x.zip")
    first = open_source("x", entry(archive))
    file = first.records()["file"][0]
    (ham / file).write_bytes(encode(paint(9), "JPEG"))
    archive.unlink()
    pack(ham, archive)
    second = open_source("x", entry(archive))
    assert second.read_bytes(file) == (ham / file).read_bytes() != first.read_bytes(file)
    assert second.stamp(file) != first.stamp(file)
    others = first.records()["file"][1:]
    assert [second.stamp(other) for other in others] == [first.stamp(other) for other in others]


def table_in(folder: Path, names: list[str]) -> dict[str, Any]:
    """A table beside the archive that names some of its members."""
    pd.DataFrame({"file": names, "diagnosis": "nevus"}).to_csv(folder / "table.csv", index=False)
    columns = {"image": "file", "diagnosis": "diagnosis"}
    return {"layout": "table", "role": "train", "table": str(folder / "table.csv"), "columns": columns}


def test_a_bad_member_is_set_aside_for_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, spoiled = encode(paint(1)), encode(paint(2))
    members = {
        "good.png": good, "../climbs.png": good, "/rooted.png": good, "a/../sideways.png": good, "spoiled.png": spoiled,
        "bomb.png": bytes(100_000), "__MACOSX/._good.png": b"what a Mac knows of it",
    }  # fmt: skip
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content, zipfile.ZIP_STORED if name == "spoiled.png" else None)
    archive.write_bytes(archive.read_bytes().replace(spoiled, bytes(len(spoiled))))
    monkeypatch.setattr(stores, "MAX_BYTES", 50_000)
    names = ["good.png", "climbs.png", "rooted.png", "sideways.png", "spoiled.png", "bomb.png", "gone.png", "nul\0.png"]
    source = open_source("x", table_in(tmp_path, names[:-1]) | {"path": str(archive)})
    files = [*source.records()["file"], names[-1]]
    reasons = [inspect_image(source, file, 10**6).reason for file in files]
    assert reasons == [
        None, "unsafe_path", "unsafe_path", "unsafe_path", "unreadable", "too_large", "missing_file", "missing_file"
    ]  # fmt: skip
    assert source.num_unused_files() == 0
    assert not [file for file in files if str(tmp_path) in inspect_image(source, file, 10**6).detail]


def test_a_store_that_fails_ends_the_run_and_is_no_fault_of_an_image(ham: Path) -> None:
    class Flaky(MemoryFileSystem):
        protocol, store, pseudo_dirs, is_down = "flaky", {}, [""], False

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.removeprefix("flaky://"))

        def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
            if self.is_down:
                raise ConnectionResetError("connection reset by peer")
            return super().cat_file(path, *args, **kwargs)

    fsspec.register_implementation("flaky", Flaky, clobber=True)
    for file in ham.rglob("*"):
        if file.is_file():
            Flaky().pipe_file(f"/ham/{file.relative_to(ham)}", file.read_bytes())
    source = open_source("x", entry("flaky://ham"))
    file = source.records()["file"][0]
    assert inspect_image(source, file, 10**6).reason is None
    Flaky.is_down = True
    with pytest.raises(UserError, match=r"the store failed .*connection reset.*run the same command again"):
        inspect_image(source, file, 10**6)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("{folder}/gone.zip", {}, r"sources\.x\.path: there is nothing at .*gone\.zip"),
        ("{folder}/cut.zip", {}, r"cut\.zip is no archive of this kind, or was cut off .*Get it anew"),
        ("{folder}/empty.zip", {}, r"the folder of the source 'x' is missing: .*empty\.zip"),
        ("{folder}/x.tar.gz", {}, r"sources\.x\.path must be a folder.*tar::file:///.*x\.tar\.gz"),
        ("", {}, r"sources\.x\.path.*at least 1 item"),
        ("oss://bucket/folder", {}, r"oss://bucket/folder needs a package that is not installed: .*ossfs"),
        ("clinic://bucket/folder", {}, r"Protocol not known: clinic\. An address begins with s3://"),
        ("s3://me:word@bucket/folder", {}, r"sources\.x\.path must hold no password"),
        ("{folder}", {"storage_options": {"anon": True}}, r"storage_options and credentials are for an address"),
        ("s3://nowhere/folder", {"storage_options": "store"}, r"there is nothing at s3://nowhere/folder: .*bucket"),
        ("s3://errors/none", {"storage_options": "store"}, r"the folder of the source 'x' is missing: s3://errors"),
        ("s3://errors/x.zip", {"storage_options": "store"}, r"s3://errors/x\.zip is a file.*zip::s3://"),
        ("zip::s3://errors/x.zip", {"storage_options": "store"}, r"is no archive of this kind, or was cut off"),
        ("s3://errors/a", {"storage_options": "endpoint"}, r"the store refuses .*credentials\.yml"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_address_is_said_with_the_way_out(
    path: str, options: dict[str, Any], message: str, tmp_path: Path, store: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    tarfile.open(tmp_path / "x.tar.gz", "w:gz").close()
    s3 = fsspec.filesystem("s3", **store)
    if not s3.exists("errors"):
        s3.mkdir("errors")
        s3.pipe_file("errors/x.zip", b"no archive")
    told = {"store": store, "endpoint": {"endpoint_url": store["endpoint_url"]}}
    given = {name: told.get(value, value) if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(UserError, match=message):
        open_source("x", entry(path.format(folder=tmp_path), **given))


def test_a_wrong_key_is_the_stores_to_refuse(store: dict[str, Any]) -> None:
    from moto.core import set_initial_no_auth_action_count

    fsspec.filesystem("s3", **store).mkdir("locked")

    @set_initial_no_auth_action_count(0)
    def ask() -> None:
        open_source("x", entry("s3://locked/a", storage_options=store))

    with pytest.raises(UserError, match=r"s3://locked/a: the store refuses \(PermissionError.*credentials\.yml"):
        ask()
