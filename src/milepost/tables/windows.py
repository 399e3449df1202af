"""Lengths that attention is cut into: windows, blocks and segments, as a family's configuration states them."""

from __future__ import annotations

from milepost.tables.recognition import Match, whole

_BLOCK, _RANDOM_BLOCKS = 64, 3  # defaults of the configuration classes
_SEGMENT = _LANDMARKS = 64


def windows_of(match: Match) -> list[object]:
    """The attention window of each layer as it is written, whatever it is; one for all layers stands alone."""
    stated = match.config.get("attention_window")
    return [] if stated is None else list(stated) if isinstance(stated, list) else [stated]


def step_of(match: Match, length: int) -> int:
    """Inputs of ``length`` tokens are padded to a multiple of this, and the table must have rows for the pads.

    LED and BigBird embed the pads at the positions after the text. Longformer embeds them in the pad row, and
    BigBird-Pegasus after the positions were added, so they need no rows and have a step of 1. BigBird attends in blocks only
    when a text is long enough for them.
    """
    if match.form.role != "decoder" and match.form.first_row == 0 and (windows := windows_of(match)):
        return max(map(_positive, windows))
    if match.variant.cuts == "blocks" and match.config.get("attention_type") != "original_full":
        block = whole(match.config.get("block_size", _BLOCK)) or 1
        drawn = whole(match.config.get("num_random_blocks", _RANDOM_BLOCKS)) or 0
        return block if length > (5 + 2 * drawn) * block else 1
    return 1


def segment_of(match: Match) -> tuple[int, int] | None:
    """Nystromformer: the one length that it reads, and the landmarks that this length is divided into.

    None where attention is exact (as many landmarks as tokens), so that every length can be read.
    """
    if match.variant.cuts != "segments":
        return None
    length = whole(match.config.get("segment_means_seq_len", _SEGMENT))
    landmarks = whole(match.config.get("num_landmarks", _LANDMARKS))
    return None if not length or not landmarks or length == landmarks else (length, landmarks)


def _positive(value: object) -> int:
    return whole(value) or 1
