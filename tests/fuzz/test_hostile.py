"""Hostile files: a short run of the fuzzer, and each thing that a long one has found."""

import io
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
import torch
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from rayograph.config import PackOptions, RunConfig
from rayograph.data import index, stream
from rayograph.data.dataset import Dataset, digest
from rayograph.data.manifest import Manifest
from rayograph.data.recipe import ImageRecipe
from rayograph.errors import Failure, UserError
from rayograph.evaluate.model import load as load_model
from rayograph.pack.decode import UnusableError, decode, pictures
from rayograph.pack.sources import open_source
from rayograph.runs.folder import RunFolder
from rayograph.search.folder import LEDGER, SweepFolder
from rayograph.search.ledger import Ledger
from tests import dicoms
from tests.conftest import REPOSITORY
from tests.forms import GRAY
from tests.fuzz import artefacts
from tests.fuzz.targets import progressive_bomb

CASES = 100


def test_a_short_run_of_the_fuzzer_finds_nothing() -> None:
    words = [sys.executable, "-m", "tests.fuzz", "--cases", str(CASES)]
    found = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr[-3000:]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    artefacts.datasets(tmp_path)
    artefacts.runs(tmp_path, Dataset.open(str(tmp_path / "raw")))
    return tmp_path


def lie(folder: Path, change: Callable[[Any], None]) -> None:
    """Change a manifest, and make its fingerprint fit."""
    place = folder / "dataset.json"
    tree = json.loads(place.read_text())
    change(tree)
    with suppress(ValueError):
        tree["fingerprint"] = Manifest.model_validate(tree).computed_fingerprint()
    place.write_text(json.dumps(tree))


def replaced(
    folder: Path,
    change: Callable[[dict[str, Any]], Any],
    packing: str | None = None,
    spoil: Callable[[bytes], bytes] = bytes,
) -> None:
    """Put another record batch at a training shard's end, in the first one's place."""
    shard = folder / "train" / "00000.arrows"
    data = shard.read_bytes()
    first = json.loads((folder / "dataset.json").read_text())["parts"]["train"]["shards"][0]
    first = first["batches"][0]
    schema = Dataset.open(str(folder)).schema
    message = data[first["offset"] :][: first["bytes"]]
    columns = pa.ipc.read_record_batch(pa.py_buffer(message), schema).to_pydict()
    change(columns)
    batch = pa.record_batch(columns, schema=schema)
    out = io.BytesIO()
    with pa.ipc.new_stream(
        out, schema, options=pa.ipc.IpcWriteOptions(compression=packing)
    ) as sink:
        sink.write_batch(batch)
    new = spoil(out.getvalue()[len(schema.serialize()) : -8])
    shard.write_bytes(data + new)

    def point(tree: Any) -> None:
        found = tree["parts"]["train"]["shards"][0]
        found["bytes"] = len(data) + len(new)
        found["batches"][0] |= {"offset": len(data), "bytes": len(new), "xxh3": digest(new)}

    lie(folder, point)


def read(folder: Path) -> None:
    for _ in stream.stored(Dataset.open(str(folder)), "train"):
        pass


@pytest.mark.parametrize("label", [[0, 0], [1, 1], [0, -1], [1, -2], [2, 0], [1, None]])
def test_a_label_that_is_no_class_is_an_error(corpus: Path, label: list[int | None]) -> None:
    replaced(corpus / "raw", lambda columns: columns["label"].__setitem__(3, label))
    with pytest.raises(Failure, match=r"train/00000\.arrows: .* (an invalid label|does not hold)"):
        read(corpus / "raw")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(bytes, "is compressed"), (lambda message: message[4:], "no marker")],
    ids=["as today", "as before Arrow 0.15"],
)
def test_a_compressed_record_batch_is_not_unpacked(
    corpus: Path, spoil: Callable[[bytes], bytes], told: str
) -> None:
    def lengthen(columns: dict[str, Any]) -> None:
        columns["sample_id"][0] = "x" * 2**24

    replaced(corpus / "raw", lengthen, "zstd", spoil)
    with pytest.raises(Failure, match=rf"train/00000\.arrows: .*{told}"):
        read(corpus / "raw")


def test_an_end_in_the_place_of_a_record_batch_is_an_error(corpus: Path) -> None:
    def end(message: bytes) -> bytes:
        return message[:4] + bytes(4) + message[8:]

    replaced(corpus / "raw", dict, spoil=end)
    with pytest.raises(Failure, match=r"train/00000\.arrows: .* cannot be read"):
        read(corpus / "raw")


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", ""), (b"\xff\xd8 no more", ""), (progressive_bomb(10), "not a baseline JPEG")],
    ids=["empty", "cut", "progressive"],
)
def test_a_bad_jpeg_names_its_shard(corpus: Path, data: bytes, why: str) -> None:
    replaced(corpus / "jpeg", lambda columns: columns["image"].__setitem__(5, data))
    with pytest.raises(Failure, match=rf"train/00000\.arrows: record batch at \d+: film 5: {why}"):
        read(corpus / "jpeg")


