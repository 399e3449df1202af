"""Text, labelled documents and tagged words that come with Python itself: no download, the same on each machine."""

from __future__ import annotations

import ast
import importlib.util
import io
import keyword
import tokenize
from pathlib import Path

_MODULES = ("_pydecimal", "asyncio", "email", "http", "importlib", "logging", "unittest", "xml")
_SHORTEST_DOCSTRING = 60  # characters; shorter ones say too little to be told apart
_TAGGED = ("email", "http", "logging")
_KINDS = {tokenize.OP: "operator", tokenize.NUMBER: "number", tokenize.STRING: "string"}

Sentence = list[tuple[str, str]]


def read_topics() -> list[str]:
    """Python's language reference as ``pydoc`` shows it, a topic a document."""
    from pydoc_data.topics import topics

    return [topics[key] for key in sorted(topics)]


def read_docstrings() -> list[tuple[str, str]]:
    """Docstrings of eight modules of the standard library, each with its module's name."""
    return [
        (text, module.removeprefix("_py"))
        for module in sorted(_MODULES, key=lambda name: name.removeprefix("_py"))
        for file in _sources(module)
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if len(text := ast.get_docstring(node) or "") >= _SHORTEST_DOCSTRING
    ]


def read_tagged_sources() -> list[list[Sentence]]:
    """Source files of the standard library: lines of words, each with what it stands for there.

    The tag of a name hangs on the words around it: after ``def`` it is a function, before a bracket a call.
    Comments are left out, strings are cut to their quotes.
    """
    return [_tag(file.read_bytes()) for module in _TAGGED for file in _sources(module)]


def _sources(module: str) -> list[Path]:
    # found without being imported: sources are read as text
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _tag(source: bytes) -> list[Sentence]:
    sentences: list[Sentence] = [[]]
    words = [
        word
        for word in tokenize.tokenize(io.BytesIO(source).readline)
        if word.type in (tokenize.NAME, tokenize.NEWLINE, *_KINDS)
    ]
    for before, word, after in zip([None, *words], words, [*words[1:], None], strict=False):
        if word.type == tokenize.NEWLINE:
            sentences.append([])
        else:
            text = '""' if word.type == tokenize.STRING else word.string
            sentences[-1].append((text, _kind(before, word, after)))
    return [sentence for sentence in sentences if sentence]


def _kind(
    before: tokenize.TokenInfo | None, word: tokenize.TokenInfo, after: tokenize.TokenInfo | None
) -> str:
    previous = before.string if before else ""
    if word.type != tokenize.NAME:
        return _KINDS[word.type]
    if keyword.iskeyword(word.string):
        return "keyword"
    if previous in ("def", "class"):
        return {"def": "function", "class": "class"}[previous]
    if after is not None and after.string == "(":
        return "call"
    return "attribute" if previous == "." else "name"
