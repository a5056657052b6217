"""Contract 4: who a patient is stays where it was: identifiers are stored as salted hashes only."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayograph.config import PackOptions
from rayograph.data import index, stream
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.pack.appending import append
from rayograph.pack.mapper import one_by_one
from rayograph.pack.pseudonyms import SALT, Pseudonyms
from rayograph.pack.sources import open_source
from tests.conftest import packing
from tests.dicoms import SECRETS, film, header
from tests.dicoms import written as dicom_file

OPTIONS = PackOptions(size=32)


def tree(folder: Path, patients: int = 6) -> list[dict[str, str]]:
    """Films of patients in class folders, in folders and under names that say who they are.

    Two films a patient, and one that is black, which is refused. What each header says.
    """
    told = []
    rng = np.random.default_rng(0)
    for i in range(patients):
        own = {
            "PatientName": f"Roe{i}^Jane{i}", "PatientID": f"MRN-47{i:02}",
            "AccessionNumber": f"ACC-{9000 + i}", "StudyInstanceUID": f"1.2.3.4.{50 + i}",
            "StudyDate": f"2004011{i}",
        }  # fmt: skip
        for k in range(2):
            tags = {**own, "SOPInstanceUID": f"1.2.3.9.{i}.{k + 1}"}
            place = (
                folder / ("normal", "sick")[i % 2] / own["PatientID"] / f"Roe{i}_{own['StudyDate']}"
            )
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 4096, (48, 48)).astype(np.uint16)
            data = film(pixels, 12, **tags)
            (place / f"{tags['SOPInstanceUID']}.dcm").write_bytes(data)
        bad = place / f"broken-{own['AccessionNumber']}.dcm"
        bad.write_bytes(film(np.zeros((48, 48), np.uint16), 12, **own))
        told.append(own)
    return told


def written(folder: Path) -> str:
    """All that lies below a folder, as text; tables laid open."""
    texts = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            texts += [str(path.relative_to(folder)), data.decode("latin-1")]
            if path.suffix == ".parquet":
                table = pq.read_table(io.BytesIO(data))
                texts.append(str(table.schema) + str(table.to_pylist()))
    return "\n".join(texts)


def secrets(told: list[dict[str, str]]) -> list[str]:
    """Every value of a tag that tells who somebody is, and its parts."""
    values = [value for own in told for value in own.values()] + list(SECRETS.values())
    values += [f"1.2.3.9.{i}.{k}" for i in range(len(told)) for k in (1, 2)]
    parts = {part for value in values for part in (value, *value.split("^"))} - {"1.2.3.9"}
    return sorted(part for part in parts if len(part) > 3)  # shorter ones are in any bytes


@pytest.fixture
def salted(monkeypatch: pytest.MonkeyPatch) -> Pseudonyms:
    monkeypatch.setenv(SALT, "a secret of the test")
    return Pseudonyms("a secret of the test")


def test_nothing_that_tells_who_a_patient_is_is_written(salted: Pseudonyms, tmp_path: Path) -> None:
    told = tree(tmp_path / "films")
    found = packing(tmp_path / "films", tmp_path / "d", OPTIONS)
    text = written(tmp_path / "d")
    assert [value for value in secrets(told) if value in text] == []
    rows = [row for split in found.splits for row in index.read(found, split).to_pylist()]
    assert len(rows) == 12
    for row in rows:
        assert re.fullmatch(r"(normal|sick)/[0-9a-f]{16}/[0-9a-f]{16}_[0-9a-f]{16}/"
                            r"[0-9a-f]{16}\.dcm", row["sample_id"])  # fmt: skip
    assert {row["patient_id"] for row in rows} == {salted.of(own["PatientID"]) for own in told}
    assert {row["study_date"] for row in rows} == {salted.of(own["StudyDate"]) for own in told}
    parts = {(row["patient_id"], row["part"]) for row in rows}
    assert len(parts) == 6, "a patient is in two parts"
    rejected = pq.read_table(tmp_path / "d" / "rejected.parquet").to_pylist()
    assert [row["reason"] for row in rejected] == ["one flat gray, no picture"] * 6


def test_without_a_salt_dicom_is_refused_unless_its_identifiers_are_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SALT, raising=False)
    tree(tmp_path / "films")
    with pytest.raises(UserError, match=f"stored as salted hashes: set {SALT} to a secret"):
        packing(tmp_path / "films", tmp_path / "d", OPTIONS)
    for path in list((tmp_path / "films").rglob("*.dcm")):
        path.rename(path.with_suffix(".png"))  # known by its content all the same
    with pytest.raises(UserError, match=f"stored as salted hashes: set {SALT} to a secret"):
        packing(tmp_path / "films", tmp_path / "d", OPTIONS)
    monkeypatch.setenv(SALT, "short")
    with pytest.raises(UserError, match="too short"):
        packing(tmp_path / "films", tmp_path / "d", OPTIONS)
    kept = OPTIONS.model_copy(update={"identifiers": "keep"})
    found = packing(tmp_path / "films", tmp_path / "d", kept)
    table = pa.concat_tables([index.read(found, split) for split in found.splits])
    assert "MRN-4703" in table.column("patient_id").to_pylist()


def test_films_are_added_by_names_that_are_not_kept(salted: Pseudonyms, tmp_path: Path) -> None:
    tree(tmp_path / "films", 6)
    packing(tmp_path / "films", tmp_path / "d", OPTIONS)
    tree(tmp_path / "films", 8)
    append(open_source(str(tmp_path / "films"), OPTIONS), str(tmp_path / "d"), one_by_one)
    found = Dataset.open(str(tmp_path / "d"))
    assert sum(part.rows for part in found.manifest.parts.values()) == 16
    ids = [name for split in found.splits for b in stream.stored(found, split) for name in b.ids]
    assert len(set(ids)) == 16


def test_films_are_not_added_by_another_salt(
    salted: Pseudonyms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient of the test part would have another name, and new films of theirs train."""
    tree(tmp_path / "films", 6)
    packing(tmp_path / "films", tmp_path / "d", OPTIONS)
    tree(tmp_path / "films", 7)
    monkeypatch.setenv(SALT, "another secret of the test")
    with pytest.raises(UserError, match=f"packed with another {SALT}"):
        append(open_source(str(tmp_path / "films"), OPTIONS), str(tmp_path / "d"), one_by_one)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "AccessionNumber"])
