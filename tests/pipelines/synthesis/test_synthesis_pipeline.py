"""The graph: what it reads, what it leaves on disk, and that every entry has its place in the catalog."""

import pytest
import yaml

from dermdit_kedro.pipelines.synthesis import create_pipeline
from dermdit_kedro.pipelines.variants import Variant

CONDITIONAL, UNCONDITIONAL = Variant("dermdit", "five_attributes"), Variant("ldm", None)
PER_VARIANT = (
    "synthesis_plan",
    "unsupported_groups",
    "synthetic_images",
    "synthetic_manifest",
    "screening",
    "synthetic_set",
)
SWAPS = ("prompt_swaps", "prompt_swap_figure")


@pytest.fixture(scope="module")
def catalog(root):
    return yaml.safe_load((root / "conf/base/synthesis/catalog.yml").read_text())


def test_outputs_are_the_contract_and_all_in_the_catalog(catalog):
    outputs = create_pipeline([CONDITIONAL, UNCONDITIONAL]).all_outputs()
    expected = {f"{name}.{entry}" for name in ("dermdit", "ldm") for entry in PER_VARIANT}
    expected |= {f"dermdit.{entry}" for entry in SWAPS}  # without prompts there is nothing to swap
    assert outputs == expected | {"train_features", "screening_classifier"}
    patterns = {f"{{variant}}.{entry}" for entry in (*PER_VARIANT, *SWAPS)} | {
        "train_features", "screening_classifier", "synthesis_table",
    }  # fmt: skip
    assert set(catalog) == patterns
    assert all(entry["metadata"]["kedro-viz"]["layer"] for entry in catalog.values())


def test_inputs_are_those_of_other_pipelines_and_parameters():
    inputs = create_pipeline([CONDITIONAL]).inputs()
    data = {name for name in inputs if not name.startswith("params:")}
    assert data == {
        "images", "manifest", "work_dir", "dermdit.generator", "five_attributes.prompts", "synthesis_table",
        "data_report",
    }  # fmt: skip
    assert "params:five_attributes.prompt_set" in inputs


def test_an_unconditional_variant_reads_no_prompts():
    inputs = create_pipeline([UNCONDITIONAL]).inputs()
    assert not {name for name in inputs if "attributes" in name}


def test_names_are_the_functions_names_in_the_variants_namespace():
    names = {node.name for node in create_pipeline([CONDITIONAL]).nodes}
    shared = {"extract_train_features", "train_screening_classifier"}
    assert names == shared | {
        f"dermdit.{verb}"
        for verb in ("plan_synthesis", "sample_images", "screen_images", "publish_set", "swap_prompts")
    }


def test_parameters_are_valid_and_typed(root):
    from dermdit_kedro.augmentation.parameters import ScreeningConfig, SwapConfig, SynthesisConfig
    from dermdit_kedro.diagnosis.parameters import ClassifierConfig

    blocks = yaml.safe_load((root / "conf/base/synthesis/parameters.yml").read_text())
    kinds = {"synthesis": SynthesisConfig, "screening": ScreeningConfig, "screening_classifier": ClassifierConfig}
    kinds["prompt_swaps"] = SwapConfig
    assert set(blocks) == set(kinds)
    for name, kind in kinds.items():
        assert kind.model_validate(blocks[name])


def test_kedro_finds_the_type_of_every_parameter_block():
    from kedro.validation.type_extractor import TypeExtractor

    pipeline = create_pipeline([CONDITIONAL, UNCONDITIONAL])
    found = TypeExtractor({"synthesis": pipeline}).extract_types_from_pipelines()
    blocks = {n.removeprefix("params:") for n in pipeline.inputs() if n.startswith("params:")} - {"seed", "image_size"}
    assert set(found) == blocks
    assert found["screening"].__name__ == "ScreeningConfig"
    assert found["data_engineering"].__name__ == "DataEngineeringConfig"


def test_the_screen_is_not_the_judge(root):
    conf = root / "conf/base"
    screening = yaml.safe_load((conf / "synthesis/parameters.yml").read_text())["screening_classifier"]
    judge = yaml.safe_load((conf / "fairness_evaluation/parameters.yml").read_text())
    assert screening["architecture"] not in {judge["classifier"]["architecture"], judge["inception"]["architecture"]}
