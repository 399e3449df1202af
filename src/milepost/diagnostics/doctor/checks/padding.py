"""MP320: the pad id of the configuration against the tokenizer's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, dig, place, shown
from milepost.diagnostics.doctor.limits import GENERATION, TOKENIZER, TOKENIZER_DATA, rope_parts
from milepost.finding import Verdict

_FIELD = "pad_token_id"


@CHECKS.enter("MP320", "pad ids of configuration and tokenizer")
def pad_ids(folder: ModelFolder) -> Iterator[Verdict]:
    """Models tell pads from text by an id; a tokenizer that pads with another one writes text into every gap."""
    found = _of_tokenizer(folder)
    if found is None:
        yield Verdict("not_applicable", "no file says which id the tokenizer pads with")
        return
    where, pad = found
    rows = next(
        (n for _, part in rope_parts(folder.checkpoint.config) if (n := count(part.get("vocab_size")))), None
    )
    if rows is not None and pad >= rows:
        yield Verdict(
            "issue",
            f"the tokenizer pads with id {pad}; the configuration has vocab_size = {rows}",
            where,
            f"an id below {rows}",
            "resize the token embeddings of the model, or choose a pad token that it knows",
        )
    for place_of, stated, counts in _of_model(folder):
        if stated != pad:
            yield Verdict(
                "issue" if counts else "tip",
                f"{place_of} = {stated}; the tokenizer pads with {pad} ({where})",
                place_of,
                "one id in both",
                "correct the tokenizer: first_row and the padding row follow this id, so pads count as text"
                if counts
                else "make both the same: losses, sentence scores and generation look for the pad by its id",
            )


def _of_tokenizer(folder: ModelFolder) -> tuple[str, int] | None:
    """Where the tokenizer's pad id stands, and the id."""
    padding = folder.value(TOKENIZER_DATA, "padding")
    if (pad := count(dig(padding, ("pad_id",)))) is not None:
        return place(TOKENIZER_DATA, "padding", "pad_id"), pad
    token = folder.value(TOKENIZER, "pad_token")
    token = token.get("content") if isinstance(token, Mapping) else token
    if not isinstance(token, str):
        return None
    for pad, content in _added(folder):
        if content == token and pad is not None:
            return f"{place(TOKENIZER, 'pad_token')} = {shown(token)}", pad
    return None


def _added(folder: ModelFolder) -> Iterator[tuple[int | None, Any]]:
    """Ids and texts of the tokens that were added to the vocabulary; special tokens are among them."""
    listed = folder.value(TOKENIZER_DATA, "added_tokens")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping):
            yield count(one.get("id")), one.get("content")
    decoder = folder.value(TOKENIZER, "added_tokens_decoder")
    for name, one in decoder.items() if isinstance(decoder, Mapping) else ():
        if isinstance(one, Mapping) and name.isascii() and name.isdigit() and len(name) < 12:
            yield int(name), one.get("content")


def _of_model(folder: ModelFolder) -> Iterator[tuple[str, int, bool]]:
    """Where the model states its pad id, the id, and whether positions count from it."""
    counting = {
        match.path: match
        for _, match in folder.placed
        if "pad+1" in (match.form.first_row, match.form.extra_rows)
    }
    for path, match in counting.items():
        pad = count(match.config.get(_FIELD, match.family.pad_token_id))
        if pad is not None:
            yield place(folder.config_file, f"{path}{_FIELD}"), pad, True
    for names, part in rope_parts(folder.checkpoint.config):
        if not counting and (pad := count(part.get(_FIELD))) is not None:
            yield place(folder.config_file, *names, _FIELD), pad, False
    if (pad := count(folder.value(GENERATION, _FIELD))) is not None:
        yield place(GENERATION, _FIELD), pad, False
