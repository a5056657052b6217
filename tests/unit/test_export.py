"""An exported model gives the model's probabilities, without rayograph, for any number of films."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from rayograph.config import ModelOptions, PackOptions, SourceOptions
from rayograph.console import judging
from rayograph.data import stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import (
    Feature,
    ImageRecipe,
    ImageTransform,
    TableColumn,
    TableRecipe,
    TableTransform,
)
from rayograph.errors import Failure, UserError
from rayograph.evaluate import export as exporting
from rayograph.evaluate import graphs, specimens
from rayograph.evaluate.model import load
from rayograph.evaluate.predict.parts import predict
from rayograph.models import build, files
from rayograph.models.registry import FAMILIES, families
from rayograph.pack import phantom
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import unlabelled
from rayograph.runs.card import ModelCard
from tests.conftest import SHARED, needs_real_films, packing, rayograph

FILMS = {
    "recipe": ImageRecipe(size=48, resize="crop"),  # larger than the model sees: resized inside
    "transform": ImageTransform(size=32, mean=0.5, std=0.25),
}
RECORDS = {
    "recipe": TableRecipe(
        columns=(
            TableColumn(name="age", missing=True),
            TableColumn(name="site", categories=("a", "b"), missing=True),
            TableColumn(name="pulse", missing=False),
        )
    ),
    "transform": TableTransform(
        features=(
            Feature(mean=50, std=20, categories=0, flag=True),
            Feature(mean=0.5, std=0.5, categories=2, flag=True),
            Feature(mean=70, std=9, categories=0, flag=False),
        )
    ),
}
SEEN = {"films": FILMS, "records": RECORDS}
TINY = {
    "films": ModelOptions(name="cnn", width=8, depth=2),
    "records": ModelOptions(name="mlp", hidden=(16,), dropout=0.5),
}
CLASSES = {"multiclass": ("normal", "viral", "bacterial"), "multilabel": ("opacity", "effusion")}
POINTS = {"multiclass": None, "multilabel": (0.25, None)}
Run = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.float32]]


def model(
    place: Path, seen: dict[str, object], task: str, options: ModelOptions, **card: object
) -> str:
    """A model file with random weights whose probabilities differ from sample to sample."""
    torch.manual_seed(0)
    said = {
        "model": options, "task": task, "classes": CLASSES[task],
        "operating_points": POINTS[task], "dataset": str(place.parent / "gone"),
        "fingerprint": "0" * 64, "run": "tiny", "epoch": 3, "metrics": {}, **seen, **card,
    }  # fmt: skip
    made = ModelCard.model_validate(said)
    network = build.build(options, made.transform.shape, len(made.classes)).eval()
    last = build.head(network, options.name)
    values = torch.from_numpy(specimens.drawn(made))
    (sees,) = transforms.build(made.transform).views(values)
    with torch.no_grad():
        spread = network(sees).std(dim=0).clamp(min=1e-3)
        last.weight /= spread[:, None]
    place.write_bytes(files.write(network.state_dict(), made.metadata()))
    return str(place)


def alone(place: str) -> Run:
    """What somebody without rayograph would run a file with."""
    if place.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(place)
        return lambda samples: session.run(["probabilities"], {"samples": samples})[0]
    graph = torch.export.load(place).module()
    return lambda samples: graph(torch.from_numpy(samples)).detach().numpy()


def of_the_model(place: str, samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """The probabilities that `predict` gives."""
    loaded = load(place, torch.device("cpu"))
    with torch.inference_mode():
        (sees,) = loaded.transform.views(torch.from_numpy(samples))
        logits = loaded.network(sees).numpy()
    return loaded.task.probabilities(logits.astype(np.float64))


def same_for_one_and_for_five(uri: str, out: str) -> None:
    found = exporting.export(uri, out, graphs.chosen(out, None), None)
    assert found.difference <= exporting.LIMIT
    assert found.samples == 32
    samples = specimens.drawn(load(uri, torch.device("cpu")).card)
    wanted, run = of_the_model(uri, samples), alone(out)
    assert np.ptp(wanted[:5], axis=0).max() > 0.05, "a constant would not be told from the model"
    for count in (1, 5):
        np.testing.assert_allclose(run(samples[:count]), wanted[:count], atol=1e-4)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("task", list(CLASSES))
@pytest.mark.parametrize("seen", list(SEEN))
def test_every_cell(seen: str, task: str, suffix: str, tmp_path: Path) -> None:
    uri = model(tmp_path / "model.safetensors", SEEN[seen], task, TINY[seen])
    same_for_one_and_for_five(uri, str(tmp_path / f"out{suffix}"))


OTHERS = (
    ModelOptions(name="resnet18", norm="sync"),
    ModelOptions(name="efficientnet_b0", norm="group", dropout=0.2),
    ModelOptions(name="convnext_tiny"),
)


@pytest.mark.cluster
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("options", OTHERS, ids=lambda options: options.name)
def test_every_family(options: ModelOptions, suffix: str, tmp_path: Path) -> None:
    uri = model(tmp_path / "model.safetensors", FILMS, "multiclass", options)
    same_for_one_and_for_five(uri, str(tmp_path / f"out{suffix}"))


@pytest.mark.cluster
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_the_family_that_takes_a_minute(suffix: str, tmp_path: Path) -> None:
    options = ModelOptions(name="densenet121")
    uri = model(tmp_path / "model.safetensors", FILMS, "multiclass", options)
    same_for_one_and_for_five(uri, str(tmp_path / f"out{suffix}"))


def test_no_family_is_forgotten() -> None:
    tested = {"densenet121", *(options.name for options in (*OTHERS, *TINY.values()))}
    assert {families()[name].pattern for name in tested} == {each.pattern for each in FAMILIES}


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_packed_films_give_what_predict_says_of_their_originals(
    suffix: str, tmp_path: Path
) -> None:
    phantom.write(tmp_path / "films", 24, seed=3, size=64)
    data = packing(tmp_path / "films", tmp_path / "d", PackOptions(size=48))
    agrees(tmp_path, data, tmp_path / "films", suffix)


@needs_real_films
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_so_do_real_films(suffix: str, tmp_path: Path) -> None:
    source = SHARED / "pneumonia" / "val"
    data = packing(source, tmp_path / "d", PackOptions(size=48, split="test"))
    agrees(tmp_path, data, source, suffix)


def agrees(folder: Path, data: Dataset, originals: Path, suffix: str) -> None:
    """That a model's export says of a dataset what `predict` says of the films it is of."""
    said = {"classes": data.manifest.classes, "dataset": data.uri}
    seen = {
        "recipe": data.manifest.recipe,
        "transform": ImageTransform(size=32, mean=0.4, std=0.2),
    }
    uri = model(folder / "model.safetensors", seen, "multiclass", TINY["films"], **said)
    out = str(folder / f"out{suffix}")
    found = exporting.export(uri, out, graphs.chosen(out, None), None)
    rows = {name: data.split(name).rows for name in data.splits}
    assert found.samples == min(32, max(rows.values()))
    assert found.origin.endswith(f" films of {data.uri}")
    (split, *_) = sorted(rows, key=rows.__getitem__)
    recipe = data.manifest.recipe
    table = predict(uri, unlabelled(str(originals), recipe, SourceOptions()), one_by_one)
    wanted = {row["sample_id"]: row for row in table.to_pylist()}
    run, compared = alone(out), 0
    for batch in stream.stored(data, split):
        for name, given in zip(batch.ids, run(batch.inputs.copy()), strict=True):
            row = [wanted[name][f"p_{each}"] for each in data.manifest.classes]
            np.testing.assert_allclose(given, row, atol=1e-4)
            compared += 1
    assert compared == rows[split]


