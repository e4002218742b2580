"""An object store on this machine: moto's S3, reached over loopback as any other."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEYS = {"key": "the-tests-key", "secret": "the-tests-secret"}


@contextlib.contextmanager
def object_store() -> Iterator[dict[str, Any]]:
    """Start it.

    Yields:
        What s3fs is told to reach it: `endpoint_url`, `key` and `secret`.
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield {"endpoint_url": f"http://{host}:{port}", **KEYS}
    finally:
        server.stop()


def upload(folder: Path, bucket: str, options: dict[str, Any]) -> None:
    """Put the files of a folder into a new bucket; an object store has no folders, only names with slashes."""
    import fsspec

    store = fsspec.filesystem("s3", skip_instance_cache=True, **options)
    name = bucket.partition("/")[0]
    if not store.exists(name):
        store.mkdir(name)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            store.pipe_file(f"{bucket}/{file.relative_to(folder).as_posix()}", file.read_bytes())
