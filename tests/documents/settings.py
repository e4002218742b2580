"""The blocks of YAML: which file of which environment they are, as the text above them says."""

import re
from pathlib import Path
from typing import Any

import yaml
from tests.documents.pages import PAGES, Block, blocks

GLOBALS = {"paths": {"data": "${project_root:}/data/mine"}}
"""What the README says that the `globals.yml` of `mine` is."""


def yaml_blocks() -> list[Block]:
    """Every block of YAML of every page."""
    return [block for page in PAGES for block in blocks(page) if block.language in ("yaml", "yml")]


def file_of(block: Block) -> str:
    """The file that a block belongs in: the last `*.yml` named behind its backticks or in the paragraph above it.

    Raises:
        AssertionError: If none is named.
    """
    named = re.findall(r"([\w./<>-]+\.ya?ml)\b", f"{block.before} {block.info}")
    assert named, (
        f"{block.place}: say above the block into which file it goes, such as `conf/mine/parameters.yml`, or behind "
        'its backticks: ```yaml title="conf/mine/parameters.yml"'
    )
    return Path(named[-1]).name


def lay_out_mine(folder: Path, block: Block | None = None) -> dict[str, Any]:
    """Write `conf/mine` as the documents say: the first catalog that names sources, or one block alone.

    Returns:
        The contents of the block.
    """
    if block is None:
        block = next(block for block in yaml_blocks() if "sources" in yaml.safe_load(block.text))
    mine = folder / "conf/mine"
    mine.mkdir(exist_ok=True)
    (mine / "globals.yml").write_text(yaml.safe_dump(GLOBALS))
    (mine / file_of(block)).write_text(block.text)
    return dict(yaml.safe_load(block.text))
