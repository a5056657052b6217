"""A film judged by five crops: the right five, their mean, and the same number everywhere."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rayograph import task as tasks
from rayograph.config import PackOptions, RunConfig, SourceOptions
from rayograph.data import stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import ImageTransform
from rayograph.errors import UserError
from rayograph.evaluate import evaluation, graphs, inference
from rayograph.evaluate import export as exporting
from rayograph.evaluate.explain import maps
from rayograph.evaluate.explain.gallery import Asked, gallery
from rayograph.evaluate.explain.maps import LogOdds
from rayograph.evaluate.inference import Share, over_views
from rayograph.evaluate.model import LoadedModel, load
from rayograph.evaluate.predict.parts import predict
from rayograph.evaluate.suspects import of_run
from rayograph.pack import phantom_records
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import unlabelled
from rayograph.report import gallery as shown
from rayograph.runs import card as cards
from rayograph.runs.folder import RunFolder
from rayograph.train import checks
from rayograph.train.estimate import estimate
from tests.conftest import packing
from tests.small import trained

CROP, FILM = 0.8, 40  # of a film's side; of 32 pixels, so that a crop is cut from 40
CPU = torch.device("cpu")
Films = npt.NDArray[np.uint8]


def cut_by_hand(films: npt.NDArray[np.floating], side: int) -> list[npt.NDArray[np.floating]]:
    """The corners and the centre of films [n, W, W], each [n, side, side]."""
    far = films.shape[1] - side
    places = [(0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)]
    return [films[:, y : y + side, x : x + side] for y, x in places]


@settings(max_examples=40)
@given(
    st.integers(16, 48), st.floats(0.5, 0.99), st.sampled_from(["dataset", "film"]), st.booleans()
)
def test_five_views_are_five_slices_of_the_film(
    size: int, crop: float, normalize: str, shrunk: bool
) -> None:
    spec = ImageTransform.model_validate(
        {"size": size, "mean": 0.4, "std": 0.2, "normalize": normalize, "views": "five",
         "crop": crop}
    )  # fmt: skip
    side = round(size / crop)
    small = np.random.default_rng(size).integers(0, 256, (3, side, side))
    films = small.repeat(2, 1).repeat(2, 2) if shrunk else small
    views = transforms.build(spec).views(torch.from_numpy(films.astype(np.uint8)))
    # Of pixels that are doubled the antialiased half weighs neighbours by 1/8, 3/4, 1/8.
    known = _halved(films) if shrunk else films
    for seen, wanted in zip(views, cut_by_hand(known / 255, size), strict=True):
        own = normalize == "film"
        mean = wanted.mean((1, 2), keepdims=True) if own else 0.4
        std = np.maximum(wanted.std((1, 2), keepdims=True), 1 / 255) if own else 0.2
        assert seen.shape == (3, 1, size, size)
        np.testing.assert_allclose(seen[:, 0], (wanted - mean) / std, atol=2e-5)


def _halved(films: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
    """Films of half the side: each pixel by a triangle two pixels wide either way."""
    for axis in (1, 2):
        length = films.shape[axis]
        away = np.abs(np.arange(length) - (2 * np.arange(length // 2)[:, None] + 0.5)) / 2
        weights = np.maximum(1 - away, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        films = np.moveaxis(np.tensordot(weights, films, (1, axis)), 0, axis)
    return films


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run and its films lie."""
    return tmp_path_factory.mktemp("views")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    """One that judges by five crops, and standardises each by itself."""
    words = ("evaluate.views=five", f"evaluate.crop={CROP}", "data.normalize=film")
    return trained(place, *words, films=180)


@pytest.fixture(scope="module")
def model(run: RunFolder) -> LoadedModel:
    """Its model."""
    return load(run.best_model, CPU)


def films_of(data: Dataset, split: str) -> tuple[list[str], Films]:
    """The ids and pixels of a split, in stored order."""
    found = [*stream.stored(data, split)]
    return [name for b in found for name in b.ids], np.concatenate([b.inputs for b in found])


