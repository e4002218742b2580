"""Every committed environment, put through the loader, the catalog and the typed parameters."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from dermdit_kedro.checks import parameter_types, refuse_parameters, refuse_unknown_test_sets
from dermdit_kedro.combinations import refuse_combinations
from dermdit_kedro.errors import UserError
from dermdit_kedro.settings import CONFIG_LOADER_ARGS, ProjectConfigLoader, project_root

ENVIRONMENTS = ("base", "test", "ham10000", "paper")
DIALS = (
    "image_size",
    "seed",
    "data_engineering.max_images",
    "autoencoder_training.max_train_steps",
    "text_encoder_training.max_train_steps",
    "denoiser_training.max_train_steps",
    "synthesis.num_images",
    "sampler.num_inference_steps",
    "sampler.guidance_scale",
    "classifier_training.epochs",
)


def loader(root: Path, env: str, parameters: dict[str, Any] | None = None) -> ProjectConfigLoader:
    return ProjectConfigLoader(str(root / "conf"), env=env, runtime_params=parameters, **CONFIG_LOADER_ARGS)


def leaves(tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a list is a value, and its items are too."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{above}.{key}" if above else str(key))
    else:
        yield above, tree


def numbers(tree: Any) -> Iterator[float]:
    """Every number anywhere below."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        for item in tree:
            yield from numbers(item)
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield tree


@pytest.fixture
def registered(project: Path) -> dict[str, Pipeline]:
    return dict(pipelines)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_parameter_is_read_and_every_value_taken(
    project: Path, registered: dict[str, Pipeline], env: str
) -> None:
    parameters = loader(project, env)["parameters"]
    assert refuse_parameters(parameters, registered) is None
    assert refuse_combinations(parameters) is None


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_parameter_a_node_reads_is_there(project: Path, registered: dict[str, Pipeline], env: str) -> None:
    with KedroSession.create(project_path=project, env=env) as session:
        catalog = session.load_context().catalog
    missing = [f"params:{key}" for key in parameter_types(registered) if f"params:{key}" not in catalog]
    assert missing == []


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_entry_resolves_to_a_data_set_on_disk(project: Path, registered: dict[str, Pipeline], env: str) -> None:
    catalog = DataCatalog.from_config(loader(project, env)["catalog"])
    names = {name for pipeline in registered.values() for name in pipeline.datasets() if not name.startswith("params:")}
    assert [name for name in sorted(names) if name not in catalog] == []
    kinds = {name: type(catalog.get(name)).__name__ for name in names}
    assert [name for name, kind in sorted(kinds.items()) if kind in {"MemoryDataset", "PickleDataset"}] == []


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_an_environment_writes_below_its_own_folder(project: Path, registered: dict[str, Pipeline], env: str) -> None:
    catalog = DataCatalog.from_config(loader(project, env)["catalog"])
    below = project / "data" / ("" if env == "base" else env)
    made = {name for pipeline in registered.values() for name in pipeline.all_outputs()}
    made -= {"refined_instructions"}  # configuration that a run writes, to be read and kept
    paths = {name: catalog.get(name)._describe().get("filepath") for name in made}
    assert None not in paths.values()
    assert [name for name, path in sorted(paths.items()) if not Path(str(path)).is_relative_to(below)] == []
    assert loader(project, env)["globals"]["paths"]["raw"] == (project / "data" / "01_raw").as_posix()


def test_the_page_on_data_says_where_results_lie(project: Path, root: Path) -> None:
    told = dict(
        re.findall(r"^\| `([\w.]+)` \| `([\w./]+)` \|", (root / "data" / "README.md").read_text(), re.MULTILINE)
    )
    assert len(told) > 20
    catalog = DataCatalog.from_config(loader(project, "base")["catalog"])
    assert told == {
        name: Path(str(catalog.get(name)._describe()["filepath"])).relative_to(project / "data").as_posix()
        for name in told
    }


@pytest.mark.parametrize("env", ENVIRONMENTS[1:])
def test_an_environment_is_a_diff(project: Path, env: str) -> None:
    base = dict(leaves(loader(project, "base")["parameters"]))
    own = {}
    for file in sorted((project / "conf" / env).rglob("parameters*.yml")):
        own |= dict(leaves(yaml.safe_load(file.read_text())))
    assert [key for key, value in own.items() if key in base and base[key] == value] == []


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_training_writes_a_state_on_its_way(project: Path, env: str) -> None:
    parameters = loader(project, env)["parameters"]
    for name in ("autoencoder_training", "text_encoder_training", "denoiser_training"):
        assert parameters[name]["checkpointing_steps"] < parameters[name]["max_train_steps"], name