def _many_rows(tree: Any) -> None:
    shard = tree["parts"]["train"]["shards"][0]
    shard["batches"][0]["rows"] += 10**12
    shard["rows"] += 10**12


def _many_bytes(tree: Any) -> None:
    shard = tree["parts"]["train"]["shards"][0]
    shard["batches"][0]["bytes"] = shard["bytes"] = 10**12


def _large_films(tree: Any) -> None:
    tree["recipe"]["size"] = tree["inputs"]["size"] = 4096


def _another_place(tree: Any) -> None:
    tree["parts"]["train"]["shards"][0]["path"] = "train/../../secret.arrows"


def _labels_of_others(tree: Any) -> None:
    tree["parts"]["val"]["labels"] = {"other": 1}


@pytest.mark.parametrize(
    "change", [_many_rows, _many_bytes, _large_films, _another_place, _labels_of_others]
)
def test_a_manifest_that_lies_is_refused_before_memory_is_taken(
    corpus: Path, change: Callable[[Any], None]
) -> None:
    lie(corpus / "raw", change)
    with pytest.raises(UserError, match=r"dataset\.json: not a packed dataset"):
        Dataset.open(str(corpus / "raw"))


@pytest.mark.parametrize("kind", ["rows", "texts", "no column", "no parquet"])
def test_an_index_that_is_none_is_an_error(corpus: Path, kind: str) -> None:
    place = corpus / "raw" / "index.parquet"
    table = pq.read_table(place)
    if kind == "rows":
        ones = pa.DictionaryArray.from_arrays(np.zeros(10**6, np.int8), ["train"])
        table = pa.table(dict.fromkeys(table.column_names, ones))
    elif kind == "texts":
        texts = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int8), ["x" * 10**7])
        table = table.set_column(0, "sample_id", texts.cast(pa.string()))
    else:
        table = table.drop_columns("label")
    pq.write_table(table, place, compression="zstd", store_schema=False)
    if kind == "no parquet":
        place.write_bytes(place.read_bytes()[:-20])
    with pytest.raises(Failure, match=r"raw/index\.parquet: "):
        index.read(Dataset.open(str(corpus / "raw")), "train")


def test_a_model_takes_no_more_memory_than_its_file(corpus: Path) -> None:
    place = corpus / "run" / "best" / "model.safetensors"
    data = place.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    card = json.loads(header["__metadata__"]["card"])
    card["model"] |= {"width": 512, "depth": 8, "weights": "/etc/passwd"}
    card["transform"]["size"] = 2048
    header["__metadata__"]["card"] = json.dumps(card)
    head = json.dumps(header).encode()
    place.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + length :])
    with pytest.raises(UserError, match=r"model\.safetensors: .* cnn needs "):
        load_model(str(place), torch.device("cpu"))


class Code:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return (self.call[0], self.call[1:])


@pytest.mark.parametrize("kind", ["code", "bytes", "laughs", "view"])
def test_an_optimizer_that_is_none_is_an_error(corpus: Path, kind: str) -> None:
    place = corpus / "run" / artefacts.CHECKPOINT / "state.pt"
    found = torch.load(place, weights_only=True)
    laughs: list[Any] = []
    for _ in range(60):
        laughs = [laughs, laughs]
    found["optimizer"]["state"][0]["exp_avg"] = {
        "code": Code(Path.touch, corpus / "pwned"),
        "bytes": Code(bytearray, 10**12),
        "laughs": laughs,
        "view": torch.zeros(1, dtype=torch.float64).expand(10**12),
    }[kind]
    torch.save(found, place)
    data = Dataset.open(str(corpus / "raw"))
    state = artefacts.state(data, artefacts.config(corpus))
    with pytest.raises(UserError, match=r"state\.pt: not "):
        state.load(str(place.parent), artefacts.STEPS)
    assert not (corpus / "pwned").exists()


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "a/b", ".."])
def test_a_checkpoints_name_stays_in_its_run(corpus: Path, name: str) -> None:
    run = RunFolder(str(corpus / "run"))
    for place in (f"{artefacts.CHECKPOINT}/progress.json", "history.jsonl"):
        file = corpus / "run" / place
        file.write_text(file.read_text().replace(f'"{artefacts.CHECKPOINT}"', json.dumps(name)))
    with pytest.raises(Failure, match=r"history\.jsonl: is damaged"):
        run.history()
    with pytest.raises(Failure, match=r"progress\.json: is damaged"):
        run.publish(str(corpus / "run" / artefacts.CHECKPOINT), "val_auroc")


def test_a_trials_run_stays_in_its_sweep(corpus: Path) -> None:
    place = corpus / "run-space" / LEDGER
    place.write_text(place.read_text().replace('"run":"trial_00000"', '"run":"../../run"'))
    with pytest.raises(Failure, match=r"trials\.jsonl: line 1 is damaged"):
        Ledger.at(str(place))


