"""What an interrupted pack has left is taken for no other: films, options and rights may change."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from rayograph.config import PackOptions
from rayograph.data import index, inspection
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.pack import phantom
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source

T = TypeVar("T")
R = TypeVar("R")
SMALL = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)


class Interrupted(Exception):
    """In the place of a kill."""


def until(shards: int) -> Callable[..., Iterator[R]]:
    """A `Mapper` that ends when it has written so many shards."""

    def mapper(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        for number, item in enumerate(items):
            if what == "packing" and number == shards:
                raise Interrupted
            yield function(item)

    return mapper


@pytest.fixture
def few(tmp_path: Path) -> Path:
    phantom.write(tmp_path / "films", 60, seed=1, size=40)
    return tmp_path / "films"


def packing(source: Path, dest: Path, options: PackOptions = SMALL) -> Dataset:
    pack(open_source(str(source), options), str(dest), one_by_one)
    return Dataset.open(str(dest))


def interrupted(source: Path, dest: Path, options: PackOptions = SMALL) -> None:
    with pytest.raises(Interrupted):
        pack(open_source(str(source), options), str(dest), until(1))


def same(first: Dataset, other: Dataset) -> bool:
    """Whether two datasets are equal, but for their names."""
    inspection.verify(first)
    own, theirs = (d.manifest.model_copy(update={"name": ""}) for d in (first, other))
    tables = [index.every(dataset) for dataset in (first, other)]
    return own == theirs and tables[0].equals(tables[1])


def test_a_shard_of_films_that_changed_meanwhile_is_written_anew(few: Path, tmp_path: Path) -> None:
    interrupted(few, tmp_path / "d")
    films = sorted(few.glob("train/normal/*.png"))
    shutil.copy(films[-1], films[0])  # raw samples: as many bytes in the same place
    assert same(packing(few, tmp_path / "d"), packing(few, tmp_path / "whole"))


def test_a_shard_that_a_pack_with_other_options_overwrote_is_written_anew(
    few: Path, tmp_path: Path
) -> None:
    interrupted(few, tmp_path / "d")
    interrupted(few, tmp_path / "d", SMALL.model_copy(update={"seed": 7}))
    assert same(packing(few, tmp_path / "d"), packing(few, tmp_path / "whole"))


def test_films_that_could_not_be_read_are_asked_for_again(few: Path, tmp_path: Path) -> None:
    """As of a disk that was not mounted, or a policy: the films are as old as they were."""
    strict = SMALL.model_copy(update={"max_rejected": 0})
    source = open_source(str(few), strict)
    (few / "train" / "normal").rename(tmp_path / "away")
    with pytest.raises(UserError, match="no such file"):
        pack(source, str(tmp_path / "d"), one_by_one)
    (tmp_path / "away").rename(few / "train" / "normal")
    assert same(packing(few, tmp_path / "d", strict), packing(few, tmp_path / "whole", strict))
