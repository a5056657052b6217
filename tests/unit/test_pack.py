"""Contract 2: what lies in a packed dataset, from class folders and from tables."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayograph.config import PackConfig, PackOptions, TrainOptions
from rayograph.data import dataset, index, inspection, stream
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import ImageRecipe
from rayograph.errors import Failure, UserError
from rayograph.pack import phantom
from rayograph.pack.appending import append
from rayograph.pack.decode import pictures
from rayograph.pack.mapper import one_by_one
from rayograph.pack.plan import rows_per_batch
from rayograph.pack.sources import open_source
from rayograph.runs import history
from rayograph.search.ledger import Trial
from tests import conftest
from tests.conftest import SHARED, needs_real_films

SMALL = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)


def packing(
    source: Path, dest: Path, options: PackOptions = SMALL, overwrite: bool = False
) -> Dataset:
    return conftest.packing(source, dest, options, overwrite)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    phantom.write(tmp_path / "films", 60, seed=1, size=40)
    return tmp_path / "films"


def test_every_film_is_in_exactly_one_shard_and_the_index_says_which(
    packed: Dataset, films: Path
) -> None:
    ids = []
    for name in packed.manifest.splits:
        table = index.read(packed, name)
        read = [replace(b, inputs=b.inputs.copy()) for b in stream.stored(packed, name)]
        names = [n for batch in read for n in batch.ids]
        assert names == table.column("sample_id").to_pylist()
        labels = np.concatenate([batch.labels for batch in read])
        assert (labels == packed.task.labels(table)).all()
        ids += names
        stored = read[0].inputs[5]
        original = (films / names[5]).read_bytes()
        assert (
            stored == pictures.decode(original, ImageRecipe(size=32, resize="crop")).values
        ).all()
        assert table.column("sha256")[5].as_py() == hashlib.sha256(original).hexdigest()
    assert sorted(ids) == sorted(str(path.relative_to(films)) for path in films.rglob("*.png"))


def test_a_shard_is_an_arrow_stream_that_other_programs_read(packed: Dataset) -> None:
    shard = packed.split("train").shards[0]
    with pa.ipc.open_stream(str(Path(packed.uri) / shard.path)) as stream:
        assert stream.read_all().num_rows == shard.rows


def test_record_batches_have_a_power_of_two_rows_that_leaves_64() -> None:
    assert [rows_per_batch(n, 64**2) for n in (10, 1008, 2048, 4451, 8064, 8065, 10**6)] == [
        16, 16, 32, 64, 64, 128, 128,
    ]  # fmt: skip


def test_a_record_batch_of_large_films_is_1_mebibyte_at_most() -> None:
    assert [rows_per_batch(10**6, size**2) for size in (256, 320, 512, 1024)] == [16, 8, 4, 1]


def test_a_film_outside_the_parts_is_no_class_of_its_own(few: Path, tmp_path: Path) -> None:
    (few / "samples").mkdir()
    (few / "samples" / "x.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"samples/x.png is in none of train/, val/, test/"):
        packing(few, tmp_path / "d")


def test_packing_again_gives_the_same_dataset(few: Path, tmp_path: Path) -> None:
    one, two = packing(few, tmp_path / "1"), packing(few, tmp_path / "2")
    assert one.manifest.fingerprint == two.manifest.fingerprint
    assert (tmp_path / "1/train/00000.arrows").read_bytes() == (
        tmp_path / "2/train/00000.arrows"
    ).read_bytes()


def test_a_truncated_film_is_rejected_and_nothing_else_is_lost(few: Path, tmp_path: Path) -> None:
    victim = sorted(few.rglob("*.png"))[7]
    victim.write_bytes(victim.read_bytes()[:500])
    (few / ".DS_Store").write_bytes(b"x")
    (few / "notes.csv").write_text("a,b")
    found = packing(few, tmp_path / "d")
    assert sum(part.rows for part in found.manifest.parts.values()) == 59
    rejected = pq.read_table(tmp_path / "d" / dataset.REJECTED).to_pylist()
    assert [row["sample_id"] for row in rejected] == [str(victim.relative_to(few))]
    assert "truncated" in rejected[0]["reason"]
    assert found.manifest.ignored == {".DS_Store": 1, ".csv": 1}
    with pytest.raises(UserError, match="1 of 60 films cannot be used, more than 0"):
        packing(few, tmp_path / "e", SMALL.model_copy(update={"max_rejected": 0}))


KILLED = """
import sys
from rayograph.config import PackConfig
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source
from rayograph.runs import history
from rayograph.search.ledger import Trial

