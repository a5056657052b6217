"""PNG, TIFF and BMP files written byte by byte, in the forms that Pillow does not write."""

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.generic]

LITTLE, BIG = "<", ">"
RAW, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
LAYOUTS = [  # of TIFF: byte order, compression, side of the tiles, planes
    *product((LITTLE, BIG), (RAW,), (0, 32), (1, 2)),
    (LITTLE, DEFLATE, 0, 1), (BIG, DEFLATE, 0, 1), (BIG, DEFLATE, 32, 2), (LITTLE, LZW, 0, 2),
    (BIG, PACKBITS, 32, 1),
]  # fmt: skip
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
LZW_CLEAR, LZW_END = 256, 257


def packed(pixels: Pixels, bits: int, order: str = "<") -> bytes:
    """Rows of samples as they lie in a file: each row begins on a byte; most significant first."""
    if bits in (8, 16, 32, 64):
        return pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    rows = pixels.reshape(len(pixels), -1).astype(">u2")
    each = np.unpackbits(rows.view(np.uint8).reshape(*rows.shape, 2), axis=-1)[..., 16 - bits :]
    return np.packbits(each.reshape(len(rows), -1), axis=-1).tobytes()


def png(
    pixels: Pixels,
    bits: int,
    colour: int,
    chunks: dict[bytes, bytes] | None = None,
    *,
    adam7: bool = False,
) -> bytes:
    """A PNG of a colour type (0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = pixels.shape[:2]
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if adam7 else [pixels]
    lines = b"".join(b"\0" + packed(row[None], bits, ">") for part in passes for row in part)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, adam7))
    more = b"".join(chunk(kind, data) for kind, data in (chunks or {}).items())
    body = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + head + more + body + chunk(b"IEND", b"")


def _lzw(data: bytes) -> bytes:
    """TIFF's LZW by 9-bit codes alone: the table is cleared before it needs wider ones."""
    codes = [c for i in range(0, len(data), 250) for c in (LZW_CLEAR, *data[i : i + 250])]
    every = np.array([*codes, LZW_END], ">u2").view(np.uint8).reshape(-1, 2)
    return np.packbits(np.unpackbits(every, axis=-1)[:, 7:].reshape(-1)).tobytes()


def _packbits(data: bytes) -> bytes:
    runs = (data[i : i + 128] for i in range(0, len(data), 128))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    RAW: bytes,
    LZW: _lzw,
    DEFLATE: zlib.compress,
    PACKBITS: _packbits,
}
FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


def _segments(pixels: Pixels, planar: int, rows: int, tile: int) -> Iterator[Pixels]:
    """What one strip, or one tile with its padding, holds: [rows, columns, channels]."""
    planes = np.split(pixels, pixels.shape[2], axis=2) if planar == 2 else [pixels]
    for plane in planes:
        if not tile:
            yield from (plane[top : top + rows] for top in range(0, len(plane), rows))
            continue
        pads = [(0, -side % tile) for side in plane.shape[:2]]
        whole = np.pad(plane, [*pads, (0, 0)])
        for top in range(0, whole.shape[0], tile):
            for left in range(0, whole.shape[1], tile):
                yield whole[top : top + tile, left : left + tile]


def tiff(
    pixels: Pixels,
    photometric: int | None = 1,
    *,
    bits: int = 0,
    order: str = "<",
    compression: int = 1,
    planar: int = 1,
    tile: int = 0,
    predictor: int = 1,
    fill: int = 1,
    tags: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A TIFF of one picture, in strips of 16 rows or in square tiles, by its tags' values."""
    bits = bits or pixels.dtype.itemsize * 8
    height, width = pixels.shape[:2]
    cube = pixels.reshape(height, width, -1)
    bodies = []
    for segment in _segments(cube, planar, 16, tile):
        first = segment.dtype.type(0)
        steps = np.diff(segment, axis=1, prepend=first) if predictor == 2 else segment
        body = COMPRESS[compression](packed(steps, bits, order))
        if fill == 2:
            body = np.packbits(
                np.unpackbits(np.frombuffer(body, np.uint8)), bitorder="little"
            ).tobytes()
        bodies.append(body + b"\0" * (len(body) % 2))
    starts = np.cumsum([8, *map(len, bodies)])
    entries = {
        256: (width,), 257: (height,), 258: (bits,) * cube.shape[2], 259: (compression,),
        262: () if photometric is None else (photometric,), 266: (fill,),
        277: (cube.shape[2],), 284: (planar,), 317: (predictor,),
        339: (FORMATS[pixels.dtype.kind],) * cube.shape[2],
        **({322: (tile,), 323: (tile,)} if tile else {278: (16,)}),
        324 if tile else 273: tuple(starts[:-1]), 325 if tile else 279: tuple(map(len, bodies)),
        **(tags or {}),
    }  # fmt: skip
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", starts[-1])
    return head + b"".join(bodies) + _directory(entries, starts[-1], order)


def _directory(entries: dict[int, tuple[int, ...]], at: int, order: str) -> bytes:
    present = {tag: values for tag, values in sorted(entries.items()) if values}
    fields, beyond = b"", b""
    start = at + 2 + 12 * len(present) + 4
    for tag, values in present.items():
        kind, letter = (4, "I") if tag in (273, 279, 324, 325) else (3, "H")
        data = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(data) > 4:
            place = struct.pack(order + "I", start + len(beyond))
            beyond += data
        else:
            place = data.ljust(4, b"\0")
        fields += struct.pack(order + "HHI", tag, kind, len(values)) + place
    return struct.pack(order + "H", len(present)) + fields + b"\0" * 4 + beyond


def bmp(
    rows: list[bytes],
    width: int,
    bits: int,
    *,
    palette: bytes = b"",
    colours: int = 0,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    down: bool = False,
) -> bytes:
    """A BMP of rows from the top: of a V4 header where there are four masks, else the usual one."""
    stored = rows if down else rows[::-1]
    body = b"".join(row if compression == 1 else row + b"\0" * (-len(row) % 4) for row in stored)
    body += b"\0\1" if compression == 1 else b""
    height = -len(rows) if down else len(rows)
    size = 108 if len(masks) == 4 else 40
    more = struct.pack(f"<{len(masks)}I", *masks).ljust(size - 40, b"\0") + palette
    head = struct.pack(
        "<IiiHHIIiiII", size, width, height, 1, bits, compression, len(body), 0, 0, colours, 0
    )
    start = 14 + len(head) + len(more)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + more + body
