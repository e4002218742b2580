"""`sources`: the one catalog entry that names what the graph reads."""

import pytest
from kedro.io import DatasetError

from dermdit_kedro.datasets.sources import SourcesDataset
from dermdit_kedro.errors import UserError


def test_sources_are_opened_by_name() -> None:
    entry = {"layout": "phantom", "role": "train", "num_images": 3}
    sources = SourcesDataset(sources={"a": entry, "b": entry | {"role": "test"}}).load()
    assert list(sources) == ["a", "b"]
    assert sources["b"].records()["role"].tolist() == ["test"] * 3
    assert sources["a"].records()["image_id"].str.startswith("a/").all()


@pytest.mark.parametrize("sources", [{}, {"a": {"layout": "zip", "role": "train"}}])
def test_a_wrong_entry_is_the_users_to_mend(sources: dict[str, dict[str, object]]) -> None:
    with pytest.raises(DatasetError) as caught:
        SourcesDataset(sources=sources).load()
    assert isinstance(caught.value.__cause__, UserError)


def test_sources_are_read_only() -> None:
    dataset = SourcesDataset(sources={"a": {"layout": "phantom", "role": "train"}})
    assert dataset.exists()
    with pytest.raises(DatasetError, match="read only"):
        dataset.save({})