options = PackConfig.load(None, sys.argv[3:]).pack
pack(open_source(sys.argv[1], options), sys.argv[2], one_by_one, False, print)
"""


def test_a_killed_pack_goes_on_and_ends_as_if_it_had_not_been(films: Path, tmp_path: Path) -> None:
    """Killed when it has left some chunks, and some shards; what was left is not read again."""
    words = ["pack.size=64", "pack.codec=jpeg", "pack.shard_bytes=1000000"]
    command = [sys.executable, "-c", KILLED, str(films), str(tmp_path / "d"), *words]
    for left in ("*.seen", "train-*.json"):
        before = len(list((tmp_path / "d").glob(f".pack/{left}")))
        process = subprocess.Popen(command)
        while len(list((tmp_path / "d").glob(f".pack/{left}"))) < before + 2:
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
        process.wait()
    kept = len(list((tmp_path / "d").glob(".pack/*.seen")))
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{min(kept * 128, 1600)} were read by a pack that was interrupted" in said
    options = PackConfig.load(None, words).pack
    packing(films, tmp_path / "whole", options)
    first, other = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (tmp_path / "d", tmp_path / "whole")
    )
    name = Path(dataset.MANIFEST)
    manifests = [json.loads(files.pop(name)) for files in (first, other)]
    assert first == other
    assert [manifest.pop("name") for manifest in manifests] == ["d", "whole"]
    assert manifests[0] == manifests[1]


def test_a_film_that_was_written_after_it_was_read_is_read_again(few: Path, tmp_path: Path) -> None:
    strict = SMALL.model_copy(update={"max_rejected": 0})
    victim = sorted(few.rglob("*.png"))[7]
    good = victim.read_bytes()
    victim.write_bytes(b"")
    with pytest.raises(UserError, match="zero bytes"):
        packing(few, tmp_path / "d", strict)
    victim.write_bytes(good)
    found = packing(few, tmp_path / "d", strict)
    assert sum(part.rows for part in found.manifest.parts.values()) == 60


def test_a_dataset_is_not_overwritten_unless_asked_and_then_only_its_own_files(
    few: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "d"
    packing(few, dest)
    (dest / "mine.txt").write_text("mine")
    (dest / "train" / "00099.arrows").write_bytes(b"left by an interrupted pack")
    with pytest.raises(UserError, match="holds a packed dataset already"):
        packing(few, dest)
    with pytest.raises(UserError, match="no film found"):  # a mistake, before anything is deleted
        packing(tmp_path / "typo", dest, overwrite=True)
    Dataset.open(str(dest))
    packing(few, dest, overwrite=True)
    assert (dest / "mine.txt").read_text() == "mine"
    assert not (dest / "train" / "00099.arrows").exists()


def test_a_source_without_parts_is_split_by_patient(few: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for path in few.rglob("*.png"):
        (flat / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(flat / path.parent.name / path.name)
    found = packing(flat, tmp_path / "d")
    assert set(found.manifest.splits) == {"train", "val", "test"}
    seen = [
        set(index.read(found, s).column("patient_id").to_pylist()) for s in found.manifest.splits
    ]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]  # noqa: PT018


def test_a_table_names_paths_labels_patients_and_keeps_its_other_columns(
    few: Path, tmp_path: Path
) -> None:
    rows = [
        f"{p.relative_to(few)},{i % 2},{p.name.split('_')[0]},{p.parts[-3]},{20 + i}"
        for i, p in enumerate(sorted(few.rglob("*.png")))
    ]
    (few / "t.csv").write_text("path,label,who,split,age\n" + "\n".join(rows))
    options = PackOptions(size=32, patient_column="who")
    found = packing(few / "t.csv", tmp_path / "d", options)
    assert found.manifest.classes == ("0", "1")
    assert index.read(found, "test").column("age").to_pylist()[0] >= 20
    table = pa.table(
        {k: [r.split(",")[i] for r in rows] for i, k in enumerate(["path", "label", "who"])}
    )
    pq.write_table(table, few / "t.parquet")
    assert set(packing(few / "t.parquet", tmp_path / "e", options).manifest.splits) == {
        "train", "val", "test",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_column": "nope"}, "no column nope; it has"),
        ({"patient_column": None}, "a table names its patients"),
        ({"path_column": "label"}, "appears in 30 rows"),
    ],
)
def test_a_table_with_a_fault_is_refused(
    few: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    rows = [f"{p},{i % 2},{i}" for i, p in enumerate(sorted(few.rglob("*.png")))]
    (tmp_path / "t.csv").write_text("path,label,who\n" + "\n".join(rows))
    options = PackOptions(size=32, patient_column="who").model_copy(update=change)
    with pytest.raises(UserError, match=message):
        packing(tmp_path / "t.csv", tmp_path / "d", options)


def test_a_column_that_appears_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,who,,\na.png,ill,1,,\n")
    with pytest.raises(UserError, match=r"t\.csv: the column '' appears twice; keep one"):
        packing(tmp_path / "t.csv", tmp_path / "d", PackOptions(patient_column="who"))


def test_validation_films_come_from_where_the_options_say(few: Path, tmp_path: Path) -> None:
    own = packing(few, tmp_path / "own").manifest.parts["val"].rows
    merged = SMALL.model_copy(update={"val": "merge_and_cut", "val_fraction": 0.4})
    assert packing(few, tmp_path / "merged", merged).manifest.parts["val"].rows > own
    with pytest.raises(UserError, match="has a validation part of its own"):
        packing(few, tmp_path / "cut", SMALL.model_copy(update={"val": "cut"}))


def test_what_splits_share_is_a_finding_where_the_source_fixes_them(
    few: Path, tmp_path: Path
) -> None:
    one = sorted((few / "train").rglob("*.png"))[0]
    twin = few / "test" / one.parent.name / one.name
    twin.write_bytes(one.read_bytes())
    again = few / "test" / one.parent.name / "p99999_1.png"
    Image.open(one).point(lambda v: min(255, v + 2)).save(again)
    found = {finding.kind: finding for finding in packing(few, tmp_path / "d").manifest.findings}
    assert found["patient_in_two_splits"].films == (one.name.split("_")[0],)
    assert str(twin.relative_to(few)) in found["identical_file_in_two_splits"].films
    assert any("p99999_1.png" in pair for pair in found["near_identical"].films)


def test_splits_without_films_or_without_those_of_a_class_are_a_finding(
    few: Path, tmp_path: Path
) -> None:
    paths = sorted(few.rglob("*.png"))
    told = {}
    for name, patients in (("one", ["p"] * 12), ("pairs", [f"p{i % 4}" for i in range(12)])):
        rows = [f"{p},{'ab'[i % 2]},{patients[i]}" for i, p in enumerate(paths[:12])]
        (tmp_path / f"{name}.csv").write_text("path,label,who\n" + "\n".join(rows))
        options = PackOptions(size=32, patient_column="who", negative="a")
        found = packing(tmp_path / f"{name}.csv", tmp_path / name, options).manifest
        told[name] = [f.message for f in found.findings if f.kind.startswith("no_films")]
    few_patients = "too few patients to take some from training"
    assert told["one"] == [
        f"no val films, which the best epoch is chosen by: {few_patients}",
        f"no test films, which a model is judged by: {few_patients}",
    ]
    assert told["pairs"] == told["one"][:1]
    shutil.rmtree(few / "test" / "opacity")
    found = packing(few, tmp_path / "d").manifest
    assert [f.message for f in found.findings] == ["no test films of opacity: the source has none"]


def test_what_was_lost_is_told_by_its_number_and_its_first(few: Path, tmp_path: Path) -> None:
    paths = sorted((few / "train").rglob("*.png"))
    for path in paths[:3]:
        path.write_bytes(path.read_bytes()[:500])
    Image.open(paths[3]).save(paths[3].with_suffix(".jfif"), "JPEG")
    for name in ("a.gif", "b.gif", "c.nii"):
        (few / "train" / name).write_bytes(b"x")
    lenient = SMALL.model_copy(update={"max_rejected": 60, "patient_pattern": r"(p\d+)_"})
    found = packing(few, tmp_path / "d", lenient).manifest
    told = {finding.kind: finding.message for finding in found.findings}
    first = f"{paths[0].relative_to(few)}: image file is truncated"
    assert told["rejected"] == f"3 films rejected; the first is {first}"
    assert told["ignored"] == "3 files are no films by their names: .gif 2, .nii 1"
    assert sum(part.rows for part in found.parts.values()) == 58, "a .jfif is a JPEG"
    ill = sorted(few.glob("*/opacity/*"))
    for path in ill:
        path.write_bytes(b"x")
    message = rf"none of the {len(ill)} films of opacity can be used; the first is .*: not a film"
    with pytest.raises(UserError, match=message):
        packing(few, tmp_path / "e", lenient)


def test_masks_beside_the_films_are_a_finding_and_can_be_left_out(tmp_path: Path) -> None:
    for name in ("Normal/images", "Normal/masks", "COVID/images", "COVID/masks"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    source = open_source(str(tmp_path), PackOptions())
    assert (len(source.items), source.classes) == (4, ("Normal", "COVID"))
    (told,) = [finding.message for finding in source.findings if finding.kind == "masks"]
    assert told.startswith("2 files in folders of masks are packed as films, the first is COVID/")
    left = open_source(str(tmp_path), PackConfig.load(None, ['pack.exclude=["*/masks/*"]']).pack)
    assert [item.sample_id for item in left.items] == ["COVID/images/1.png", "Normal/images/1.png"]
    assert left.ignored == {"excluded": 2}


def test_damage_is_found_by_inspection_and_by_reading(few: Path, tmp_path: Path) -> None:
    found = packing(few, tmp_path / "d")
    inspection.verify(found)
    shard, batch = found.split("train").batches[0]
    place = tmp_path / "d" / shard.path
    data = bytearray(place.read_bytes())
    data[batch.offset + batch.bytes - 100] ^= 1
    place.write_bytes(data)
    with pytest.raises(Failure, match=r"sha256 .* expected"):
        inspection.verify(found)
    with pytest.raises(Failure, match=r"xxh3 .* expected"):
        list(stream.stored(found, "train"))


def test_a_manifest_that_lies_is_refused(few: Path, tmp_path: Path) -> None:
    packing(few, tmp_path / "d")
    place = tmp_path / "d" / dataset.MANIFEST
    truth = json.loads(place.read_text())
    for change in (
        lambda m: m["parts"]["train"]["shards"][0].update(path="../../etc/passwd"),
        lambda m: m["parts"]["train"]["shards"][0]["batches"][0].update(offset=10**12),
        lambda m: m["parts"]["train"]["shards"][0].update(rows=10**9),
        lambda m: m["parts"]["train"]["moments"].update(sum=[1]),
        lambda m: m.update(extra=1),
    ):
        lie = json.loads(json.dumps(truth))
        change(lie)
        place.write_text(json.dumps(lie))
        with pytest.raises(UserError):
            Dataset.open(str(tmp_path / "d"))


@needs_real_films
def test_a_real_table_of_adult_films_packs(tmp_path: Path) -> None:
    options = PackOptions(
        size=64, label_column="sex", negative="F", patient_column="patient_id", split_column="nope"
    )
    found = packing(SHARED / "nih14" / "manifest.csv", tmp_path / "d", options)
    assert sum(part.rows for part in found.manifest.parts.values()) == 140
    assert "view" in index.read(found, "train").column_names


def test_films_that_are_added_leave_what_is_there_as_it_is(few: Path, tmp_path: Path) -> None:
    flat, later = tmp_path / "flat", tmp_path / "later"
    for i, path in enumerate(sorted(few.rglob("*.png"))):
        top = later if i % 5 == 0 else flat
        (top / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(top / path.parent.name / path.name)
    dest = tmp_path / "d"
    before = packing(flat, dest)
    shards = {path: path.read_bytes() for path in dest.rglob("*.arrows")}
    for path in later.rglob("*.png"):
        path.rename(flat / path.relative_to(later))
    twin = sorted(flat.rglob("*.png"))[3]  # of a patient that is known, in its part
    copy = twin.with_name("copy_" + twin.name.replace("_1", "_9"))
    shutil.copy(twin, copy)
    read = []
    append(open_source(str(flat), SMALL), str(dest), one_by_one, read.append)
    found = Dataset.open(str(dest))
    assert {path: path.read_bytes() for path in shards} == shards
    assert sum(part.rows for part in found.manifest.parts.values()) == 61
    assert found.manifest.fingerprint != before.manifest.fingerprint
    rows = [row for part in found.splits for row in index.read(found, part).to_pylist()]
    names = [name for part in found.splits for b in stream.stored(found, part) for name in b.ids]
    assert [row["sample_id"] for row in rows] == names
    by_patient: dict[str, set[str]] = {}
    for row in rows:
        by_patient.setdefault(row["patient_id"], set()).add(row["part"])
    assert all(len(parts) == 1 for parts in by_patient.values())
    append(open_source(str(flat), SMALL), str(dest), one_by_one, read.append)
    assert read == ["nothing is new"]
    twin.write_bytes((few.parent / "flat" / sorted(flat.rglob("*.png"))[9]).read_bytes())
    with pytest.raises(UserError, match="is another film now"):
        append(open_source(str(flat), SMALL), str(dest), one_by_one)


def test_without_validation_films_all_others_are_trained_on(few: Path, tmp_path: Path) -> None:
    found = packing(few, tmp_path / "d", SMALL.model_copy(update={"val": "none"}))
    assert set(found.manifest.splits) == {"train", "test"}
    told = [f.message for f in found.manifest.findings if f.kind == "no_films"]
    assert [message.rpartition(": ")[2] for message in told] == [
        "pack.val=none, so the last epoch is the model"
    ]


def test_without_validation_films_the_last_epoch_is_the_model() -> None:
    """Though its training loss is the highest; with validation films the best one is."""
    losses = (0.5, 0.1, 0.9)
    rows = [
        {"epoch": epoch, "checkpoint": f"checkpoint_{epoch}", "train_loss": loss}
        for epoch, loss in enumerate(losses, start=1)
    ]
    assert history.best(rows, "val_auroc") == rows[2]
    kept = [history.standing(rows[:epoch], "val_auroc") for epoch in (1, 2, 3)]
    assert kept == sorted(kept), "Ray would prune the model"
    trial = Trial(number=0, params={}, epochs=3, run="trial_00000")
    for row in rows:
        trial.add(row | {"seconds": 1.0}, trial.run, TrainOptions(), 1)
    assert trial.best is not None
    assert trial.best.epoch == 3
    judged = [row | {"val_auroc": 1 - row["train_loss"]} for row in rows]
    assert history.best(judged, "val_auroc") == judged[1]


def test_films_that_look_the_same_are_in_one_part_where_the_cut_is_ours(tmp_path: Path) -> None:
    """Twelve pairs of patients of their own, hardly told apart: by chance half would be parted."""
    rng = np.random.default_rng(3)
    for i in range(24):
        place = tmp_path / "films" / ("normal", "sick")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        film = np.kron(rng.integers(30, 220, (9, 9)), np.ones((8, 8))).astype(np.uint8)
        Image.fromarray(film).save(place / f"a{i}.png")
        if i < 12:
            Image.fromarray(film + np.uint8(2)).save(place / f"b{i}.png")
    options = PackOptions(size=72, val_fraction=0.4)
    found = packing(tmp_path / "films", tmp_path / "d", options)
    part = {r["sample_id"]: r["part"] for r in index.every(found).to_pylist()}
    assert len(set(part.values())) == 3
    twins = [name for name in part if "/b" in name]
    assert len(twins) == 12
    assert all(part[name] == part[name.replace("/b", "/a")] for name in twins)
    assert "near_identical" not in {finding.kind for finding in found.manifest.findings}
