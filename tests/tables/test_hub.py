"""Models on the Hub, played by a server on this machine, with ranges and without."""

import contextlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hostile
import numpy as np
import pytest
from huggingface_hub import constants

from milepost.errors import DataError, HubError, UnsafeFile
from milepost.tables import hub, read

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS, DIM = 64, 32
TABLE = np.random.default_rng(1).normal(size=(ROWS, DIM)).astype("<f4")


def dribble(handler):
    """One byte now and then: no read ever times out."""
    while True:
        handler.wfile.write(b"a")
        time.sleep(0.05)


def answer_slowly(handler):
    handler.send_response(200)
    handler.end_headers()
    dribble(handler)


def send_headers_slowly(handler):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    dribble(handler)


def answer_without_end(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b'{"a": "' + b"a" * 65536)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder, ranges, cut=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.ranges, self.cut = folder, ranges, cut
        self.weights, self.sent = 0, 0
        self.play = {}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        play = next((act for part, act in self.server.play.items() if part in path), None)
        if play is not None:
            with contextlib.suppress(OSError):  # the reader gave up, as it should
                play(self)
            return None
        if path in ("/api/models/org/name", "/api/models/org/name/revision/v1"):
            names = [{"rfilename": file.name} for file in sorted(self.server.folder.iterdir())]
            document = {"id": "org/name", "sha": COMMIT, "siblings": names, "tags": [], "downloads": 0}
            return self.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})
        match = re.fullmatch(rf"/org/name/resolve/{COMMIT}/([\w.-]+)", path)
        if match is None or not (self.server.folder / match[1]).exists():
            return self.answer(404, b"", {})
        return self.file(self.server.folder / match[1])

    def file(self, path):
        size, count = path.stat().st_size, path.name.endswith(".safetensors")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        begin, end, status, extra = 0, size, 200, {}
        if wanted and self.server.ranges:
            begin, end = int(wanted[1]), min(int(wanted[2]) + 1, size)
            status, extra = 206, {"Content-Range": f"bytes {begin}-{end - 1}/{size}"}
        self.server.weights += count
        self.send_response(status)
        for name, value in {**extra, "Content-Length": str(end - begin)}.items():
            self.send_header(name, value)
        self.end_headers()
        with path.open("rb") as file:
            file.seek(begin)
            left = end - begin if self.server.cut is None or not count else min(self.server.cut, end - begin)
            try:
                while left > 0 and (chunk := file.read(min(65536, left))):
                    self.wfile.write(chunk)
                    self.server.sent += len(chunk) * count
                    left -= len(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the reader has what it wanted

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    servers = []

    def start(ranges=True, cut=None):
        server = Server(tmp_path, ranges, cut)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"  # as HF_ENDPOINT would say
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def write_large(folder, gap, name="model.safetensors", padding=0):
    """A model whose table stands after ``gap`` bytes of something else, as a sparse file."""
    size = TABLE.nbytes
    header = {
        "h.weight": {"dtype": "F32", "shape": [gap // 4], "data_offsets": [0, gap]},
        "wpe.weight": {"dtype": "F32", "shape": [ROWS, DIM], "data_offsets": [gap, gap + size]},
        "t.weight": {"dtype": "F32", "shape": [gap // 4], "data_offsets": [gap + size, 2 * gap + size]},
    }
    raw = hostile.safetensors(json.dumps(header) + " " * padding, b"")
    with (folder / name).open("wb") as file:
        file.write(raw)
        file.seek(gap, 1)
        file.write(TABLE.tobytes())
        file.truncate(len(raw) + 2 * gap + size)
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_positions": ROWS}))


@pytest.mark.parametrize("padding", [0, 300_000])
def test_huge_model_costs_three_requests_and_no_more_bytes_than_it_must(serve, tmp_path, padding):
    write_large(tmp_path, 25_000_000_000, padding=padding)
    server = serve()
    checkpoint = read("org/name", revision="v1")
    np.testing.assert_array_equal(checkpoint.table().rows, TABLE)
    assert (checkpoint.kind, checkpoint.commit, checkpoint.folder) == ("hub", COMMIT, None)
    assert checkpoint.total_parameters == 12_500_000_000 + TABLE.size
    assert server.weights <= 3
    assert server.sent <= padding + TABLE.nbytes + 256 * 1024


def test_server_without_ranges_is_left_as_soon_as_the_table_is_there(serve, tmp_path):
    write_large(tmp_path, 20_000_000)
    server = serve(ranges=False)
    np.testing.assert_array_equal(read("org/name").table().rows, TABLE)
    assert server.weights <= 3
    assert server.sent < 36_000_000  # of 40 MB: what was on its way when the connection was closed


def test_server_without_ranges_is_refused_where_the_table_is_far_away(serve, tmp_path):
    write_large(tmp_path, 100_000_000)
    server = serve(ranges=False)
    with pytest.raises(HubError, match="download the model"):
        read("org/name")
    assert server.weights == 1


def test_only_the_shard_with_the_table_is_touched(serve, tmp_path):
    write_large(tmp_path, 1_000_000, "model-1.safetensors")
    weight_map = dict.fromkeys(("h.weight", "wpe.weight", "t.weight"), "model-1.safetensors")
    document = {"weight_map": {**weight_map, "other": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(document))
    serve()
    checkpoint = read("org/name")
    np.testing.assert_array_equal(checkpoint.table().rows, TABLE)
    assert checkpoint.total_parameters is None
    assert checkpoint.table().share_of_model is None


def test_connection_that_breaks_is_an_error(serve, tmp_path):
    write_large(tmp_path, 1_000_000)
    serve(cut=3_000)
    with pytest.raises(HubError):
        read("org/name")


@pytest.mark.parametrize("part", ["/api/", "config.json", "model.safetensors"])
@pytest.mark.parametrize("act", [answer_slowly, send_headers_slowly])
def test_a_server_that_sends_a_byte_at_a_time_is_given_up(serve, tmp_path, monkeypatch, part, act):
    write_large(tmp_path, 1_000_000)
    serve().play[part] = act
    monkeypatch.setattr(hub, "_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(hub, "_BYTES_PER_SECOND", 10**9)
    with pytest.raises(HubError, match="TimeoutError"):
        read("org/name")


def test_an_answer_without_end_is_refused(serve, tmp_path):
    write_large(tmp_path, 1000)
    serve().play["/api/"] = answer_without_end
    with pytest.raises(HubError, match="more than 19,999,999 bytes"):
        read("org/name")


def test_a_file_without_end_is_read_no_further_than_was_asked(serve, tmp_path):
    write_large(tmp_path, 1000)
    serve().play["model.safetensors"] = answer_without_end
    with pytest.raises((HubError, UnsafeFile)):
        read("org/name")


def test_tables_of_more_than_a_computer_wants_are_not_asked_for(serve, tmp_path, monkeypatch):
    write_large(tmp_path, 1_000_000)
    serve()
    monkeypatch.setattr(hub, "_MAX_TOTAL_BYTES", 20_000_000 + hub.FIRST_BYTES)
    with pytest.raises(HubError, match="download the model"):
        read("org/name")


def test_what_the_hub_says_is_checked(serve, tmp_path):
    write_large(tmp_path, 1000)
    server = serve()
    for body in (
        b"<html>",
        b'{"sha": "../../x"}',
        b'{"sha": 5}',
        b"[1]",
        json.dumps({"sha": COMMIT, "siblings": 3}).encode(),
    ):
        server.play["/api/"] = lambda handler, body=body: handler.answer(200, body, {})
        with pytest.raises((HubError, UnsafeFile)):
            read("org/name")
    strange = json.dumps({"sha": COMMIT, "siblings": [{"rfilename": 5}, None, {}]}).encode()
    server.play["/api/"] = lambda handler: handler.answer(200, strange, {})
    with pytest.raises(DataError):
        read("org/name")


def test_hostile_header_is_refused_over_the_wire_too(serve, tmp_path):
    hostile.write(
        tmp_path,
        {**hostile.TWO, "b": {**hostile.TWO["b"], "data_offsets": [36, 40]}},
        hostile.DATA + bytes(8),
    )
    serve()
    with pytest.raises(UnsafeFile, match="hole"):
        read("org/name")


@pytest.mark.parametrize(("model", "revision"), [("org/other", None), ("org/name", "v2")])
def test_unknown_model_or_revision_is_one_error(serve, tmp_path, model, revision):
    write_large(tmp_path, 1000)
    serve()
    with pytest.raises(HubError) as caught:
        read(model, revision=revision)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 3


def test_repository_without_weights_says_what_it_has(serve, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    serve()
    with pytest.raises(DataError, match=r"pytorch_model\.bin"):
        read("org/name", allow_pickle=True)
