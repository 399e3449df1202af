"""The doctor on the Hub, played by a server on this machine."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from milepost.diagnostics.doctor import diagnose

sys.path.insert(0, str(Path(__file__).parent))  # the folders are a module beside the tests
from folders import ROBERTA, ROWS, make_folder, of, statuses

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.folder = folder
        self.sent: dict[str, int] = {}


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path in ("/api/models/org/name", f"/api/models/org/name/revision/{COMMIT}"):
            names = [{"rfilename": file.name} for file in sorted(self.server.folder.iterdir())]
            names.append({"rfilename": "onnx/model.onnx"})
            body = json.dumps({"id": "org/name", "sha": COMMIT, "siblings": names, "tags": []}).encode()
            return self.answer(200, body, {"Content-Type": "application/json"})
        match = re.fullmatch(rf"/org/name/resolve/{COMMIT}/([\w.-]+)", path)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match is None or wanted is None:
            return self.answer(404, b"", {})
        raw = (self.server.folder / match[1]).read_bytes()
        begin, end = int(wanted[1]), min(int(wanted[2]) + 1, len(raw))
        self.server.sent[match[1]] = self.server.sent.get(match[1], 0) + end - begin
        return self.answer(206, raw[begin:end], {"Content-Range": f"bytes {begin}-{end - 1}/{len(raw)}"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    constants = pytest.importorskip("huggingface_hub.constants")
    server = Hub(tmp_path)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("first", [True, False])
def test_a_model_on_the_hub_is_read_like_a_folder(first: bool, hub: Hub) -> None:
    head = {"truncation": {"max_length": 16}, "padding": {"strategy": {"Fixed": 16}}}
    rest = {"model": {"vocab": {f"token{i}": i for i in range(20_000)}}}
    tokenizer = head | rest if first else rest | head
    make_folder(hub.folder, ROBERTA, tokenizer_config={"model_max_length": ROWS + 2}, tokenizer=tokenizer)
    report = diagnose("org/name")
    assert report["source"] == "org/name"
    assert statuses(report, "issue") == {"MP307", "MP309", "MP310"}
    assert [found["where"] for found in of(report, "MP316")] == ["onnx/model.onnx"]
    local = diagnose(hub.folder)
    assert local["limits"] == report["limits"]
    assert local["changes"] == report["changes"]
    size = (hub.folder / "tokenizer.json").stat().st_size
    assert size > 256 * 1024
    # truncation and padding stand at the head of what the tokenizers library writes
    assert hub.sent["tokenizer.json"] == (128 * 1024 if first else size)
