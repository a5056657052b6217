"""What reads files that others wrote: for each such file, how it is damaged and how it is read."""

import hashlib
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from hypothesis import strategies as st
from PIL import Image

from rayograph import storage
from rayograph.config import PackOptions, RunConfig, SweepConfig, documents
from rayograph.console import tables
from rayograph.data import index, inspection, order, stream
from rayograph.data.dataset import Dataset, digest
from rayograph.data.manifest import Manifest
from rayograph.data.recipe import ImageRecipe
from rayograph.errors import Failure, UserError
from rayograph.evaluate.model import load as load_model
from rayograph.models.build import build
from rayograph.pack.decode import UnusableError, decode, pictures
from rayograph.pack.sources import open_source
from rayograph.runs import history
from rayograph.runs.folder import RunFolder
from rayograph.search import space as spaces
from rayograph.search.folder import SweepFolder
from tests.fuzz import artefacts, radiographs
from tests.fuzz.mutations import damaged, edited, text

Files = Mapping[str, bytes]
SELECT = "val_auroc"
FILM = 1_000_000_000  # bytes that a film of the most pixels may take
DOCUMENTED = (UserError, Failure, pictures.UnusableError)


@dataclass(frozen=True)
class Target:
    """`files` are put into a folder, those of `hostile` over them, and `read` is let loose on it.

    `share` is its part of all cases; a case may take `most` bytes of memory.
    """

    name: str
    files: Files
    hostile: st.SearchStrategy[Files]
    read: Callable[[Path], None]
    share: int = 1
    most: int = 300_000_000  # bytes of memory


def attempt(folder: Path, *steps: Callable[[], object]) -> None:
    """Do each step; one may raise a documented error that names a place in the folder."""
    for step in steps:
        told = str(folder)
        try:
            step()
        except (UserError, Failure) as error:
            told = str(error)
        assert str(folder) in told, f"no place named: {told[:200]}"
        assert len(told) < 1000, f"{len(told)} characters: {told[:200]}"