def logits_by_hand(model: LoadedModel, films: Films) -> tuple[npt.NDArray[np.floating], Tensor]:
    """The network's mean logits [n, k] of packed films, and what its last layer got of the centre.

    The crops are cut, and standardised, in numpy.
    """
    large = torch.nn.functional.interpolate(
        torch.from_numpy(films)[:, None].float() / 255, (FILM, FILM), mode="bilinear",
        antialias=True, align_corners=False,
    )  # fmt: skip
    kept: list[Tensor] = []
    (*_, last) = [each for each in model.network.modules() if isinstance(each, nn.Linear)]
    handle = last.register_forward_pre_hook(lambda _layer, inputs: kept.append(inputs[0]))
    said = []
    with torch.inference_mode():
        for crop in cut_by_hand(large[:, 0].numpy(), 32):
            own = (crop - crop.mean((1, 2), keepdims=True)) / crop.std((1, 2), keepdims=True)
            said.append(model.network(torch.from_numpy(own)[:, None]).numpy())
    handle.remove()
    assert np.abs(said[0] - said[4]).max() > 1e-3, "crops that say the same would prove nothing"
    return np.mean(said, axis=0), kept[-1]


def test_training_evaluate_predict_and_the_pool_say_the_same_number(
    run: RunFolder, model: LoadedModel, place: Path
) -> None:
    data = Dataset.open(model.card.dataset)
    names, films = films_of(data, "val")
    logits, _ = logits_by_hand(model, films)
    logits = logits / model.card.temperature
    wanted = dict(zip(names, model.task.probabilities(logits.astype(np.float64)), strict=True))

    judged = evaluation.evaluate(run.best_model, None, "val")
    by_name = dict(zip(names, logits, strict=True))
    ids = judged.predictions.column("sample_id").to_pylist()
    np.testing.assert_allclose(judged.arrays()[1], [by_name[name] for name in ids], atol=1e-6)
    labels, own = judged.arrays()
    loss = model.task.quick(labels, own * model.card.temperature)["loss"]
    assert run.history()[-1]["val_loss"] == pytest.approx(loss, abs=1e-6)

    shares = [
        Share(model.network, data.uri, None, "val", model.transform, 2, 3)(rank)
        for rank in range(3)
    ]
    pooled = inference.total(shares).values / model.card.temperature
    np.testing.assert_allclose(pooled, own, atol=1e-6)

    table = predicted(run, model, place)
    rows = {row["sample_id"]: row for row in table.to_pylist()}
    for name, both in wanted.items():
        found = [rows[name][f"p_{each}"] for each in model.task.classes]
        np.testing.assert_allclose(found, both, atol=1e-6)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_so_do_exports(suffix: str, run: RunFolder, model: LoadedModel, place: Path) -> None:
    out = str(place / f"out{suffix}")
    kind = graphs.chosen(out, None)
    assert exporting.export(run.best_model, out, kind, None).difference <= 1e-6
    _, films = films_of(Dataset.open(model.card.dataset), "val")
    logits = logits_by_hand(model, films[:5])[0] / model.card.temperature
    wanted = model.task.probabilities(logits.astype(np.float64))
    np.testing.assert_allclose(kind.open(Path(out))(films[:5]), wanted, atol=1e-6)


def predicted(run: RunFolder, model: LoadedModel, place: Path) -> pa.Table:
    """What `predict` says of the originals."""
    found = unlabelled(str(place / "films"), model.card.recipe, SourceOptions())
    return predict(run.best_model, found, one_by_one)


def test_how_far_a_film_is_from_the_known_ones_is_told_of_its_centre(
    run: RunFolder, model: LoadedModel, place: Path
) -> None:
    names, films = films_of(Dataset.open(model.card.dataset), "val")
    _, centre = logits_by_hand(model, films)
    assert model.unlike is not None
    bank, _ = model.unlike.spaces["features"]
    np.testing.assert_allclose(bank.mean, centre.mean(dim=0), atol=1e-4)  # as training has seen it
    rows = {row["sample_id"]: row for row in predicted(run, model, place).to_pylist()}
    told = [rows[name]["distance"] for name in names]
    np.testing.assert_allclose(told, model.unlike.distances(centre.numpy(), films), atol=1e-4)


