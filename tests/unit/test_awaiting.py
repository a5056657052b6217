"""Rows of a table that name films by what their headers say: what becomes of each of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rayograph.config import PackConfig, PackOptions
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.pack.appending import append
from rayograph.pack.mapper import one_by_one
from rayograph.pack.pseudonyms import SALT
from rayograph.pack.sources import open_source
from tests.conftest import packing
from tests.dicoms import film

FILMS = 24
CLASSES = ("normal", "covid")  # of the films in turn
Rows = list[tuple[str, str]]


def uid(i: int) -> str:
    return f"1.2.3.9.{i + 1}"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Films of a patient each, in one folder."""
    monkeypatch.setenv(SALT, "a secret of the test")
    rng = np.random.default_rng(0)
    (tmp_path / "films").mkdir()
    for i in range(FILMS):
        pixels = rng.integers(0, 4096, (48, 48)).astype(np.uint16)
        data = film(pixels, 12, SOPInstanceUID=uid(i), PatientID=f"MRN-{i}")
        (tmp_path / "films" / f"IM{i:04}.dcm").write_bytes(data)
    return tmp_path / "films"


def rows(films: int = FILMS, classes: tuple[str, ...] = CLASSES) -> Rows:
    return [(uid(i), classes[i % len(classes)]) for i in range(films)]


def options(tree: Path, said: Rows, *words: str, head: str = "SOPInstanceUID,label") -> PackOptions:
    table = tree.parent / "t.csv"
    table.write_text("\n".join([head, *(",".join(row) for row in said)]))
    own = ["size=32", f"table={table}", "match=SOPInstanceUID", *words]
    return PackConfig.load(None, [f"pack.{word}" for word in own]).pack


def packed(tree: Path, said: Rows, *words: str, **head: str) -> Dataset:
    return packing(tree, tree.parent / "d", options(tree, said, *words, **head), overwrite=True)


def told(found: Dataset) -> dict[str, str]:
    return {finding.kind: finding.message for finding in found.manifest.findings}


def sizes(found: Dataset) -> dict[str, int]:
    return {name: part.rows for name, part in found.manifest.parts.items()}


def test_rows_without_films_are_counted_also_where_others_have_their_class(tree: Path) -> None:
    found = packed(tree, [*rows(20), *((f"9.9.{i}", CLASSES[i % 2]) for i in range(7))])
    assert told(found)["rows_without_films"] == (
        "7 rows of the table have no film, by their SOPInstanceUID"
    )
    assert told(found)["films_without_rows"].startswith("4 films have no row")
    for name in ("IM0000.dcm", "IM0005.dcm"):  # damaged: there is a film, of no use
        (tree / name).write_bytes((tree / name).read_bytes()[:3000])
    found = packed(tree, rows())
    assert found.manifest.rejected == 2
    assert not {"rows_without_films", "films_without_rows"} & told(found).keys()


def test_blanks_around_what_a_row_says_do_not_matter(tree: Path) -> None:
    said = [(f" {key} ", label) for key, label in rows()]
    for words in ((), ("identifiers=keep",)):
        assert sum(sizes(packed(tree, said, *words)).values()) == FILMS


def test_the_negative_class_is_one_that_films_have(tree: Path) -> None:
    absent = ("9.9.1", "normal")
    said = [*rows(classes=("flu", "covid")), absent]
    with pytest.raises(UserError, match="no class sounds like `nothing found`: covid, flu"):
        packed(tree, said)
    assert packed(tree, said, "negative=flu").manifest.classes == ("flu", "covid")
    with pytest.raises(UserError, match=r"only the class covid; .* pack\.split=test"):
        packed(tree, [*rows(classes=("covid",)), absent])
    found = packed(tree, [*rows(classes=("covid",)), absent], "split=test")
    assert found.manifest.classes == ("covid",)


def test_films_that_cannot_be_used_are_the_reason_and_not_the_table(tree: Path) -> None:
    with pytest.raises(UserError, match=r"no film has a SOPInstanceUID .* such as 9\.1;"):
        packed(tree, [("9.1", "normal"), ("9.2", "covid")])
    with pytest.raises(UserError, match="no column AccessionNumber; it has SOPInstanceUID, label"):
        packed(tree, rows(), "match=AccessionNumber")
    with pytest.raises(UserError, match=r"no film is left to pack: 24 films .* left out: PA 24"):
        packed(tree, rows(), "views=[LAT]")
    for path in tree.iterdir():
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="24 of 24 films cannot be used; the first is IM0000"):
        packed(tree, rows())


def by_column(tree: Path) -> Dataset:
    parts = ["train"] * 12 + ["val"] * 8 + ["test"] * 4
    said = [(f"{key},{label}", part) for (key, label), part in zip(rows(), parts, strict=True)]
    return packed(tree, said, head="SOPInstanceUID,label,split")


def by_list(tree: Path) -> Dataset:
    place = tree.parent / "test_list.txt"
    place.write_text("\n".join(f"IM{i:04}.dcm" for i in range(20, 24)))
    return packed(tree, rows(), f"test_list={place}", "val_fraction=0.4")


@pytest.mark.parametrize("fixed", [by_column, by_list])
def test_a_split_that_is_fixed_is_kept(fixed: Callable[[Path], Dataset], tree: Path) -> None:
    assert sizes(fixed(tree)) == {"train": 12, "val": 8, "test": 4}


def test_films_are_added_in_the_classes_that_the_dataset_has(tree: Path) -> None:
    def added(said: Rows) -> Dataset:
        own = options(tree, said)
        append(open_source(str(tree), own), str(tree.parent / "d"), one_by_one)
        return Dataset.open(str(tree.parent / "d"))

    three = [(key, "flu" if i % 4 == 2 else label) for i, (key, label) in enumerate(rows(20))]
    before = packed(tree, three)
    again = added(three)  # the films without a row are still there
    assert sizes(again) == sizes(before)
    assert told(again) == told(before)
    found = added([*three, *rows()[20:], ("9.9.1", "other")])
    assert found.manifest.classes == ("normal", "covid", "flu")
    counts = {
        name: sum(part.labels[name].present for part in found.manifest.parts.values())
        for name in found.manifest.classes
    }
    assert counts == {"normal": 7, "covid": 12, "flu": 5}
    (tree / "new.dcm").write_bytes((tree / "IM0000.dcm").read_bytes().replace(b"9.1\0", b"9.z\0"))
    with pytest.raises(UserError, match=r"other is no class of .*, which has normal, covid, flu"):
        added([*three, *rows()[20:], ("1.2.3.9.z", "other")])


def test_films_that_were_refused_before_do_not_keep_others_from_being_added(tree: Path) -> None:
    dest = tree.parent / "d"
    (tree / "IM0000.dcm").write_bytes((tree / "IM0000.dcm").read_bytes()[:3000])
    own = options(tree, rows())
    before = packing(tree, dest, own)
    append(open_source(str(tree), own), str(dest), one_by_one)
    found = Dataset.open(str(dest))
    assert found.manifest == before.manifest
    assert found.manifest.rejected == 1
