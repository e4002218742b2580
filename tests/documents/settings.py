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
    """The file that a block belongs in, of Kedro's configuration or another program's.

    That is the `*.yml` of its first line, a comment; or else the last one named behind its backticks or above it.

    Raises:
        AssertionError: If none is named.
    """
    first = re.match(r"# *([\w./<>-]+\.ya?ml)\b", block.text)
    if first:
        return Path(first[1]).name
    named = re.findall(r"([\w./<>-]+\.ya?ml)\b", f"{block.before} {block.info}")
    assert named, (
        f"{block.place}: say in a comment on the first line of the block into which file it goes, such as "
        "`# conf/mine/parameters.yml`, or in the paragraph above it"
    )
    return Path(named[-1]).name


def lay_out_mine(folder: Path, *wanted: Block) -> dict[str, Any]:
    """Write `conf/mine` anew from blocks, the later before the earlier.

    An address of an object store becomes one of this disk, and needs no key.

    Returns:
        All that they say.
    """
    mine = folder / "conf/mine"
    mine.mkdir(exist_ok=True)
    (mine / "globals.yml").write_text(yaml.safe_dump(GLOBALS))
    files: dict[str, dict[str, Any]] = {"catalog.yml": {}, "parameters.yml": {}}
    for block in wanted:
        text = block.text.replace("s3://", f"file://{folder}/data/01_raw/")
        files.setdefault(file_of(block), {}).update(yaml.safe_load(text))
    for source in files["catalog.yml"].get("sources", {}).get("sources", {}).values():
        source.pop("credentials", None)
    for name, content in files.items():
        (mine / name).write_text(yaml.safe_dump(content, sort_keys=False))
    return {key: value for content in files.values() for key, value in content.items()}


def params_of(section: str) -> dict[str, Any]:
    """The parameters that a section's commands on `mine` give with `--params`; a shell's variables are this machine."""
    given: dict[str, Any] = {}
    for block in (block for page in PAGES for block in blocks(page) if block.section == section):
        for pairs in re.findall(r"--env mine .*--params \"([^\"]+)\"", block.text):
            for key, value in re.findall(r"([\w.]+)=([^,]+)", pairs):
                *above, name = key.split(".")
                inner = given
                for part in above:
                    inner = inner.setdefault(part, {})
                inner[name] = yaml.safe_load(re.sub(r"\$\w+", "localhost", value))
    return given


def mine_of(section: str) -> list[Block]:
    """The blocks that make `mine` for the commands of a section: its own, after the sources of the first page."""
    sources = next(block for block in yaml_blocks() if "sources" in yaml.safe_load(block.text))
    return [sources, *(block for block in yaml_blocks() if block.section == section and block is not sources)]