def test_labels_are_suspected_and_films_explained_by_the_same_number(
    run: RunFolder, model: LoadedModel
) -> None:
    judged = evaluation.evaluate(run.best_model, None, "val")
    ids = judged.predictions.column("sample_id").to_pylist()
    odds = model.task.probabilities(judged.arrays()[1])
    made = gallery(run.best_model, run.uri, None, Asked("val"))
    assert made["views"] == 5
    assert any("5 crops" in note for note in shown.notes(made))
    films = [film for group in made["groups"] for film in group["films"]]
    for film in films:
        p = odds[ids.index(film["sample_id"]), model.task.classes.index(film["explained"])]
        assert film["probability"] == pytest.approx(p, abs=1e-6)
    ranked = of_run(run.best_model, run.uri)
    assert ranked.films == sum(
        Dataset.open(model.card.dataset).split(s).rows for s in ranked.splits
    )


class Brightness(nn.Module):
    """Log-odds that are a weighted sum of pixels, of which each speaks for the one label."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Identity()
        self.weights = nn.Parameter(torch.rand(size, size))

    def forward(self, films: Tensor) -> Tensor:
        """Logits [n, 1]."""
        return (self.layer(films) * self.weights).sum(dim=(1, 2, 3))[:, None]


def test_the_maps_of_five_crops_are_the_gradient_of_the_mean_logit() -> None:
    spec = ImageTransform(size=16, mean=0, std=1, views="five", crop=0.7)
    transform, network = transforms.build(spec), Brightness(16)
    film = torch.rand(2, spec.side, spec.side, requires_grad=True)
    over_views(network, transform, film).sum().backward()
    assert film.grad is not None
    odds = LogOdds(network, tasks.of("multilabel", ("opacity",)))
    outputs = torch.zeros(2, dtype=torch.long)
    layer = maps.Layer("layer", (16, 16), None)
    views = [maps.maps(odds, layer, v.detach(), outputs) for v in transform.views(film)]
    found = maps.together(views, spec.corners)[maps.GRADIENT]
    assert found.shape == (2, 23, 23)
    np.testing.assert_allclose(found / 255, film.grad, atol=1e-6)


def test_one_view_changes_no_map() -> None:
    made = {maps.GRADIENT: np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)}
    again = maps.together([made], ImageTransform(size=16, mean=0, std=1).corners)
    assert np.array_equal(again[maps.GRADIENT], made[maps.GRADIENT])


def test_a_card_of_before_means_the_whole_film(run: RunFolder) -> None:
    said = json.loads(cards.read(run.best_model).model_dump_json())
    assert "judged by five crops of side 0.8" in cards.page(cards.read(run.best_model))
    assert said["transform"].pop("views") == "five"
    assert said["transform"].pop("crop") == CROP
    old = cards.parse({"card": json.dumps(said)}, "old")
    (seen,) = transforms.build(old.transform).views(torch.zeros(1, 48, 48, dtype=torch.uint8))
    assert seen.shape == (1, 1, 32, 32)


def test_five_crops_cost_five_passes(run: RunFolder) -> None:
    data = Dataset.open(run.config().data.uri)
    words = [f"data.uri={data.uri}", "data.image_size=32", "train.epochs=1"]
    one, five = (
        estimate(RunConfig.load(None, [*words, *more]), data, 0, films_per_s=1).seconds
        for more in ((), ("evaluate.views=five",))
    )
    assert one is not None
    assert five == pytest.approx(one + 4 / 3 * data.split("val").rows)


def test_records_have_no_crops(tmp_path: Path) -> None:
    table = tmp_path / "records.csv"
    phantom_records.write(table, 10, seed=0)
    options = PackOptions(inputs="table", task="multilabel", label_columns=("strenuous",))
    data = packing(table, tmp_path / "packed", options)
    words = [f"data.uri={data.uri}", "model.name=mlp", "evaluate.views=five"]
    with pytest.raises(UserError, match=r"evaluate\.views=five: .* has records, which have no"):
        checks.check_run(RunConfig.load(None, words), data)
