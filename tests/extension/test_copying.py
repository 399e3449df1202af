"""Bytes from file to file: every way of copying, and shared blocks where the file system has them."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.errors import DataError
from milepost.extension import copying
from milepost.extension.copying import copy_range
from milepost.extension.weights import Fresh, plan_rewrite
from milepost.tables import parse_header

CONTENT = random.Random(0).randbytes(3 * copying.CHUNK_BYTES + 777)
WAYS = ("_in_kernel", "_by_sendfile", "_by_hand")


def refused(*_: int) -> int:
    raise OSError(errno.EXDEV, "not here")


@pytest.mark.parametrize("ways_that_fail", [0, 1, 2])
@pytest.mark.parametrize(
    ("begin", "end", "at"),
    [
        (0, len(CONTENT), 0),
        (5000, 2_000_000, 904),
        (5000, 2_000_000, 905),
        (10, 20, 4106),
        (4095, 4097, 8191),
        (7, 7, 3),
    ],
)
def test_every_way_copies_the_same_bytes(
    ways_that_fail: int, begin: int, end: int, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way in WAYS[:ways_that_fail]:
        monkeypatch.setattr(copying, way, refused)
    (tmp_path / "source").write_bytes(CONTENT)
    before, after = b"a" * at, b"z" * 9
    (tmp_path / "target").write_bytes(before + bytes(end - begin) + after)
    source, target = os.open(tmp_path / "source", os.O_RDONLY), os.open(tmp_path / "target", os.O_RDWR)
    try:
        copy_range(source, begin, end, target, at)
    finally:
        os.close(source)
        os.close(target)
    assert (tmp_path / "target").read_bytes() == before + CONTENT[begin:end] + after


def test_a_source_that_ends_early_is_named(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"short")
    with (
        (tmp_path / "source").open("rb") as source,
        (tmp_path / "target").open("wb") as target,
        pytest.raises(DataError, match="became shorter"),
    ):
        copy_range(source.fileno(), 0, 100, target.fileno(), 0)


def test_a_full_disk_is_not_taken_for_a_way_that_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(copying, "_in_kernel", full)
    (tmp_path / "source").write_bytes(b"text")
    with (
        (tmp_path / "source").open("rb") as source,
        (tmp_path / "target").open("wb") as target,
        pytest.raises(OSError, match="full"),
    ):
        copy_range(source.fileno(), 0, 4, target.fileno(), 0)


@pytest.mark.parametrize("spaces", range(0, 4096, 455))
def test_data_begins_at_the_same_place_within_a_block(spaces: int) -> None:
    entry = {"dtype": "U8", "shape": [6], "data_offsets": [0, 6]}
    raw = (
        json.dumps({"é": entry, "b": {"dtype": "F32", "shape": [2, 1], "data_offsets": [6, 14]}}).encode()
        + b" " * spaces
    )
    header = parse_header(raw, 8 + len(raw) + 14, "m.safetensors")
    rewrite = plan_rewrite(header, {"é": Fresh.of((9,), bytes(9))})
    assert (len(rewrite.head) - header.data_start) % 4096 == 0
    again = parse_header(rewrite.head[8:], rewrite.size_bytes, "m.safetensors")
    assert list(again.entries) == ["é", "b"]
    assert [(entry.begin - len(rewrite.head), entry.shape) for entry in again.entries.values()] == [
        (0, (9,)),
        (9, (2, 1)),
    ]


@pytest.fixture(params=["xfs", "btrfs"])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that shares blocks between files, in an image that is mounted."""
    make = shutil.which(f"mkfs.{request.param}", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sys.platform != "linux" or os.geteuid() != 0 or make is None:
        pytest.skip(f"needs Linux, root and mkfs.{request.param}")
    image, place = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(700 << 20)
    place.mkdir()
    made = subprocess.run([make, "-q", str(image)], capture_output=True, text=True, check=False)
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True, check=False
    )
    if made.returncode or mounted.returncode:
        pytest.skip(f"no {request.param} can be mounted: {made.stderr or mounted.stderr}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.large
def test_blocks_of_what_is_kept_are_shared(sharing: Path) -> None:
    from milepost.extension.apply import apply_plan
    from milepost.extension.plan import plan_extension

    width, half = 768, (100 << 20) // (4 * 768)
    shapes = {"a": (half, width), "embeddings.position_embeddings.weight": (512, width), "z": (half, width)}
    header, at = {}, 0
    for key, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    model = sharing / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 512}')
    (model / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + os.urandom(1) * at)
    os.sync()
    free = os.statvfs(sharing).f_bfree
    apply_plan(plan_extension(model, to=2048, out=sharing / "new"), verify="none")
    os.sync()
    used = (free - os.statvfs(sharing).f_bfree) * os.statvfs(sharing).f_frsize
    assert used <= 4 * 2048 * width + (8 << 20)
