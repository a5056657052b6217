"""`inspect`: what is told of a packed dataset, as text, as JSON and as a picture."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayograph.config import PackOptions
from rayograph.console import tables
from rayograph.data import census, index, inspection, sampling
from rayograph.data.dataset import INDEX, Dataset
from rayograph.errors import Failure
from rayograph.pack import phantom, phantom_records
from rayograph.report import dataset as pictures
from rayograph.task.estimate import hanley_mcneil
from tests.conftest import packing


@pytest.fixture
def films(tmp_path: Path) -> Dataset:
    """120 phantoms, one copied into the test films, two broken files; an index of many columns."""
    source = tmp_path / "films"
    phantom.write(source, 120, seed=0, size=32)
    one = min(source.glob("train/*/*.png"))
    copy = source / "test" / one.parent.name / "p777_0.png"
    copy.write_bytes(one.read_bytes())
    for i in range(2):
        (one.parent / f"p99{i}_0.png").write_bytes(b"P" * (9 + i))
    return packing(source, tmp_path / "d", PackOptions(size=32, patient_pattern=r"(p\d+)_"))


def with_columns(data: Dataset, **columns: list[object]) -> Dataset:
    """The same dataset, these columns in its index."""
    place = Path(data.uri) / INDEX
    table = pq.read_table(place)
    for name, values in columns.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, place)
    return data


def test_what_the_index_knows_is_counted_and_what_it_lacks_is_left_out(films: Dataset) -> None:
    found = inspection.summary(films)
    assert (found.census.ages, found.census.columns.get("view")) == (None, None)
    assert (found.census.copies.groups, found.census.copies.across) == (1, 1)
    assert any("p777_0" in name for name in found.census.copies.named)
    assert found.look is not None
    assert sum(found.look.levels) == found.look.films * 32**2 == 121 * 32**2
    assert sum(found.rejects.values()) == found.manifest.rejected == 2
    n = index.every(films).num_rows
    with_columns(
        films,
        View=["PA", "AP", None, " PA"] * (n // 4) + ["PA"] * (n % 4),
        age=[58.0, 1.5, None, 999.0] * (n // 4) + [None] * (n % 4),
        width=[1024] * n,
        height=[2048] * n,
        inverted=[row in (1, 100) for row in range(n)],
        coloured=[None, 0.0, 0.0004, 0.3] * (n // 4) + [None] * (n % 4),
        burnt_in=["YES", "NO", None, "NO"] * (n // 4) + ["NO"] * (n % 4),
    )
    found = inspection.summary(films)
    views = found.census.columns["view"]
    assert list(views.counts) == ["PA", "AP"]
    assert (views.counts["AP"], views.unknown) == (n // 4, n // 4)
    ages = found.census.ages
    assert ages is not None
    assert (ages.known, ages.youngest, ages.oldest) == (2 * (n // 4), 1.5, 58)
    assert sum(ages.decades) == ages.known
    assert found.census.sizes == census.Counted({"1024×2048": n}, 0)
    ids = index.every(films).column("sample_id").to_pylist()
    assert found.census.signs["inverted"].named == [ids[1], ids[100]]
    assert found.census.signs["coloured"].samples == n // 4
    assert found.census.signs["burnt_in"].samples == n // 4
    text = tables.dataset(found)
    for said in (
        f"2 of {n} films look inverted (white background): {ids[1]}, {ids[100]}",
        "ages: median 29.75, 1.5 to 58 years",
        "1 groups of identical files, 2 films, 1 groups in more than one part",
        "rejected 2: not a film in",
        "AUROC of 0.9 on test",
    ):
        assert said in text
    told = json.loads(json.dumps(found.to_json()))
    assert told["splits"]["train"]["films"] == films.split("train").rows
    assert told["index"]["columns"]["view"]["counts"]["AP"] == n // 4
    picture = Image.open(io.BytesIO(pictures.picture(found)))
    assert picture.width > 1000


def test_the_films_of_an_index_are_found_in_their_shards(films: Dataset) -> None:
    every, table = sampling.first(films), index.every(films)
    rows = [0, 17, 60, table.num_rows - 1]
    assert (sampling.at(films, table, rows) == every[rows]).all()  # all of so few are sampled
    place = Path(films.uri) / films.manifest.parts["train"].shards[0].path
    data = bytearray(place.read_bytes())
    data[-500] ^= 1
    place.write_bytes(data)
    with pytest.raises(Failure, match="it is damaged"):
        sampling.first(films)


def test_records_have_missing_values_and_no_gray_levels(tmp_path: Path) -> None:
    phantom_records.write(tmp_path / "t.csv", 12, seed=0)
    head, *rows = (tmp_path / "t.csv").read_text().splitlines()
    gap = [row.split(",") for row in rows]
    for cells in gap[: len(gap) // 4]:
        cells[3] = ""
    (tmp_path / "t.csv").write_text("\n".join([head, *map(",".join, gap)]))
    options = PackOptions(inputs="table", negative="rest", patient_column="person")
    found = inspection.summary(packing(tmp_path / "t.csv", tmp_path / "d", options))
    assert found.look is None
    assert found.missing["x_mean"] == pytest.approx((len(gap) // 4) / len(gap))
    assert "missing values: x_mean" in tables.dataset(found)
    assert Image.open(io.BytesIO(pictures.picture(found))).width > 1000


def test_an_interval_is_as_wide_as_hanley_and_mcneil_say() -> None:
    assert hanley_mcneil(0.9, 0, 10) is hanley_mcneil(0.9, 10, 0) is None
    rng = np.random.default_rng(0)  # exponential scores, which they derive it from
    areas = [
        (rng.exponential(9, (100, 1)) > rng.exponential(1, (1, 150))).mean() for _ in range(2000)
    ]
    assert hanley_mcneil(0.9, 100, 150) == pytest.approx(1.96 * np.std(areas), rel=0.06)


def test_reasons_are_grouped_without_their_numbers_and_names() -> None:
    found = census.kinds(
        [
            "9000x9000 pixels, more than 50000000 or a side of 65535",
            "70000x8 pixels, more than 50000000 or a side of 65535",
            "no such file: s3://bucket/a b.png",
            "no such file: /data/c.png",
            "zero bytes",
            "zero bytes",
            "floats up to 3.5: neither 0 to 1 nor gray levels",
        ]
    )
    assert list(found.items()) == [
        ("no such file", 2),
        ("zero bytes", 2),
        ("…x… pixels, more than … or a side of …", 2),
        ("floats up to …: neither … to … nor gray levels", 1),
    ]