def test_a_table_names_films_by_what_their_headers_say(
    salted: Pseudonyms, tmp_path: Path, keyword: str
) -> None:
    told = tree(tmp_path / "films")
    rows = [
        f"{own[keyword]},{'sick' if i % 2 else 'normal'},{own['PatientID']},"
        f"{own['AccessionNumber']},reports/{own['PatientID']}/{own['StudyInstanceUID']}.txt,{i}"
        for i, own in enumerate(told)
    ]
    heads = f"{keyword},label,who,accession,report,reader"
    (tmp_path / "labels.csv").write_text("\n".join([heads, *rows, "nobody,sick,,,,9"]))
    options = PackOptions(
        size=32, table=str(tmp_path / "labels.csv"), match=keyword, max_rejected=6
    )
    found = packing(tmp_path / "films", tmp_path / "d", options)
    table = pa.concat_tables([index.read(found, split) for split in found.splits])
    assert len(table) == 12
    for row in table.to_pylist():
        i = row["reader"]
        assert row["label"] == ("sick" if i % 2 else "normal")
        assert row["patient_id"] == row["who"] == salted.of(told[i]["PatientID"])
    text = written(tmp_path / "d")
    assert [value for value in secrets(told) if value in text] == []
    kinds = {finding.kind: finding.message for finding in found.manifest.findings}
    assert kinds["rows_without_films"].startswith("1 rows")
    assert kinds["rejected"].startswith("6 films"), "a film that a row names is a loss"
    assert "no_films_at_all" not in kinds


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Roe, Jane", "{ROE}, {JANE}"),
        ("JANE roe", "{JANE} {ROE}"),
        ("Mrs Roe: effusion. Seen on 19.01.2004.", "Mrs {ROE}: effusion. Seen on {20040119}."),
        ("report_Roe_2004-01-19.txt", "report_{ROE}_{20040119}.txt"),
        ("2/3/1950", "{19500203}"),
        ("2004-01-19 08:15", "{20040119} 08:15"),
        ("(MRN-004711)", "({MRN-004711})"),
        ("see 1.2.3.4.5, 1.2.3.4.55", "see {1.2.3.4.5}, 1.2.3.4.55"),
        (8154711, "{8154711}"),
        ("19.01.2005", "19.01.2005"),
        ("Roentgen", "Roentgen"),
        (1, 1),
        ("54", "54"),
    ],
)
def test_a_table_hides_what_a_header_says_in_other_words(
    salted: Pseudonyms, said: object, shown: object
) -> None:
    """Case, order, zeros and forms of dates differ; flags and ages are no identifiers."""
    private = ["ROE^JANE", "ROE", "JANE", "20040119", "19500203", "MRN-004711", "1.2.3.4.5",
               "0008154711", "1", "54"]  # fmt: skip
    found = salted.guarded(said, set(salted.marks(private)))
    names = {word: word.title() for word in ("ROE", "JANE")}
    if isinstance(shown, str):
        for word in re.findall(r"\{(.*?)\}", shown):
            forms = {salted.of(each) for each in (word, names.get(word, word), word.lower())}
            assert any(form in str(found) for form in forms), found
            for form in forms:
                found = str(found).replace(form, f"{{{word}}}")
    assert found == shown


