"""Films unlike the training films: the distance, its limit, the band, and the columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from rayograph.config import PackOptions, RunConfig
from rayograph.data import transforms
from rayograph.data.dataset import Dataset
from rayograph.evaluate import inference
from rayograph.evaluate.model import load
from rayograph.evaluate.predict.parts import predict
from rayograph.evaluate.predict.rows import counts as counted
from rayograph.evaluate.unlike.bank import MOST, Bank, Unlike
from rayograph.evaluate.unlike.distance import QUANTILE, SHRINKAGE, fitted
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import Original
from rayograph.report.load import report_of
from rayograph.report.modelcard import card
from rayograph.runs.folder import RunFolder
from rayograph.task import abstain
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing

CPU = torch.device("cpu")


def _trained(data: str, place: Path, *words: str) -> str:
    options = [f"data.uri={data}", f"run.storage={place}", "data.image_size=32", "model.width=4"]
    options += ["model.depth=2", "train.epochs=1", *words]
    return local.run(RunConfig.load("demo", options), lambda _row: None, deaf).best_model


@pytest.fixture(scope="module")
def model(packed: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of phantoms at 32 pixels."""
    return _trained(packed.uri, tmp_path_factory.mktemp("runs"))


def test_the_model_card_says_what_its_marks_cannot_tell(model: str) -> None:
    run = RunFolder(str(Path(model).parents[1]))
    assert "a film that is not marked may still be of another kind" in card(report_of(run))


@pytest.mark.parametrize(("m", "d"), [(60, 7), (40, 90)])
def test_the_distance_is_mahalanobis_and_its_limit_leaves_each_sample_out(m: int, d: int) -> None:
    chance = np.random.default_rng(0)
    bank = chance.normal(3, np.linspace(0.1, 2, d), (m, d)).astype(np.float32)
    found = fitted(bank)
    assert found
    gaussian, limit = found
    scatter = np.cov(bank.T.astype(np.float64))
    sphere = SHRINKAGE * np.trace(scatter) / d * np.eye(d)

    def far(values: np.ndarray, others: np.ndarray) -> np.ndarray:
        away = values - others.mean(axis=0, dtype=np.float64)
        covariance = (1 - SHRINKAGE) * np.cov(others.T.astype(np.float64)) + sphere
        return np.sqrt(np.einsum("nd,nd->n", away, np.linalg.solve(covariance, away.T).T))

    new = chance.normal(0, 2, (20, d))
    np.testing.assert_allclose(gaussian.distances(new), far(new, bank), rtol=1e-3)
    without = [far(bank[i : i + 1], np.delete(bank, i, axis=0))[0] for i in range(m)]
    assert limit == pytest.approx(np.quantile(without, QUANTILE), rel=1e-6)


def test_a_bank_that_says_nothing_gives_no_limit() -> None:
    assert fitted(np.ones((40, 5))) is None
    assert fitted(np.eye(5)) is None


@pytest.mark.parametrize("kind", ["half", "hopeless", "flawless"])
def test_the_band_is_the_smallest_that_halves_the_errors_and_holds_at_most_a_fifth(
    kind: str,
) -> None:
    chance = np.random.default_rng(1)
    log_odds, point = chance.normal(0, 2, 400), 0.3
    p = 1 / (1 + np.exp(-log_odds))
    truth = {
        "half": chance.random(400) < 1 / (1 + np.exp(-4 * (log_odds - np.log(3 / 7)))),
        "hopeless": chance.random(400) < 0.5,
        "flawless": p >= point,
    }[kind]
    both = np.stack([1 - p, p], axis=1)
    labels = np.stack([~truth, truth], axis=1).astype(np.int8)
    band = abstain.chosen(("b",), labels, both, (point,))
    assert band
    held = abstain.inside(both, band)
    wrong = (p >= point) != truth
    away = np.abs(log_odds - np.log(3 / 7))
    rates = [wrong[np.argsort(away)[i:]].mean() for i in range(81)]
    wanted = next((i for i, rate in enumerate(rates) if rate <= rates[0] / 2), 80)
    assert held.sum() == wanted == {"hopeless": 80, "flawless": 0}.get(kind, wanted) < 81
    assert away[held].max(initial=0) < away[~held].min()
    assert abstain.chosen(("a", "b"), labels, both, None) is None


def test_workers_shares_make_the_same_bank(packed: Dataset, model: str) -> None:
    loaded = load(model, CPU)
    rows = packed.split("val").rows

    def bank(rank: int, world: int) -> Bank:
        found = Bank(loaded.network, loaded.card.model.name, rows)
        transform = transforms.build(loaded.card.transform)
        with found.last.listening():
            inference.logits(
                loaded.network, packed, "val", transform, 2, CPU, rank, world, note=found.note
            )
        return found

    whole, parts = bank(0, 1), [bank(0, 2), bank(1, 2)]
    assert len(whole.features) <= MOST
    assert whole.features.any(axis=1).all()
    assert np.array_equal(whole.features, parts[0].features + parts[1].features)
    assert np.array_equal(whole.grays, parts[0].grays + parts[1].grays)
    assert loaded.unlike
    again = Unlike.of(whole.features, whole.grays)
    assert again
    assert again.limits == pytest.approx(loaded.unlike.limits)


def _predicted(model: str, pictures: dict[str, np.ndarray], place: Path) -> pa.Table:
    originals = []
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(place / f"{name}.png")
        originals.append(Original(sample_id=name, uri=str(place / f"{name}.png")))
    originals.append(Original(sample_id="none", uri=str(place / "none.png"), data=b"no film"))
    return predict(model, originals, one_by_one)


def test_noise_and_ramps_are_unlike_phantoms_and_the_counts_say_so(
    model: str, films: Path, tmp_path: Path
) -> None:
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    odd = {
        "noise": np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8),
        "ramp": np.broadcast_to(ramp, (96, 96)).copy(),
    }
    usual = {
        f"own-{i}": np.asarray(Image.open(film).convert("L"))
        for i, film in enumerate(sorted(films.rglob("*.png"))[:40])
    }
    table = _predicted(model, odd | usual, tmp_path)
    said = dict(zip(table["sample_id"].to_pylist(), table.to_pylist(), strict=True))
    assert all(said[name]["unlike"] and said[name]["abstain"] for name in odd)
    assert sum(said[name]["unlike"] for name in usual) <= 4
    assert all(row["unlike"] == (row["distance"] > 1) for row in said.values() if not row["error"])
    assert said["none"]["unlike"] is said["none"]["abstain"] is said["none"]["distance"] is None
    counts = counted(table)
    assert counts["unlike the training films"] == table["unlike"].to_pylist().count(True)
    assert counts["abstained"] == table["abstain"].to_pylist().count(True)
    assert counts["unreadable"] == 1


def test_a_model_without_validation_films_has_no_such_columns(films: Path, tmp_path: Path) -> None:
    data = packing(films, tmp_path / "data", PackOptions(size=32, val="none"))
    model = _trained(data.uri, tmp_path, "train.final=last")
    card = load(model, CPU).card
    assert card.unlike is card.band is None
    table = _predicted(model, {"flat": np.zeros((32, 32), np.uint8)}, tmp_path)
    assert not {"distance", "unlike", "abstain"} & {*table.column_names}
    assert "abstained" not in counted(table)


def test_the_tensors_beside_the_weights_hinder_nobody(
    model: str, packed: Dataset, tmp_path: Path
) -> None:
    other = _trained(packed.uri, tmp_path, f"model.weights={model}")
    assert load(other, CPU).unlike
