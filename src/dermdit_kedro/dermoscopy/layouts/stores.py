"""A folder in an archive or an object store, through fsspec.

What opens an address is kept for each process, so that a worker opens an archive once and not for every image. What
a store says of itself (no such bucket, no key, no connection) ends the run; what is wrong with one file is that file's
alone, as on a disk.
"""

import json
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dermdit_kedro.dermoscopy.layouts.source import MAX_BYTES
from dermdit_kedro.errors import UserError

ARCHIVES: Final = ("zip", "tar", "libarchive")
BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What is raised for a member of an archive that is damaged, encrypted (RuntimeError) or packed in an unknown way."""

MACS: Final = "__MACOSX/"
"""Where an archive made on a Mac keeps what its file system knows of each file, under the file's own name."""

SIGNS: Final = (
    "ETag", "etag", "md5Hash", "content_md5", "CRC", "mtime", "LastModified", "last_modified", "modified", "updated",
    "date_time",
)  # fmt: skip
"""What stores call that which changes with a file's bytes."""


def protocols_of(address: str) -> list[str]:
    """Return the protocols of an address, outermost first: `zip::s3://bucket/x.zip` has zip and s3."""
    return [part.partition("://")[0] for part in address.split("::")]


def store_options(address: str, *given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each part of an address is told.

    Args:
        address: The address.
        *given: Options by protocol; or, where a key is no protocol of the address, all for its last part.

    Returns:
        Protocol -> options.
    """
    protocols = protocols_of(address)
    told: dict[str, dict[str, Any]] = {protocol: {} for protocol in protocols}
    for options in given:
        by_protocol = dict(options) if set(options) <= set(protocols) else {protocols[-1]: dict(options)}
        for protocol, values in by_protocol.items():
            told[protocol] |= values
    return told


@lru_cache(maxsize=32)
def _open(session: str, address: str, options: str) -> tuple[Any, str]:
    """Open an address once a process and session: what a store listed for an earlier load is not believed."""
    from fsspec.core import url_to_fs

    told = {protocol: {"skip_instance_cache": True, **values} for protocol, values in json.loads(options).items()}
    filesystem, root = url_to_fs(address, **told)
    return filesystem, str(root).rstrip("/")


@dataclass(frozen=True)
class StoreFolder:
    """A place (see `places.Place`) that fsspec opens.

    Attributes:
        source: The source's name, for messages.
        shown: What the user calls it.
        address: What fsspec calls it.
        options: What each protocol is told.
        session: Tells what is opened for one load of the source from what is opened for another.
    """

    source: str
    shown: str
    address: str
    options: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.shown).name

    def __str__(self) -> str:
        """Return what the user calls it."""
        return self.shown

    def __truediv__(self, file: str) -> "StoreFile | Path":
        """Return a file below it; an absolute path is a file of this machine, such as a table beside the archive."""
        return Path(file) if Path(file).is_absolute() else StoreFile(self, file)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to other processes without what is opened and listed."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def is_dir(self) -> bool:
        """Whether anything is there."""
        return bool(self._found)

    def walk(self) -> Iterator[str]:
        """Yield the files below it."""
        return iter(self._found)

    def stamp(self, file: str) -> str | None:
        """Return the address and what its store says of a file's bytes; null where that is its size alone."""
        return self._found.get(file)

    def read(self, file: str) -> bytes:
        """Read a file below it; see `source.read_below`.

        Args:
            file: Its name, relative to the folder.

        Returns:
            The bytes.

        Raises:
            PermissionError: If the name climbs out of the folder.
            FileNotFoundError: If there is no such file.
            OverflowError: If it has more than `MAX_BYTES`.
            OSError: If what the archive holds of it is damaged or encrypted.
            UserError: If the store fails; it says nothing of the file.
        """
        if "\0" in file:
            raise FileNotFoundError(f"no file has the name {file!r}")
        if file.startswith("/") or ".." in PurePosixPath(file).parts:
            raise PermissionError(f"an image must lie below the source's folder. Got {file!r}")
        try:
            filesystem, root = self._opened()
            content = self._read(filesystem, f"{root}/{file}" if root else file)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"there is no file {file!r}") from error
        except Exception as error:  # what a store's package raises is its own
            if isinstance(error, BROKEN) and self._is_archive:
                raise OSError(f"{file!r} cannot be taken out of its archive: {error}") from error
            raise self._explain(error) from error
        if content is None:
            raise OverflowError(f"a file may have at most {MAX_BYTES:,} bytes. {file!r} has more")
        return content

    @property
    def _is_archive(self) -> bool:
        return protocols_of(self.address)[0] in ARCHIVES

    def _read(self, filesystem: Any, path: str) -> bytes | None:
        """Return the bytes; null where there are too many. A store is asked once, an archive knows the size."""
        if self._is_archive:
            return filesystem.cat_file(path) if filesystem.info(path)["size"] <= MAX_BYTES else None
        try:
            content: bytes = filesystem.cat_file(path, start=0, end=MAX_BYTES + 1)
        except FileNotFoundError:
            raise
        except Exception:  # a store refuses to send a part of nothing
            if filesystem.info(path).get("size") != 0:
                raise
            content = b""
        return content if len(content) <= MAX_BYTES else None

    def _opened(self) -> tuple[Any, str]:
        return _open(self.session, self.address, json.dumps(self.options, sort_keys=True))

    @cached_property
    def _found(self) -> dict[str, str | None]:
        """Files with their stamps, from one listing."""
        try:
            filesystem, root = self._opened()
            listed = filesystem.find(root, detail=True)
        except FileNotFoundError as error:
            raise UserError(f"sources.{self.source}.path: there is nothing at {self}: {error}") from error
        except Exception as error:  # what a store's package raises is its own
            raise self._explain(error) from error
        if root in listed:
            raise UserError(
                f"sources.{self.source}.path: {self} is a file. Of an archive, write zip::s3://bucket/x.zip"
            )
        start = len(root) + 1 if root else 0
        below = {str(path)[start:]: info for path, info in listed.items() if info.get("type") == "file"}
        return {file: self._sign(info) for file, info in below.items() if file and not file.startswith(MACS)}

    def _sign(self, info: Mapping[str, Any]) -> str | None:
        signs = [f"{name}={info[name]}" for name in SIGNS if info.get(name) is not None]
        return f"{self.address} {info.get('size')} {' '.join(signs)}" if signs else None

    def _explain(self, error: Exception) -> UserError:
        """Say what to do about what a store's package raised."""
        where, what = f"sources.{self.source}.path: {self}", f"{type(error).__name__}: {error}"
        if isinstance(error, ImportError):
            return UserError(f"{where} needs a package that is not installed: {error} (`uv pip install` it, or pip)")
        if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
            return UserError(
                f"{where}: the store refuses ({what}). Name an entry of conf/<env>/credentials.yml as `credentials` of "
                "the source; {anon: true} there for a public bucket"
            )
        if self._is_archive and isinstance(error, (*BROKEN, ValueError)):
            return UserError(f"{where} is no archive of this kind, or was cut off ({what}). Get it anew")
        if isinstance(error, ValueError) and "Protocol not known" in str(error):
            return UserError(f"{where}: {error}. An address begins with s3://, gs://, abfs://, zip:: and the like")
        return UserError(
            f"{where}: the store failed ({what}). Check address, connection and storage_options, and run the same "
            "command again: what was looked at is kept"
        )


@dataclass(frozen=True)
class StoreFile:
    """A table in a store.

    Attributes:
        folder: Where it is.
        file: Its name there.
    """

    folder: StoreFolder
    file: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.file).name

    def __str__(self) -> str:
        """Return its address."""
        return f"{self.folder}/{self.file}"

    def is_file(self) -> bool:
        """Whether it is there."""
        return self.file in self.folder.walk()

    def read_bytes(self) -> bytes:
        """Read it.

        Returns:
            The bytes.

        Raises:
            UserError: If it cannot be read.
        """
        try:
            return self.folder.read(self.file)
        except (OSError, OverflowError) as error:
            raise UserError(f"{self} cannot be read: {error}") from error
