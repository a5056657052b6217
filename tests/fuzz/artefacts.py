"""Valid artefacts, as small as they can be: what the mutations start from."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from pydicom import Dataset as Header
from pydicom import uid

from rayograph import storage
from rayograph.config import PackOptions, RunConfig, SweepConfig, TrainOptions
from rayograph.data.dataset import Dataset
from rayograph.models import files
from rayograph.models.build import build
from rayograph.pack import phantom, phantom_records
from rayograph.pack.decode import dicom_pixels
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source
from rayograph.runs import folder as folders
from rayograph.runs import history
from rayograph.runs.card import ModelCard
from rayograph.runs.folder import RunFolder
from rayograph.search.folder import LEDGER, SweepFolder
from rayograph.search.ledger import Ledger, Trial
from rayograph.search.space import Domain, Space
from rayograph.train import optim
from rayograph.train.state import State
from tests import dicoms

CHECKPOINT, SNAPSHOT = "checkpoint_0001_0123abcd", "snapshot_0001_000002_0123abcd"
STEPS = 3
SPACE = Space("space", {"optim.lr": Domain("loguniform", (1e-4, 1e-2))}, ())
ROW: dict[str, Any] = {
    "epoch": 1, "lr": 0.001, "train_loss": 0.7, "train_accuracy": 0.5, "val_loss": 0.6,
    "val_accuracy": 0.6, "val_auroc": 0.7, "steps": 3, "skipped": 0, "films": 30,
    "films_digest": 12345, "films_per_s": 100.0, "seconds": 1.5, "data_s": 0.5,
    "checkpoint": CHECKPOINT,
}  # fmt: skip


def datasets(folder: Path) -> None:
    """`raw/` and `jpeg/`: 40 phantoms of 16 pixels, packed in either codec."""
    films = folder / "films"
    phantom.write(films, 40, seed=0, size=32)
    for codec in ("raw", "jpeg"):
        options = PackOptions(size=16, codec=codec, patient_pattern=phantom.PATIENT_PATTERN)
        pack(open_source(str(films), options), str(folder / codec), one_by_one, False)


def records(folder: Path) -> dict[str, bytes]:
    """`records/`: 80 records with a label, packed in folds; the table, and a model of it."""
    table = folder / "records.csv"
    phantom_records.write(table, 10, seed=0)
    options = PackOptions(
        inputs="table", task="multilabel", label_columns=("strenuous",), exclude=("exercise",),
        folds=2,
    )  # fmt: skip
    pack(open_source(str(table), options), str(folder / "records"), one_by_one, False)
    data = Dataset.open(str(folder / "records"), fold=0)
    chosen = RunConfig.load(None, ["model.name=mlp", "model.hidden=[2]"])
    spec = data.transform(chosen.data, chosen.evaluate)
    card = ModelCard(
        model=chosen.model, task="multilabel", classes=data.manifest.classes,
        recipe=data.manifest.recipe, transform=spec, operating_points=(0.5,), dataset=data.uri,
        fingerprint=data.manifest.fingerprint, fold=0, run="run", epoch=1, metrics={"loss": 0.6},
    )  # fmt: skip
    tensors = build(chosen.model, spec.shape, 1).state_dict()
    model = files.write(tensors, card.metadata())
    return {"records.csv": table.read_bytes(), "model.safetensors": model}


def config(folder: Path) -> SweepConfig:
    """The config of the run and the sweep."""
    words = ["model.name=cnn", "model.width=2", "model.depth=1", "data.image_size=16"]
    return SweepConfig.load(None, [*words, f"run.storage={folder}", "cluster.workers=1"])


def state(data: Dataset, chosen: RunConfig) -> State:
    """A fresh state of the run's model."""
    torch.manual_seed(0)
    model = build(chosen.model, (1, 16, 16), len(data.manifest.classes))
    parts = optim.build(model, chosen, STEPS)
    return State(model, *parts, data.manifest.fingerprint, chosen)


def runs(folder: Path, data: Dataset) -> None:
    """`run/`: a run of one epoch and two steps more; `run-space/`: a sweep of two trials."""
    wanted = config(folder)
    chosen = wanted.of_trials()
    trained = state(data, chosen)
    films = torch.rand(2, 1, 16, 16)
    trained.model(films).sum().backward()
    trained.optimizer.step()
    manifest = data.manifest
    card = ModelCard(
        model=chosen.model, task="multiclass", classes=manifest.classes, recipe=manifest.recipe,
        transform=data.transform(chosen.data, chosen.evaluate), operating_points=(0.5,),
        dataset=data.uri, fingerprint=manifest.fingerprint, run="run", epoch=1,
        metrics={"loss": 0.6, "auroc": None},
    )  # fmt: skip
    run = RunFolder.of(chosen)
    run.begin(chosen)
    trained.history = [dict(ROW)]
    for name, position in ((CHECKPOINT, (1, 0)), (SNAPSHOT, (1, 2))):
        trained.epoch, trained.step = position
        place = Path(run.uri, name)
        place.mkdir()
        trained.payload(card).write(place)
    run.publish(storage.join(run.uri, CHECKPOINT), "val_auroc")
    sweep = SweepFolder.of(wanted, SPACE)
    sweep.begin(wanted, SPACE)
    trials = []
    for number in range(2):
        own = RunFolder(storage.join(sweep.trials, f"trial_{number:05}"))
        for name in (folders.CONFIG, folders.ENVIRONMENT):
            storage.copy(storage.join(run.uri, name), storage.join(own.uri, name))
        storage.copy(run.best_model, own.best_model)
        place = storage.join(own.uri, folders.HISTORY)
        storage.write(place, history.to_lines([ROW]))
        trial = Trial(number=number, params={"optim.lr": 0.001}, run=f"trial_{number:05}", epochs=2)
        trial.add(ROW, trial.run, TrainOptions(), 1)
        trials.append(trial)
    ledger = Ledger(storage.join(sweep.uri, LEDGER), trials)
    ledger.touch()
    ledger.save(now=True)
    sweep.publish(trials[0], "rayograph train …")