def all_targets(corpus: Path) -> list[Target]:
    """Every target, over the valid artefacts that lie in `corpus`."""
    raw, jpeg = files_below(corpus / "raw"), files_below(corpus / "jpeg")
    run, sweep = files_below(corpus / "run"), files_below(corpus / "run-space")
    fresh = Dataset.open(str(corpus / "raw"))
    reading = _Run(fresh)
    checkpoint, snapshot = artefacts.CHECKPOINT, artefacts.SNAPSHOT
    model = f"{checkpoint}/model.safetensors"
    documents = ("history.jsonl", "best/model.json", f"{checkpoint}/progress.json",
                 f"{snapshot}/progress.json")  # fmt: skip
    own = ("trials.jsonl", "sweep.json", "best/winner.json")
    preset = yaml.safe_load(run["config.yaml"])
    films = artefacts.originals()
    listed, dicoms = artefacts.tables(), artefacts.radiographs()
    arrays = artefacts.arrays()
    made = artefacts.records(corpus)
    records, table = files_below(corpus / "records"), {"records.csv": made["records.csv"]}
    return [
        Target("manifest", raw, _tree(raw, "dataset.json", _signed), _read_dataset, 6),
        Target("manifest's counts", raw, _counts(raw), _read_dataset, 4),
        Target("manifest's bytes", raw, _bytes(raw, "dataset.json"), _read_dataset),
        Target("raw shard", raw, _shard(raw, damaged), _read_dataset, 12),
        Target("jpeg shard", jpeg, _shard(jpeg, damaged), _read_dataset, 12),
        Target("films of a jpeg shard", jpeg, _shard(jpeg, _jpegs), _read_dataset, 8),
        Target("record batches made by hand", raw, _shard(raw, _by_hand), _read_dataset),
        Target("index.parquet", raw, _bytes(raw, "index.parquet"), _read_dataset, 4),
        Target("index.parquet's columns", raw, _columns(raw), _read_dataset),
        Target("records' manifest", records, _tree(records, "dataset.json", _signed),
               _read_dataset, 4),
        Target("records' shard", records, _shard(records, damaged, "fold-0"), _read_dataset, 8),
        Target("records' index", records, _bytes(records, "index.parquet"), _read_dataset, 2),
        Target("records' model", made, _model(made, "model.safetensors"), reading.records, 3),
        Target("records.csv", {}, _bytes(table, "records.csv"), _read_records, 4),
        Target("model", run, _model(run, model), reading.model, 3),
        Target("model's bytes", run, _bytes(run, model), reading.model, 2),
        Target("state.pt", run, _bytes(run, f"{checkpoint}/state.pt"), reading.run, 2),
        Target("state.pt's tree", run, _states(run, f"{checkpoint}/state.pt"), reading.run, 2),
        *(Target(name, run, _tree(run, name), reading.run) for name in documents),
        *(Target(f"{name}'s bytes", run, _bytes(run, name), reading.run) for name in documents),
        Target("run's config.yaml", run, _preset("config.yaml", preset), reading.run),
        *(Target(name, sweep, _tree(sweep, name), reading.sweep) for name in own),
        *(Target(f"{name}'s bytes", sweep, _bytes(sweep, name), reading.sweep) for name in own),
        Target("preset", {}, _preset("preset.yaml", preset), _read_preset, 4),
        Target("preset's bytes", {}, _bytes(run, "config.yaml", "preset.yaml"), _read_preset, 3),
        Target("space", {}, _space(), _read_space, 4),
        Target("weights.pth", run, _states(run, f"{checkpoint}/state.pt", "w.pth"), _read_weights),
        *(Target(name, {}, _bytes(films, name), _read_film, 4, FILM) for name in films),
        Target("films of any size", {}, _sizes(films), _read_film, 4, FILM),
        *(Target(name, {}, _bytes(dicoms, name), _read_film, 4, FILM) for name in dicoms),
        Target("DICOM fragments", {}, radiographs.fragments(dicoms), _read_film, 30, FILM),
        Target("DICOM tags", {}, radiographs.tags(dicoms), _read_film, 30, FILM),
        *(Target(name, {}, _bytes(listed, name), _read_table, 4) for name in listed),
        *(Target(name, {}, _bytes(arrays, name), _read_arrays, 4) for name in arrays),
        *(Target(f"arrays in {name}", {}, _entries(arrays, name), _read_arrays, 4)
          for name in arrays),
    ]  # fmt: skip


def files_below(folder: Path) -> Files:
    """The files below a folder by their relative path."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# How files are damaged


def _bytes(files: Files, name: str, target: str | None = None) -> st.SearchStrategy[Files]:
    return damaged(files[name]).map(lambda data: {target or name: _checked(name, data)})


def _checked(name: str, data: bytes) -> bytes:
    """A PNG with its chunks' checksums made right, or nothing behind them would be reached."""
    if not name.endswith(".png"):
        return data
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = struct.unpack_from(">I", out, at)[0]
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def _tree(
    files: Files, name: str, signed: Callable[[Any], Any] = lambda tree: tree
) -> st.SearchStrategy[Files]:
    """JSON, or lines of JSON, with wrong values in it."""
    if not name.endswith(".jsonl"):
        tree = json.loads(files[name])
        return edited(tree).map(lambda found: {name: text(signed(found))})
    rows = [json.loads(line) for line in files[name].splitlines()]
    return edited(rows).map(lambda found: {name: _lines(found)})


def _lines(found: Any) -> bytes:
    rows = found if isinstance(found, list) else [found]
    return b"".join(text(row) + b"\n" for row in rows)


