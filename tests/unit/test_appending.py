"""Films that are added to a packed dataset: in which part, by which names, and what is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayograph.config import PackOptions
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.pack import split
from rayograph.pack.appending import append
from rayograph.pack.mapper import one_by_one
from rayograph.pack.pseudonyms import SALT
from rayograph.pack.sources import open_source
from tests import dicoms
from tests.conftest import packing

SMALL = PackOptions(size=32, patient_pattern=r"(p\d+)_")


def films(folder: Path, first: int, last: int, films: int = 1, **parts: tuple[int, int]) -> None:
    """PART/CLASS/p3_0.png of patients, a PART by their range, or CLASS/… without any."""
    for i in range(first, last):
        part = next((name for name, (low, high) in parts.items() if low <= i < high), "")
        for k in range(films):
            rng = np.random.default_rng((i, k))
            place = folder / part / ("normal", "sick")[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            small = Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8))
            small.resize((40, 40)).save(place / f"p{i}_{k}.png")


def added(source: Path, dest: Path, options: PackOptions = SMALL) -> Dataset:
    append(open_source(str(source), options), str(dest), one_by_one)
    return Dataset.open(str(dest))


def rows(found: Dataset) -> dict[str, int]:
    return {name: part.rows for name, part in found.manifest.parts.items()}


def parts_by_patient(found: Dataset) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {}
    for row in index.every(found).to_pylist():
        told.setdefault(row["patient_id"], set()).add(row["part"])
    return told


def test_patients_that_were_cut_from_training_stay_where_they_are(tmp_path: Path) -> None:
    """The source says `train` of films that validate; without this its patients were in both."""
    source, dest = tmp_path / "films", tmp_path / "d"
    films(source, 0, 40, train=(0, 32), test=(32, 40))
    before = packing(source, dest, SMALL)
    films(source, 0, 32, 2, train=(0, 32))
    found = added(source, dest)
    assert rows(found)["val"] == 2 * rows(before)["val"] > 0
    assert all(len(parts) == 1 for parts in parts_by_patient(found).values())


def test_films_that_the_source_tests_by_are_never_trained_on(tmp_path: Path) -> None:
    source, dest = tmp_path / "films", tmp_path / "d"
    films(source, 0, 40, train=(0, 32), val=(32, 40))
    packing(source, dest, SMALL)
    films(source, 40, 50, test=(40, 50))
    assert rows(added(source, dest)) == {"train": 32, "val": 8, "test": 10}


def test_a_patient_counts_before_what_films_look_like(tmp_path: Path) -> None:
    """Of two patients whose films look alike, in two parts by the source, each keeps its own."""
    source, dest = tmp_path / "films", tmp_path / "d"
    films(source, 0, 40, train=(0, 32), test=(32, 40))
    twin = source / "test" / "normal" / "p32_0.png"
    twin.write_bytes((source / "train" / "normal" / "p0_0.png").read_bytes())
    table = ["path,label,who,split"]
    for path in sorted(source.rglob("*.png")):
        name = path.relative_to(source)
        table.append(f"{name},{path.parent.name},{path.stem[:-2]},{name.parts[0]}")
    (source / "t.csv").write_text("\n".join(table))
    options = PackOptions(size=32, patient_column="who")
    packing(source / "t.csv", dest, options)
    films(source / "new", 50, 51)
    again = "new/normal/p50_0.png,normal,p32,"
    (source / "more.csv").write_text(f"path,label,who,split\n{again}\nnew/none.png,sick,p99,")
    one_class = options.model_copy(update={"max_rejected": 1})
    found = added(source / "more.csv", dest, one_class)
    assert parts_by_patient(found)["p32"] == {"test"}


@pytest.mark.parametrize("fixed", [False, True])
def test_a_few_films_are_added_to_folds(tmp_path: Path, fixed: bool) -> None:
    source, dest = tmp_path / "films", tmp_path / "d"
    options = SMALL.model_copy(update={"folds": 5})
    parts = {"train": (0, 60)} if fixed else {}
    films(source, 0, 40, **parts)
    before = packing(source, dest, options)
    films(source, 40, 41, **({"val": (0, 60)} if fixed else {}))
    found = added(source, dest, options)
    assert sum(rows(found).values()) == 41
    assert found.manifest.folds == before.manifest.folds


def test_films_that_were_refused_before_are_no_reason_to_refuse_now(tmp_path: Path) -> None:
    source, dest = tmp_path / "films", tmp_path / "d"
    films(source, 0, 40)
    options = PackOptions(size=32)  # no patients
    bad = source / "sick" / "bad.png"
    bad.write_bytes(b"no film")
    before = packing(source, dest, options)
    assert added(source, dest, options).manifest.findings == before.manifest.findings
    films(source, 41, 42)
    bad.unlink()
    found = added(source, dest, options)
    assert [f.kind for f in found.manifest.findings].count("patients_unknown") == 2


def test_another_film_of_a_known_name_in_another_folder_is_not_passed_over(tmp_path: Path) -> None:
    films(tmp_path / "b", 0, 40)  # before the dataset is made: as old as any
    for path in (tmp_path / "b").rglob("p7_*.png"):
        path.write_bytes((tmp_path / "b" / "normal" / "p8_0.png").read_bytes())
    films(tmp_path / "a", 0, 40)
    packing(tmp_path / "a", tmp_path / "d", SMALL)
    with pytest.raises(UserError, match=r"sick/p7_0\.png is another film now"):
        added(tmp_path / "b", tmp_path / "d")


def dicom_tree(folder: Path, first: int, last: int) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(first, last):
        pixels = np.random.default_rng(i).integers(0, 4096, (48, 48)).astype(np.uint16)
        tags = {"PatientID": f"MRN-47{i:02}", "SOPInstanceUID": f"1.2.3.{i + 1}"}
        (folder / f"im{i:02}.dcm").write_bytes(dicoms.film(pixels, 12, **tags))


def test_films_that_a_table_names_by_their_headers_are_added_in_the_datasets_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the table has a class of which no film is there, and the new films only one."""
    monkeypatch.setenv(SALT, "a secret of the test")
    source, dest = tmp_path / "films", tmp_path / "d"
    dicom_tree(source, 0, 20)
    labels = [f"1.2.3.{i + 1},{('normal', 'sick')[i % 2]}" for i in range(30)]
    text = "\n".join(["SOPInstanceUID,label", "9.9,odd", *labels])
    (tmp_path / "labels.csv").write_text(text)
    options = PackOptions(
        size=32, table=str(tmp_path / "labels.csv"), match="SOPInstanceUID", val="none"
    )
    before = packing(source, dest, options)
    assert before.manifest.classes == ("normal", "sick")
    dicom_tree(source, 21, 22)
    found = added(source, dest, options)
    assert found.manifest.classes == ("normal", "sick")
    assert {row["sample_id"]: row["label"] for row in index.every(found).to_pylist()} == {
        f"im{i:02}.dcm": ("normal", "sick")[i % 2] for i in (*range(20), 21)
    }
    told = [f.message for f in found.manifest.findings if f.kind == "rows_without_films"]
    assert told == ["11 rows of the table have no film, by their SOPInstanceUID"]


