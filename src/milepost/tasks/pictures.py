"""Reading labelled images: a folder for each class, MNIST's idx files, or digits that need no file."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int64, UInt8

from milepost.corpus.text import BUILTIN_PREFIX
from milepost.errors import DataError, MilepostError, MissingExtra, UnknownName
from milepost.storage.files import expand, open_regular

SUFFIXES = (".jpg", ".jpeg", ".png")
LARGEST_SIDE = 256
MAX_PIXELS: Final = 1 << 25
"""Of one image before it is made smaller, as 8,192 x 4,096: it takes four bytes of memory for each, twice."""
MAX_IMAGE_BYTES: Final = 1 << 27
"""Of the file of one image."""
MAX_SET_BYTES: Final = 1 << 30
"""Of the pixels of all images together, at the size that is kept."""
MAX_RATIO: Final = 100
"""Bytes that one byte of a gzip file may hold, once they are more than ``FREE_BYTES``."""
FREE_BYTES: Final = 1 << 26
_PIECE_BYTES = 1 << 20
_GRAY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


@dataclass(frozen=True)
class Pictures:
    """Square images of one size, and what they show.

    Args:
        name: what the user wrote, a path or ``builtin:NAME``.
        classes: names of the classes, sorted.
        pixels: grey or red, green and blue, 0 to 255.
        labels: indices into ``classes``.
    """

    name: str
    classes: tuple[str, ...]
    pixels: UInt8[np.ndarray, "images side side channels"]
    labels: Int64[np.ndarray, " images"]


def read_pictures(source: str) -> Pictures:
    """Read a folder with a folder of JPEG or PNG files for each class, MNIST's idx files, or ``builtin:NAME``.

    Images that are not square lose what is too much of the longer side, half at each end. Where sizes differ,
    all are made as small as the smallest, and none is kept larger than 256 pixels (bicubic, with antialias).
    One coloured image makes all of them coloured. Idx files, plain or gzip, are a folder that holds images and
    labels, or the file of the images itself, its labels beside it.

    Raises:
        DataError: MP110, for what is missing, damaged, too large, or has no second class.
        UnknownName: MP104, no built-in of this name. MissingExtra: MP106.

    >>> read_pictures("builtin:digits").pixels.shape
    (1797, 8, 8, 1)
    """
    if source.startswith(BUILTIN_PREFIX):
        name = source.removeprefix(BUILTIN_PREFIX)
        if name not in BUILTINS:
            raise UnknownName.among("built-in set of images", name, BUILTINS)
        pixels, labels = BUILTINS[name]()
        return _named(source, pixels, labels)
    path = expand(source)
    pairs = _idx_pairs(path)
    if len(pairs) > 1:
        raise DataError(
            "the folder holds several idx files of images",
            got=", ".join(images.name for images, _ in pairs),
            fix="give the file of the training images, and --test the other",
        )
    if pairs:
        return _named(source, *_read_idx(*pairs[0]))
    return _read_folders(source, path)


def _named(source: str, pixels: np.ndarray, labels: np.ndarray) -> Pictures:
    """Images whose classes are numbers."""
    numbers, places = np.unique(labels, return_inverse=True)
    if pixels.shape[1] > LARGEST_SIDE:
        raise DataError("the images are too large", got=f"{source}: {pixels.shape[1]} pixels",
                        fix=f"give images of at most {LARGEST_SIDE}")  # fmt: skip
    return Pictures(source, tuple(map(str, numbers.tolist())), pixels[..., None], places.astype(np.int64))


# ---- MNIST's format


def _idx_pairs(path: Path) -> list[tuple[Path, Path]]:
    """Files of images with the files of their labels."""
    if path.is_dir():
        images = sorted(one for one in path.iterdir() if _IMAGES in one.name and one.is_file())
    else:
        images = [path] if _IMAGES in path.name and path.is_file() else []
    pairs = [(one, one.with_name(one.name.replace(_IMAGES, _LABELS))) for one in images]
    if path.is_dir():
        _check_inside(path, [file for pair in pairs for file in pair])
    return pairs


def _check_inside(folder: Path, files: list[Path]) -> None:
    root = folder.resolve()
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise DataError("a link leads out of the folder of images", got=str(file), fix="copy the file")


def _read_idx(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    pixels, shown = _read_array(images, 3), _read_array(labels, 1)
    if len(pixels) != len(shown) or pixels.shape[1] != pixels.shape[2]:
        raise DataError(
            "idx files do not hold square images with one label each",
            got=f"{images.name}: {' x '.join(map(str, pixels.shape))}; {labels.name}: {len(shown)} labels",
            fix="give the two files of one set",
        )
    return pixels, shown


def _read_array(file: Path, axes: int) -> UInt8[np.ndarray, ...]:
    """One array of bytes; no more is ever unpacked than its header says."""
    try:
        with open_regular(file) as packed:
            stream = gzip.GzipFile(fileobj=packed) if file.suffix == ".gz" else packed
            shape = _read_header(file, stream.read(4 + 4 * axes), axes)
            wanted = _count_bytes(file, shape, os.fstat(packed.fileno()).st_size)
            # pages of memory are taken as they are filled: a header alone takes none
            content, there = np.empty(wanted, np.uint8), 0
            while there < wanted:
                got = stream.readinto(content[there : there + _PIECE_BYTES].data)
                if not got:
                    break
                there += got
            more = bool(stream.read(1))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("an idx file cannot be read", got=f"{file}: {error}",
                        fix="check that it is whole, and its labels next to it") from None  # fmt: skip
    if there != wanted or more:
        raise DataError("an idx file has another size than its header says",
                        got=f"{file}: {wanted} bytes announced, {'more' if more else there} there",
                        fix="fetch it again")  # fmt: skip
    return content.reshape(shape)


def _read_header(file: Path, begin: bytes, axes: int) -> list[int]:
    header = np.frombuffer(begin[: len(begin) // 4 * 4], dtype=">u4").tolist()
    if len(header) != 1 + axes or header[0] != 0x800 + axes:
        raise DataError("a file is not in idx format", got=f"{file}: another header",
                        fix=f"give unsigned bytes of {axes} axes, as MNIST's")  # fmt: skip
    return list(header[1:])


def _count_bytes(file: Path, shape: list[int], packed: int) -> int:
    """The bytes that a header announces, refused where they are too many, or too many for the file."""
    wanted = math.prod(shape)
    most = MAX_SET_BYTES if file.suffix != ".gz" else max(FREE_BYTES, min(MAX_SET_BYTES, MAX_RATIO * packed))
    if not 0 < wanted <= most:
        raise DataError("an idx file is empty or too large",
                        got=f"{file}: {wanted:,} bytes announced in a file of {packed:,}",
                        fix=f"give at most {most:,} (gzip: {MAX_RATIO} for each byte of the file)")  # fmt: skip
    return wanted


# ---- folders of files


def _read_folders(source: str, path: Path) -> Pictures:
    def visible(folder: Path) -> list[Path]:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))

    folders = [one for one in visible(path) if one.is_dir()] if path.is_dir() else []
    files = {
        folder.name: [one for one in visible(folder) if one.suffix.lower() in SUFFIXES] for folder in folders
    }
    classes = tuple(name for name in files if files[name])
    if len(classes) < 2:
        raise DataError(
            "there are no images of two classes at this path",
            got=f"{source}: {len(classes)} folders with {', '.join(SUFFIXES)} files",
            fix="give a folder with one folder of images for each class, MNIST's files, or builtin:digits",
        )
    _check_inside(path, [file for name in classes for file in files[name]])
    images, kept = [], 0
    for file in (file for name in classes for file in files[name]):
        images.append(_read_image(file))
        kept += images[-1].size[0] ** 2 * len(images[-1].getbands())
        _check_set(source, kept)
    labels = np.repeat(np.arange(len(classes)), [len(files[name]) for name in classes])
    mode = "RGB" if any(image.mode == "RGB" for image in images) else "L"
    side = min(min(image.size[0] for image in images), LARGEST_SIDE)
    from PIL.Image import Resampling

    pixels = np.stack([
        np.asarray(image.convert(mode).resize((side, side), Resampling.BICUBIC)) for image in images
    ])  # fmt: skip
    return Pictures(source, classes, pixels.reshape(len(pixels), side, side, -1), labels.astype(np.int64))


def _check_set(source: str, size: int) -> None:
    if size > MAX_SET_BYTES:
        raise DataError(
            "the images are too many",
            got=f"{source[:300]}: more than {MAX_SET_BYTES:,} bytes of pixels",
            fix=f"give fewer or smaller ones: at most {LARGEST_SIDE} x {LARGEST_SIDE} are kept of each",
        )


def _read_image(file: Path) -> Any:
    """A square image, grey or coloured, at most ``LARGEST_SIDE`` wide."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra.of("data", error.name or "PIL") from None
    with open_regular(file) as stream, warnings.catch_warnings():
        if os.fstat(stream.fileno()).st_size > MAX_IMAGE_BYTES:
            raise _too_large(file, f"more than {MAX_IMAGE_BYTES:,} bytes")
        warnings.simplefilter("ignore")  # of metadata that Pillow cannot read
        try:
            with Image.open(stream, formats=("JPEG", "PNG")) as opened:
                width, height = opened.size
                if width * height > MAX_PIXELS:
                    raise _too_large(file, f"{width} x {height} pixels, at most {MAX_PIXELS:,} are read")
                if opened.mode not in (*_GRAY, *_COLOUR):
                    raise ValueError(f"pixels of the kind {opened.mode}, which would lose their values")
                return _fit(opened)
        except MilepostError:
            raise
        except Image.DecompressionBombError as error:
            raise _too_large(file, str(error)) from None
        # damaged files and metadata make Pillow raise errors of any kind: struct.error, KeyError, TypeError
        except Exception as error:
            raise DataError("an image cannot be read", got=f"{file}: {str(error)[:200] or type(error).__name__}",
                            fix="save it again as an 8-bit JPEG or PNG, or leave it out") from None  # fmt: skip


def _fit(image: Any) -> Any:
    """Upright, square, grey or coloured, and small; with as few copies of a large image as can be."""
    from PIL import Image, ImageOps

    grey = image.mode in _GRAY
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    mode = "L" if grey else "RGB"
    upright = image if image.mode == mode else image.convert(mode)
    side = min(*upright.size, LARGEST_SIDE)
    return ImageOps.fit(upright, (side, side), Image.Resampling.BICUBIC)


def _too_large(file: Path, got: str) -> DataError:
    return DataError(
        "an image is too large to be unpacked", got=f"{file}: {got}", fix="make it smaller, or leave it out"
    )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra.of("data", error.name or "sklearn") from None
    found = load_digits()
    return (found.images * (255 / 16)).round().astype(np.uint8), found.target


BUILTINS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {"digits": _digits}
"""Images by name, from installed packages."""


def hash_picture(pixels: UInt8[np.ndarray, "side side channels"]) -> bytes:
    """What tells images apart."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).digest()
