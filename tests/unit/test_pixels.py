"""Contract 3: a film is the same picture in whatever form it comes, or is refused by name."""

import struct
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rayograph.data.recipe import ImageRecipe
from rayograph.pack.decode import UnusableError, decode
from tests.encoders import BIG, DEFLATE, LAYOUTS, LITTLE, LZW, bmp, packed, png, tiff
from tests.forms import (
    ALPHA,
    COLOUR,
    COLOUR_ALPHA,
    GRAY,
    GRAY_ALPHA,
    NONE,
    SIXTEEN,
    TWELVE,
    UNIT,
    WIDTH,
    cmyk,
    levels,
    saved,
    spread,
    wide,
)  # fmt: skip

Array = npt.NDArray[np.generic]
Row = tuple[str, bytes, Array | str, int]  # name, file, the film in 8 bits or a reason, tolerance

RECIPE = ImageRecipe(size=64, resize="crop")
LOSSY = 5  # gray levels, at the qualities used here


@cache
def in_8_bits(pixels: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """What the film is as a PNG of 8 bits, gray or colour, with alpha or without."""
    return decode(saved(np.frombuffer(pixels, np.uint8).reshape(shape)), RECIPE).values.astype(
        np.int64
    )


def pngs() -> Iterator[Row]:
    for bits in (1, 2, 4, 8):
        ramp, level = np.linspace(0, 255, 2**bits).astype(np.uint8), 2**bits // 2 - 1
        for name, palette in (("palette", ramp), ("palette, white first", ramp[::-1])):
            plte = {b"PLTE": np.repeat(palette, 3).tobytes()}
            yield f"{bits} bits {name}", png(levels(bits), bits, 3, plte), palette[levels(bits)], 0
            clear = plte | {b"tRNS": b"\xff" * level + b"\0"}
            shown = np.where(levels(bits) == level, 0, palette[levels(bits)])
            if bits > 1:  # of one bit, white alone would be left
                yield f"{bits} bits {name}, one clear", png(levels(bits), bits, 3, clear), shown, 0
        yield f"{bits} bits", png(levels(bits), bits, 0), spread(bits), 0
        yield f"{bits} bits interlaced", png(levels(bits), bits, 0, adam7=True), spread(bits), 0
        shown = np.where(levels(bits) == level, 0, spread(bits))
        file = png(levels(bits), bits, 0, {b"tRNS": struct.pack(">H", level)})
        yield f"{bits} bits, one clear level", file, shown, 0
    for name, pixels in (("16", SIXTEEN), ("12 in 16", TWELVE)):
        yield f"{name} bits", png(pixels, 16, 0), GRAY, 0
        yield f"{name} bits interlaced", png(pixels, 16, 0, adam7=True), GRAY, 0
    clear = {b"tRNS": struct.pack(">H", 90 * 257)}
    yield "16 bits, one clear", png(SIXTEEN, 16, 0, clear), np.where(GRAY == 90, 0, GRAY), 0
    for colour, pixels in ((2, COLOUR), (4, GRAY_ALPHA), (6, COLOUR_ALPHA)):
        yield f"type {colour}, 8 bits", png(pixels, 8, colour), pixels, 0
        yield f"type {colour}, 16 bits", png(wide(pixels), 16, colour), pixels, 0
        twelve = wide(pixels) >> 4
        yield f"type {colour}, 12 in 16 bits", png(twelve, 16, colour), "12 bits in use", 0
    flat = np.where(GRAY[..., None] > 150, np.uint8(250), COLOUR)
    shown = np.where(GRAY[..., None] > 150, np.uint8(0), COLOUR)
    clear = {b"tRNS": struct.pack(">3H", 250, 250, 250)}
    yield "RGB, one clear", png(flat, 8, 2, clear), shown, 0
    clear = {b"tRNS": struct.pack(">3H", 250 * 256, 250 * 256, 250 * 256)}
    yield "RGB 16 bits, one clear", png(flat.astype(np.uint16) * 256, 16, 2, clear), shown, 0
    yield "clear", png(np.dstack([COLOUR, NONE]), 8, 6), "every pixel is transparent", 0
    both = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    yield "animated", saved(both[0], save_all=True, append_images=both[1:]), "2 frames", 0


def tiffs() -> Iterator[Row]:
    for order, compression, tile, planar in LAYOUTS:
        how = {"order": order, "compression": compression, "tile": tile, "planar": planar}
        write = partial(tiff, **how)
        for name, *rest in (*_grays(write, order), *_colours(write, planar)):
            yield (f"{name} {how}", *rest)


def _grays(write: Callable[..., bytes], order: str) -> Iterator[Row]:
    for bits in (1, 2, 4, 8):
        low, shown = levels(bits), spread(bits)
        yield f"{bits} bits", write(low, bits=bits), shown, 0
        yield f"{bits} bits MinIsWhite", write(low, 0, bits=bits), 255 - shown, 0
        ramp = np.linspace(0, 65535, 2**bits).astype(int)
        for turn in (1, -1):
            file = write(low, 3, bits=bits, tags={320: tuple(ramp[::turn]) * 3})
            yield f"{bits} bits palette {turn}", file, shown if turn == 1 else 255 - shown, 0
    whole = {
        "16": SIXTEEN, "12 in 16": TWELVE, "signed 16": (SIXTEEN // 2).astype(np.int16),
        "signed 32": SIXTEEN.astype(np.int32), "float 0 to 1": UNIT,
        "float 0 to 255": GRAY.astype(np.float32), "float of 12 bits": TWELVE.astype(np.float32),
    }  # fmt: skip
    for name, pixels in whole.items():
        yield name, write(pixels), GRAY, 0
    yield "float MinIsWhite", write(1 - UNIT, 0), GRAY, 0
    turned = np.ascontiguousarray(np.rot90(SIXTEEN))
    yield "16, turned", write(turned, tags={274: (6,)}), GRAY, 0
    only_little = {
        "16 MinIsWhite": (65535 - SIXTEEN, {"photometric": 0}),
        "12 in 16 MinIsWhite": (4095 - TWELVE, {"photometric": 0}),
        "32": (GRAY.astype(np.uint32) * 0x01010101, {}),
        "12": (TWELVE, {"bits": 12}),
    }
    for name, (pixels, how) in only_little.items():
        shown = GRAY if order == LITTLE else "big-endian is not read"
        yield name, write(pixels, **how), shown, 0
    never = {
        "8 bits signed": (GRAY.astype(np.int16) - 128).astype(np.int8),
        "16 bits float": UNIT.astype(np.float16), "64 bits float": UNIT.astype(np.float64),
        "64 bits unsigned": GRAY.astype(np.uint64), "64 bits complex": UNIT.astype(np.complex64),
    }  # fmt: skip
    for name, pixels in never.items():
        yield name, write(pixels), f"a TIFF of {name}", 0
    yield "10 bits", write(TWELVE >> 2, bits=10), "a TIFF of 10 bits unsigned", 0
    yield "negative", write(SIXTEEN.astype(np.int32) - 9), "negative", 0


def _colours(write: Callable[..., bytes], planar: int) -> Iterator[Row]:
    yield "RGB", write(COLOUR, 2), COLOUR, 0
    yield "RGB 16", write(wide(COLOUR), 2), COLOUR, 0
    yield "RGB 12 in 16", write(wide(COLOUR) >> 4, 2), "12 bits in use", 0
    yield "RGB with alpha", write(COLOUR_ALPHA, 2, tags={338: (2,)}), COLOUR_ALPHA, 0
    yield "RGB with alpha, 16", write(wide(COLOUR_ALPHA), 2, tags={338: (2,)}), COLOUR_ALPHA, 0
    yield "RGB and another", write(COLOUR_ALPHA, 2, tags={338: (0,)}), COLOUR, 0
    on_black = np.rint(COLOUR_ALPHA * (ALPHA / 255.0)[..., None]).astype(np.uint8)
    on_black[..., 3] = ALPHA
    yield "RGB times alpha", write(on_black, 2, tags={338: (1,)}), COLOUR_ALPHA, 2
    for name, extra, pixels, shown in (
        ("gray with alpha", 2, GRAY_ALPHA, GRAY_ALPHA),
        ("gray times alpha", 1, on_black[..., [0, 3]], GRAY_ALPHA),
        ("gray and another", 0, GRAY_ALPHA, GRAY),
    ):
        want = "8+8 bits unsigned, MinIsBlack, in planes" if planar == 2 and extra else shown
        yield name, write(pixels, tags={338: (extra,)}), want, 2
    ink = np.dstack([255 - COLOUR, NONE])
    yield "CMYK", write(ink, 5), COLOUR, 0
    yield "CMYK 16", write(wide(ink), 5), COLOUR, 0
    yield "K", write(np.dstack([NONE, NONE, NONE, 255 - GRAY]), 5), GRAY, 0
    luma = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"))
    yield "YCbCr", write(luma, 6, tags={530: (1, 1)}), COLOUR, 3
    yield "YCbCr, 2 by 2 or not", write(luma, 6), "without YCbCrSubSampling", 0
    yield "gray YCbCr", write(GRAY, 6, tags={530: (1, 1)}), "8 bits unsigned, YCbCr", 0
    yield "RGB float", write((COLOUR / 255).astype(np.float32), 2), "32+32+32 bits float, RGB", 0


def single_tiffs() -> Iterator[Row]:
    for bits in (1, 2, 4, 8):
        yield f"FillOrder 2, {bits} bits", tiff(levels(bits), bits=bits, fill=2), spread(bits), 0
    yield "FillOrder 2, 16 bits", tiff(SIXTEEN, fill=2), GRAY, 0
    for compression in (LZW, DEFLATE):
        for order in (LITTLE, BIG):
            for pixels in (GRAY, SIXTEEN):
                how = {"compression": compression, "order": order, "predictor": 2}
                yield f"predictor {pixels.dtype} {how}", tiff(pixels, **how), GRAY, 0
    yield "no photometric", tiff(GRAY, None), "PhotometricInterpretation", 0
    yield "mask", tiff(levels(1), 4, bits=1), "photometric 4", 0
    yield "8-bit palette", tiff(GRAY, 3, tags={320: tuple(range(256)) * 3}), "8-bit levels", 0
    yield "float to 3.7", tiff(UNIT * np.float32(3.7)), "floats up to 3.7", 0
    above = (GRAY * 1.002).astype(np.float32)  # up to 255.51, as after a resampling
    yield "float to 255.5", tiff(above), GRAY, 1
    yield "not a number", tiff(np.where(GRAY == 255, np.float32("nan"), UNIT)), "not finite", 0
    yield "no tags", tiff(GRAY)[:4000], "TIFF: ", 0
    yield "cut", saved(GRAY, "TIFF")[:4000], "truncated or damaged", 0
    yield "LAB", saved(Image.fromarray(COLOUR).convert("LAB"), "TIFF"), COLOUR, LOSSY
    yield "BigTIFF", saved(SIXTEEN, "TIFF", big_tiff=True), GRAY, 0
    for kind in ("group3", "group4", "tiff_ccitt"):
        film = Image.fromarray(spread(1)).convert("1")
        yield kind, saved(film, "TIFF", compression=kind), spread(1), 0
    for image in (Image.fromarray(GRAY), Image.fromarray(COLOUR), cmyk(255 - COLOUR, NONE)):
        for kind in ("jpeg", "zstd", "lzma"):
            how = {"quality": 95} if kind == "jpeg" else {}
            file = saved(image, "TIFF", compression=kind, **how)
            yield f"{image.mode} {kind}", file, GRAY if image.mode == "L" else COLOUR, LOSSY
    frames = [Image.fromarray(GRAY), Image.fromarray(GRAY)]
    yield "pages", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]), "2 frames", 0


