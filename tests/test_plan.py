"""`kedro plan`: the nodes a run would run, in its order, with numbers that have an origin; nothing is written."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.session import KedroSession
from rich.console import Console

from dermdit_kedro.cli import cli, plan, run
from dermdit_kedro.durations import Duration, Record, kind_of_work, machine, read_records, write_records
from dermdit_kedro.outlook import Look, Outlook
from dermdit_kedro.pipeline_registry import register_pipelines
from dermdit_kedro.plan_table import print_plan, size
from dermdit_kedro.planning import TIMED, Plan, Row, Ruler, Size, plan_nodes
from dermdit_kedro.selection import resolve_selection
from dermdit_kedro.work import Counts, Work, count_sources

DENOISER = "generative_training.dermdit.train_denoiser"
SHARING = "fairness_evaluation.real_group_thresholds.train_classifier"
WORK_DIR = """
work_dir:
  type: dermdit_kedro.datasets.work_folder.WorkFolderDataset
  filepath: ${globals:paths.data}/02_intermediate/work
"""


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, arguments)


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}


def planned(output: str) -> list[str]:
    """Return the nodes of a printed plan, in its order."""
    return re.findall(r"^ +\d+ +([\w.]+) ", output, re.MULTILINE)


def expected(project: Path, env: str, name: str = "__default__", **parameters: object) -> dict[str, Outlook]:
    pipelines = register_pipelines()
    with KedroSession.create(project_path=project, env=env, runtime_params=parameters) as session:
        catalog = session.load_context().catalog
        return {outlook.node: outlook for outlook in Look(catalog, pipelines)(pipelines[name])}


@pytest.fixture
def timed_toy(tracked_toy: Path) -> Path:
    """The project of three nodes, with a folder beside which durations are kept."""
    with (tracked_toy / "conf" / "base" / "catalog.yml").open("a") as catalog:
        catalog.write(WORK_DIR)
    return tracked_toy


def test_a_plan_takes_the_options_of_a_run() -> None:
    of_run = {option.name for option in run.params}
    assert {option.name for option in plan.params} == of_run - {"runner", "runner_params", "is_async"} | {"measure"}


def test_a_plan_names_the_nodes_and_writes_nothing(timed_toy: Path) -> None:
    before = files(timed_toy)
    result = invoke("plan", "--params", "toy.training.max_train_steps=2")
    assert result.exit_code == 0, result.output
    assert planned(result.output) == ["read_sources", "train_toy", "write_summary"]
    assert "nothing was measured yet" in result.output
    assert files(timed_toy) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params", "image_sise=3"], "Error: image_sise is not a parameter; did you mean image_size?\n"),
        (["--nodes", "train_to"], "Error: the default pipeline has no node 'train_to'; did you mean train_toy?\n"),
        (["--namespaces", "ldm"], "Error: the default pipeline has no namespace 'ldm'; there are none\n"),
    ],
)
def test_a_plan_refuses_what_a_run_refuses(toy: Path, arguments: list[str], message: str) -> None:
    for command in ("plan", "run"):
        result = invoke(command, *arguments)
        assert result.exit_code == 1
        assert result.stderr.endswith(message)


def test_a_run_that_would_not_start_is_planned_all_the_same(timed_toy: Path) -> None:
    result = invoke("plan", "--pipelines", "training")
    assert result.exit_code == 1
    assert planned(result.output) == ["train_toy", "write_summary"]
    missing = "`manifest` is missing: run `kedro run --pipeline making` first\n"
    assert result.stderr.endswith(f"Error: such a run would not start. {missing}")
    assert not (timed_toy / "data").exists()
    assert invoke("run", "--pipelines", "training").stderr.endswith(f"Error: {missing}")


def test_what_has_its_outputs_is_left_out(timed_toy: Path) -> None:
    assert invoke("run").exit_code == 0
    (timed_toy / "data/08_reporting/summary.json").unlink()
    result = invoke("plan", "--only-missing-outputs")
    assert planned(result.output) == ["write_summary"]
    assert "2 nodes have their outputs" in result.output


def test_a_run_writes_down_what_its_nodes_took_and_the_next_says_what_is_left(timed_toy: Path) -> None:
    first = invoke("run")
    assert first.exit_code == 0
    assert "node 1 of 3: read_sources\n" in first.output
    file = timed_toy / "data/02_intermediate/durations.json"
    records = read_records(file)
    assert set(records) == {"read_sources", "train_toy", "write_summary"}
    taken = records["train_toy"].anew
    assert taken is not None
    assert (taken.machine, taken.amount) == (machine(), None)

    a_minute = {name: record.anew._replace(seconds=60.0) for name, record in records.items() if record.anew}
    write_records(file, {name: records[name]._replace(anew=taken) for name, taken in a_minute.items()})
    result = invoke("plan")
    assert "Time: about 3 min 0 s" in result.output
    assert taken.day in result.output
    said = invoke("run").output
    assert "node 1 of 3: read_sources (about 3 min 0 s left in all)\n" in said
    assert "node 3 of 3: write_summary (about 1 min 0 s left in all)\n" in said
    assert read_records(file)["train_toy"].anew != a_minute["train_toy"]


def test_where_one_node_was_not_measured_nothing_is_said_of_the_whole(timed_toy: Path) -> None:
    assert invoke("run", "--pipelines", "making").exit_code == 0
    assert "left in all" not in invoke("run").output
    assert "left in all" in invoke("run").output


def test_the_plan_of_the_test_environment_is_its_pipeline(project: Path) -> None:
    before = files(project)
    result = invoke("plan", "--env", "test", "--no-measure", "--pipelines", "data_engineering")
    assert result.exit_code == 0, result.output
    assert planned(result.output) == [node.name for node in register_pipelines()["data_engineering"].nodes]
    assert "decode and hash 208 images" in result.output
    assert files(project) == before


def test_durations_are_scaled_by_work_and_tell_of_their_like_alone(project: Path) -> None:
    file = project / "data/test/02_intermediate/durations.json"
    first = expected(project, "test")[DENOISER]
    assert (first.work.amount, first.seconds) == (40, None)
    taken = Duration(10.0, 20.0, first.kind, machine(), "2026-11-28")
    write_records(file, {DENOISER: Record(taken)})
    assert expected(project, "test")[DENOISER].seconds == 20.0
    longer = expected(project, "test", denoiser_training={"max_train_steps": 400})
    assert longer[DENOISER].seconds == 200.0
    other = expected(project, "test", denoiser_training={"batch_size": 32})
    assert other[DENOISER].seconds is None
    write_records(file, {DENOISER: Record(taken._replace(machine="1000 cores"))})
    assert expected(project, "test")[DENOISER].seconds is None


def test_a_file_that_is_damaged_is_nothing_known(tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    assert read_records(file) == read_records(None) == {}
    file.write_text('{"a": [1')
    assert read_records(file) == {}


def test_arms_that_train_on_the_same_are_trained_once(project: Path) -> None:
    outlooks = expected(project, "test")
    assert outlooks[SHARING].found == "shares those of real"
    assert [name for name, o in outlooks.items() if o.share_left == 0] == [SHARING]


def test_paper_is_planned_without_archives_and_hub(project: Path) -> None:
    """What the parameters alone say: steps, weights, training states; images are not known."""
    arguments = (
        "--env",
        "paper",
        "--no-measure",
        "--nodes",
        "dermdit.train_denoiser,dermdit.sample_images,read_sources",
    )
    result = invoke("plan", *arguments)
    assert result.exit_code == 1
    assert "train 400,000 steps, batch 16; 405.1 M parameters" in result.output
    assert "draw 50,000 images in 250 steps" in result.output
    assert "the sources cannot be read" in result.output
    assert "run `kedro run --env paper --pipeline data_engineering` first" in result.stderr
    states = re.search(r"train_denoiser.* ([\d.]+) GB +([\d.]+) GB", result.output)
    assert states is not None
    assert float(states[2]) == pytest.approx(4 * 405.1e6 * (2 + 2 * 4) / 1e9, rel=0.01)  # 2 weights, 2 states of 4


def test_an_archive_that_is_missing_is_named_after_the_plan(project: Path) -> None:
    result = invoke("plan", "--env", "paper", "--no-measure", "--nodes", "read_sources")
    assert result.exit_code == 1
    assert planned(result.output) == ["data_engineering.read_sources"]
    assert "isic_2016" in result.stderr


def test_kinds_of_work_differ_by_what_time_depends_on() -> None:
    kinds = {kind_of_work({"training": t}) for t in ({"batch_size": 8, "seed": 1, "epochs": 3}, {"batch_size": 8})}
    assert len(kinds) == 1
    assert kind_of_work({"training": {"batch_size": 9}}) not in kinds


def test_images_are_counted_from_the_sources(project: Path) -> None:
    with KedroSession.create(project_path=project, env="test") as session:
        catalog = session.load_context().catalog
        look = Look(catalog, register_pipelines())
        counts = count_sources(catalog.load("sources"), look.shared)
    assert counts == Counts(images=208, train=112, val=16, test=80, is_exact=False)


def test_a_disk_that_is_too_small_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    row = Row(Outlook("train_denoiser", Work("train"), ""), 90.0, "timed now", disk_bytes=3 * 10**9)
    print_plan(Plan((row,), Counts(1, is_exact=True), 10**9, "2 cores"), console=Console(width=120))
    said = capsys.readouterr().out
    assert "WARNING: 2.0 GB are missing" in said
    assert "Time: about 1 min 30 s on 2 cores (timed now)." in said


@pytest.mark.parametrize(("count", "said"), [(None, "-"), (0, "-"), (12, "12 B"), (1500, "1.5 kB"), (2e11, "200 GB")])
def test_sizes_are_for_people(count: int | None, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--namespaces", "ldm"], "the default pipeline has no namespace 'ldm'; `--pipelines table1` has"),
        (["--namespaces", "dermdi"], "the default pipeline has no namespace 'dermdi'; did you mean dermdit?"),
        (["--tags", "reports"], "the default pipeline has no tag 'reports'; did you mean report?"),
        (["--tags", "gpu", "--pipelines", "data_engineering"], "--pipelines data_engineering has no tag 'gpu'; "),
    ],
)
def test_a_name_that_is_not_there_leads_on(project: Path, options: list[str], message: str) -> None:
    result = invoke("plan", *options)
    assert result.exit_code == 1
    assert f"Error: {message}" in result.stderr


def test_tags_select_what_their_names_say() -> None:
    graph = register_pipelines()["__default__"]
    drawn = {node.name.rpartition(".")[2] for node in graph.only_nodes_with_tags("report").nodes}
    assert drawn == {
        "draw_data_report",
        "draw_image_figures",
        "draw_diagnosis_figures",
        "write_verdict",
        "write_report",
    }
    without_training = graph.only_nodes_with_tags("report", "score")
    assert not any(node.short_name.startswith(("train_", "sample_")) for node in without_training.nodes)
    measured = ("extract_features", "extract_real_features", "score_by_further_networks", "measure_autoencoder")
    assert {*measured} <= {node.name.rpartition(".")[2] for node in graph.only_nodes_with_tags("score").nodes}
    assert {node.short_name for node in graph.nodes if node.short_name.startswith("train_")} == {
        node.short_name for node in graph.only_nodes_with_tags("gpu").nodes if node.short_name.startswith("train_")
    }


@pytest.mark.parametrize(("name", "count"), [("dermdit", 11), ("real", 4), ("five_attributes", 4)])
def test_a_namespace_is_planned_with_its_nodes(project: Path, name: str, count: int) -> None:
    """On a project without data the run would not start, and says what to run first."""
    result = invoke("plan", "--env", "test", "--no-measure", "--namespaces", name)
    assert result.exit_code == 1
    assert len(planned(result.output)) == count
    assert all(node.split(".")[-2] == name for node in planned(result.output))
    assert "run `kedro run --env test --pipeline data_engineering` first" in result.stderr


def test_the_page_of_the_command_line_shows_options_and_names_that_are_there(root: Path) -> None:
    examples = re.findall(r"uv run kedro (plan|run) ?([^`\n]*)", (root / "docs/command_line.md").read_text())
    assert len(examples) > 12
    shown = set()
    for command, arguments in examples:
        context = {"plan": plan, "run": run}[command].make_context(command, arguments.split())
        resolve_selection(context.params, register_pipelines())
        shown |= {name for name, value in context.params.items() if value}
    asked = {"env", "pipelines", "params", "tags", "namespaces", "node_names", "from_nodes", "only_missing_outputs"}
    assert asked <= shown


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-5", "1e308"])
def test_durations_that_no_node_can_take_are_nothing_known(seconds: str, tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    file.write_text(f'{{"train": [[{seconds}, 1, "k", "m", "2026-11-28"], null, ""]}}')
    assert read_records(file) == {}


def test_a_day_that_is_none_is_nothing_known(tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    file.write_text('{"train": [[1, 1, "k", "m", "[/nope]"], null, ""]}')
    assert read_records(file) == {}


def test_the_largest_work_is_timed_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = []

    def time(_ruler: Ruler, size: Size, work: Work) -> tuple[float, str, bool]:
        operations.append(size.footprint.flops * work.steps)
        return 1.0, TIMED, False

    monkeypatch.setattr(Ruler, "_time", time)
    pipelines = register_pipelines()
    with KedroSession.create(project_path=project, env="test") as session:
        plan_nodes(pipelines["__default__"], session.load_context().catalog, pipelines, measures=True)
    assert len(operations) > 3
    assert operations == sorted(operations, reverse=True)
