"""Arrays in MedMNIST's layout: an `.npz` of `train_images`, `train_labels`, also of val and test.

An `.npz` is a ZIP archive of `.npy` arrays. What its entries say of themselves is held to what the
archive says, and to the memory that is free, before any of them is read; none may hold Python
objects.
"""

import io
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data.manifest import MOST_CLASSES, Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.decode.arrays import LONGEST_HEAD, Head, array, head
from rayograph.pack.labelling import labelling
from rayograph.pack.sources.base import (
    Original,
    Source,
    SourceItem,
    film_recipe,
    patients_unknown,
)

PARTS = ("train", "val", "test")
NAMES = "train_images, train_labels, and so for val and test"
SHARE = 0.8  # of the memory that is free, for the arrays and the pictures that are made of them
LISTED = 1_000  # bytes that it takes to list a picture, or a label of it

Array = npt.NDArray[Any]


def is_arrays(uri: str) -> bool:
    """Whether a place is an `.npz`, by its suffix."""
    return uri.lower().endswith(".npz")


def open_arrays(uri: str, options: PackOptions) -> Source:
    """List the pictures of an `.npz`, whose names fix the splits; patients are not known."""
    archive = _Archive(uri)
    originals: list[tuple[str, Original]] = []
    texts: list[list[str]] = []
    for part in archive.parts:
        labels = archive.labels(part)
        if texts and labels.shape[1] != len(texts[0]):
            raise UserError(
                f"{uri}: {part}_labels has {labels.shape[1]} columns, others {len(texts[0])}"
            )
        texts += [[str(value) for value in row] for row in labels.tolist()]
        originals += [(part, original) for original in archive.pictures(part)]
    options, names = _task(uri, options, len(texts[0]))
    columns = dict(zip(names, zip(*texts, strict=True), strict=True))
    said = labelling(uri, columns, options)
    items = tuple(
        SourceItem(
            sample_id=original.sample_id,
            uri=original.uri,
            data=original.data,
            labels=own,
            patient_id=original.sample_id,
            split=part if options.split == "source" else None,
        )
        for (part, original), own in zip(originals, said.labels, strict=True)
        if own is not None
    )
    unknown = patients_unknown("an .npz names no patients: each picture is its own patient")
    findings = (*unknown, *archive.not_read(), *said.findings)
    return Source(uri, items, options.task, said.classes, film_recipe(options), findings)


def pictures_of(uri: str) -> list[Original]:
    """Every picture of an `.npz`, without labels."""
    archive = _Archive(uri)
    return [original for part in archive.parts for original in archive.pictures(part)]


def _task(uri: str, options: PackOptions, columns: int) -> tuple[PackOptions, list[str]]:
    """The options with the task that so many columns of labels are, and the columns' names."""
    given = list(options.label_columns)
    if given and len(given) != columns:
        raise UserError(f"{uri}: pack.label_columns names {len(given)} of {columns} labels")
    if columns > 1 and "task" not in options.model_fields_set:
        options = options.model_copy(update={"task": "multilabel"})
    return options, given or [f"label-{i}" for i in range(columns)]


class _Archive:
    """An `.npz` whose entries were looked at, and fit into memory; `UserError` of any other."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        data = storage.read(uri)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._entries = {
                entry.filename.removesuffix(".npy"): entry
                for entry in self._zip.infolist()
                if entry.filename.endswith(".npy")
            }
            self._heads = {name: self._head(name) for name in self._entries}
        except Exception as error:  # zipfile and numpy raise anything on damaged bytes
            raise self._refusal(error) from None
        self.parts = [part for part in PARTS if f"{part}_images" in self._heads]
        self._check()

    def labels(self, part: str) -> Array:
        """The labels of a part, numbers, [n, k]."""
        found = self._array(f"{part}_labels")
        return found.reshape(len(found), -1)

    def pictures(self, part: str) -> Iterator[Original]:
        """Each picture of a part, as the bytes of an `.npy`."""
        images = self._array(f"{part}_images")
        for i, picture in enumerate(images):
            out = io.BytesIO()
            native = picture.astype(picture.dtype.newbyteorder("="), order="C")
            np.lib.format.write_array(out, native, allow_pickle=False)
            name = f"{part}/{i:05}"
            yield Original(sample_id=name, uri=f"{self.uri}#{name}", data=out.getvalue())

    def not_read(self) -> Iterator[Finding]:
        """The finding that there are other arrays."""
        read = {f"{part}_{kind}" for part in self.parts for kind in ("images", "labels")}
        if others := sorted(self._heads.keys() - read):
            message = f"arrays that are not read: {one_line(', '.join(others))}"
            yield Finding(kind="ignored", message=message)

    def _head(self, name: str) -> Head:
        with self._zip.open(self._entries[name]) as file:
            return head(file.read(LONGEST_HEAD))

    def _array(self, name: str) -> Array:
        try:
            return array(self._zip.read(self._entries[name]))
        except Exception as error:  # the same
            raise self._refusal(error) from None

    def _check(self) -> None:
        if not self.parts:
            there = one_line(", ".join(self._heads) or "none")
            raise UserError(f"{self.uri}: no {NAMES}; its arrays are {there}: rename them")
        total = 0
        for part in self.parts:
            images, labels = self._said(part, "images"), self._said(part, "labels")
            self._check_images(part, images)
            self._check_labels(part, labels, images.shape[0])
            total += 2 * (images.bytes + labels.bytes)  # and a copy of each picture
            total += LISTED * (images.shape[0] + math.prod(labels.shape))
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if total > SHARE * free:
            raise UserError(
                f"{self.uri}: to list its pictures takes {total:,} bytes, more than {SHARE:.0%} of "
                f"the {free:,} that are free; save them as files"
            )

    def _said(self, part: str, kind: str) -> Head:
        """What an array says of itself, if the archive says the same."""
        name = f"{part}_{kind}"
        if name not in self._heads:
            raise UserError(f"{self.uri}: no {name} beside {part}_images")
        said = self._heads[name]
        size = self._entries[name].file_size - said.length
        if said.dtype.hasobject or said.bytes != size or min(said.shape, default=0) < 1:
            raise UserError(f"{self.uri}: {name} is not the array that it says it is")
        return said

    def _check_images(self, part: str, said: Head) -> None:
        colour = len(said.shape) == 4 and said.shape[-1] == 3
        if not (colour or len(said.shape) == 3) or said.dtype.str[1:] not in ("u1", "u2"):
            raise UserError(
                f"{self.uri}: {part}_images is {said.dtype} {list(said.shape)}; pictures are "
                "uint8 or uint16, [n, height, width] or [n, height, width, 3]"
            )
        if colour and said.dtype.itemsize > 1:
            raise UserError(f"{self.uri}: {part}_images is colour of 16 bits; use 8")

    def _check_labels(self, part: str, said: Head, pictures: int) -> None:
        if (
            said.dtype.kind not in "biuf"
            or len(said.shape) > 2
            or said.shape[0] != pictures
            or math.prod(said.shape[1:]) > MOST_CLASSES
        ):
            raise UserError(
                f"{self.uri}: {part}_labels is {said.dtype} {list(said.shape)}; labels are "
                f"numbers, [{pictures}] or [{pictures}, labels]"
            )

    def _refusal(self, error: BaseException) -> UserError:
        return UserError(f"{self.uri}: not a readable .npz: {one_line(error)}")