@st.composite
def _counts(draw: st.DrawFn, files: Files) -> Files:
    """A manifest that fits itself, and lies about how much there is."""
    tree = json.loads(files["dataset.json"])
    name = draw(st.sampled_from(sorted(tree["parts"])))
    part = tree["parts"][name]
    shard = part["shards"][0]
    number = st.sampled_from((1, 2, 16, 128, 129, 4096, 10**5, 10**8, 10**12, 2**62))
    if draw(st.booleans()):
        shard["batches"] *= draw(st.sampled_from((1, 2, 100, 2000)))
    batches = shard["batches"]
    which = st.sampled_from(batches[-3:])
    batches[-1] = dict(batches[-1])
    draw(which)["rows"] = draw(number)
    if draw(st.booleans()):
        draw(which)["bytes"] = draw(number)
    if draw(st.booleans()):
        draw(which)["offset"] = draw(number)
    shard["bytes"] = max(b["bytes"] + b["offset"] for b in batches)
    shard["rows"] = sum(b["rows"] for b in batches)
    if draw(st.booleans()):
        size = draw(st.sampled_from((16, 256, 4096)))
        tree["recipe"]["size"] = tree["inputs"]["size"] = size
    if draw(st.booleans()):
        tree["classes"] = [f"class {i}" for i in range(draw(st.sampled_from((2, 3, 1000, 10**5))))]
    for part in tree["parts"].values():
        rows = sum(s["rows"] for s in part["shards"])
        none, every = {"present": 0, "absent": rows}, {"present": rows, "absent": 0}
        part["labels"] = dict.fromkeys(tree["classes"], none) | {tree["classes"][0]: every}
        count = rows * tree["recipe"]["size"] ** 2
        part["moments"] = {"count": count, "sum": [count], "square": [count]}
    return {"dataset.json": text(_signed(tree))}


def _signed(tree: Any) -> Any:
    """A manifest's tree with the fingerprint that fits it."""
    with suppress(ValueError, TypeError, RecursionError):
        found = Manifest.model_validate(tree)
        return tree | {"fingerprint": found.computed_fingerprint()}
    return tree


def _shard(
    files: Files, hostile: Callable[[bytes], st.SearchStrategy[bytes]], part: str = "train"
) -> Any:
    """A shard whose first record batch is hostile, with all hashes made to fit it."""
    tree = json.loads(files["dataset.json"])
    name = f"{part}/00000.arrows"
    first = tree["parts"][part]["shards"][0]["batches"][0]
    start, end = first["offset"], first["offset"] + first["bytes"]

    def put(data: bytes) -> Files:
        found = json.loads(files["dataset.json"])
        shard = found["parts"][part]["shards"][0]
        whole = files[name] + data  # where the old one was, the others would move
        batch = {"offset": len(files[name]), "bytes": len(data), "xxh3": digest(data)}
        shard["batches"][0] |= batch
        shard |= {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
        return {name: whole, "dataset.json": text(_signed(found))}

    return hostile(files[name][start:end]).filter(bool).map(put)


@lru_cache
def _progressive() -> tuple[bytes, bytes]:
    """A progressive JPEG of 16 pixels without its end, and its last scan."""
    out = io.BytesIO()
    gray = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    Image.fromarray(gray).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    return data[:-2], data[data.rindex(b"\xff\xda") : -2]


def progressive_bomb(scans: int) -> bytes:
    """A JPEG that asks its decoder to go over all pixels so many times more."""
    start, scan = _progressive()
    return start + scan * scans + b"\xff\xd9"


@st.composite
def _jpegs(draw: st.DrawFn, data: bytes) -> bytes:
    """A record batch, good in itself, of which a film is a damaged JPEG."""
    schema = pa.schema(
        [("image", pa.binary()), ("sample_id", pa.string()), ("patient_id", pa.string()),
         ("label", pa.list_(pa.int8(), 2))]
    )  # fmt: skip
    batch = pa.ipc.read_record_batch(pa.py_buffer(data), schema)
    films = batch.column("image").to_pylist()
    which = draw(st.integers(0, len(films) - 1))
    if draw(st.integers(0, 9)):
        films[which] = draw(damaged(films[which]))
    else:
        films[which] = progressive_bomb(draw(st.integers(1, 10**5)))
    columns = [pa.array(films, pa.binary()), *batch.columns[1:]]
    return bytes(pa.record_batch(columns, schema=schema).serialize().to_pybytes())


@st.composite
def _by_hand(draw: st.DrawFn, data: bytes) -> bytes:
    """A well-formed record batch that is not what the dataset says."""
    kind = draw(st.sampled_from((pa.binary(256), pa.binary(255), pa.binary(), pa.large_binary())))
    rows = draw(st.sampled_from((1, 15, 16, 17, 1000)))
    values = st.sampled_from((-128, -3, -2, -1, 0, 1, 2, 127, None))
    label = draw(st.one_of(st.none(), st.lists(values, min_size=2, max_size=2)))
    name = draw(st.sampled_from(("a", "", "x" * 10_000, None)))
    if draw(st.booleans()):
        rows = 16
    columns = [
        pa.array([b"\x07" * 256 if kind != pa.binary(255) else b"\x07" * 255] * rows, kind),
        pa.array([name] * rows, pa.string()),
        pa.array(["p"] * rows, draw(st.sampled_from((pa.string(), pa.large_string())))),
        pa.array(
            [[0, 1]] * (rows - 1) + [label],
            draw(st.sampled_from((pa.list_(pa.int8(), 2), pa.list_(pa.int16(), 2)))),
        ),
    ]
    batch = pa.record_batch(columns, names=["image", "sample_id", "patient_id", "label"])
    packing = draw(st.sampled_from((None, "lz4", "zstd")))
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=packing)
    with pa.ipc.new_stream(out, batch.schema, options=options) as stream_:
        stream_.write_batch(batch)
    whole = out.getvalue()
    start = len(batch.schema.serialize())
    return whole[start:-8]


