"""The process in which tokenizer libraries run: a file's regular expression, or a bug in it, ends nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from milepost.corpus.frames import MAX_VOCABULARY, read_frame, write_frame

_BATCH_CHARACTERS = 1 << 20

Encode = Callable[[Sequence[str], bool], list[Sequence[int]]]


def main() -> None:
    """Answer requests until there are no more: a tokenizer, and texts for it."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print do not print into the answers
    encode: Encode | None = None
    while True:
        try:
            asked, content = read_frame(requests)
        except EOFError:
            return
        try:
            _limit(asked)
            if "kind" in asked:
                encode = None
                encode, facts = _LOADERS[asked["kind"]](content)
                write_frame(answers, facts)
            else:
                assert encode is not None, "there is no tokenizer"
                write_frame(answers, *_encode(encode, asked, content))
        # a panic of a Rust library is no Exception, and each kind of damage raises something of its own
        except BaseException as error:
            write_frame(answers, {"error": " ".join(str(error).split())[:200] or type(error).__name__})


def _limit(asked: dict[str, Any]) -> None:
    """So many more seconds of computing, so much memory; the system ends the process that takes more."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + asked["seconds"]
    for kind, wanted in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, asked["bytes"])):
        most = resource.getrlimit(kind)[1]
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of data
            resource.setrlimit(kind, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _encode(encode: Encode, asked: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    ends = np.cumsum(asked["sizes"], dtype=np.int64).tolist()
    texts = [content[begin:end].decode() for begin, end in zip([0, *ends], ends, strict=False)]
    rows: list[np.ndarray] = []
    first = 0
    while first < len(texts):
        last, characters = first, 0
        while last < len(texts) and (last == first or characters + len(texts[last]) <= _BATCH_CHARACTERS):
            characters += len(texts[last])
            last += 1
        rows += [np.asarray(ids, np.int64) for ids in encode(texts[first:last], asked["special"])]
        first = last
    counts = [len(row) for row in rows]
    ids = np.concatenate(rows) if rows and not asked["count"] else np.empty(0, np.int64)
    return {"counts": counts}, ids.astype(np.uint32).tobytes()


def _describe(vocabulary: dict[str, int], size: int, identity: bytes) -> dict[str, Any]:
    return {
        "vocabulary_size": size,
        "ids": {name: vocabulary[name] for name in _NAMES if name in vocabulary},
        "sha256": hashlib.sha256(identity).hexdigest(),
    }


_NAMES = ("[PAD]", "<pad>", "[CLS]", "<s>", "[MASK]", "<mask>")


def _load_json(content: bytes) -> tuple[Encode, dict[str, Any]]:
    from tokenizers import Tokenizer

    return _take(Tokenizer.from_str(content.decode("utf-8-sig")))


def _load_folder(content: bytes) -> tuple[Encode, dict[str, Any]]:
    """The tokenizer's own files of older models, which transformers turns into the same thing."""
    # transformers imports torch where it finds it, which takes longer than all else and no tokenizer needs
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    from transformers import AutoTokenizer

    built = AutoTokenizer.from_pretrained(content.decode(), local_files_only=True, trust_remote_code=False)
    encode, facts = _take(built.backend_tokenizer)
    return encode, facts | {
        "special": sorted(set(built.all_special_ids) - {built.unk_token_id}),
        "mask": built.mask_token_id,
        "pad": built.pad_token_id,
        "files": sorted({"tokenizer.json", *built.vocab_files_names.values()}),
    }


def _take(built: Any) -> tuple[Encode, dict[str, Any]]:
    built.no_truncation()
    built.no_padding()
    vocabulary = built.get_vocab()
    size = max(vocabulary.values(), default=-1) + 1
    # the library writes a file by counting up to the largest id
    identity = built.to_str().encode() if size <= MAX_VOCABULARY else b""

    def encode(texts: Sequence[str], special: bool) -> list[Sequence[int]]:
        return [one.ids for one in built.encode_batch_fast(texts, add_special_tokens=special)]

    return encode, _describe(vocabulary, size, identity)


def _load_sentencepiece(content: bytes) -> tuple[Encode, dict[str, Any]]:
    from sentencepiece import SentencePieceProcessor

    built = SentencePieceProcessor(model_proto=content)
    pieces = {built.id_to_piece(index): index for index in range(built.get_piece_size())}

    def encode(texts: Sequence[str], special: bool) -> list[Sequence[int]]:
        found: list[Sequence[int]] = built.encode(list(texts), out_type=int)
        return found

    return encode, _describe(pieces, built.get_piece_size(), content)


_LOADERS: dict[str, Callable[[bytes], tuple[Encode, dict[str, Any]]]] = {
    "json": _load_json,
    "folder": _load_folder,
    "sentencepiece": _load_sentencepiece,
}

if __name__ == "__main__":
    main()