def test_a_table_that_names_films_by_their_headers_fixes_their_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT, "a secret of the test")
    dicom_tree(tmp_path / "films", 0, 20)
    labels = [
        f"1.2.3.{i + 1},{('normal', 'sick')[i % 2]},{('train', 'val', 'test')[i // 2 % 3]}"
        for i in range(20)
    ]
    text = "\n".join(["SOPInstanceUID,label,split", *labels])
    (tmp_path / "labels.csv").write_text(text)
    options = PackOptions(size=32, table=str(tmp_path / "labels.csv"), match="SOPInstanceUID")
    found = packing(tmp_path / "films", tmp_path / "d", options)
    assert rows(found) == {"train": 8, "val": 6, "test": 6}


@pytest.mark.parametrize("split", ["source", "test"])
def test_a_pack_that_leaves_all_films_out_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    monkeypatch.setenv(SALT, "a secret of the test")
    (tmp_path / "films").mkdir()
    for name, at in (("normal", 0), ("sick", 4)):
        dicom_tree(tmp_path / "films" / name, at, at + 3)
    for path in (tmp_path / "films").rglob("*.dcm"):
        pixels = np.random.default_rng(int(path.stem[2:])).integers(0, 4096, (48, 48))
        tags = {"PatientID": path.stem, "ViewPosition": "LL"}
        path.write_bytes(dicoms.film(pixels.astype(np.uint16), 12, **tags))
    options = PackOptions.model_validate({"size": 32, "views": ["PA"], "split": split})
    with pytest.raises(UserError, match=r"no film is left to pack: 6 films of other views"):
        packing(tmp_path / "films", tmp_path / "d", options)


def test_columns_that_the_index_calls_otherwise_are_added_to(tmp_path: Path) -> None:
    source = tmp_path / "films"
    films(source, 0, 40)
    table = ["path,label,source,logits"]
    for path in sorted(source.rglob("*.png")):
        name = path.relative_to(source)
        table.append(f"{name},{path.parent.name},site {len(table) % 3},{len(table)}")
    (source / "t.csv").write_text("\n".join(table[:31]))
    before = packing(source / "t.csv", tmp_path / "d", SMALL)
    columns = index.every(before).column_names
    (source / "t.csv").write_text("\n".join(table))
    every = index.every(added(source / "t.csv", tmp_path / "d"))
    assert every.column_names == columns
    assert every.column("source_source").null_count == 0
    assert sorted(every.column("source_logits").to_pylist()) == list(range(1, 41))


def test_few_films_at_a_time_give_each_part_its_share() -> None:
    """A cut of each addition would give the test part one of four films, or of ten."""
    shares = {"test": 0.15, "val": 0.15, "train": 0.7}
    parts = [split.drawn(f"films/p{i:05}.png", shares, 0) for i in range(4000)]
    assert {part: parts.count(part) / 4000 for part in shares} == pytest.approx(shares, abs=0.02)
    assert parts == [split.drawn(f"films/p{i:05}.png", shares, 0) for i in range(4000)]
    assert split.drawn("a", {"test": 0.0, "fold-0": 0.5, "fold-1": 0.5}, 0).startswith("fold-")
