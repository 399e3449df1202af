"""Images: reading them, parts, sizes, metrics against loops, and that models learn."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from milepost.errors import DataError, MissingExtra, OptionError, UnknownName
from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.tasks import Options, find_task
from milepost.tasks.images import Images, resize
from milepost.tasks.pictures import LARGEST_SIDE, read_pictures
from milepost.tasks.task import to_device

Image = pytest.importorskip("PIL.Image", reason="needs the extra data")
CPU = torch.device("cpu")
REAL = Path(__file__).parents[3] / "shared" / "data" / "images"
real = pytest.mark.skipif(not REAL.exists(), reason="needs the real images beside the project")


def write_idx(
    folder: Path, pixels: np.ndarray, labels: np.ndarray, *, name: str = "t10k", packed: bool = False
) -> Path:
    """MNIST's two files; returns the one of the images."""
    folder.mkdir(exist_ok=True)
    ending = ".gz" if packed else ""
    paths = [folder / f"{name}-{kind}-ubyte{ending}" for kind in ("images-idx3", "labels-idx1")]
    for path, array in zip(paths, (pixels, labels), strict=True):
        content = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
        path.write_bytes(gzip.compress(content) if packed else content)
    return paths[0]


def write_folders(
    folder: Path, counts: dict[str, int], *, size: tuple[int, int] = (8, 8), mode: str = "L"
) -> Path:
    rng = np.random.default_rng(len(counts))
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for at in range(count):
            shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{at}.PNG")
    return folder


@pytest.fixture
def noise() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (60, 6, 6), dtype=np.uint8), np.arange(60, dtype=np.uint8) % 3


@pytest.fixture
def idx(tmp_path: Path, noise: tuple[np.ndarray, np.ndarray]) -> str:
    write_idx(tmp_path / "idx", *noise)
    return str(tmp_path / "idx")


@pytest.fixture(scope="module")
def digits() -> Images:
    pytest.importorskip("sklearn", reason="needs the extra data")
    return Images.open("builtin:digits", Options(patch=2))