def originals() -> dict[str, bytes]:
    """A film in each format that is read, plain and deep, whole and indexed."""
    gray = phantom.film(3, opacity=True, size=48)
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures: list[tuple[str, Image.Image, str, dict[str, Any]]] = [
        ("gray.png", Image.fromarray(gray), "PNG", {}),
        ("deep.png", deep, "PNG", {}),
        ("index.png", Image.fromarray(gray).quantize(16), "PNG", {"transparency": 0}),
        ("gray.jpg", Image.fromarray(gray), "JPEG", {"exif": exif}),
        ("many.jpg", Image.fromarray(gray).convert("RGB"), "JPEG", {"progressive": True}),
        ("gray.tif", Image.fromarray(gray), "TIFF", {}),
        ("small.tif", deep, "TIFF", {"compression": "tiff_lzw"}),
        ("float.tif", Image.fromarray(gray.astype(np.float32)), "TIFF", {}),
        ("gray.bmp", Image.fromarray(gray), "BMP", {}),
        ("gray.webp", Image.fromarray(gray), "WEBP", {}),
    ]
    found = {}
    for name, picture, kind, options in pictures:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        found[name] = out.getvalue()
    return found


def radiographs() -> dict[str, bytes]:
    """A DICOM film in each transfer syntax that is read, with what its header may hold."""
    gray = phantom.film(3, opacity=True, size=48)
    deep = gray.astype(np.uint16) * 16
    nested = Header()
    nested.RequestingPhysician, nested.ReasonForVisit = "Who^Asks", "cough"
    more: dict[str, Any] = {"RequestAttributesSequence": [nested], "RescaleSlope": -1,
                            "RescaleIntercept": 4095, "PixelPaddingValue": 0,
                            "PhotometricInterpretation": "MONOCHROME1"}  # fmt: skip
    found = {}
    for number, syntax in enumerate(dicom_pixels.READ):
        bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
        tags = dicoms.header(gray if bits == 8 else deep, bits, **more)
        found[f"{number}.dcm"] = dicoms.written(tags, syntax)
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        tags = dicoms.header(deep, 12)
        setattr(tags, name, [dicoms.table(np.arange(4096), 0, 12, "plain")])
        found[f"{name}.dcm"] = dicoms.written(tags)
    windows: dict[str, Any] = {"WindowCenter": [900, 2000], "WindowWidth": [500, 4000],
                               "WindowCenterWidthExplanation": ["HARD", "SOFT"],
                               "VOILUTFunction": "SIGMOID"}  # fmt: skip
    found["windows.dcm"] = dicoms.written(dicoms.header(deep, 12, **windows))
    found["no meta.dcm"] = dicoms.written(dicoms.header(deep, 12), meta=False)
    colour = np.dstack([gray, gray.T, gray])
    found["colour.dcm"] = dicoms.film(
        colour, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0
    )
    return found


def tables() -> dict[str, bytes]:
    """The two kinds of table that name films."""
    rows = {
        "path": [f"films/{i}.png" for i in range(8)],
        "label": ["normal", "ill"] * 4,
        "patient": [f"p{i // 2}" for i in range(8)],
        "split": ["train"] * 6 + ["test"] * 2,
        "age": list(range(40, 48)),
        "taken": pa.array(range(8), pa.timestamp("ns")),
    }
    table = pa.table(rows)
    out, lines = io.BytesIO(), io.BytesIO()
    pq.write_table(table, out)
    pa.csv.write_csv(table.drop_columns("taken"), lines)
    return {"films.parquet": out.getvalue(), "films.csv": lines.getvalue()}


def arrays() -> dict[str, bytes]:
    """An `.npz` in MedMNIST's layout, stored and deflated, and one with several labels."""
    gray = np.stack([phantom.film(i, opacity=i % 2 > 0, size=16) for i in range(6)])
    states = np.arange(6, dtype=np.uint8)[:, None] % 2
    one = {f"{part}_images": gray for part in ("train", "val", "test")}
    one |= {f"{part}_labels": states for part in ("train", "val", "test")}
    many = {"train_images": np.stack([gray] * 3, axis=-1), "train_labels": np.eye(6, 3, dtype=int)}
    stored, deflated, several = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(stored, **one)
    np.savez_compressed(deflated, **one)
    np.savez(several, **many)
    return {
        "stored.npz": stored.getvalue(), "deflated.npz": deflated.getvalue(),
        "several.npz": several.getvalue(),
    }  # fmt: skip