def test_a_path_hides_dates_in_any_form(salted: Pseudonyms) -> None:
    hidden = salted.of("20040119")
    assert salted.scrubbed("in/2004/01/19/IM1", ["20040119"]) == f"in/{hidden}/IM1"
    assert salted.scrubbed("x_19.01.2004.dcm", ["20040119"]) == "x_19.01.2004.dcm".replace(
        "19.01.2004", hidden
    )


def test_films_that_nobody_reads_are_not_named_where_headers_are(
    salted: Pseudonyms, tmp_path: Path
) -> None:
    """A film in no row, one that is damaged, a file that is no film, and lines without a film."""
    told = tree(tmp_path / "films")
    films = sorted((tmp_path / "films").rglob("1.2*.dcm"))
    rows = [f"{path.stem},{path.relative_to(tmp_path / 'films').parts[0]}" for path in films[:-1]]
    text = "\n".join(["path,label", *rows, "Visitor^Vera,sick", f"{films[0].stem}x,normal"])
    (tmp_path / "labels.csv").write_text(text)
    films[1].write_bytes(b"not to be read: its folder tells")
    (films[0].parent / "Roe0-letter").write_text("")
    (films[0].parent.parent / "VISITOR").write_text("")
    options = PackOptions(size=32, table=str(tmp_path / "labels.csv"), match="name")
    found = packing(tmp_path / "films", tmp_path / "d", options)
    text = written(tmp_path / "d")
    words = [*secrets(told), "Visitor", "VISITOR", "letter"]
    assert [value for value in words if value in text] == []
    kinds = {finding.kind for finding in found.manifest.findings}
    assert {"rows_without_films", "films_without_rows", "rejected"} <= kinds


def test_a_patient_of_films_with_a_header_and_without_is_one_and_hidden(
    salted: Pseudonyms, tmp_path: Path
) -> None:
    told = tree(tmp_path / "films")
    rng = np.random.default_rng(5)
    rows = []
    for path in sorted((tmp_path / "films").rglob("1.2*.dcm")):
        i = int(path.stem.split(".")[4])
        picture = tmp_path / "films" / f"{path.stem}.png"
        Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(picture)
        for film_of in (path, picture):
            name = film_of.relative_to(tmp_path / "films")
            rows.append(f"{name},{('normal', 'sick')[i % 2]},{told[i]['PatientID']},JANE{i} Roe{i}")
    (tmp_path / "films" / "t.csv").write_text("\n".join(["path,label,who,name", *rows]))
    options = PackOptions(size=32, patient_column="who")
    found = packing(tmp_path / "films" / "t.csv", tmp_path / "d", options)
    every = index.every(found).to_pylist()
    assert {row["patient_id"] for row in every} == {salted.of(own["PatientID"]) for own in told}
    assert len({(row["patient_id"], row["part"]) for row in every}) == 6
    dicom = [row["name"] for row in every if row["format"] == "DICOM"]
    assert not [name for name in dicom if "JANE" in name or "Roe" in name]


