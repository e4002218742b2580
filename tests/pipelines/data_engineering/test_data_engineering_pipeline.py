"""The wiring of data_engineering and its catalog."""

from pathlib import Path

import pytest
from kedro.framework.session import KedroSession

from dermdit_kedro.pipelines.data_engineering import create_pipeline

pytestmark = [
    pytest.mark.filterwarnings("ignore:One or more dataset names contain:UserWarning"),
    pytest.mark.filterwarnings("ignore:Namespace .* is interrupted:UserWarning"),
]

NODES = [
    "read_sources",
    "inspect_images",
    "measure_skin_tone",
    "link_duplicates",
    "assign_splits",
    "prepare_images",
    "report_data",
    "draw_data_report",
]


def test_nodes_are_named_after_their_functions() -> None:
    pipeline = create_pipeline()
    assert sorted(node.name for node in pipeline.nodes) == sorted(NODES)
    assert all(node.name == node.func.__name__ for node in pipeline.nodes)


def test_it_reads_sources_and_parameters_alone() -> None:
    parameters = {"params:data_engineering", "params:seed", "params:image_size"}
    assert create_pipeline().inputs() == {"sources", "work_dir"} | parameters
    assert create_pipeline().outputs() == {"images", "data_report_page"}


@pytest.mark.parametrize("env", ["base", "test", "ham10000", "paper"])
def test_every_data_set_is_a_file_of_the_catalog(project: Path, env: str) -> None:
    with KedroSession.create(project, env=env) as session:
        catalog = session.load_context().catalog
    registered = set(catalog.keys())
    assert create_pipeline().datasets() - {"parameters"} <= registered | {
        name for name in create_pipeline().datasets() if name.startswith("params:")
    }


def test_phantoms_grow_with_the_image_size(project: Path) -> None:
    with KedroSession.create(project, runtime_params={"image_size": 96}) as session:
        sources = session.load_context().catalog.load("sources")
    assert {source.options.size for source in sources.values()} == {96}
    with KedroSession.create(project) as session:
        sources = session.load_context().catalog.load("sources")
    assert {source.options.size for source in sources.values()} == {64}


def test_pipeline_runs_and_is_then_complete(tracked_project: Path) -> None:
    params = {"data_engineering": {"max_images": 20}, "image_size": 64}
    with KedroSession.create(tracked_project, env="test", runtime_params=params) as session:
        session.run(pipeline_names=["data_engineering"])
    data = tracked_project / "data" / "test"
    files = ["manifest.parquet", "quarantine.parquet", "images/_complete.json"]
    assert all((data / "03_primary" / file).is_file() for file in files)
    assert (data / "08_reporting" / "data_report.json").is_file()
    assert "Phantoms" in (data / "08_reporting" / "data_report.html").read_text(encoding="utf-8")
    with KedroSession.create(tracked_project, env="test", runtime_params=params) as session:
        catalog = session.load_context().catalog
        assert all(catalog.exists(name) for name in create_pipeline().all_outputs())
