"""Maps of films: right by a second way, dependent on the weights, of films worth a look."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from rayograph import storage
from rayograph import task as tasks
from rayograph.config import ModelOptions
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate import evaluation, suspects
from rayograph.evaluate.explain import choice, gallery, maps, pictures, randomised
from rayograph.evaluate.explain.maps import Layer, LogOdds
from rayograph.models import build
from rayograph.models.registry import families
from rayograph.report.load import report_of
from rayograph.report.page import render
from rayograph.runs import findings
from rayograph.runs.folder import RunFolder
from tests.conftest import rayograph
from tests.small import trained

FAMILIES = ["cnn", "resnet18", "densenet121", "efficientnet_b0", "convnext_tiny"]
CLASSES = tasks.of("multiclass", ("normal", "opacity", "other"))


def by_hand(
    network: nn.Module, layer: str, films: Tensor, outputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Grad-CAM before it is stretched, and the input gradient, straight from autograd."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        seen.append(output.clone())
        return seen[0].clone()  # what follows may change it in place

    handle = network.get_submodule(layer).register_forward_hook(keep)
    films = films.clone().requires_grad_(True)
    logits = network(films)
    handle.remove()
    others = torch.stack([torch.cat([row[:k], row[k + 1 :]]).logsumexp(0)
                          for row, k in zip(logits, outputs.tolist(), strict=True)])  # fmt: skip
    odds = (logits.gather(1, outputs[:, None])[:, 0] - others).sum()
    of_layer, of_film = torch.autograd.grad(odds, (seen[0], films))
    weights = of_layer.mean(dim=(2, 3), keepdim=True)
    return (weights * seen[0]).sum(dim=1, keepdim=True).relu(), of_film.abs()


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_of_every_family_are_what_autograd_says(name: str) -> None:
    torch.manual_seed(0)
    options = ModelOptions(name=name, width=8, depth=2)
    network = build.build(options, shape=(1, 64, 64), outputs=3).eval()
    films, outputs = torch.randn(2, 1, 64, 64), torch.tensor([0, 2])
    odds = LogOdds(network, CLASSES)
    layer = maps.layer_of(name, odds, films, None)
    found = maps.maps(odds, layer, films, outputs)
    cam, gradient = by_hand(network, layer.name, films, outputs)
    assert tuple(cam.shape[2:]) == layer.cells
    stretched = nn.functional.interpolate(cam, (64, 64), mode="bilinear").detach()
    np.testing.assert_allclose(found["grad_cam"], stretched[:, 0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["input_gradient"], gradient[:, 0], rtol=1e-3, atol=1e-6)
    assert (found["input_gradient"] > 0).any(axis=(1, 2)).all()
    if min(layer.cells) < maps.FINE:
        assert layer.finer is not None
        assert min(maps.layer_of(name, odds, films, layer.finer).cells) >= maps.FINE


def test_every_family_of_films_has_a_layer_for_grad_cam() -> None:
    for name, family in families().items():
        if family.rank == 3:
            assert maps.cam_layer(name)
    with pytest.raises(UserError, match="mlp: it sees records"):
        maps.cam_layer("mlp")


class Fixed(nn.Module):
    """Its feature maps are the film, whatever its weights are: maps of it explain nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.AvgPool2d(4)
        self.weight = nn.Parameter(torch.tensor([0.5, 1.0, 2.0]))

    def forward(self, films: Tensor) -> Tensor:
        """Logits [n, 1]."""
        return self.features(films.abs()).mean(dim=(1, 2, 3))[:, None] * self.weight.square().sum()


def test_the_check_doubts_maps_that_weights_do_not_change_and_trusts_those_they_do() -> None:
    torch.manual_seed(0)
    films, outputs = torch.rand(4, 1, 32, 32), torch.zeros(4, dtype=torch.long)
    task = tasks.of("multilabel", ("opacity",))
    blind = LogOdds(Fixed(), task).eval()
    found = randomised.check(blind, Layer("features", (8, 8), None), films, outputs)
    method = found["methods"]["grad_cam"]
    assert method["depends"] is False
    assert method["stages"][-1]["spearman"] == pytest.approx(1)
    options, outputs = ModelOptions(name="cnn", width=8, depth=2), torch.tensor([0, 1, 2, 0])
    network = LogOdds(build.build(options, shape=(1, 32, 32), outputs=3), CLASSES).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = randomised.check(network, maps.layer_of("cnn", network, films, None), films, outputs)
    assert found["methods"]["grad_cam"]["depends"] is True
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    one, flat = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    flat[:] = 0
    assert randomised.spearman(one, one**3) == pytest.approx(1)
    assert randomised.spearman(one, flat) == 0
    assert np.isnan(randomised.spearman(flat, one))
    again = randomised.check(network, maps.layer_of("cnn", network, films, None), films, outputs)
    assert again == found, "the same seed, the same draws"


