"""Tables as people write them: every form gives the same films; ids keep the text that they had."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from rayograph.config import PackConfig, PackOptions, SourceOptions
from rayograph.data import index
from rayograph.data.recipe import ImageRecipe
from rayograph.errors import UserError
from rayograph.evaluate.predict import table as predictions
from rayograph.pack import phantom
from rayograph.pack.sources import SourceItem, open_source, unlabelled
from rayograph.task import PRESENT
from tests.conftest import packing

OPTIONS = PackOptions(size=32, patient_column="patient")
HEAD = ("path", "label", "patient", "split")
SPLITS = ("train", "Training ", "validate", "val", "dev", "validation", "test", "TESTING")
ROWS = [
    (f"images/{i}.png", ("Normal", "Pneumonia")[i % 2], f"{i // 2:06}", SPLITS[i]) for i in range(8)
]


def text(separator: str = ",", end: str = "\n", notes: str = "") -> str:
    rows = [(*HEAD, "notes"), *((*row, f'"{notes}"') for row in ROWS)] if notes else [HEAD, *ROWS]
    return "".join(separator.join(row) + end for row in rows)


FORMS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("t.csv.gz", lambda: gzip.compress(text().encode())),
    "tabs": ("t.tsv", lambda: text("\t").encode()),
    "gzipped tabs": ("t.TSV.GZ", lambda: gzip.compress(text("\t").encode())),
    "semicolons": ("t.csv", lambda: text(";").encode()),
    "mark": ("t.csv", lambda: b"\xef\xbb\xbf" + text().encode()),
    "Windows": ("t.csv", lambda: text(end="\r\n").replace("images/", "images\\").encode()),
    "2 MB of lines in quotes": ("t.csv", lambda: text(notes="a\nb, " * 60_000).encode()),
}


def films(folder: Path) -> None:
    (folder / "images").mkdir()
    for i in range(len(ROWS)):
        film = phantom.film(i, opacity=i % 2 > 0, size=32)
        Image.fromarray(film).save(folder / f"images/{i}.png")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_films(form: str, tmp_path: Path) -> None:
    name, data = FORMS[form]
    (tmp_path / name).write_bytes(data())
    parts = ["train"] * 2 + ["val"] * 4 + ["test"] * 2
    wanted = [
        (str(tmp_path / path), label, patient, part)
        for (path, label, patient, _), part in zip(ROWS, parts, strict=True)
    ]
    source = open_source(str(tmp_path / name), OPTIONS)

    def said(item: SourceItem) -> tuple[str, str, str, str | None]:
        return item.uri, source.classes[item.labels.index(PRESENT)], item.patient_id, item.split

    assert list(map(said, source.items)) == wanted


def test_names_without_their_folder_are_found_by_an_option_or_told_where_they_were_looked_for(
    tmp_path: Path,
) -> None:
    films(tmp_path)
    (tmp_path / "t.csv").write_text(text().replace("images/", "").replace(",validate", ",train"))
    with pytest.raises(UserError, match=f"8 of 8 films .* 0.png: no such file: {tmp_path}/0.png"):
        packing(tmp_path / "t.csv", tmp_path / "d", OPTIONS)
    rooted = OPTIONS.model_copy(update={"root": str(tmp_path / "images")})
    found = packing(tmp_path / "t.csv", tmp_path / "d", rooted)
    assert sum(part.rows for part in found.manifest.parts.values()) == 8
    options = SourceOptions(root=str(tmp_path / "images"), path_column="Image Index")
    (tmp_path / "new.csv").write_text("Image Index,Finding Labels\n3.png,No Finding\n")
    place = str(tmp_path / "images/3.png")
    recipe = ImageRecipe(size=32, resize="crop")
    (found_film,) = unlabelled(str(tmp_path / "new.csv"), recipe, options)
    assert (found_film.sample_id, found_film.uri) == ("3.png", place)


@pytest.mark.parametrize(
    ("key", "value"),
    [("label_column", "Follow-up #"), ("patient_pattern", r"[A-Z]+-(\d+)"), ("path_column", "[x]")],
)
def test_odd_names_and_patterns_can_be_said(key: str, value: str) -> None:
    assert getattr(PackConfig.load(None, [f"pack.{key}={value}"]).pack, key) == value


def test_ids_keep_their_text_and_columns_of_our_names_are_renamed(tmp_path: Path) -> None:
    films(tmp_path)
    heads = "path,finding,patient,split,label,source_label,logits,StudyID,exam,accession,age"
    own = [
        f"left{i},keep{i},{i + 0.25},{2 * 10**38 + i},{i:06},2020040510000000{i:04},{40 + i}"
        for i in range(8)
    ]
    lines = [",".join((*row, rest)) for row, rest in zip(ROWS, own, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join([heads, *lines]).replace(",validate", ",train"))
    options = OPTIONS.model_copy(update={"label_column": "finding"})
    found = packing(tmp_path / "t.csv", tmp_path / "d", options)
    rows = [row for part in found.manifest.splits for row in index.read(found, part).to_pylist()]
    assert len(rows) == 8
    for row in rows:
        i = int(row["sample_id"].split("/")[1][0])
        assert row["label"] == ("Normal", "Pneumonia")[i % 2]
        own = {
            "source_label": f"left{i}", "source_source_label": f"keep{i}",
            "source_logits": i + 0.25, "StudyID": str(2 * 10**38 + i), "exam": f"{i:06}",
            "accession": f"2020040510000000{i:04}", "age": 40 + i,
        }  # fmt: skip
        assert own.items() <= row.items()


def test_predictions_are_written_in_the_form_that_their_name_says(tmp_path: Path) -> None:
    table = pa.table({"sample_id": ["a"], "p_ill": [0.25]})
    forms = {"out.csv": b'"sample_id","p_ill"\n"a",0.25\n"a",0.25\n', "OUT.PARQUET": b"PAR1"}
    for name, begins in forms.items():
        with predictions.written(str(tmp_path / name)) as file:
            file.write_table(table)
            file.write_table(table)
            assert not (tmp_path / name).exists(), "complete, or not at all"
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert pyarrow.parquet.read_table(tmp_path / "OUT.PARQUET").equals(
        pa.concat_tables([table] * 2)
    )