@pytest.mark.parametrize("dial", DIALS)
def test_a_dial_is_one_key_and_keeps_its_siblings(project: Path, registered: dict[str, Pipeline], dial: str) -> None:
    before = loader(project, "ham10000")["parameters"]
    assert dial in dict(leaves(before))
    given: Any = 32
    for part in reversed(dial.split(".")):
        given = {part: given}
    after = loader(project, "ham10000", given)["parameters"]
    assert dict(leaves(after)) == {**dict(leaves(before)), dial: 32}


@pytest.mark.parametrize("key", ["image_sise", "denoiser_training.max_train_step", "sampler.guidance"])
def test_an_unknown_key_is_refused_with_the_one_meant(project: Path, registered: dict[str, Pipeline], key: str) -> None:
    given: Any = 3
    for part in reversed(key.split(".")):
        given = {part: given}
    with pytest.raises(UserError, match=f"^{key} is not a parameter; did you mean {key[:8]}"):
        refuse_parameters(loader(project, "base", given)["parameters"], registered)


def test_the_paper_s_numbers_are_in_its_environment(project: Path) -> None:
    loaded = loader(project, "paper")
    parameters = dict(leaves(loaded["parameters"]))
    published = {
        "image_size": 256,
        "denoiser_training.batch_size": 16,
        "denoiser_training.learning_rate": 1e-4,
        "denoiser_training.max_train_steps": 400_000,
        "sampler.num_inference_steps": 250,
        "classifier_training.batch_size": 64,
        "classifier_training.epochs": 10,
    }
    assert {key: parameters[key] for key in published} == published
    everywhere = set(numbers(loaded["parameters"])) | set(numbers(loaded["catalog"]))
    assert {30_000, 50_000, 171, 1512} <= everywhere


def test_an_autoencoder_that_is_given_is_not_trained_further_at_the_rate_of_one_from_scratch(project: Path) -> None:
    rates = {e: loader(project, e)["parameters"]["autoencoder_training"]["learning_rate"] for e in ("base", "paper")}
    assert rates["paper"] <= rates["base"] / 10


def test_globals_hold_path_roots_only(project: Path) -> None:
    for env in ENVIRONMENTS:
        assert set(yaml.safe_load((project / "conf" / env / "globals.yml").read_text())) == {"paths"}


def test_the_project_root_is_found_from_below_and_from_elsewhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (project / "conf" / "base", tmp_path):
        monkeypatch.chdir(folder)
        assert project_root(project / "conf") == project
        assert loader(project, "base")["globals"]["paths"]["data"] == (project / "data").as_posix()
    monkeypatch.chdir(project / "data")
    assert project_root(tmp_path / "configuration") == project


def test_mlflow_is_local_and_does_not_move_with_the_working_directory(project: Path) -> None:
    config = loader(project, "base")["mlflow"]
    assert config["server"]["mlflow_tracking_uri"] == f"sqlite:///{project.as_posix()}/mlflow.db"
    location = config["tracking"]["experiment"]["create_experiment_kwargs"]["artifact_location"]
    assert location == f"{project.as_posix()}/mlartifacts"


def test_no_class_paths_outside_the_catalog(root: Path) -> None:
    for file in (root / "conf").rglob("parameters*.yml"):
        assert "type:" not in file.read_text() or "_type:" in file.read_text()


def test_a_label_for_a_test_set_that_is_not_there_is_refused() -> None:
    sources = {"isic": SimpleNamespace(role="train"), "asan": SimpleNamespace(role="test")}
    refuse_unknown_test_sets(
        {"evaluation": {"label_names": {"asan": "is_melanoma", "held_out": "is_melanoma"}}}, sources
    )
    refuse_unknown_test_sets({}, sources)
    with pytest.raises(UserError, match=r"test sets of `sources`, held_out, asan. Got isic, ddi"):
        labels = {"isic": "is_melanoma", "ddi": "is_malignant"}
        refuse_unknown_test_sets({"evaluation": {"label_names": labels}}, sources)


def test_the_labels_of_paper_are_of_its_test_sets(root: Path) -> None:
    parameters = yaml.safe_load((root / "conf/paper/parameters.yml").read_text())
    sources = yaml.safe_load((root / "conf/paper/catalog.yml").read_text())["sources"]["sources"]
    known = {name: SimpleNamespace(**source) for name, source in sources.items()}
    assert refuse_unknown_test_sets(parameters, known) is None
    assert parameters["evaluation"]["label_names"].keys() <= {*known, "held_out"}