def test_a_trial_with_impossible_options_names_the_ledger(corpus: Path) -> None:
    place = corpus / "run-space" / LEDGER
    text = place.read_text().replace('"optim.lr":0.001', '"optim.lr":"-1"', 1)
    place.write_text(re.sub('"state":"[a-z]+"', '"state":"running"', text))
    with pytest.raises(Failure, match=r"trials\.jsonl: trial_00000: optim\.lr="):
        SweepFolder(str(place.parent)).ledger(artefacts.config(corpus))


LONG = b"p" * 100_000


@pytest.mark.parametrize(
    "table",
    [
        b"p\xe4th,label,who\na.png,ill,1\n",
        LONG + b",label,who\na.png,ill,1\n",
        b"path,label,who,split\na.png,ill,1," + LONG + b"\n",
        b"path,label,who\na.png," + LONG + b",1\n",
        b"path,label,who\n" + 2 * (LONG + b",ill,1\n"),
    ],
    ids=["latin-1", "column", "split", "label", "path"],
)
def test_a_strange_table_is_a_short_error(tmp_path: Path, table: bytes) -> None:
    (tmp_path / "films.csv").write_bytes(table)
    with pytest.raises(UserError, match=r"films\.csv: ") as told:
        open_source(str(tmp_path / "films.csv"), PackOptions(patient_column="who"))
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "train: {epochs: [&a [x, x, x], &b [*a, *a, *a]]}",
        "train: " + "[" * 5000,
        "train: {epochs: " + "x" * 300_000 + "}",
        "optim: {lr: .inf}",
        "optim: {lr: " + "9" * 5000 + "}",
    ],
    ids=["aliases", "deep", "long", "infinite", "digits"],
)
def test_a_preset_that_grows_is_one_short_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        RunConfig.load(str(tmp_path / "bad.yaml"))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("size", [(8000, 8000), (70_000, 2), (2, 70_000)])
def test_a_picture_larger_than_any_film_is_not_decoded(size: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new("1", size).save(out, "PNG")
    with pytest.raises(pictures.UnusableError, match="pixels, more than"):
        pictures.decode(out.getvalue(), ImageRecipe(size=16, resize="fit"))


def test_a_strip_of_a_film_is_a_reason_and_no_crash() -> None:
    out = io.BytesIO()
    Image.fromarray(np.arange(60_000, dtype=np.uint8)[None]).save(out, "PNG")
    with pytest.raises(pictures.UnusableError):
        pictures.decode(out.getvalue(), ImageRecipe(size=16, resize="fit"))


def _lying(syntax: uid.UID, marker: bytes, offset: int, value: bytes) -> bytes:
    """A DICOM film whose codestream says another size, such as one that takes minutes."""
    data = bytearray(dicoms.ENCODERS[syntax](GRAY))
    at = data.index(marker) + offset
    data[at : at + len(value)] = value
    tags = dicoms.header()
    whole = pydicom.dcmread(io.BytesIO(dicoms.written(tags, syntax)))
    whole.PixelData = encapsulate([bytes(data)])
    out = io.BytesIO()
    whole.save_as(out)
    return out.getvalue()


def _deflate_bomb() -> bytes:
    small = dicoms.written(dicoms.header(), uid.DeflatedExplicitVRLittleEndian)
    start = small.index(b"DICM") + 16 + int.from_bytes(small[140:144], "little")
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = b"".join(deflate.compress(bytes(10**6)) for _ in range(300))
    return small[:start] + zeros + deflate.flush()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: _lying(uid.JPEGLSLossless, b"\xff\xf7", 5, b"\x40\x00\x40\x01"),
            "compressed pixels",
        ),
        (
            lambda: _lying(uid.JPEG2000Lossless, b"\xff\x51", 6, b"\x00\x00\x40\x00"),
            "compressed pixels|many tiles",
        ),
        (
            lambda: _lying(uid.JPEG2000Lossless, b"\xff\x51", 22, b"\0\0\0\1\0\0\0\1"),
            "too many tiles",
        ),
        (lambda: dicoms.film(Rows=9000, Columns=9000), "pixels, more than"),
        (_deflate_bomb, "when it is inflated"),
    ],
    ids=["JPEG-LS", "JPEG 2000", "tiles", "pixels", "deflated"],
)
def test_dicom_that_would_take_minutes_or_memory_is_refused_before(
    make: Callable[[], bytes], told: str
) -> None:
    with pytest.raises(UnusableError, match=told):
        decode(make(), ImageRecipe(size=16, resize="fit"))


def test_dicom_with_a_progressive_jpeg_of_many_scans_is_not_decoded() -> None:
    whole = pydicom.dcmread(io.BytesIO(dicoms.written(dicoms.header(), uid.JPEGBaseline8Bit)))
    bomb = progressive_bomb(1000)
    whole.PixelData = encapsulate([bomb])
    out = io.BytesIO()
    whole.save_as(out)
    with pytest.raises(UnusableError, match="progressive"):
        decode(out.getvalue(), ImageRecipe(size=16, resize="fit"))
