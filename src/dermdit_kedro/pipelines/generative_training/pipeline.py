"""Wiring of generative_training: shared autoencoder and latents, one denoiser a variant."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from dermdit_kedro.pipelines.generative_training.nodes import (
    encode_latents,
    export_generator,
    train_autoencoder,
    train_denoiser,
)
from dermdit_kedro.pipelines.variants import GPU, Variant, bind


def create_pipeline(variants: Sequence[Variant]) -> Pipeline:
    """Wire the pipeline.

    Args:
        variants: The generators to train.

    Returns:
        The shared nodes, and a namespace for each variant.
    """
    shared = [
        Node(
            train_autoencoder,
            {
                "images": "images",
                "manifest": "manifest",
                "autoencoder": "params:autoencoder",
                "autoencoder_training": "params:autoencoder_training",
                "image_size": "params:image_size",
                "seed": "params:seed",
                "launch_config": "params:launch",
                "work_dir": "work_dir",
            },
            ["autoencoder", "autoencoder_report"],
            name="train_autoencoder",
            tags=GPU,
        ),
        Node(
            encode_latents,
            {
                "images": "images",
                "manifest": "manifest",
                "autoencoder_folder": "autoencoder",
                "launch_config": "params:launch",
                "work_dir": "work_dir",
            },
            "latents",
            name="encode_latents",
            tags=GPU,
        ),
    ]
    return sum((_variant(variant) for variant in variants), Pipeline(shared))


def _variant(variant: Variant) -> Pipeline:
    return Pipeline([_train(variant), _export(variant)])


def _train(variant: Variant) -> Node:
    name = variant.name
    return Node(
        train_denoiser,
        {
            "latents": "latents",
            "text_embeddings": f"{variant.text_embeddings}.text_embeddings",
            "manifest": "manifest",
            "autoencoder_folder": "autoencoder",
            "denoiser": f"params:{name}.denoiser",
            "objective": "params:objective",
            "denoiser_training": "params:denoiser_training",
            "sampler": "params:sampler",
            "seed": "params:seed",
            "launch_config": "params:launch",
            "work_dir": "work_dir",
        },
        [f"{name}.denoiser", f"{name}.training_history", f"{name}.training_samples"],
        name="train_denoiser",
        namespace=name,
        tags=GPU,
    )


def _export(variant: Variant) -> Node:
    name = variant.name
    return Node(
        bind(export_generator, variant=name),
        {
            "denoiser_folder": f"{name}.denoiser",
            "autoencoder_folder": "autoencoder",
            "text_encoder_folder": "text_encoder",
            "manifest": "manifest",
            "prompts": f"{variant.text_embeddings}.prompts",
            "data_report": "data_report",
            "training_history": f"{name}.training_history",
            "autoencoder_report": "autoencoder_report",
            "image_size": "params:image_size",
            "denoiser": f"params:{name}.denoiser",
            "objective": "params:objective",
            "sampler": "params:sampler",
            "launch_config": "params:launch",
            "work_dir": "work_dir",
        },
        f"{name}.generator",
        name="export_generator",
        namespace=name,
    )
