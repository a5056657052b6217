"""Names of films go through unchanged, whatever they hold, from a disk and from a bucket."""

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data import index
from rayograph.data.recipe import ImageRecipe
from rayograph.pack import phantom
from rayograph.pack.sources import open_source, unlabelled
from rayograph.pack.sources.films import open_films
from tests.conftest import packing

NAMES = (
    "a#b?c=d&e.png", "c%2Fd%20e.png", "two  blanks .png", "line\nend\tand tab.png", "😀 ü.png",
    "back\\slash.png", "s3:x.png", "~x.png", "quote'\"$(x);.png", "+plus@at:colon.png",
)  # fmt: skip
NO_UTF8 = b"caf\xe9.png"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two classes, each with a film of every name."""
    folder = tmp_path / "films #1"
    for number, name in enumerate(NAMES * 2):
        place = folder / ("normal" if number < len(NAMES) else "COVID 19?") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(phantom.film(number, opacity=False, size=32)).save(place, "PNG")
    return folder


def test_on_a_disk(films: Path, tmp_path: Path) -> None:
    other = films / "normal" / os.fsdecode(NO_UTF8)
    Image.fromarray(phantom.film(99, opacity=False, size=32)).save(other, "PNG")
    wanted = {str(path.relative_to(films)): path for path in films.rglob("*.png")}
    wanted["normal/caf\\xe9.png"] = wanted.pop(str(other.relative_to(films)))
    packed = packing(films, tmp_path / "packed", PackOptions(size=32, negative="normal"))
    assert not packed.manifest.rejected
    rows = [row for part in packed.manifest.splits for row in index.read(packed, part).to_pylist()]
    assert {row["sample_id"] for row in rows} == set(wanted)
    for row in rows:
        data = wanted[row["sample_id"]].read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert storage.read(row["source"]) == data
    recipe = ImageRecipe(size=32, resize="crop")
    found = unlabelled(str(films), recipe, SourceOptions())
    assert {each.sample_id: each.read() for each in found} == {
        name: path.read_bytes() for name, path in wanted.items()
    }
    (one,) = unlabelled(str(other), recipe, SourceOptions())
    assert one.sample_id == "caf\\xe9.png"
    assert one.read() == other.read_bytes()


def test_in_a_bucket(films: Path, s3: str) -> None:
    paths = [path for path in films.rglob("*.png") if "\\" not in path.name]  # SeaweedFS: a slash
    wanted = {str(path.relative_to(films)): path.read_bytes() for path in paths}
    for name, data in wanted.items():
        storage.write(f"{s3}/names #?/{name}", data)
    source = open_source(f"{s3}/names #?/", PackOptions(negative="normal"))
    assert {item.sample_id: storage.read(item.uri) for item in source.items} == wanted
    assert source.classes == ("normal", "COVID 19?")


def test_keys_of_a_table_keep_their_slashes(tmp_path: Path) -> None:
    """Real stores have such keys; the one that the tests start does not."""
    keys = {
        "a//b.png": "s3://x/films/a//b.png", "a/./b.png": "s3://x/films/a/./b.png",
        "./c.png": "s3://x/films/c.png", "../d.png": "s3://x/d.png",
        "s3://y//e.png": "s3://y//e.png", "/f.png": "/f.png",
    }  # fmt: skip
    columns = {"path": list(keys), "label": ["no", "yes"] * 3}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    options = PackOptions(root="s3://x/films", patient_column="none", negative="no")
    items = open_films(str(tmp_path / "t.parquet"), options).items
    assert {item.sample_id: item.uri for item in items} == keys


def test_what_is_no_film_is_counted_and_named(films: Path, tmp_path: Path) -> None:
    (films / "normal" / "._a.png").write_bytes(b"x")
    (films / "normal" / "a.gif").write_bytes(b"x")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    for name in ("2019", "2020"):
        (films / name).symlink_to(tmp_path / "elsewhere")
    source = open_source(str(films), PackOptions(negative="normal"))
    assert source.ignored == {"hidden": 1, ".gif": 1}
    told = [finding.message for finding in source.findings if finding.kind == "links"]
    assert told == ["2 linked folders are not followed; the first is 2019"]
