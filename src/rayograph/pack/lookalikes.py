"""Films that look the same: a hash nominates, a correlation confirms."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash
from PIL import Image, ImageDraw, ImageFont
from threadpoolctl import threadpool_limits

THUMB = 64  # side of the thumbnails that pairs are confirmed on
BITS, CORRELATION = 3, 0.99  # nominated within so many bits, confirmed above this
MOST = 20  # lookalikes of a film after which it looks for no more
GRID = 8  # side of the sketch that bounds a correlation from above
PAIRS, PER_ROW, SIDE, GAP, LETTERS = 24, 3, 150, 12, 24  # of the picture: pairs, pixels, a line's
PAPER, INK = 253, 32
TILE, CANDIDATES = 512, 512  # of one step: films that are compared with as many, pairs

Ints = npt.NDArray[np.intp]
Hashes = npt.NDArray[np.uint64]
Thumbs = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Fetch = Callable[[Ints], Thumbs]


def looks(films: npt.NDArray[np.uint8]) -> tuple[Hashes, Thumbs]:
    """Hashes uint64 [n] and thumbnails uint8 [n, 64, 64] of films uint8 [n, size, size]."""
    small, shrink = [Image.fromarray(film) for film in films], Image.Resampling.BOX
    thumbs = [np.asarray(image.resize((THUMB, THUMB), shrink)) for image in small]
    hashes = [difference_hash(np.asarray(image.resize((9, 8), shrink))) for image in small]
    return np.array(hashes, np.uint64), np.array(thumbs, np.uint8).reshape(-1, THUMB, THUMB)


def pairs(hashes: Hashes, fetch: Fetch) -> Ints:
    """The pairs [m, 2] of films that look the same, i < j, sorted; hashes are uint64 [n].

    `fetch` gives the thumbnails uint8 [k, 64, 64] of rows int [k]; it is asked for every row once,
    and again for those of candidates. Candidates have difference hashes within 3 bits; a pair is
    confirmed by a correlation of its thumbnails above 0.99, since a hash alone nominates two
    thirds of honest paediatric films. Of films whose thumbnails are equal, each is paired with the
    first only, which then stands for all of them; and a film that has 20 lookalikes looks for no
    more (others may still find it): so many copies of one film are no n² pairs, and each of them
    is named in one. About 300 bytes a film are held.
    """
    with threadpool_limits(1, "blas"):  # the tiles are small: threads would wait for each other
        return _pairs(hashes, fetch)


def _pairs(hashes: Hashes, fetch: Fetch) -> Ints:
    sketches, first = _sketched(len(hashes), fetch)
    copies = np.flatnonzero(first != np.arange(len(hashes)))
    found = [np.stack([first[copies], copies], axis=1)]
    own = np.flatnonzero(first == np.arange(len(hashes)))
    lookalikes = np.zeros(len(hashes), np.int64)
    for candidates in _candidates(hashes, sketches, own, lookalikes):
        for start in range(0, len(candidates), CANDIDATES):
            some = candidates[start : start + CANDIDATES]
            some = some[lookalikes[some[:, 0]] < MOST]
            some = some[_correlations(some, fetch) > CORRELATION]
            np.add.at(lookalikes, some, 1)
            found.append(np.sort(some, axis=1))
    every = np.concatenate(found)
    return every[np.lexsort((every[:, 1], every[:, 0]))]


def _sketched(films: int, fetch: Fetch) -> tuple[Floats, Ints]:
    """Sketches float32 [n, 65] of thumbnails, and the first film that each one equals [n].

    The product of two sketches is at least the correlation of their thumbnails: 8x8 means give the
    coarse part of it, and by Cauchy and Schwarz the product of what they leave over bounds the
    rest.
    """
    sketches = np.zeros((films, GRID * GRID + 1), np.float32)
    digests = np.zeros(films, np.uint64)
    block = THUMB // GRID
    for start in range(0, films, TILE):
        rows = np.arange(start, min(start + TILE, films))
        thumbs = np.ascontiguousarray(fetch(rows))
        digests[rows] = [xxhash.xxh3_64_intdigest(thumb) for thumb in thumbs]
        flat = _standardised(thumbs).reshape(-1, GRID, block, GRID, block)
        coarse = flat.mean(axis=(2, 4)).reshape(len(rows), -1) * block
        left = np.maximum(np.square(flat).sum(axis=(1, 2, 3, 4)) - np.square(coarse).sum(axis=1), 0)
        sketches[rows, :-1], sketches[rows, -1] = coarse, np.sqrt(left)
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    return sketches, first[inverse]


def _candidates(hashes: Hashes, sketches: Floats, own: Ints, lookalikes: Ints) -> Iterator[Ints]:
    """Pairs [m, 2] of the films `own` that a hash nominates and no sketch rules out, each once.

    Of hashes within 3 bits at least one of four bands of 16 bits is equal. Bits are dealt to the
    bands by how evenly they part the films: real films crowd in a few hashes, and of neighbouring
    bits a fifth of all pairs had a band in common. Films that have `MOST` lookalikes are passed
    over.
    """
    each = np.arange(64, dtype=np.uint64)
    shares = [((hashes[own] >> bit) & np.uint64(1)).mean() if len(own) else 0 for bit in each]
    dealt = each[np.argsort(np.abs(np.array(shares) - 0.5), kind="stable")]
    masks = [np.bitwise_or.reduce(np.uint64(1) << dealt[band::4]) for band in range(4)]
    for band, mask in enumerate(masks):
        order = own[np.argsort(hashes[own] & mask, kind="stable")]
        sketch, hashed = sketches[order], hashes[order]
        ends = np.searchsorted(hashed & mask, hashed & mask, side="right")
        for start in range(0, len(order), TILE):
            stop = min(start + TILE, len(order))
            rows = np.arange(start, stop)[lookalikes[order[start:stop]] < MOST]
            for left in range(start, int(ends[stop - 1]), TILE):
                columns = np.arange(left, min(left + TILE, int(ends[stop - 1])))
                differ = hashed[rows, None] ^ hashed[columns]
                near = np.bitwise_count(differ) <= BITS
                near &= sketch[rows] @ sketch[columns].T > CORRELATION - 1e-4  # of rounding
                i, j = np.divmod(np.flatnonzero(near), len(columns))
                bands = differ[i, j][:, None] & np.array(masks[: band + 1], np.uint64)
                new = (bands[:, -1] == 0) & (bands[:, :-1] != 0).all(axis=1)
                new &= rows[i] < columns[j]
                yield order[np.stack([rows[i[new]], columns[j[new]]], axis=1)]


def _correlations(candidates: Ints, fetch: Fetch) -> Floats:
    """Of the thumbnails of each pair [m, 2]: float32 [m]."""
    rows, places = np.unique(candidates, return_inverse=True)
    if not len(rows):
        return np.empty(0, np.float32)
    flat = _standardised(fetch(rows))
    first, second = places.reshape(-1, 2).T
    return np.asarray(np.einsum("ij,ij->i", flat[first], flat[second]), np.float32)


class Named(NamedTuple):
    """A film in the picture of pairs: what it is called, and its thumbnail uint8 [64, 64]."""

    name: str
    thumb: Thumbs


def pairs_picture(found: Sequence[tuple[Named, Named]]) -> bytes:
    """A PNG of pairs, each film beside the one that it looks like, with its name; 24 at most."""
    shown = found[:PAIRS]
    cell = SIDE + 2 * 14 + GAP
    width = PER_ROW * (2 * SIDE + 4) + (PER_ROW + 1) * 2 * GAP
    sheet = Image.new("L", (width, -(-len(shown) // PER_ROW) * cell + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, pair in enumerate(shown):
        row, column = divmod(i, PER_ROW)
        for side, film in enumerate(pair):
            x = 2 * GAP + column * (2 * SIDE + 4 + 2 * GAP) + side * (SIDE + 4)
            y = GAP + row * cell
            large = Image.fromarray(film.thumb).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            sheet.paste(large, (x, y))
            draw.text((x, y + SIDE + 2), _two_lines(film.name), fill=INK, font=font, spacing=2)
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _two_lines(name: str) -> str:
    """The end of a name, which tells films apart, on two lines."""
    name = name if len(name) <= 2 * LETTERS else "…" + name[-2 * LETTERS + 1 :]
    return f"{name[:LETTERS]}\n{name[LETTERS:]}"


def difference_hash(gray9x8: npt.NDArray[np.uint8]) -> np.uint64:
    """64 bits of a film shrunk to 9 columns and 8 rows: is each pixel brighter than its neighbour.

    Source: N. Krawetz, "Kind of Like That", 2013.
    """
    bits = (gray9x8[:, 1:] > gray9x8[:, :-1]).ravel()
    return np.uint64(int.from_bytes(np.packbits(bits).tobytes(), "big"))


def _standardised(thumbs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return np.asarray(flat / norms, dtype=np.float32)
