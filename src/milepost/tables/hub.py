"""A model on the Hugging Face Hub, read by ranged requests: the header, the table, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from milepost.errors import HubError, MilepostError, UnsafeFile
from milepost.storage.deadline import Deadline
from milepost.storage.folder import MAX_JSON_BYTES, check_name, parse_json

Answer = TypeVar("Answer")

FIRST_BYTES: Final = 128 * 1024
"""What the first request for a file asks for: most headers fit."""

_MAX_SKIPPED_BYTES: Final = 64 * 1024 * 1024
_TIMEOUT_SECONDS: Final = 30
_BYTES_PER_SECOND: Final = 64 * 1024
"""A slower connection is given up: ``_TIMEOUT_SECONDS`` and the time that this takes are all that a request gets."""
_MAX_INFO_BYTES: Final = 20_000_000
_MAX_TOTAL_BYTES: Final = 8 * 1024**3
_FILES: Final = (".safetensors", ".npy", ".bin", ".pt", ".pth", ".ckpt")
_CHECK: Final = "check the id, --revision, your token and the connection; a local folder works offline"
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_hub_id(model: str) -> bool:
    """Whether this can be the id of a model on the Hub, by its form alone; the name of a weights file is none.

    >>> [is_hub_id(text) for text in ("gpt2", "org/name", "./gpt2", "a/b/c", "model.safetensors")]
    [True, True, False, False, False]
    """
    plain = ".." not in model and "--" not in model and not model.endswith(_FILES)
    return plain and _ID.fullmatch(model) is not None


class HubModel:
    """The files of one model at one commit; the revision is resolved once, so that all parts belong together.

    Each request has a deadline for the whole of it, by the number of bytes that it asks for, and no more bytes are read
    than it asks for; all requests together ask for at most 8 GiB.

    Args:
        model: the id, ``name`` or ``organisation/name``.
        revision: a branch, tag or commit; the main branch without it.

    Raises:
        HubError: MP131, when the Hub cannot be reached or has no such model or revision.
    """

    kind = "hub"
    folder: str | None = None

    def __init__(self, model: str, revision: str | None = None) -> None:
        from huggingface_hub import constants

        self._model, self._endpoint = model, constants.ENDPOINT
        self._begun: dict[str, tuple[bytes, int]] = {}
        self._ranges, self._asked = True, 0
        self.commit: str | None
        self.commit, self.names = self._describe(revision)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.clear()

    def size(self, name: str) -> int:
        """Bytes in the whole file, as the first response says."""
        return self._beginning(name)[1]

    def read(self, name: str, begin: int, end: int) -> bytes:
        """The bytes from ``begin`` to ``end``: from the first response where it reaches, else by a request.

        Raises:
            HubError: MP131, when the connection breaks or the server sends something else.
        """
        first, _ = self._beginning(name)
        if end <= len(first) or begin == end:
            return first[begin:end]
        kept = first[begin:]
        rest, _ = self._request(name, begin + len(kept), end)
        if len(rest) != end - begin - len(kept):
            raise HubError(
                f"{name!r} ended early",
                got=f"{len(kept) + len(rest)} of {end - begin} bytes",
                fix="run again",
            )
        return kept + rest

    def read_json(self, name: str) -> dict[str, Any]:
        """One JSON object of the repository, at most 50 MB.

        Raises:
            UnsafeFile: MP130, when it is too large, no JSON object, or has a name twice.
        """
        size = self.size(name)
        if size > MAX_JSON_BYTES:
            raise UnsafeFile(f"{name!r} is too large", got=f"{size} bytes", fix=f"at most {MAX_JSON_BYTES}")
        return parse_json(self.read(name, 0, size), name)

    def _describe(self, revision: str | None) -> tuple[str, tuple[str, ...]]:
        """The commit and the names of its files. huggingface_hub's ``model_info`` would read an answer without end."""
        url = f"{self._endpoint}/api/models/{self._model}"
        if revision is not None:
            url += f"/revision/{quote(revision, safe='')}"
        problem = f"{self._model!r} cannot be read from the Hub"

        def take(status: int, _headers: Mapping[str, str], chunks: Iterator[bytes]) -> bytes:
            if status != 200:
                raise HubError(problem, got=f"status {status}", fix=_CHECK)
            return _take(chunks, 0, _MAX_INFO_BYTES)

        body = self._get(url, {}, _MAX_INFO_BYTES, problem, take)
        if len(body) == _MAX_INFO_BYTES:
            raise HubError(
                problem, got=f"an answer of more than {len(body) - 1:,} bytes", fix="check HF_ENDPOINT"
            )
        document = parse_json(body, f"{self._model}: what the Hub says of it")
        sha, files = document.get("sha"), document.get("siblings")
        if not isinstance(files, list | None):
            raise HubError(problem, got="a list of files that is none", fix="check HF_ENDPOINT")
        if not isinstance(sha, str) or not re.fullmatch(r"[0-9a-f]{40}", sha):
            raise HubError("the Hub names no commit", got=ascii(sha)[:80], fix="check HF_ENDPOINT")
        names = [file.get("rfilename") for file in files or () if isinstance(file, dict)]
        return sha, tuple(sorted(name for name in names if isinstance(name, str)))

    def _beginning(self, name: str) -> tuple[bytes, int]:
        if name not in self._begun:
            self._begun[name] = self._request(name, 0, FIRST_BYTES)
        return self._begun[name]

    def _request(self, name: str, begin: int, end: int) -> tuple[bytes, int]:
        """Bytes ``begin`` to ``end`` (or to the end of the file), and the size of the whole file."""
        from huggingface_hub import hf_hub_url

        check_name(name)
        if begin > _MAX_SKIPPED_BYTES and not self._ranges:
            raise HubError(
                f"the server does not serve parts of {name!r}",
                got=f"the table lies after {begin} bytes",
                fix="download the model and give its folder",
            )

        def take(status: int, headers: Mapping[str, str], chunks: Iterator[bytes]) -> tuple[bytes, int]:
            if status == 206:
                size = _size_of(headers.get("content-range", ""), begin, name)
                return _take(chunks, 0, end - begin), size
            if status == 200:
                # the server does not know ranges: read on to what is wanted, and stop
                self._ranges = False
                body = _take(chunks, begin, end - begin)
                length = headers.get("content-length", "")
                return body, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else begin + len(body)
            raise HubError(
                f"{name!r} cannot be read from the Hub",
                got=f"status {status}",
                fix="check the name, and your token where the model is gated",
            )

        url = hf_hub_url(self._model, name, revision=self.commit, endpoint=self._endpoint)
        # what is compressed on the way has other offsets
        headers = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
        wanted = end - begin if self._ranges else end
        return self._get(url, headers, wanted, f"{name!r} cannot be read from the Hub", take)

    def _get(
        self,
        url: str,
        headers: Mapping[str, str],
        wanted: int,
        problem: str,
        take: Callable[[int, Mapping[str, str], Iterator[bytes]], Answer],
    ) -> Answer:
        """What ``take`` makes of status, headers and body; given up when ``wanted`` bytes take too long."""
        from huggingface_hub.utils import build_hf_headers, get_session

        self._asked += wanted
        if self._asked > _MAX_TOTAL_BYTES:
            raise HubError(
                f"{self._model!r}: the tables are too large to be read from the Hub",
                got=f"{self._asked:,} bytes, at most {_MAX_TOTAL_BYTES:,} are asked for",
                fix="download the model and give its folder",
            )
        deadline = Deadline()

        def work() -> Answer:
            with get_session().stream(
                "GET",
                url,
                headers={**build_hf_headers(), **headers},
                follow_redirects=True,
                timeout=_TIMEOUT_SECONDS,
            ) as response:
                if url.startswith("https:") and str(response.url).startswith("http:"):
                    raise HubError("the Hub led to an unprotected address", got=url, fix="check HF_ENDPOINT")
                return take(response.status_code, response.headers, _until(deadline, response.iter_raw()))

        with _translated(problem):
            return deadline.run(work, _TIMEOUT_SECONDS + min(wanted, _MAX_TOTAL_BYTES) / _BYTES_PER_SECOND)


def _until(deadline: Deadline, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, up to the deadline."""
    for chunk in chunks:
        if deadline.is_over:
            return
        yield chunk


def _size_of(content_range: str, begin: int, name: str) -> int:
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", content_range)
    if match is None or int(match[1]) != begin:
        raise HubError(
            f"the server sent another part of {name!r}", got=ascii(content_range[:60]), fix="run again"
        )
    return int(match[2])


def _take(chunks: Iterator[bytes], skip: int, count: int) -> bytes:
    """``count`` bytes after the first ``skip``; no more than that is read from the connection."""
    got = bytearray()
    for chunk in chunks:
        part = chunk[skip:]
        skip = max(0, skip - len(chunk))
        got += part[: count - len(got)]
        if len(got) == count:
            break
    return bytes(got)


@contextmanager
def _translated(problem: str) -> Iterator[None]:
    """Errors of the network as Milepost's own."""
    try:
        yield
    except MilepostError:
        raise
    except Exception as error:  # huggingface_hub's clients share no base class over their versions
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise HubError(
            problem,
            got=ascii(f"{type(error).__name__}: {reason}"),
            fix=_CHECK,
        ) from None
