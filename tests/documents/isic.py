"""Stands for the ISIC Archive's client: `isic image download [--search <query>] <folder>`, with phantoms for images."""

from pathlib import Path

import click
from archives import write_source  # run by itself, with tests/dermoscopy on the path


@click.group()
def isic() -> None:
    """Take the commands of the client."""


@isic.group()
def image() -> None:
    """Take the commands on images."""


@image.command()
@click.option("--search")
@click.option("--collections")
@click.option("--limit", type=int, default=12)
@click.argument("outdir", type=click.Path(file_okay=False, path_type=Path))
def download(search: str | None, collections: str | None, limit: int, outdir: Path) -> None:
    """Write images and `metadata.csv` as an export has them."""
    write_source(outdir, {"layout": "isic_archive"}, 0, limit, 64)


if __name__ == "__main__":
    isic()
