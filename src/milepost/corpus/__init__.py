"""Text as data: reading it from files and tables, and tokenizers in a process of their own with limits of time and memory; no torch."""

from milepost.corpus.tokenizer_process import (
    MAX_TOKENIZER_BYTES,
    MAX_VOCABULARY,
    TokenizerFacts,
    TokenizerProcess,
    require_library,
)

__all__ = [
    "MAX_TOKENIZER_BYTES",
    "MAX_VOCABULARY",
    "TokenizerFacts",
    "TokenizerProcess",
    "require_library",
]
