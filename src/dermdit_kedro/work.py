"""How much work a node is, in words and in numbers, before it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from dermdit_kedro.training.footprint import Workload

Parameters = Mapping[str, Any]
"""A node's parameters by argument, validated."""


@dataclass(frozen=True)
class Counts:
    """How many images there are; null where that is not known before the run.

    Attributes:
        images: In all.
        train: To train on.
        val: To choose by.
        test: To test on, those of the test sources among them.
        is_exact: Whether the manifest says so; else it is worked out from the sources, and nothing set aside yet.
    """

    images: int | None = None
    train: int | None = None
    val: int | None = None
    test: int | None = None
    is_exact: bool = False


@dataclass(frozen=True)
class Work:
    """What a node will do.

    Attributes:
        does: In words.
        amount: How much, in steps or images; null where nothing is counted.
        disk_bytes: Says what it leaves on disk, beside what `workload` says; null where that is not known.
        steps: Steps of the workload.
        workload: Describes one step, for memory, disk and time; null where there is none, or its sizes are not known.
        trains: Whether the steps are of training; else the network is only asked.
        copies: How many such trainings leave their files.
        validates: Whether the best weights are kept too.
    """

    does: str
    amount: float | None = None
    disk_bytes: Callable[[], int | None] | None = None
    steps: int = 0
    workload: "Callable[[], Workload | None] | None" = None
    trains: bool = True
    copies: int = 1
    validates: bool = True


def count_manifest(manifest: "pd.DataFrame") -> Counts:
    """Count the images of a manifest.

    Args:
        manifest: Has a column `split`.

    Returns:
        The counts.
    """
    splits = manifest["split"].value_counts()
    train, val, test = (int(splits.get(name, 0)) for name in ("train", "val", "test"))
    return Counts(len(manifest), train, val, test, is_exact=True)


def count_sources(sources: Mapping[str, Any], parameters: Parameters) -> Counts:
    """Work out from the sources how many images there will be.

    Args:
        sources: Name -> source; their tables are read, no image is.
        parameters: `data_engineering`: the subset and the shares.

    Returns:
        Counts as if every image were whole and none left out.
    """
    config = parameters["data_engineering"]
    counts = {"train": 0, "test": 0}
    for source in sources.values():
        counts[source.role] += min(len(source.records()), config.max_images or 2**62)
    val, held_out = (round(counts["train"] * share) for share in (config.val_share, config.test_share))
    train = counts["train"] - val - held_out
    return Counts(counts["train"] + counts["test"], train, val, counts["test"] + held_out)


def number(count: float | None, unit: str) -> str:
    """Write a count with its unit, such as `1,680 images`; `images` alone where it is not known."""
    return unit if count is None else f"{count:,.0f} {unit}"


def added(*counts: int | None) -> int | None:
    """Add up what is known; null if something is not."""
    return None if None in counts else sum(count for count in counts if count is not None)


def light_work(name: str, parameters: Parameters, counts: Counts) -> Work:
    """Describe a node that trains nothing.

    Args:
        name: The node's name without its namespace.
        parameters: Its parameters.
        counts: How many images there are.

    Returns:
        What it does; of a node that is not known here, nothing but its name.
    """
    learned = added(counts.train, counts.val)
    size = parameters.get("image_size")
    pixels = 3 * size**2 if size else None
    all_images = {
        "read_sources": "read the tables of",
        "inspect_images": "decode and hash",
        "measure_skin_tone": "measure the skin tone of",
        "link_duplicates": "look for duplicates among",
        "assign_splits": "deal out",
        "prepare_images": "resize and write",
        "write_instructions": "write instructions for",
        "generate_prompts": "write prompts for",
        "audit_prompts": "audit the prompts of",
        "encode_prompts": "encode the prompts of",
    }
    of_some: dict[str, tuple[str, int | None]] = {
        "extract_train_features": ("features of", counts.train),
        "extract_real_features": ("features of", added(counts.train, counts.test)),
        "encode_latents": ("encode, also mirrored,", learned),
        "predict": ("score", added(counts.val, counts.test)),
        "score_diagnosis": ("accuracy on", counts.test),
        "score_fairness": ("accuracy by group on", counts.test),
        "compare_arms": ("compare the arms on", counts.test),
    }
    if name in all_images:
        known = counts.images if name == "prepare_images" else None
        disk = known * pixels if known is not None and pixels else None
        return Work(f"{all_images[name]} {number(counts.images, 'images')}", counts.images, lambda: disk)
    if name in of_some:
        verb, count = of_some[name]
        return Work(f"{verb} {number(count, 'images')}", count)
    return Work(name.replace("_", " "))
