"""Captions of a table find their images, or say why not."""

import logging

import pandas as pd
import pytest

from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.caption_table import match_captions
from dermdit_kedro.prompts.parameters import CaptionerConfig

MANIFEST = pd.DataFrame(
    {"image_id": ["a/1", "a/2", "b/1"], "file": ["left/1.jpg", "left/2.jpg", "right/1.png"]}
)  # fmt: skip


def captions(key: str, *rows: tuple[object, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[key, "prompt"])


@pytest.mark.parametrize(
    "table",
    [
        captions("image_id", ("b/1", "three"), ("a/2", "two")),
        captions("file", ("right/1.png", "three"), ("left/2.jpg", "two")),
        captions("file", ("1.png", "three"), ("2", "two")),
        captions("file", (" right\\1 ", "three"), ("left/2", "two")),
    ],
)
def test_a_caption_is_found_by_id_or_file(table: pd.DataFrame) -> None:
    assert match_captions(table, MANIFEST).tolist() == ["", "two", "three"]


def test_rows_of_strangers_are_told_and_an_empty_prompt_is_none(caplog: pytest.LogCaptureFixture) -> None:
    table = captions("image_id", ("a/1", None), ("a/9", "nobody"), ("a/2", "two"), ("a/8", "nobody"))
    with caplog.at_level(logging.WARNING, "dermdit_kedro"):
        assert match_captions(table, MANIFEST).tolist() == ["", "two", ""]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("2 of 4 rows of captions name no image of the manifest")
    assert said.endswith("the first is 'a/9'")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (captions("picture", ("a/1", "x")), "image_id .or file. and prompt. Got picture, prompt"),
        (pd.DataFrame({"image_id": ["a/1"], "text": ["x"]}), "Got image_id, text"),
        (captions("file", (1, "x")), "must have text in the column file. Got numbers: .*dtype: str"),
        (captions("image_id", ("a/1", "x"), (None, "y")), "must name an image in every row. Row 2 has none"),
        (captions("file", ("1", "x")), "must name one image in each row. '1' may be a/1 or b/1: give image_id"),
        (captions("file", ("2.jpg", "x"), ("left/2", "y")), "must name an image once. 1 rows .* 'left/2'"),
        (captions("image_id", ("1", "x")), "such as 'a/1' with the file 'left/1.jpg'. It names none, such as '1'"),
        (pd.DataFrame({"image_id": [], "prompt": []}, dtype="str"), "It names none, for it has no row"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(UserError, match=f"catalog entry `<prompt set>.captions` .*{message}"):
        match_captions(table, MANIFEST)


@pytest.mark.parametrize("fields", [{"model": "x"}, {"describe_image": True}, {"server": {"url": "http://x/v1"}}])
def test_the_table_takes_nothing_of_a_model(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="captioner"):
        CaptionerConfig(backend="table", **fields)