def test_layers_are_drawn_anew_from_the_last_one_on() -> None:
    options = ModelOptions(name="resnet18", norm="sync")
    network = LogOdds(build.build(options, shape=(1, 32, 32), outputs=3), CLASSES).eval()
    films = torch.randn(16, 1, 32, 32)
    for share, changed in ((0.0, {"fc"}), (1.0, {"conv1", "layer1", "layer4", "fc"})):
        other = randomised.randomised(network, films, share, seed=0)
        pairs = zip(network.named_parameters(), other.parameters(), strict=True)
        different = {name for (name, one), two in pairs if not torch.equal(one, two)}
        tops = {name.split(".")[1] for name in different}
        assert changed <= tops
        assert share or tops == {"fc"}
    seen: list[Tensor] = []
    norm = other.network.get_submodule("bn1")
    norm.register_forward_hook(lambda *args: seen.append(args[2].detach().clone()))
    other(films)
    assert isinstance(norm, nn.SyncBatchNorm)
    normal = (seen[0] - norm.bias[:, None, None]) / norm.weight[:, None, None]
    assert normal.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (normal.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-2, "nothing explodes"


PROBABILITIES = arrays(float, (30, 3), elements=st.floats(0, 1, width=32))


@given(PROBABILITIES, st.data())
def test_chosen_films_are_what_their_group_says(scores: np.ndarray, data: st.DataObject) -> None:
    for name in ("multiclass", "multilabel"):
        task = tasks.of(name, ("a", "b", "c"))
        probabilities, points = scores, None
        if name == "multiclass":
            probabilities = (scores + 1e-6) / (scores + 1e-6).sum(axis=1, keepdims=True)
            truth = data.draw(arrays(int, 30, elements=st.integers(0, 2)))
            labels = np.eye(3, dtype=np.int8)[truth]
        else:
            labels = data.draw(arrays(np.int8, (30, 3), elements=st.integers(-2, 1)))
            points = (0.2, None, 0.9)
        decided = task.decide(probabilities, points)
        certain = np.abs(choice.margins(task, probabilities, points))
        found = choice.groups(task, labels, probabilities, points, None)
        for group in found:
            k, rows = task.classes.index(group.name), list(group.rows)
            assert 1 <= len(rows) <= choice.EACH
            if group.kind == "right":
                assert (labels[rows, k] == 1).all()
                assert decided[rows, k].all()
            elif group.kind == "wrong":
                assert ((labels[rows, k] == 1) != decided[rows, k]).all()
            assert (labels[rows, k] >= 0).all(), "nothing is said of what is not known"
            if task.by_label and group.kind != "unsure":
                assert (np.diff(certain[rows, k]) <= 0).all()
            assert all(
                task.by_label or decided[r, o] for r, o in zip(rows, group.outputs, strict=True)
            )
        shown = [(group.name, row) for group in found for row in group.rows]
        assert len(shown) == len({*shown}), "no film twice for one class"


@given(PROBABILITIES)
def test_a_margin_is_positive_where_the_decision_is_yes(scores: np.ndarray) -> None:
    pairs = (scores[:, :2] + 1e-6) / (scores[:, :2] + 1e-6).sum(axis=1, keepdims=True)
    for task, probabilities, points in (
        (tasks.of("multilabel", ("a", "b", "c")), scores, (0.2, None, 0.9)),
        (tasks.of("multiclass", ("a", "b")), pairs, (0.3,)),
        (tasks.of("multiclass", ("a", "b")), pairs, None),
    ):
        decided = task.decide(probabilities, points)
        sides = choice.margins(task, probabilities, points)
        clear = np.abs(sides) > 1e-9
        assert ((sides > 0) == decided)[clear].all()


def test_many_labels_share_what_a_page_can_hold() -> None:
    task = tasks.of("multilabel", [f"l{i}" for i in range(40)])
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, (200, 40)).astype(np.int8)
    labels[:, 7] = 0
    found = choice.groups(task, labels, draw.random((200, 40)), None, None)
    assert sum(len(group.rows) for group in found) <= choice.MOST
    names = {group.name for group in found}
    assert len(names) == 16
    assert "l7" not in names, "those with most films are taken"
    (only,) = {group.name for group in choice.groups(task, labels, labels * 0.9, None, "l3")}
    assert only == "l3"