def test_a_film_that_is_refused_needs_a_salt_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is written, with the reason, and may say whose it is."""
    monkeypatch.delenv(SALT, raising=False)
    rng = np.random.default_rng(5)
    for i in range(20):
        place = tmp_path / "films" / ("normal", "sick")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8))
        picture.save(place / f"{i}.png")
    (place / "MRN-4711.png").write_bytes(film(np.zeros((48, 48), np.uint16), 12))
    with pytest.raises(UserError, match=f"stored as salted hashes: set {SALT} to a secret"):
        packing(tmp_path / "films", tmp_path / "d", OPTIONS)


def test_an_archive_with_reports_and_other_studies_is_packed_and_grows(
    salted: Pseudonyms, tmp_path: Path
) -> None:
    """Files that are no films, or that no row names, are no loss; nothing new is nothing to do."""
    told = tree(tmp_path / "films")
    report = header(StudyInstanceUID="1.2.3.4.50", PatientID="MRN-4700")
    del report.PixelData
    for i in range(20):
        (tmp_path / "films" / f"SR{i:06}").write_bytes(dicom_file(report))
        other = film(np.zeros((8, 8), np.uint16), 12, StudyInstanceUID=f"1.2.9.{i}")
        (tmp_path / "films" / f"CT{i:06}").write_bytes(other)
    rows = [f"{own['StudyInstanceUID']},{('normal', 'sick')[i % 2]}" for i, own in enumerate(told)]
    (tmp_path / "labels.csv").write_text("\n".join(["StudyInstanceUID,label", *rows]))
    options = PackOptions(
        size=32, table=str(tmp_path / "labels.csv"), match="StudyInstanceUID", max_rejected=6
    )
    found = packing(tmp_path / "films", tmp_path / "d", options)
    kinds = {finding.kind: finding.message for finding in found.manifest.findings}
    assert kinds["rejected"].startswith("6 films rejected")
    assert kinds["no_films_at_all"].startswith("40 files are left out")
    source = open_source(str(tmp_path / "films"), options)
    append(source, str(tmp_path / "d"), one_by_one)
    again = Dataset.open(str(tmp_path / "d")).manifest
    assert again.fingerprint == found.manifest.fingerprint
    assert "rows_without_films" not in {finding.kind for finding in again.findings}


def pictures(folder: Path, told: list[dict[str, str]], name: str) -> list[str]:
    """A picture a patient without a header, and the rows of a table that say whose it is."""
    rng = np.random.default_rng(7)
    rows = []
    for i, own in enumerate(told):
        picture = Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8))
        picture.save(folder / f"{name}{i}.png")
        rows.append(f"{name}{i}.png,{('normal', 'sick')[i % 2]},{own['PatientID']}")
    return rows


def test_pictures_that_are_added_to_films_with_headers_are_of_the_same_patients(
    salted: Pseudonyms, tmp_path: Path
) -> None:
    """And films with headers are not added where patients are named as they are."""
    folder = tmp_path / "films"
    told = tree(folder)
    dicom = [
        f"{path.relative_to(folder)},{path.relative_to(folder).parts[0]},"
        f"{told[int(path.stem.split('.')[4])]['PatientID']}"
        for path in sorted(folder.rglob("1.2*.dcm"))
    ]
    png, heads = pictures(folder, told, "p"), "path,label,who"
    options, table = PackOptions(size=32, patient_column="who"), folder / "t.csv"
    for first, then in ((dicom, png), (png, dicom)):
        dest = tmp_path / first[0][:1]
        table.write_text("\n".join([heads, *first]))
        packing(table, dest, options)
        table.write_text("\n".join([heads, *first, *then]))
        if first is png:
            with pytest.raises(UserError, match="packed without DICOM, so its patients are not"):
                append(open_source(str(table), options), str(dest), one_by_one)
            continue
        append(open_source(str(table), options), str(dest), one_by_one)
        rows = index.every(Dataset.open(str(dest))).to_pylist()
        assert {row["patient_id"] for row in rows} == {salted.of(o["PatientID"]) for o in told}
        assert len({(row["patient_id"], row["part"]) for row in rows}) == len(told)