def jpegs() -> Iterator[Row]:
    for progressive in (False, True):
        how = {"quality": 98, "progressive": progressive}
        yield f"gray {progressive}", saved(GRAY, "JPEG", **how), GRAY, LOSSY
        for sampling in (0, 1, 2):
            file = saved(COLOUR, "JPEG", subsampling=sampling, **how)
            yield f"YCbCr {sampling} {progressive}", file, COLOUR, LOSSY
        yield f"RGB {progressive}", saved(COLOUR, "JPEG", keep_rgb=True, **how), COLOUR, LOSSY
        adobe = saved(cmyk(255 - COLOUR, NONE), "JPEG", **how)
        yield f"CMYK {progressive}", adobe, COLOUR, LOSSY
        luma = np.asarray(Image.fromarray(255 - COLOUR).convert("YCbCr"))
        ycck = bytearray(saved(cmyk(255 - luma, NONE), "JPEG", **how))
        ycck[ycck.index(b"Adobe") + 11] = 2  # the transform of the marker
        yield f"YCCK {progressive}", bytes(ycck), COLOUR, LOSSY
        start = adobe.index(b"Adobe") - 4
        yield f"bare CMYK {progressive}", adobe[:start] + adobe[start + 16 :], "Adobe's marker", 0
    head = b"\xff\xc0\0\x0b"
    twelve = saved(GRAY, "JPEG").replace(head + b"\x08", head + b"\x0c")
    yield "12 bits", twelve, "JPEG: cannot handle 12-bit layers", 0