def test_it_is_said_where_a_map_is_strongest() -> None:
    field = np.zeros((32, 32), np.float32)
    assert pictures.strongest(field) is None
    field[20:30, 22:30] = 1
    assert pictures.strongest(field) == "lower right"
    assert pictures.scaled(field, 64, 100.0).max() == 1


def test_a_full_gallery_of_large_noisy_films_stays_below_a_megabyte() -> None:
    draw = np.random.default_rng(0)
    noise = draw.random((256, 256)).astype(np.float32)
    coarse = nn.functional.interpolate(torch.rand(1, 1, 8, 8), (256, 256), mode="bilinear")
    pixels = (100 + 40 * noise).astype(np.uint8)
    made = (pictures.film(pixels), pictures.overlay(pixels, coarse[0, 0].numpy()))
    size = sum(map(len, (*made, pictures.gradient(noise))))
    assert choice.MOST * size < 1_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("explain"))


def looks(run: RunFolder) -> int:
    return len(list(storage.listing(storage.join(run.uri, "evaluation", "looks"))))


def test_a_gallery_is_made_kept_and_shown(run: RunFolder, tmp_path: Path) -> None:
    done = rayograph("explain", run.uri, "--picture", str(tmp_path / "sheet.png"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "data:" not in done.stdout
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert looks(run) == 1, "nothing was predicted before: this was a look"
    films = [film for group in found["groups"] for film in group["films"]]
    assert {film["decision"] for film in films} <= {"normal", "opacity"}
    wrong = [f for g in found["groups"] if g["kind"] == "wrong" for f in g["films"]]
    assert all(film["truth"] != film["decision"] for film in wrong)
    page = render(report_of(run))
    assert "What the model looks at" in page
    images = re.findall(r'<img src="data:image/webp;base64,[^"]+" alt="([^"]*)"', page)
    assert len(images) == 3 * len(films)
    assert all(images)
    assert len(page) < 1_000_000
    kept = findings.load(run.uri, gallery.NAME)
    assert kept is not None
    method = kept["check"]["methods"]["grad_cam"]
    doubt = "Grad-CAM: maps hardly change when the weights are randomised"
    assert doubt not in page
    method["depends"], method["stages"][-1]["spearman"] = False, 0.9
    findings.save(run.uri, gallery.NAME, kept)
    doubted = render(report_of(run))
    assert doubted.index(doubt) < doubted.index("Learning</h2>"), "said at the top"


def test_a_chosen_film_is_explained_for_the_class_that_is_asked_for(run: RunFolder) -> None:
    dataset = Dataset.open(run.config().data.uri)
    kept = evaluation.evaluate(run.best_model, None, "val")
    before, name = looks(run), kept.predictions.column("sample_id")[0].as_py()
    asked = gallery.Asked("val", (name,), "normal")
    found = gallery.gallery(run.best_model, run.uri, dataset.uri, asked)
    ((film,),) = [group["films"] for group in found["groups"]]
    assert (film["sample_id"], film["explained"]) == (name, "normal")
    p = kept.arrays()[1][0]
    assert film["probability"] == pytest.approx(1 / (1 + np.exp(p[1] - p[0])))
    assert looks(run) == before, "a validation film is no look at the test films"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (gallery.Asked("val", ("no.png",)), r"--film no\.png: no such film in val of "),
        (gallery.Asked("val", (), "sick"), "--label sick: .*; it knows normal, opacity"),
        (gallery.Asked("val", (), None, "layer9"), "--layer layer9: cnn has no such layer; it has"),
        (gallery.Asked("val", (), None, "classifier"), "--layer classifier: gives no feature maps"),
    ],
)
def test_what_cannot_be_explained_is_said(run: RunFolder, asked: gallery.Asked, told: str) -> None:
    with pytest.raises(UserError, match=told):
        gallery.gallery(run.best_model, run.uri, None, asked)


def test_suspects_of_a_run_are_shown_with_their_films(run: RunFolder) -> None:
    found = suspects.document(suspects.of_run(run.best_model, run.uri), count=30)
    assert len(found["suspects"]) == 30
    findings.save(run.uri, suspects.NAME, found)
    page = render(report_of(run))
    section = page[page.index('id="suspects"') :]
    assert section.count('<img src="data:image/webp') == suspects.SHOWN
    assert "one model, on its val and test films, which it did not train on" in section