class Brightness(nn.Module):
    """Logits from the mean of an image, and what it was shown."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.seen = classes, []

    def forward(self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool) -> SimpleNamespace:
        assert interpolate_pos_encoding
        self.seen.append(pixel_values)
        return SimpleNamespace(logits=pixel_values.mean((1, 2, 3))[:, None] * 40 * torch.arange(self.classes))


# ---- reading


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_as_they_were_written(
    tmp_path: Path, noise: tuple[np.ndarray, np.ndarray], packed: bool
) -> None:
    file = write_idx(tmp_path / "m", *noise, packed=packed)
    for source in (file, file.parent):
        pictures = read_pictures(str(source))
        assert np.array_equal(pictures.pixels[..., 0], noise[0])
        assert pictures.classes == ("0", "1", "2") and np.array_equal(pictures.labels, noise[1])


def test_a_set_with_a_test_part_is_given_by_its_files(
    tmp_path: Path, noise: tuple[np.ndarray, np.ndarray]
) -> None:
    train = write_idx(tmp_path / "m", noise[0][:40], noise[1][:40], name="train")
    test = write_idx(tmp_path / "m", noise[0][40:], noise[1][40:])
    with pytest.raises(DataError, match="several"):
        read_pictures(str(tmp_path / "m"))
    task = Images.open(str(train), Options(test=str(test)))
    assert len(task.parts["test"][1]) == 20 and len(task.parts["train"][1]) == 37


def damage(file: Path, change: str) -> None:
    content = file.read_bytes()
    if change == "cut":
        file.write_bytes(content[:-1])
    elif change == "more":
        file.write_bytes(content + b"\0")
    elif change == "header":
        file.write_bytes(b"\0\0\x0d\x03" + content[4:])
    elif change == "huge":
        file.write_bytes(content[:4] + struct.pack(">3I", 2**31, 2**31, 2**31) + content[16:])
    elif change == "short":
        file.write_bytes(content[:7])
    elif change == "labels":
        file.with_name(file.name.replace("images-idx3", "labels-idx1")).unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [("cut", "another size"), ("more", "another size"), ("header", "idx format"), ("huge", "too large"),
     ("short", "idx format"), ("labels", "cannot be read")],
)  # fmt: skip
def test_damaged_idx_files_are_refused(
    tmp_path: Path, noise: tuple[np.ndarray, np.ndarray], change: str, says: str
) -> None:
    file = write_idx(tmp_path / "m", *noise)
    damage(file, change)
    with pytest.raises(DataError, match=says):
        read_pictures(str(file.parent))


def test_a_damaged_gzip_and_a_label_too_few_are_refused(
    tmp_path: Path, noise: tuple[np.ndarray, np.ndarray]
) -> None:
    file = write_idx(tmp_path / "m", *noise, packed=True)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read"):
        read_pictures(str(file))
    with pytest.raises(DataError, match="one label each"):
        read_pictures(str(write_idx(tmp_path / "n", noise[0], noise[1][1:])))


def test_a_gzip_is_unpacked_no_further_than_its_header_says(
    tmp_path: Path, noise: tuple[np.ndarray, np.ndarray]
) -> None:
    file = write_idx(tmp_path / "m", *noise, packed=True)
    bomb = struct.pack(">4I", 0x803, 60, 6, 6) + bytes(50_000_000)
    file.write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(DataError, match="2160 bytes announced, more there"):
        read_pictures(str(file))


def test_folders_are_classes_and_suffixes_are_of_any_case(tmp_path: Path) -> None:
    write_folders(tmp_path, {"cat": 3, "dog": 4, "empty": 0})
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    pictures = read_pictures(str(tmp_path))
    assert pictures.classes == ("cat", "dog") and pictures.labels.tolist() == [0] * 3 + [1] * 4
    assert np.array_equal(pictures.pixels[3, ..., 0], np.asarray(Image.open(tmp_path / "dog" / "0.PNG")))


def test_images_are_made_square_and_of_one_size(tmp_path: Path) -> None:
    wide = np.zeros((8, 16), dtype=np.uint8)
    wide[:, 4:12] = 200  # the middle is kept
    (tmp_path / "a").mkdir()
    Image.fromarray(wide).save(tmp_path / "a" / "wide.png")
    Image.fromarray(np.full((12, 12), 90, dtype=np.uint8)).save(tmp_path / "a" / "even.png")
    write_folders(tmp_path, {"b": 1}, size=(300, 280))
    pictures = read_pictures(str(tmp_path))
    assert pictures.pixels.shape == (3, 8, 8, 1)
    assert (pictures.pixels[0] == 90).all() and (pictures.pixels[1] == 200).all()
    write_folders(tmp_path / "large", {"b": 1, "c": 1}, size=(300, 280))
    assert read_pictures(str(tmp_path / "large")).pixels.shape[1] == LARGEST_SIDE


def test_one_coloured_image_makes_all_coloured(tmp_path: Path) -> None:
    write_folders(tmp_path, {"grey": 2})
    write_folders(tmp_path, {"red": 1}, mode="RGB")
    pixels = read_pictures(str(tmp_path)).pixels
    assert pixels.shape == (3, 8, 8, 3)
    assert (pixels[0] == pixels[0][..., :1]).all() and not (pixels[2] == pixels[2][..., :1]).all()


def test_photographs_are_turned_as_their_camera_says(tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat([[0, 255]], 8, 0).repeat(4, 1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for name in "ab":
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "x.jpg", exif=exif, quality=95)
    assert read_pictures(str(tmp_path)).pixels[0, 0, 0, 0] > 200


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    file = tmp_path / "b" / "1.PNG"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"not an image", b""):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read\n  got: .*b.1.PNG"):
            read_pictures(str(tmp_path))
    Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(file)
    with pytest.raises(DataError, match="I;16"):
        read_pictures(str(tmp_path))
    Image.new("L", (8, 8)).save(file, format="GIF")
    with pytest.raises(DataError, match="cannot be read"):
        read_pictures(str(tmp_path))


def test_a_damaged_jpeg_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    file = tmp_path / "b" / "x.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:-600])
    with pytest.raises(DataError, match=r"x\.jpg"):
        read_pictures(str(tmp_path))


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    Image.new("1", (30_000, 3_000)).save(tmp_path / "b" / "bomb.png")  # 11 kB, 90 million pixels
    with pytest.raises(DataError, match="too large to be unpacked"):
        read_pictures(str(tmp_path))


def test_small_gzip_that_announces_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 2047, 1024, 1024) + bytes(100_000)))
    with pytest.raises(DataError, match="too large") as refused:
        read_pictures(str(file))
    assert "100 for each byte" in refused.value.fix


def test_header_alone_takes_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(struct.pack(">4I", 0x803, 16_000, 256, 256) + bytes(10))
    with pytest.raises(DataError, match="1048576000 bytes announced, 10 there"):
        read_pictures(str(file))


def test_corrupt_metadata_of_a_camera_is_refused_or_ignored(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8769] = {36864: b"0230"}
    file = tmp_path / "b" / "x.jpg"
    Image.new("RGB", (16, 16)).save(file, exif=exif)
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        content = bytearray(whole)
        for at in rng.integers(2, 160, rng.integers(1, 6)):
            content[at] = rng.integers(256)
        file.write_bytes(content)
        try:
            read_pictures(str(tmp_path))
        except DataError:
            refused += 1
    assert 0 < refused < 100


def test_images_together_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr("milepost.tasks.pictures.MAX_SET_BYTES", 100)
    with pytest.raises(DataError, match="more than 100 bytes of pixels"):
        read_pictures(str(tmp_path))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    outside = write_folders(tmp_path / "outside", {"a": 1}) / "a" / "0.PNG"
    write_folders(tmp_path / "in", {"a": 2, "b": 2})
    (tmp_path / "in" / "b" / "link.png").symlink_to(tmp_path / "in" / "a" / "0.PNG")
    read_pictures(str(tmp_path / "in"))
    (tmp_path / "in" / "b" / "out.png").symlink_to(outside)
    with pytest.raises(DataError, match="leads out"):
        read_pictures(str(tmp_path / "in"))
    file = write_idx(tmp_path / "m", np.zeros((3, 2, 2), dtype=np.uint8), np.arange(3, dtype=np.uint8))
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")
    with pytest.raises(DataError, match="leads out"):
        read_pictures(str(file.parent))


def test_places_without_images_of_two_classes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    for source in (
        tmp_path / "none",
        tmp_path,
        tmp_path / "file.png",
        write_folders(tmp_path / "one", {"a": 5}),
    ):
        with pytest.raises(DataError, match="two classes"):
            read_pictures(str(source))
    with pytest.raises(UnknownName, match="digits"):
        read_pictures("builtin:digit")


def test_absent_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for source in (str(tmp_path), "builtin:digits"):
        with pytest.raises(MissingExtra, match=r"milepost\[data\]"):
            read_pictures(source)


# ---- parts


def shown(task: Images, part: str) -> list[bytes]:
    pictures, chosen = task.parts[part]
    return [pictures.pixels[at].tobytes() for at in chosen]


def test_each_class_is_in_each_part_and_no_image_in_two(idx: str) -> None:
    task = Images.open(idx, Options())
    keys = {part: set(shown(task, part)) for part in ("train", "validation", "test")}
    assert [len(keys[part]) for part in keys] == [42, 6, 12]
    assert len(set.union(*keys.values())) == 60
    for part, count in (("train", 14), ("validation", 2), ("test", 4)):
        pictures, chosen = task.parts[part]
        assert np.bincount(pictures.labels[chosen]).tolist() == [count] * 3


def test_parts_depend_on_pixels_alone(tmp_path: Path, noise: tuple[np.ndarray, np.ndarray], idx: str) -> None:
    order = np.random.default_rng(1).permutation(60)
    other = Images.open(str(write_idx(tmp_path / "o", noise[0][order], noise[1][order])), Options())
    for part in ("train", "validation", "test"):
        assert set(shown(other, part)) == set(shown(Images.open(idx, Options()), part))


def test_the_same_image_is_kept_once(tmp_path: Path, noise: tuple[np.ndarray, np.ndarray], idx: str) -> None:
    twice = write_idx(tmp_path / "t", *(np.concatenate([one, one[:10]]) for one in noise))
    task = Images.open(str(twice), Options())
    assert task.facts()["repeated_images"] == 10
    assert sum(len(shown(task, part)) for part in task.parts) == 60
    assert task.sha256 == Images.open(idx, Options()).sha256


def test_a_class_of_too_few_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 different images of b"):
        Images.open(str(write_folders(tmp_path / "x", {"a": 9, "b": 1})), Options())
    task = Images.open(str(write_folders(tmp_path / "y", {"a": 9, "b": 3})), Options())
    assert [int((task.parts[part][0].labels[task.parts[part][1]] == 1).sum()) for part in task.parts] == [
        1,
        1,
        1,
    ]


def test_given_parts_are_held_to_the_classes_and_to_being_others(
    tmp_path: Path, noise: tuple[np.ndarray, np.ndarray]
) -> None:
    main = str(write_idx(tmp_path / "a", noise[0][:40], noise[1][:40]))
    rest = str(write_idx(tmp_path / "b", noise[0][40:], noise[1][40:]))
    both = Images.open(
        main, Options(validation=rest, test=str(write_folders(tmp_path / "c", {"0": 1, "1": 2, "2": 3})))
    )
    assert [len(both.parts[part][1]) for part in ("train", "validation", "test")] == [40, 20, 6]
    with pytest.raises(DataError, match="share documents"):
        Images.open(main, Options(test=str(write_idx(tmp_path / "d", noise[0][39:], noise[1][39:]))))
    with pytest.raises(DataError, match="other classes"):
        Images.open(main, Options(test=str(write_idx(tmp_path / "e", noise[0][40:], noise[1][40:] + 1))))
    with pytest.raises(DataError, match="3 channels"):
        Images.open(
            main, Options(test=str(write_folders(tmp_path / "f", {"0": 1, "1": 1, "2": 1}, mode="RGB")))
        )


# ---- sizes, batches, losses, measurements


@pytest.mark.parametrize("length", [4, 9, 16])
def test_resizing_is_pillows(noise: tuple[np.ndarray, np.ndarray], length: int) -> None:
    raw = torch.from_numpy(noise[0][:4, None]).float()
    made = resize(raw, length)
    for at in range(4):
        exact = Image.fromarray(raw[at, 0].numpy()).resize((length, length), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(made[at, 0], np.asarray(exact).clip(0, 255), atol=1e-3)
    assert resize(raw, 6) is raw


def test_a_batch_is_a_function_of_its_arguments(idx: str) -> None:
    task = Images.open(idx, Options(patch=3))
    batch = task.batch(3, 11, 5, 9)
    assert batch["pixels"].shape == (5, 1, 9, 9) and batch["pixels"].dtype == np.float32
    again = Images.open(idx, Options(patch=3)).batch(3, 11, 5, 9)
    assert all(np.array_equal(batch[name], again[name]) for name in batch)
    assert not np.array_equal(batch["pixels"], task.batch(3, 12, 5, 9)["pixels"])
    assert not np.array_equal(batch["pixels"], task.batch(4, 11, 5, 9)["pixels"])
    own = task.batch(0, 0, 8, 6)
    keys = dict(zip(shown(task, "train"), task._labels("train"), strict=True))
    mean, spread = (float(one.squeeze()) for one in task._scales())
    for pixels, label in zip(own["pixels"], own["labels"], strict=True):
        assert keys[(pixels * spread + mean).round().astype(np.uint8).tobytes()] == label


def test_pixels_are_standardised_by_the_training_part(tmp_path: Path) -> None:
    task = Images.open(str(write_folders(tmp_path, {"a": 30, "b": 30}, mode="RGB")), Options())
    pictures, chosen = task.parts["train"]
    values = pictures.pixels[chosen].astype(np.float64)
    mean, spread = task._scales()
    np.testing.assert_allclose(mean.ravel(), values.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(spread.ravel(), values.std((0, 1, 2)), rtol=1e-6)
    everything = task._pixels("train", np.arange(len(chosen)), 8)
    assert everything.mean((0, 2, 3)) == pytest.approx(0, abs=1e-4)
    assert everything.std((0, 2, 3)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("length", [6, 12])
def test_measurements_are_those_of_a_loop(idx: str, length: int) -> None:
    task, model = Images.open(idx, Options(patch=3)), Brightness(3)
    measured = task.evaluate(model, length, CPU)
    labels, pixels = task._labels("test"), torch.cat(model.seen).double()
    logits = pixels.mean((1, 2, 3))[:, None] * 40 * torch.arange(3)
    said = logits.argmax(1).numpy()
    assert pixels.shape == (12, 1, length, length)
    assert measured.metrics["accuracy"] == pytest.approx(np.mean(said == labels))
    losses = [
        -functional.log_softmax(row, 0)[label].item() for row, label in zip(logits, labels, strict=True)
    ]
    assert measured.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert measured.breakdown["accuracy by class"] == {
        str(label): pytest.approx(np.mean(said[labels == label] == label)) for label in range(3)
    }
    assert measured.breakdown["confusion matrix, images"] == {
        f"{true} → {got}": float(np.sum(said[labels == true] == got)) for true in range(3) for got in range(3)
    }
    assert not measured.curve and task.axis == ""


def test_a_large_confusion_matrix_is_left_out(tmp_path: Path) -> None:
    task = Images.open(str(write_folders(tmp_path, {f"{at:02}": 4 for at in range(13)})), Options())
    breakdown = task.evaluate(Brightness(13), 8, CPU).breakdown
    assert breakdown.keys() == {"accuracy by class"} and len(breakdown["accuracy by class"]) == 13


def test_the_floor_and_the_share_of_the_largest_class(tmp_path: Path) -> None:
    task = Images.open(str(write_folders(tmp_path, {"a": 10, "b": 30})), Options())
    assert task.floor() == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert task.facts()["largest_class_accuracy"] == 0.75


def test_options_and_sides_out_of_range_are_refused(idx: str) -> None:
    task = Images.open(idx, Options(patch=3))
    task.check_lengths(6, (3, 9))
    for train, lengths in ((8, (6,)), (6, (6, 7))):
        with pytest.raises(OptionError, match="do not fill"):
            task.check_lengths(train, lengths)
    for options in (Options(patch=-1), Options(header=False), Options(horizon=3), Options(tokenizer="byte")):
        with pytest.raises(OptionError):
            Images.open(idx, options)


# ---- models


def make(task: Images, encoding: str, length: int, seed: int = 0) -> nn.Module:
    head = task.head
    shape = ModelShape(layers=1, dim=32, heads=2, init_std=0.1, max_len=task.positions(length), labels=head.labels,
                  side=length, channels=head.channels, patch=head.patch)  # fmt: skip
    return build_scratch(head.kind, shape, encoding=encoding, seed=seed)


def test_positions_are_the_rows_that_a_table_has(digits: Images) -> None:
    assert make(digits, "learned", 8).vit.milepost.usable_length == digits.positions(8) == 17


def test_all_encodings_share_every_other_weight_bit_for_bit(digits: Images) -> None:
    wanted = None
    for encoding in ("none", "learned", "learned2d", "sinusoidal2d", "rotary2d", "alibi"):
        state = make(digits, encoding, 8).state_dict()
        shared = {name: one for name, one in state.items() if ".milepost." not in name}
        wanted = wanted or shared
        assert shared.keys() == wanted.keys()
        assert all(torch.equal(shared[name], wanted[name]) for name in wanted), encoding


def test_without_positions_a_model_cannot_tell_where_a_patch_was(digits: Images) -> None:
    pixels = torch.from_numpy(digits.batch(0, 0, 4, 8)["pixels"])
    moved = pixels.roll(2, 3)  # each patch to its neighbour's place
    for encoding, same in (("none", True), ("learned", False), ("rotary2d", False)):
        model = make(digits, encoding, 8).eval()
        with torch.no_grad():
            logits = [model(pixel_values=one).logits for one in (pixels, moved)]
        assert torch.allclose(*logits, atol=1e-5) is same, encoding


def test_a_model_learns_digits_and_a_table_resampled_in_two_dimensions_reads_larger_ones(
    digits: Images,
) -> None:
    digits.check_lengths(8, (8, 12))
    model = make(digits, "learned(past=bicubic)", 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(160):
        loss = digits.loss(model, to_device(digits.batch(0, step, 32, 8), CPU))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    accuracies = {}
    for past in ("bicubic", "linear"):
        other = make(digits, f"learned(past={past})", 8).eval()
        other.load_state_dict(model.state_dict())
        accuracies[past] = [digits.evaluate(other, length, CPU).metrics["accuracy"] for length in (8, 12)]
    assert loss.item() < 0.5 * digits.floor()
    assert accuracies["bicubic"][0] == accuracies["linear"][0] > 0.8
    assert accuracies["bicubic"][1] > accuracies["linear"][1] + 0.1


# ---- real images


@real
def test_real_images_are_read() -> None:
    mnist = find_task("images").open(str(REAL / "mnist_t10k"), Options(patch=7))
    assert mnist.facts()["train_images"] + mnist.facts()["test_images"] == 9000
    assert mnist.head.labels == 10 and mnist.positions(28) == 17
    signs = Images.open(str(REAL / "sign_digits"), Options(patch=10))
    assert signs.head.channels == 3 and signs.facts()["side"] == 100
    assert signs.facts()["train_images"] == 90 and signs.classes == tuple("0123456789")