def test_a_file_says_what_it_is_and_not_where_it_was_made(tmp_path: Path) -> None:
    import onnxruntime

    uri = model(tmp_path / "model.safetensors", RECORDS, "multilabel", TINY["records"])
    for name in ("out.pt2", "out.onnx"):
        kind = graphs.chosen(name, None)
        exporting.export(uri, str(tmp_path / name), kind, None)
        assert str(Path(exporting.__file__).parent).encode() not in (tmp_path / name).read_bytes()
    extra = {graphs.NOTES: ""}
    torch.export.load(str(tmp_path / "out.pt2"), extra_files=extra)
    said = json.loads(extra[graphs.NOTES])
    assert said["classes"] == ["opacity", "effusion"]
    assert said["operating_points"] == [0.25, None]
    assert said["input"] == {"name": "samples", "dtype": "float32", "shape": ["n", 3]}
    assert said["output"]["shape"] == ["n", 2]
    assert said["recipe"]["columns"][1]["categories"] == ["a", "b"]
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
    props = session.get_modelmeta().custom_metadata_map
    assert props.keys() >= said.keys()
    assert props["task"] == said["task"] == "multilabel"
    assert json.loads(props["classes"]) == said["classes"]
    assert session.get_inputs()[0].shape == ["n", 3]