def _columns(files: Files) -> st.SearchStrategy[Files]:
    """An `index.parquet` with a column too few, of another type, or of a film too many."""
    table = pq.read_table(io.BytesIO(files["index.parquet"]))

    def put(name: str, kind: str) -> Files:
        at = table.column_names.index(name)
        found = table
        match kind:
            case "gone":
                found = table.drop_columns(name)
            case "null":
                found = table.set_column(at, name, pa.nulls(len(table)))
            case "number":
                found = table.set_column(at, name, pa.array(range(len(table))))
            case "list":
                found = table.set_column(at, name, pa.array([[1]] * len(table)))
            case "twice":
                found = pa.concat_tables([table, table])
            case "many":  # a few bytes that are 50 million rows
                ones = pa.DictionaryArray.from_arrays(np.zeros(5 * 10**7, np.int8), ["train"])
                found = pa.table({name: ones})
            case "long":  # the same, of one film's name
                texts = pa.DictionaryArray.from_arrays(
                    np.zeros(len(table), np.int8), ["x" * 2 * 10**7]
                )
                found = table.set_column(at, name, texts)
        out = io.BytesIO()
        pq.write_table(found, out, compression="zstd")
        return {"index.parquet": out.getvalue()}

    kinds = st.sampled_from(("gone", "null", "number", "list", "twice", "many", "long"))
    return st.builds(put, st.sampled_from(table.column_names), kinds)


def _model(files: Files, name: str) -> st.SearchStrategy[Files]:
    """A model file with wrong values in its header or in its card."""
    data = files[name]
    length = int.from_bytes(data[:8], "little")
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    card = json.loads(header["__metadata__"]["card"])

    def carded(tree: Any) -> Files:
        metadata = header["__metadata__"] | {"card": text(tree).decode()}
        return headed(header | {"__metadata__": metadata})

    def headed(tree: Any) -> Files:
        head = text(tree)
        found = len(head).to_bytes(8, "little") + head + tensors
        return {name: found, "best/model.safetensors": found}

    return st.one_of(edited(card).map(carded), edited(header).map(headed))


def _states(files: Files, name: str, target: str | None = None) -> st.SearchStrategy[Files]:
    """A `state.pt` of another structure, of tensors that are views, with code, or compressed."""
    good = torch.load(io.BytesIO(files[name]), weights_only=True)["optimizer"]
    return _state(good).map(lambda data: {target or name: data})


