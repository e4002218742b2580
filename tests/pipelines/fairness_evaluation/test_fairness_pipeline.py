"""The graph: what it reads, what it leaves on disk, and that every entry has its place in the catalog."""

import re

import pytest
import yaml

from dermdit_kedro.pipelines.fairness_evaluation import (
    create_pipeline,
    create_table1_pipeline,
    create_table2_pipeline,
)
from dermdit_kedro.pipelines.variants import Variant

# Kedro's dots are meant: a variant reads the arm that judges it, an arm reads the variant it learns from.
pytestmark = pytest.mark.filterwarnings("ignore:One or more dataset names contain:UserWarning")

VARIANTS = (Variant("dit", None), Variant("dermdit", "five_attributes"))
ARMS = ("real", "synthetic")
SHARED = {"inception", "held_out_features", "finetuned_train_features", "finetuned_held_out_features"}
PER_VARIANT = ("synthetic_features", "finetuned_features", "further_metrics", "autoencoder_metrics", "image_metrics")
PER_ARM = ("classifier", "predictions", "diagnosis_metrics", "group_fairness")


@pytest.fixture(scope="module")
def catalog(root):
    folder = root / "conf/base/fairness_evaluation"
    return yaml.safe_load((folder / "catalog.yml").read_text())


@pytest.fixture(scope="module")
def pipeline():
    return create_pipeline(VARIANTS, ARMS, ("five_attributes",))


def test_outputs_are_the_contract(pipeline):
    outputs = {name for name in pipeline.all_outputs() if not name.endswith("_figure")} - {"summary", "report"}
    outputs -= {"arm_comparison", "verdict"}
    per_variant = {f"{variant.name}.{entry}" for variant in VARIANTS for entry in PER_VARIANT}
    assert outputs == SHARED | per_variant | {f"{arm}.{entry}" for arm in ARMS for entry in PER_ARM}


def test_every_output_lies_on_disk_in_a_layer_of_its_own(catalog):
    patterns = {f"{{variant}}.{entry}" for entry in PER_VARIANT} | {f"{{arm}}.{entry}" for entry in PER_ARM}
    assert set(catalog) == SHARED | patterns | {"table1", "table2", "arm_comparison", "verdict"}
    for entry in catalog.values():
        assert entry["filepath"].startswith("${globals:paths.data}/0")
        assert entry["metadata"]["kedro-viz"]["layer"]
    paths = [re.sub(r"\{(variant|arm)\}", "x", entry["filepath"]) for entry in catalog.values()]
    assert len(set(paths)) == len(paths)


def test_inputs_are_those_of_other_pipelines(pipeline):
    data = {name for name in pipeline.inputs() if not name.startswith("params:")}
    own_kinds = {"synthetic_images", "synthetic_manifest", "screening", "training_history", "prompt_swap_figure"}
    own_kinds |= {"generator"}
    assert {name.split(".")[1] for name in data if "." in name} == own_kinds | {"prompt_audit"}
    assert {name for name in data if "." not in name} == {
        "images", "manifest", "train_features", "work_dir", "autoencoder_report", "data_report", "provenance",
    }  # fmt: skip


def test_names_are_the_functions_names_in_their_namespace(pipeline):
    names = {node.name for node in pipeline.nodes}
    assert {
        "train_inception",
        "extract_real_features",
        "draw_image_figures",
        "draw_diagnosis_figures",
        "write_report",
    } < names
    assert {f"{v.name}.{verb}" for v in VARIANTS for verb in ("extract_features", "score_images")} < names
    verbs = ("train_classifier", "predict", "score_diagnosis", "score_fairness")
    assert {f"{arm}.{verb}" for arm in ARMS for verb in verbs} < names


def test_every_arm_learns_from_the_default_variant(pipeline):
    for node in pipeline.nodes:
        if node.name.endswith("train_classifier"):
            assert {name for name in node.inputs if "synthetic_" in name} == {
                "dermdit.synthetic_images", "dermdit.synthetic_manifest",
            }  # fmt: skip


def test_a_sixth_arm_is_a_name(pipeline):
    wider = create_pipeline(VARIANTS, (*ARMS, "sixth"), ("five_attributes",))
    assert {f"sixth.{entry}" for entry in PER_ARM} == wider.all_outputs() - pipeline.all_outputs()
    assert "params:sixth.arm" in wider.inputs()


def test_the_tables_read_every_row(pipeline):
    table1, table2 = create_table1_pipeline(VARIANTS), create_table2_pipeline(ARMS)
    assert table1.inputs() == {"params:report", "dit.image_metrics", "dermdit.image_metrics"}
    assert table2.inputs() == {
        "params:report",
        "arm_comparison",
        "real.diagnosis_metrics",
        "synthetic.diagnosis_metrics",
    }
    assert table1.all_outputs() | table2.all_outputs() == {"table1", "table2"}
    assert not pipeline.all_outputs() & {"table1", "table2"}


def test_parameters_are_valid_and_typed(root, pipeline):
    from kedro.validation.type_extractor import TypeExtractor

    found = TypeExtractor({"fairness_evaluation": pipeline}).extract_types_from_pipelines()
    blocks = yaml.safe_load((root / "conf/base/fairness_evaluation/parameters.yml").read_text())
    flat = {f"{name}.arm" if "arm" in block else name: block.get("arm", block) for name, block in blocks.items()}
    assert {name for name in found if name not in ("launch", "report")} <= set(flat)
    for name, block in flat.items():
        kind = found.get(name) or found["real.arm"]
        assert kind.model_validate(block)


def test_a_node_keeps_its_functions_name(pipeline):
    assert {node.func.__name__ for node in pipeline.nodes} >= {"train_classifier", "predict", "score_images"}