def webps() -> Iterator[Row]:
    for name, pixels in (("gray", GRAY), ("RGB", COLOUR), ("RGBA", COLOUR_ALPHA)):
        yield name, saved(pixels, "WEBP", lossless=True, exact=True), pixels, 0
        yield f"{name} lossy", saved(pixels, "WEBP", quality=98), pixels, LOSSY
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    yield "animated", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "2 fr", 0


def bmps() -> Iterator[Row]:
    for bits in (1, 4, 8):
        lines = [packed(row[None], bits) for row in levels(bits)]
        ramp = np.linspace(0, 255, 2**bits).astype(np.uint8)
        for turn in (1, -1):
            palette = np.dstack([ramp[::turn]] * 3 + [ramp * 0]).tobytes()
            shown = ramp[::turn][levels(bits)]
            for down in (False, True):
                file = bmp(lines, WIDTH, bits, palette=palette, down=down)
                yield f"{bits} bits {turn} down {down}", file, shown, 0
            if bits == 8:
                runs = [b"".join(bytes([1, level]) for level in row) + b"\0\0" for row in lines]
                file = bmp(runs, WIDTH, 8, palette=palette, compression=1)
                yield f"RLE8 {turn}", file, shown, 0
    two = bmp(
        [bytes(row) for row in levels(1)], WIDTH, 8, palette=b"\0\0\0\0\xff\xff\xff\0", colours=2
    )
    yield "8 bits of 2 grays", two, "a BMP of 8 bits", 0
    bgr = COLOUR[..., ::-1]
    masks = (0xFF0000, 0xFF00, 0xFF)
    yield "24 bits", bmp([row.tobytes() for row in bgr], WIDTH, 24), COLOUR, 0
    empty = [row.tobytes() for row in np.dstack([bgr, NONE])]
    yield "32 bits", bmp(empty, WIDTH, 32), COLOUR, 0
    yield "32 bits masked", bmp(empty, WIDTH, 32, compression=3, masks=masks), COLOUR, 0
    masks = (*masks, 0xFF000000)
    yield "alpha 0", bmp(empty, WIDTH, 32, compression=3, masks=masks), "is transparent", 0
    alpha = [row.tobytes() for row in np.dstack([bgr, ALPHA])]
    yield "alpha", bmp(alpha, WIDTH, 32, compression=3, masks=masks), COLOUR_ALPHA, 0
    for green, masks in ((5, (0x7C00, 0x3E0, 0x1F)), (6, (0xF800, 0x7E0, 0x1F))):
        tops = np.array([31, 2**green - 1, 31])
        few = np.rint(COLOUR / 255 * tops).astype(np.uint16)
        rows = (few[..., 0] << (5 + green)) | (few[..., 1] << 5) | few[..., 2]
        file = bmp([row.tobytes() for row in rows], WIDTH, 16, compression=3, masks=masks)
        yield f"16 bits 5{green}5", file, np.rint(few / tops * 255).astype(np.uint8), 2
    yield "16 bits 444", file.replace(b"\0\xf8", b"\0\x0f", 1), "bitfields layout", 0
    yield "JPEG inside", bmp([b"x"], WIDTH, 24, compression=4), "BMP compression", 0