class _Code:
    """What runs when it is read by a reader that runs code."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@st.composite
def _state(draw: st.DrawFn, good: dict[str, Any]) -> bytes:  # noqa: PLR0912
    laughs: list[Any] = ["ha"]
    for _ in range(30):
        laughs = [laughs, laughs]
    values = (
        None, -1, 10**30, "x", [], {}, laughs,
        torch.zeros(1).expand(10**9), torch.zeros(1, dtype=torch.float64).expand(10**9),
        torch.zeros(2, 2).to_sparse(), torch.zeros(3, dtype=torch.complex64), torch.tensor(True),
        _Code(bytearray, 10**9), _Code(torch.FloatTensor, 10**9), _Code(open, "/etc/passwd"),
        _Code(exec, "import os; os.system('true')"), _Code(print, "x"),
    )  # fmt: skip
    tree = {"optimizer": {"state": {k: dict(v) for k, v in good["state"].items()},
                          "param_groups": [dict(g) for g in good["param_groups"]]}}  # fmt: skip
    value = draw(st.sampled_from(values))
    state, groups = tree["optimizer"]["state"], tree["optimizer"]["param_groups"]
    which = draw(st.sampled_from(sorted(state)))
    match draw(st.sampled_from(("moment", "state", "group", "ids", "key", "root", "all", "index"))):
        case "moment":
            state[which][draw(st.sampled_from(("step", "exp_avg", "exp_avg_sq", "more")))] = value
        case "state":
            state[which] = value
        case "group":
            groups[0][draw(st.sampled_from(sorted(groups[0])))] = value
        case "ids":
            groups[0]["params"] = [0] * draw(st.sampled_from((0, 1, 3, 10**5)))
        case "key":
            del groups[0][draw(st.sampled_from(sorted(groups[0])))]
        case "root":
            tree = {"optimizer": value}
        case "all":
            tree = value
        case "index":
            state[draw(st.sampled_from((-1, 10**9, "x")))] = state.pop(which)
    out = io.BytesIO()
    how = draw(st.sampled_from(("zip", "legacy", "pickle", "deflated", "bomb")))
    if how == "pickle":
        return pickle.dumps(tree)
    torch.save(tree, out, _use_new_zipfile_serialization=how != "legacy")
    if how in ("zip", "legacy"):
        return out.getvalue()
    again = io.BytesIO()
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
        if how == "bomb":
            new.writestr("archive/data/99", _ZEROS)
    return again.getvalue()


_ZEROS = bytes(10**7)


@st.composite
def _entries(draw: st.DrawFn, files: Files, name: str) -> Files:
    """An archive, good in itself, of which an array is damaged, lies, has code, or is a bomb."""
    with zipfile.ZipFile(io.BytesIO(files[name])) as old:
        entries = {entry: old.read(entry) for entry in old.namelist()}
    which = draw(st.sampled_from(sorted(entries)))
    match draw(st.sampled_from(("bytes", "head", "head", "code", "bomb", "gone", "name"))):
        case "bytes":
            entries[which] = draw(damaged(entries[which]))
        case "head":
            number = st.sampled_from((0, -1, 1, 6, 16, 10**6, 10**9, 2**31, 2**62, True, None))
            said = {
                "descr": draw(st.sampled_from(("|u1", ">u2", "<f8", "|O", "|V9", "<M8[s]", "x"))),
                "fortran_order": draw(st.sampled_from((True, False, 1))),
                "shape": tuple(draw(st.lists(number, max_size=5))),
            }
            text = (repr(said) + "\n").encode()
            version = draw(st.sampled_from((b"\1\0", b"\2\0", b"\3\0", b"\x09\0")))
            length = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
            entries[which] = b"\x93NUMPY" + version + length + text + entries[which][128:]
        case "code":
            out = io.BytesIO()
            code = _Code(exec, "import os; os.system('true')")
            np.save(out, np.array([code, None], object), allow_pickle=True)
            entries[which] = out.getvalue()
        case "bomb":
            entries[which] += _ZEROS * 5
        case "gone":
            del entries[which]
        case "name":
            entries[draw(st.sampled_from(("../x.npy", "x_train.npy", ".npy")))] = entries.pop(which)
    out = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(out, "w", draw(st.sampled_from(kinds))) as new:
        for entry, data in entries.items():
            new.writestr(entry, data)
    return {name: out.getvalue()}


def _preset(name: str, tree: Any) -> st.SearchStrategy[Files]:
    """A preset with wrong values, with tags, or with aliases."""
    values = st.sampled_from((
        "!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system",
        "!!binary aGE=",
        "&a [*a]", "{a: &b [x, x], c: &c [*b, *b], d: [*c, *c]}", "!!set {a, b}", "!!timestamp x",
        "[" * 5000, "{a: " * 3000, "? [a]\n  : b", "<<: {a: b}", "9" * 6000, "|\n" + "   x\n" * 999,
        _LAUGHS,
    ))  # fmt: skip

    def tagged(key: str, value: str) -> Files:
        room, _, option = key.partition(".")
        return {name: f"{room}:\n  {option}: {value}\n".encode()}

    keys = st.sampled_from(list(RunConfig.fields()))
    trees = edited(tree).map(lambda found: {name: text(found)})
    return st.one_of(trees, st.builds(tagged, keys, values))


_LAUGHS = (
    "{l0: &l0 [ha, ha, ha], "
    + ", ".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12))
    + "}"
)


def _space() -> st.SearchStrategy[Files]:
    good = {
        "optim.lr": {"loguniform": ["1e-4", "1e-2"]},
        "train.batch_size": {"choice": ["16", "32"]},
        "augment.rotation": {"quniform": ["0", "20", "5"]},
        "train.seed": {"randint": ["0", "5"]},
        "sweep.max_trials": "2",
    }
    return edited(good).map(lambda found: {"space.yaml": text(found)})


def _sizes(films: Files) -> st.SearchStrategy[Files]:
    """A PNG or a JPEG that says another width and height than it has."""
    sides = st.sampled_from((0, 1, 2, 16, 1000, 30_000, 65_535, 10**6, 10**8, 2**31 - 1, 2**32 - 1))

    def png(width: int, height: int, depth: int) -> Files:
        body = struct.pack(">II5B", width, height, depth, 0, 0, 0, 0)
        rows = zlib.compress(bytes(min(10**7, (width * depth // 8 + 1) * height)))
        parts = ((b"IHDR", body), (b"IDAT", rows), (b"IEND", b""))
        out = b"\x89PNG\r\n\x1a\n"
        for kind, data in parts:
            out += struct.pack(">I", len(data)) + kind + data
            out += struct.pack(">I", zlib.crc32(kind + data))
        return {"film.png": out}

    def jpeg(name: str, width: int, height: int) -> Files:
        data = bytearray(films[name])
        at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
        struct.pack_into(">HH", data, at + 5, height % 65_536, width % 65_536)
        return {"film.jpg": bytes(data)}

    return st.one_of(
        st.builds(png, sides, sides, st.sampled_from((1, 8, 16))),
        st.builds(jpeg, st.sampled_from(("gray.jpg", "many.jpg")), sides, sides),
    )


# How they are read


def _read_dataset(folder: Path) -> None:
    found: list[Dataset] = []
    attempt(folder, lambda: found.append(Dataset.open(str(folder))))
    for data in found:
        attempt(folder, partial(_show, data), partial(inspection.verify, data))
        if "fold-0" in data.manifest.parts:
            data = data.at_fold(0)  # noqa: PLW2901
        for name in data.splits:
            attempt(folder, *(partial(step, data, name) for step in (_train, _stored, _index)))


def _show(data: Dataset) -> None:
    tables.dataset(inspection.summary(data))


def _index(data: Dataset, split: str) -> None:
    table = index.read(data, split)
    assert table.column("sample_id").to_pylist()
    assert data.task.valid(index.labels(data, table))


def _train(data: Dataset, split: str) -> None:
    plan = order.plan(data.split(split).batch_rows, 8, data.manifest.fingerprint, 0, 0)
    with closing(stream.training(data, split, plan, 0, 1)) as batches:
        for batch, _ in zip(batches, range(8), strict=False):
            _labels_fit(data, batch.labels)


def _stored(data: Dataset, split: str) -> None:
    with closing(stream.stored(data, split)) as batches:
        for batch in batches:
            _labels_fit(data, batch.labels)
            assert all(isinstance(name, str) for name in batch.ids)


def _labels_fit(data: Dataset, labels: Any) -> None:
    """Each sample is of exactly one class."""
    assert data.task.valid(labels)


class _Run:
    """Reads a run's folder and a sweep's as those do that go on with them."""

    def __init__(self, data: Dataset) -> None:
        self._data = data

    def model(self, folder: Path) -> None:
        for name in (artefacts.CHECKPOINT, "best"):
            attempt(folder, partial(self._predict, str(folder / name / "model.safetensors")))
        self.run(folder)

    def records(self, folder: Path) -> None:
        attempt(folder, partial(self._predict, str(folder / "model.safetensors")))

    def _predict(self, uri: str) -> None:
        model = load_model(uri, torch.device("cpu"))
        with torch.inference_mode():
            found = model.network(torch.zeros(1, *model.card.transform.shape))
        assert found.shape == (1, len(model.card.classes))

    def run(self, folder: Path) -> None:
        chosen = artefacts.config(folder.parent)
        run = RunFolder(str(folder))
        newest: list[str | None] = []
        attempt(
            folder,
            lambda: run.check(chosen),
            run.config,
            run.checkpoints,
            lambda: history.ranked(run.history(), SELECT),
            lambda: newest.append(run.latest()),
            lambda: newest.append(run.resume_from(run.latest())),
        )
        for uri in {uri for uri in newest if uri}:
            attempt(folder, partial(self._resume, folder, uri), partial(run.publish, uri, SELECT))

    def _resume(self, folder: Path, uri: str) -> None:
        state = artefacts.state(self._data, artefacts.config(folder.parent))
        state.load(uri, artefacts.STEPS)
        history.finished(state.history, state.config.train)
        state.model(torch.zeros(2, 1, 16, 16)).sum().backward()
        state.optimizer.step()
        state.schedule.step()
        json.dumps(state.sums.model_dump())

    def sweep(self, folder: Path) -> None:
        chosen = artefacts.config(folder.parent)
        found = SweepFolder(str(folder))

        def ledger() -> None:
            read = found.ledger(chosen)
            for trial in read.left(9):
                spaces.applied(chosen, trial.params)
            read.cost()
            winner = read.winner()
            if winner is not None:
                found.publish(winner, None)

        attempt(folder, ledger, lambda: found.begin(chosen, artefacts.SPACE))


def _read_preset(folder: Path) -> None:
    place = str(folder / "preset.yaml")
    attempt(folder, lambda: documents.read(place))
    for overrides in ([], ["optim.lr=0.1", "data.uri=x"]):
        told = ""
        try:
            RunConfig.load(place, overrides).dump()
        except UserError as error:
            told = str(error)
        assert len(told) < 1000, f"{len(told)} characters"


def _read_space(folder: Path) -> None:
    with suppress(*DOCUMENTED):
        space = spaces.read(str(folder / "space.yaml"))
        spaces.check(space, SweepConfig.load(None, space.overrides))


def _read_weights(folder: Path) -> None:
    chosen = RunConfig.load(None, ["model.name=cnn", "model.width=2", "model.depth=1"]).model
    options = chosen.model_copy(update={"weights": str(folder / "w.pth")})
    attempt(folder, lambda: build(options, (1, 16, 16), 2))


def _read_film(folder: Path) -> None:
    (path,) = folder.iterdir()
    full = ImageRecipe(size=64, resize="fit", window="full")
    for recipe in (ImageRecipe(size=16, resize="crop"), full):
        with suppress(UnusableError):
            assert decode(storage.read(str(path)), recipe).values.shape == (recipe.size,) * 2


def _read_records(folder: Path) -> None:
    (path,) = folder.iterdir()
    for task, label in (("multiclass", "exercise"), ("multilabel", "strenuous")):
        options = PackOptions(inputs="table", task=task, label_columns=(label,), negative="rest")
        attempt(folder, partial(_decoded, str(path), options))


def _decoded(path: str, options: PackOptions) -> None:
    source = open_source(path, options)
    for item in source.items:
        with suppress(UnusableError):
            assert decode(item.read(), source.recipe).values.shape == source.recipe.shape


def _read_table(folder: Path) -> None:
    (path,) = folder.iterdir()
    attempt(folder, lambda: open_source(str(path), PackOptions(patient_column="patient")))


def _read_arrays(folder: Path) -> None:
    (path,) = folder.iterdir()
    attempt(folder, partial(_decoded, str(path), PackOptions(size=16)))