def test_weights_lie_beside_and_an_older_export_is_replaced(tmp_path: Path) -> None:
    uri = model(tmp_path / "model.safetensors", RECORDS, "multiclass", TINY["records"])
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "m.pt2"
    out.write_bytes(b"older")
    exporting.export(uri, str(out), graphs.chosen(str(out), None), None)
    alone(str(out))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"m.pt2", "m.pt2.safetensors"}
    samples = specimens.drawn(load(uri, torch.device("cpu")).card)
    beside = f"{out}.safetensors"
    np.testing.assert_array_equal(of_the_model(beside, samples), of_the_model(uri, samples))


def test_to_a_bucket(s3: str, tmp_path: Path) -> None:
    from rayograph import storage

    uri = model(tmp_path / "model.safetensors", RECORDS, "multiclass", TINY["records"])
    out = f"{s3}/exports/m.onnx"
    exporting.export(uri, out, graphs.chosen(out, None), None)
    (tmp_path / "m.onnx").write_bytes(storage.read(out))
    assert alone(str(tmp_path / "m.onnx"))(np.zeros((4, 3), np.float32)).shape == (4, 3)
    assert storage.exists(f"{out}.safetensors")


def test_an_export_that_says_something_else_is_not_written(tmp_path: Path) -> None:
    uri = model(tmp_path / "model.safetensors", RECORDS, "multiclass", TINY["records"])
    loaded = load(uri, torch.device("cpu"))
    samples = specimens.drawn(loaded.card)

    def shifted(by: float, of: slice) -> Run:
        def run(given: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
            found = of_the_model(uri, given).astype(np.float32)
            found[of] += by
            return found

        return run

    assert exporting.difference(uri, loaded, shifted(0, slice(9)), samples) < 1e-6
    found = exporting.difference(uri, loaded, shifted(0.01, slice(9, 10)), samples)
    assert found == pytest.approx(0.01, abs=1e-6)
    assert np.isnan(exporting.difference(uri, loaded, shifted(np.nan, slice(1)), samples))

    place = tmp_path / "nan.safetensors"
    state = {name: value * torch.nan for name, value in loaded.network.state_dict().items()}
    place.write_bytes(files.write(state, loaded.card.metadata()))
    out = tmp_path / "out" / "m.onnx"
    with pytest.raises(Failure, match="32 of 32 films have a NaN"):
        exporting.export(str(place), str(out), graphs.chosen(str(out), None), None)
    assert not out.parent.exists()


def test_what_cannot_be_asked_for_is_one_line(
    tmp_path: Path, packed: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"m.bin: an exported model ends in \.pt2 \(torch\) or"):
        graphs.chosen("m.bin", None)
    assert graphs.chosen("m.bin", "onnx").suffix == ".onnx"
    with pytest.raises(UserError, match=r"m\.onnx: ends as onnx does, and --format=torch"):
        graphs.chosen("m.onnx", "torch")
    with pytest.raises(UserError, match="--format=tflite: there are torch, onnx"):
        graphs.chosen("m.onnx", "tflite")
    uri = model(tmp_path / "model.safetensors", FILMS, "multiclass", TINY["films"])
    with pytest.raises(UserError, match="another recipe than the model's: size: 48, not 32"):
        exporting.export(uri, str(tmp_path / "m.pt2"), graphs.KINDS["torch"], packed.uri)
    with pytest.raises(UserError, match=r"8\.6 GB of weights; a file holds less than 2\.1 GB"):
        graphs.check_onnx(torch.nn.Linear(2**16, 2**15, device="meta"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as where it is not installed
    with pytest.raises(UserError, match=r"onnxscript is not installed: .*'rayograph\[onnx\]'"):
        exporting.export(uri, str(tmp_path / "m.onnx"), graphs.KINDS["onnx"], None)
    assert not list(tmp_path.glob("m.*"))


def test_the_command(tmp_path: Path) -> None:
    uri = model(tmp_path / "model.safetensors", RECORDS, "multiclass", TINY["records"])
    done = rayograph("export", uri, str(tmp_path / "m.onnx"), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["opset"] == 18
    assert said["difference"] <= 1e-4
    assert said["origin"].startswith("random samples, since")


def test_a_run_without_a_checkpoint_has_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(UserError, match="this run has no checkpoint yet"):
        judging.model_of(str(tmp_path))