def turned() -> Iterator[Row]:
    undo: dict[int, Callable[[Array], Array]] = {
        2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 5: lambda p: p.T, 6: np.rot90,
        7: lambda p: np.rot90(p, 2).T, 8: lambda p: np.rot90(p, -1),
    }  # fmt: skip
    for orientation, act in undo.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("PNG", "TIFF", "JPEG", "WEBP"):
            how = {"JPEG": {"quality": 98}, "WEBP": {"lossless": True}}.get(kind, {})
            file = saved(np.ascontiguousarray(act(GRAY)), kind, exif=exif, **how)
            yield f"{kind} orientation {orientation}", file, GRAY, LOSSY if kind == "JPEG" else 0


def others() -> Iterator[Row]:
    yield "DICOM", b"\0" * 128 + b"DICM" + b"\0" * 64, "no pixel data", 0
    for kind in ("GIF", "JPEG2000", "PPM"):
        yield kind, saved(GRAY, kind), "not a film in DICOM, JPEG, PNG, WEBP, TIFF, BMP", 0


GROUPS = (pngs, tiffs, single_tiffs, jpegs, webps, bmps, turned, others)


@pytest.mark.parametrize("rows", GROUPS, ids=lambda rows: rows.__name__)
def test_a_film_is_one_picture_in_every_form_or_refused_by_name(
    rows: Callable[[], Iterator[Row]],
) -> None:
    wrong = []
    for name, file, want, tolerance in rows():
        try:
            found: Array | str = decode(file, RECIPE).values
        except UnusableError as error:
            found = str(error)
        if isinstance(want, str):
            good = isinstance(found, str) and want in found
        else:
            shown = in_8_bits(want.tobytes(), want.shape)
            good = not isinstance(found, str) and np.abs(found - shown).max() <= tolerance
        if not good:
            wrong.append((name, found if isinstance(found, str) else "another picture"))
    assert wrong == []
