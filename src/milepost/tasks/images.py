"""Images: say what class each belongs to, at the size of training and at others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from milepost.errors import DataError, OptionError
from milepost.tasks.parts import Parts, check_apart
from milepost.tasks.pictures import Pictures, hash_picture, read_pictures
from milepost.tasks.scores import count_confusions, name_confusions
from milepost.tasks.task import PARTS, Batch, Floor, Head, Measured, Metric, Options, Task

PATCH = 4
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2  # of each class
MOST_CONFUSIONS = 12  # classes; a larger matrix is no longer read
_FEWEST = 3  # images of a class, one for each part
_POSITIONS_A_BATCH = 8_192

Chosen = Mapping[str, tuple[Pictures, Int64[np.ndarray, " images"]]]


@dataclass(frozen=True)
class Images(Task):
    """Classify images by a vision Transformer whose positions are a class token and the patches.

    A length is the side of an image in pixels. Images are resized to it (bicubic, with antialias) and
    standardised by mean and standard deviation of each channel over the training part.

    Args:
        parts: images of the three parts, and which of them.
        classes: names of the classes.
        sha256: of all images, their labels and parts.
        repeated: images that were left out because the same one was there before.
        patch: side of a patch in pixels.
    """

    parts: Chosen
    classes: tuple[str, ...]
    sha256: str
    repeated: int = 0
    patch: int = PATCH

    name: ClassVar[str] = "images"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "accuracy", higher_is_better=True, bounded=True),
        Metric("loss", "loss", "nats per image"),
    )
    axis: ClassVar[str] = ""
    item: ClassVar[str] = "images"
    unit: ClassVar[str] = "pixels"
    source: ClassVar[str] = "builtin:digits"
    train_length: ClassVar[int] = 16
    lengths: ClassVar[tuple[int, ...]] = (8, 12, 16, 24, 32)

    @classmethod
    def open(cls, source: str, options: Options) -> Self:
        """Read images and hold a tenth of each class out for validation and a fifth for the test.

        An image that is there twice is kept once; which part it is in depends on its pixels alone.

        Raises:
            DataError: MP110. UnknownName: MP104. OptionError: MP105. MissingExtra: MP106.

        >>> task = Images.open("builtin:digits", Options())
        >>> {part: len(chosen) for part, (_, chosen) in task.parts.items()}
        {'train': 1259, 'validation': 179, 'test': 359}
        """
        options.refuse(
            cls.name,
            "tokenizer",
            "text_column",
            "label_column",
            "header",
            "encoding",
            "evaluate",
            "horizon",
            "layout",
            "fill",
        )
        if options.patch < 0:
            raise OptionError("patch counts pixels", got=f"patch={options.patch}", fix="1 or more")
        main = read_pictures(source)
        given = {
            part: read_pictures(path)
            for part, path in (("validation", options.validation), ("test", options.test))
            if path is not None
        }
        for part, one in given.items():
            _check_alike(part, one, main)
        parts, repeated = _cut(main, given)
        digest = hashlib.sha256(repr(main.classes).encode())
        for part in PARTS:
            pictures, chosen = parts[part]
            digest.update(f" {part} {pictures.pixels.shape[1:]}".encode())
            digest.update(pictures.pixels[chosen].tobytes() + pictures.labels[chosen].tobytes())
        return cls(parts, main.classes, digest.hexdigest(), repeated, options.patch or PATCH)

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One output a class."""
        channels = self.parts["train"][0].pixels.shape[-1]
        return Head("images", labels=len(self.classes), channels=channels, patch=self.patch)

    def positions(self, length: int) -> int:
        """One class token, and the patches of a square image."""
        return 1 + (length // self.patch) ** 2

    def facts(self) -> dict[str, str | int | float]:
        """What a result says of the data; the accuracy of always naming the largest class among it."""
        train, test = self._labels("train"), self._labels("test")
        return {
            "source": self.parts["train"][0].name,
            "sha256": self.sha256,
            "classes": len(self.classes),
            "side": self.parts["train"][0].pixels.shape[1],
            "channels": self.head.channels,
            "patch": self.patch,
            "repeated_images": self.repeated,
            **{f"{part}_images": len(self.parts[part][1]) for part in PARTS},
            "largest_class_accuracy": float((test == np.bincount(train).argmax()).mean()),
        }

    def count_items(self, length: int) -> int:
        """Images of the test part."""
        return len(self.parts["test"][1])

    def check_lengths(self, train_length: int, lengths: tuple[int, ...]) -> None:
        """Refuse sides that patches do not fill.

        Raises:
            OptionError: MP105.
        """
        for length in (train_length, *lengths):
            if length % self.patch:
                raise OptionError(
                    "patches do not fill an image of this side",
                    got=f"{length} pixels, patches of {self.patch}",
                    fix="choose lengths that --patch divides",
                )

    def batch(self, seed: int, step: int, size: int, length: int) -> Batch:
        """``pixels``: float32 ``(size, channels, length, length)``, standardised; ``labels``: int64."""
        drawn = np.random.default_rng([seed, step]).integers(0, len(self.parts["train"][1]), size=size)
        return {"pixels": self._pixels("train", drawn, length), "labels": self._labels("train")[drawn]}

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats an image; ``model`` is a transformers image classifier."""
        logits = model(pixel_values=batch["pixels"], interpolate_pos_encoding=True).logits
        return functional.cross_entropy(logits, batch["labels"])

    @torch.no_grad()
    def evaluate(self, model: nn.Module, length: int, device: torch.device, part: str = "test") -> Measured:
        """Accuracy and mean loss over a part whose images are resized to ``length``.

        Returns:
            ``breakdown`` has the accuracy of each class and, for up to twelve classes, counts of the confusion
            matrix.
        """
        total, said = 0.0, []
        for pixels, labels in self._batches(length, part):
            logits = model(pixel_values=pixels.to(device), interpolate_pos_encoding=True).logits.cpu()
            total += functional.cross_entropy(logits.double(), labels, reduction="sum").item()
            said.append(logits.argmax(-1).numpy())
        confusions = count_confusions(self._labels(part), np.concatenate(said), len(self.classes))
        images, right = confusions.sum(1), confusions.diagonal()
        breakdown = {
            "accuracy by class": {
                name: float(right[at] / images[at]) for at, name in enumerate(self.classes) if images[at]
            }
        }
        if len(self.classes) <= MOST_CONFUSIONS:
            breakdown["confusion matrix, images"] = name_confusions(confusions, self.classes)
        metrics = {"accuracy": float(right.sum() / images.sum()), "loss": total / int(images.sum())}
        return Measured(metrics, breakdown=breakdown)

    def floor(self) -> float:
        """Entropy of the classes of the training part, in nats."""
        shares = np.bincount(self._labels("train")) / len(self.parts["train"][1])
        return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())

    def floor_score(self, length: int) -> Floor:
        """Accuracy of always naming the largest class of the training part."""
        test, largest = self._labels("test"), np.bincount(self._labels("train")).argmax()
        return Floor.of_share(float((test == largest).mean()), len(test))

    def _labels(self, part: str) -> Int64[np.ndarray, " images"]:
        pictures, chosen = self.parts[part]
        return pictures.labels[chosen]

    def _batches(self, length: int, part: str) -> Iterator[tuple[Tensor, Tensor]]:
        labels, size = self._labels(part), max(1, _POSITIONS_A_BATCH // self.positions(length))
        for first in range(0, len(labels), size):
            chosen = np.arange(first, min(first + size, len(labels)))
            yield torch.from_numpy(self._pixels(part, chosen, length)), torch.from_numpy(labels[chosen])

    def _pixels(
        self, part: str, at: Int64[np.ndarray, " images"], length: int
    ) -> Float32[np.ndarray, "images channels length length"]:
        pictures, chosen = self.parts[part]
        raw = torch.from_numpy(pictures.pixels[chosen[at]]).permute(0, 3, 1, 2).float()
        mean, spread = self._scales()
        return ((resize(raw, length).numpy() - mean) / spread).astype(np.float32)

    def _scales(self) -> tuple[Float32[np.ndarray, "channels 1 1"], Float32[np.ndarray, "channels 1 1"]]:
        """Mean and standard deviation of each channel over the training part, from counts of its values."""
        pictures, chosen = self.parts["train"]
        if "scales" not in self.__dict__:
            values = np.arange(256)
            counts = np.stack([
                np.bincount(pictures.pixels[chosen, ..., channel].ravel(), minlength=256)
                for channel in range(pictures.pixels.shape[-1])
            ])  # fmt: skip
            shares = counts / counts.sum(1, keepdims=True)
            mean = shares @ values
            spread = np.sqrt(np.maximum((shares * (values - mean[:, None]) ** 2).sum(1), 1.0))
            self.__dict__["scales"] = tuple(one.astype(np.float32)[:, None, None] for one in (mean, spread))
        found: tuple[np.ndarray, np.ndarray] = self.__dict__["scales"]
        return found


def resize(
    pixels: Float[Tensor, "images channels side side"], length: int
) -> Float[Tensor, "images channels length length"]:
    """Square images of another side: bicubic, with antialias where they shrink, within 0 and 255.

    Images of this side already are returned as they are.

    >>> resize(torch.full((1, 1, 2, 2), 7.0), 3).shape
    torch.Size([1, 1, 3, 3])
    """
    if pixels.shape[-1] == length:
        return pixels
    made = functional.interpolate(pixels, (length, length), mode="bicubic", antialias=True)
    return made.clamp(0.0, 255.0)


def _check_alike(part: str, one: Pictures, main: Pictures) -> None:
    if one.classes != main.classes or one.pixels.shape[-1] != main.pixels.shape[-1]:
        raise DataError(
            f"the {part} images have other classes or colours than those of training",
            got=f"{len(one.classes)} classes, {one.pixels.shape[-1]} channels; "
            f"{len(main.classes)} classes, {main.pixels.shape[-1]} channels",
            fix="give the same classes, all grey or all coloured",
        )


def _cut(main: Pictures, given: Mapping[str, Pictures]) -> tuple[Chosen, int]:
    """Parts of each class by the hashes of its images, and how many images were there before."""
    hashes = [hash_picture(picture) for picture in main.pixels]
    unique = {key: at for at, key in reversed(list(enumerate(hashes)))}
    order = [unique[key] for key in sorted(unique)]
    shares = {
        part: share
        for part, share in (("validation", VALIDATION_SHARE), ("test", TEST_SHARE))
        if part not in given
    }
    chosen: dict[str, list[int]] = {part: [] for part in PARTS if part not in given}
    for label, name in enumerate(main.classes):
        own = [at for at in order if main.labels[at] == label]
        if len(own) < _FEWEST:
            raise DataError(
                "a class has too few images for a training, a validation and a test part",
                got=f"{main.name}: {len(own)} different images of {name}",
                fix=f"give at least {_FEWEST} of each class, or leave the class out",
            )
        first = 0
        for part, share in shares.items():
            count = max(1, round(share * len(own)))
            chosen[part] += own[first : first + count]
            first += count
        chosen["train"] += own[first:]
    parts = {part: (main, np.array(sorted(places))) for part, places in chosen.items()}
    parts |= {part: (one, np.arange(len(one.labels))) for part, one in given.items()}
    if given:
        train, validation, test = (
            tuple(map(hash_picture, parts[part][0].pixels[parts[part][1]])) for part in PARTS
        )
        check_apart(Parts(train, validation, test), lambda key: key)
    return parts, len(hashes) - len(unique)
