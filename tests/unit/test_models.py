"""Models of gray films, and weights that come from somewhere else."""

import re
from pathlib import Path

import pytest
import torch
from torchvision import models as zoo

from rayograph.config import ModelOptions
from rayograph.errors import UserError
from rayograph.models import build

FILM = (1, 64, 64)
FAMILIES = [
    "cnn", "resnet18", "densenet121", "efficientnet_b0", "convnext_tiny", "timm/regnety_002",
    "timm/convnext_atto",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_family_reads_gray_films_and_learns(name: str, norm: str) -> None:
    model = build.build(ModelOptions(name=name, norm=norm, width=8, depth=2), shape=FILM, outputs=3)
    logits = model(torch.randn(4, 1, 64, 64))
    assert logits.shape == (4, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    if norm == "group":
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_rgb_weights_give_a_gray_film_the_logits_of_three_equal_channels(
    suffix: str, tmp_path: Path
) -> None:
    import safetensors.torch

    torch.manual_seed(0)
    rgb = zoo.resnet18(num_classes=2).eval()
    place = tmp_path / f"rgb{suffix}"
    if suffix == ".pth":
        torch.save(rgb.state_dict(), place)
    else:
        safetensors.torch.save_file(rgb.state_dict(), place)
    gray = build.build(ModelOptions(weights=str(place)), shape=FILM, outputs=2).eval()
    films = torch.randn(2, 1, 64, 64)
    assert torch.allclose(gray(films), rgb(films.expand(-1, 3, -1, -1)), atol=1e-5)
    other_head = build.build(ModelOptions(weights=str(place)), shape=FILM, outputs=5)
    assert torch.equal(other_head.layer1[0].conv1.weight, rgb.layer1[0].conv1.weight)
    with pytest.raises(UserError, match="the weights must be of the same model and norm"):
        build.build(ModelOptions(name="resnet34", weights=str(place)), shape=FILM, outputs=2)


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "pwned",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="not a file of plain weights"):
        build.build(ModelOptions(weights=str(tmp_path / "evil.pth")), shape=FILM, outputs=2)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_layers_are_where_it_says(name: str) -> None:
    family = build.family_of(name)
    model = build.build(ModelOptions(name=name, width=8, depth=2), FILM, 3).eval()
    assert model.get_submodule(family.first_conv).in_channels == 1
    assert model.get_submodule(family.classifier).out_features == 3
    maps: list[torch.Tensor] = []
    layer = model.get_submodule(family.cam_layer)
    layer.register_forward_hook(lambda _layer, _inputs, output: maps.append(output))
    model(torch.zeros(2, *FILM))
    assert maps[0].ndim == 4
    assert maps[0].shape[-1] > 1


def test_a_frozen_backbone_trains_the_head_only() -> None:
    model = build.build(ModelOptions(freeze_backbone=True), shape=FILM, outputs=2)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {"fc.weight", "fc.bias"}


def test_impossible_models_are_one_line() -> None:
    with pytest.raises(UserError, match="did you mean resnet50"):
        build.check(ModelOptions(name="resnet5"), FILM)
    with pytest.raises(UserError, match="nothing is left of 16 pixels"):
        build.check(ModelOptions(name="cnn", depth=5, padding=0), (1, 16, 16))
    with pytest.raises(UserError, match="resnet18 has IMAGENET1K_V1"):
        build.build(ModelOptions(weights="IMAGENET22K"), FILM, 2)


def test_densenet_weights_may_have_the_names_of_torchvisions_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rgb = zoo.densenet121(num_classes=2)
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))(\d)")
    state = {old.sub(r"\1.\2", name): value for name, value in rgb.state_dict().items()}
    torch.save(state, tmp_path / "densenet.pth")
    options = ModelOptions(name="densenet121", weights=str(tmp_path / "densenet.pth"))
    found = build.build(
        options, shape=FILM, outputs=2
    ).features.denseblock1.denselayer1.conv1.weight
    assert torch.equal(found, rgb.features.denseblock1.denselayer1.conv1.weight)


def kept(state: object, tmp_path: Path, **model: str) -> str | None:
    """What of a file of weights a model does not take."""
    torch.save(state, tmp_path / "w.pth")
    options = ModelOptions(weights=str(tmp_path / "w.pth"), **model)
    return build.check_weights(options, FILM, outputs=2)


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "state_dict.module.", "model_state_dict.", "model."],
)
def test_weights_are_found_where_people_leave_them(prefix: str, tmp_path: Path) -> None:
    """Of DataParallel, in a checkpoint beside an optimizer's moments, of Lightning with a loss."""
    rgb = zoo.resnet18(num_classes=2)
    wrapper, _, names = prefix.rpartition("dict.")
    state = {f"{names}{key}": t for key, t in rgb.state_dict().items()}
    beside = {"optimizer": {"state": {0: {"conv1.weight": torch.zeros(9)}}}, "epoch": 3}
    if wrapper:
        state = {f"{wrapper}dict": state, **beside}
    elif prefix:
        state["criterion.weight"] = torch.ones(2)
    assert kept(state, tmp_path) is None
    gray = build.build(ModelOptions(weights=str(tmp_path / "w.pth")), FILM, 2)
    assert torch.equal(gray.fc.weight, rgb.fc.weight)
    assert torch.equal(gray.layer4[1].conv2.weight, rgb.layer4[1].conv2.weight)


def test_a_head_of_another_model_is_left_and_told(tmp_path: Path) -> None:
    state = zoo.resnet18(num_classes=14).state_dict()
    place = f"model.weights={tmp_path}/w.pth: not taken: "
    assert kept(state, tmp_path) == f"{place}fc.weight [14, 512], fc.bias [14]"
    state = {name.replace("fc.", "fc.1."): t for name, t in state.items()}
    state["conv1.weight"] = state["conv1.weight"][:, :1].repeat(1, 4, 1, 1)
    told = kept(state, tmp_path)
    assert (
        told == f"{place}fc.weight is absent, fc.bias is absent, fc.1.weight [14, 512] and 1 more"
    )


def test_what_does_not_fit_is_counted_and_the_first_is_named(tmp_path: Path) -> None:
    small, large = (make().state_dict() for make in (zoo.resnet18, zoo.resnet34))
    wide = {**small, "conv1.weight": torch.zeros(8, 3, 7, 7)}
    group = build.build(ModelOptions(norm="group"), FILM, 2).state_dict()
    same = "the weights must be of the same model and norm"
    other = f"{same}: they are of model.norm="
    for state, model, message in (
        (wide, {}, r"1 of 102 tensors do not fit; the first: conv1.weight is of shape "
         rf"\[8, 3, 7, 7\], resnet18 needs \[64, 1, 7, 7\]; {same}$"),
        (small, {"name": "resnet34"}, r"80 of 182 .* first: layer1.2.conv1.weight is missing"),
        (large, {}, "w.pth: no layer for 80 tensors of the file; the first: layer1.2.conv1.weight"),
        ({"a": torch.ones(1)}, {}, "100 of 102 .* the first: conv1.weight is missing"),
        (small, {"norm": "group"}, rf"40 .*: bn1.running_mean; {other}batch"),
        (group, {}, rf"40 of 102 .*: bn1.running_mean is missing.*{other}group"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            kept(state, tmp_path, **model)
