"""A corpus of files that must be refused: each by name, built on the spot, with the words its error must have.

A model of one small table is the honest case; every entry spoils it in one way.
"""

import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np

KEY = "wpe.weight"
CONFIG = {"model_type": "gpt2", "n_positions": 4}
ENTRY = {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]}
DATA = np.arange(8, dtype="<f4").tobytes()
CASES = {}


def case(words, error="UnsafeFile"):
    """Register a builder: it gets an empty folder and returns what is handed to ``read`` (the folder if None)."""

    def register(builder):
        name = builder.__name__
        assert name not in CASES
        CASES[name] = (builder, words, error)
        return builder

    return register


def safetensors(header, data=DATA):
    """The bytes of a file with this header: text, bytes, or a document."""
    if isinstance(header, dict):
        header = json.dumps(header)
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw)) + raw + data


def write(folder, header=None, data=DATA, config=CONFIG):
    """A folder of a model; the header is the honest one unless given."""
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors({KEY: ENTRY} if header is None else header, data))


def changed(**fields):
    return {KEY: {**ENTRY, **fields}}


def header_case(name, words, header, data=DATA):
    def builder(folder):
        write(folder, header, data)

    builder.__name__ = name
    case(words)(builder)


TWO = {KEY: ENTRY, "b": {"dtype": "F32", "shape": [1], "data_offsets": [32, 36]}}
header_case("hole", "hole", {**TWO, "b": {**TWO["b"], "data_offsets": [36, 40]}}, DATA + bytes(8))
header_case("hole_at_the_start", "hole", changed(data_offsets=[4, 36]), DATA + bytes(4))
header_case("overlap", "overlap", {**TWO, "b": {**TWO["b"], "data_offsets": [28, 32]}})
header_case("same_bytes_twice", "overlap", {KEY: ENTRY, "alias": ENTRY})
header_case("trailing_bytes", "after the last tensor", {KEY: ENTRY}, DATA + b"PK\x03\x04")
header_case("cut_off_data", "cut off", {KEY: ENTRY}, DATA[:-1])
header_case("no_data_at_all", "cut off", {KEY: ENTRY}, b"")
header_case("header_with_spaces_first", "begin with a brace", " " + json.dumps({KEY: ENTRY}))
header_case("header_with_byte_order_mark", "begin with a brace", "\ufeff" + json.dumps({KEY: ENTRY}))
header_case("header_with_zeros_at_the_end", "end with a brace", json.dumps({KEY: ENTRY}) + "\0\0")
header_case("header_that_is_a_list", "begin with a brace", "[1, 2]")
header_case("header_that_is_empty", "begin with a brace", "")
header_case("header_that_is_not_json", "not JSON", '{"a":}')
header_case("header_not_utf8", "not UTF-8", b'{"\xff\xfe": 1}')
header_case("header_nested_deep", "nested too deep", '{"a":' * 100_000 + "1" + "}" * 100_000)
header_case("header_of_lists_nested_deep", "nested too deep", '{"a":' + "[" * 200_000 + "]" * 200_000 + "}")
header_case("key_twice", "stands twice", json.dumps({KEY: ENTRY})[:-1] + "," + json.dumps({KEY: ENTRY})[1:])
header_case(
    "field_twice", "stands twice", json.dumps({KEY: ENTRY}).replace('"shape"', '"dtype": "F16", "shape"')
)
header_case("metadata_twice", "stands twice", '{"__metadata__":{},"__metadata__":{}}', b"")
header_case("metadata_key_twice", "stands twice", '{"__metadata__":{"a":"1","a":"2"}}', b"")
header_case("metadata_nested", "metadata", {"__metadata__": {"a": {"b": "c"}}, KEY: ENTRY})
header_case("metadata_not_text", "metadata", {"__metadata__": {"a": 1}, KEY: ENTRY})
header_case("metadata_a_list", "metadata", {"__metadata__": ["a"], KEY: ENTRY})
header_case("extra_field", "exceeds the known fields", changed(comment="hello"))
header_case("missing_field", "lacks", {KEY: {"dtype": "F32", "shape": [4, 2]}})
header_case("entry_not_an_object", "lacks", {KEY: 5})
header_case("dtype_unknown", "unknown dtype", changed(dtype="F33"))
header_case("dtype_a_list", "unknown dtype", changed(dtype=["F32"]))
header_case("shape_overflows_64_bits", "does not fit", changed(shape=[2**62, 2**62]))
header_case("shape_wraps_to_the_right_size", "does not fit", changed(shape=[2**61 + 1, 8]))
header_case("shape_negative", "no proper shape", changed(shape=[-4, -2]))
header_case("shape_of_floats", "not whole", changed(shape=[4.0, 2]))
header_case("shape_of_truths", "no proper shape", changed(shape=[True, 8]))
header_case("shape_of_text", "no proper shape", changed(shape="42"))
header_case("shape_of_many_axes", "no proper shape", changed(shape=[1] * 1000 + [4, 2]))
header_case("shape_that_does_not_fit", "does not fit", changed(shape=[4, 3]))
header_case("number_of_many_digits", "not JSON", '{"a":{"dtype":"F32","shape":[' + "9" * 5000 + "]}}")
header_case("number_not_a_number", "not whole", '{"a":{"dtype":"F32","shape":[NaN]}}')
header_case("offsets_backwards", "no proper offsets", changed(data_offsets=[32, 0]))
header_case("offsets_negative", "no proper offsets", changed(data_offsets=[-32, 0]))
header_case("offsets_past_the_end", "does not fit", changed(data_offsets=[0, 2**62]))
header_case("offsets_of_three", "no proper offsets", changed(data_offsets=[0, 16, 32]))
header_case(
    "half_a_byte_left",
    "does not fit",
    {KEY: ENTRY, "b": {"dtype": "F4", "shape": [1], "data_offsets": [32, 32]}},
)
header_case("name_with_half_a_character", "no text", json.dumps({"\ud800": ENTRY}))
header_case("table_packed_in_four_bits", "floating-point", changed(dtype="F4", shape=[8, 8]))
header_case("table_of_whole_numbers", "floating-point", changed(dtype="I32"))
header_case("table_without_rows", "no table", changed(shape=[0, 2], data_offsets=[0, 0]), b"")
header_case("table_of_one_axis", "no table", changed(shape=[8]))
header_case("table_of_four_axes", "no table", changed(shape=[2, 2, 1, 2]))


def raw_case(name, words, raw):
    def builder(folder):
        write(folder)
        (folder / "model.safetensors").write_bytes(raw)

    builder.__name__ = name
    case(words)(builder)


raw_case("empty_file", "too short", b"")
raw_case("five_bytes", "too short", b"\x05\0\0\0\0")
raw_case("header_longer_than_the_file", "longer than the file", struct.pack("<Q", 1000) + b"{}")
raw_case("header_length_of_all_ones", "longer than the file", b"\xff" * 8 + b"{}")
raw_case("a_zip_file", "longer than the file", b"PK\x03\x04" + bytes(60))


@case("too long")
def header_past_the_limit(folder):
    write(folder)
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 11_000_000))
    os.truncate(path, 12_000_000)


@case("too many tensors")
def header_of_many_empty_tensors(folder):
    entry = '"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    write(folder, "{" + ",".join(entry % number for number in range(170_000)) + "}", b"")


@case("too many tensors or values")
def header_of_many_empty_lists(folder):
    write(folder, '{"a":[' + "[]," * 3_000_000 + "[]]}", b"")


@case("too many lists")
def config_of_many_empty_lists(folder):
    write(folder)
    (folder / "config.json").write_text('{"a":[' + "[]," * 3_000_000 + "[]]}")


@case("too large")
def table_of_a_terabyte(folder):
    rows = 2**29
    write(folder, changed(shape=[rows, 512], data_offsets=[0, rows * 2048]), b"")
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size + rows * 2048)


def config_case(name, words, text, error="UnsafeFile"):
    def builder(folder):
        write(folder)
        (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    builder.__name__ = name
    case(words, error)(builder)


config_case("config_nested_deep", "nested too deep", '{"a":' * 100_000 + "1" + "}" * 100_000)
config_case("config_not_json", "cannot be read", "{'model_type': 'gpt2'}")
config_case("config_a_list", "no JSON object", "[]")
config_case("config_not_utf8", "cannot be read", b'{"a": "\xff"}')
config_case("config_says_twice", "stands twice", '{"model_type": "gpt2", "model_type": "opt"}')
config_case(
    "config_of_an_unknown_family", "looked for", '{"model_type": "\\u001b]0;x\\u0007<img>"}', "UnknownFamily"
)


def first_row_case(name, words, pad):
    def builder(folder):
        write(
            folder,
            {"embeddings.position_embeddings.weight": ENTRY},
            config={"model_type": "roberta", "pad_token_id": pad},
        )

    builder.__name__ = name
    case(words, "DataError")(builder)


first_row_case("pad_past_the_last_row", "past the last row", 900)
first_row_case("pad_negative", "padding token", -5)
first_row_case("pad_a_text", "padding token", "1")
first_row_case("pad_true", "padding token", True)


def index_case(name, words, weight_map, error="UnsafeFile", shards=("model-1.safetensors",)):
    def builder(folder):
        write(folder)
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        for shard in shards[1:]:
            (folder / shard).write_bytes(safetensors({}, b""))
        document = weight_map if isinstance(weight_map, str) else json.dumps({"weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(document)

    builder.__name__ = name
    case(words, error)(builder)


for _name, _shard in {
    "parent": "../outside.safetensors",
    "absolute": "/etc/outside.safetensors",
    "below": "sub/model-1.safetensors",
    "backslash": "..\\outside.safetensors",
    "drive": "C:outside.safetensors",
    "drive_and_root": "C:\\outside.safetensors",
    "network_share": "\\\\host\\share\\outside.safetensors",
    "stream": "model-1.safetensors:hidden.safetensors",
    "dots": "./model-1.safetensors",
    "nul": "model-1\0.safetensors",
    "line_feed": "model-1\n.safetensors",
    "right_to_left": "model-1\u202e.safetensors",
    "long": "m" * 5000 + ".safetensors",
}.items():
    index_case(f"index_leads_out_by_{_name}", "leaves the model's folder", {KEY: _shard})
index_case("index_names_a_pickle", "no shard", {KEY: "pytorch_model.bin"})
index_case("index_names_a_number", "no shard", {KEY: 1})
index_case("index_without_map", "no weight_map", "{}")
index_case("index_with_an_empty_map", "no weight_map", {})
index_case("index_with_a_list", "no weight_map", '{"weight_map": ["model-1.safetensors"]}')
index_case(
    "index_lists_what_no_shard_has", "disagree", {KEY: "model-1.safetensors", "b": "model-1.safetensors"}
)
index_case("index_omits_what_a_shard_has", "disagree", {"b": "model-1.safetensors"})
index_case(
    "index_puts_it_in_the_wrong_shard",
    "disagree",
    {KEY: "model-2.safetensors", "b": "model-1.safetensors"},
    shards=("model-1.safetensors", "model-2.safetensors"),
)
index_case("index_names_a_missing_shard", "cannot be read", {KEY: "model-9.safetensors"}, "DataError")


@case("link out of")
def link_out_of_the_folder(folder):
    outside = folder.parent / "outside.safetensors"
    outside.write_bytes(safetensors({KEY: ENTRY}))
    write(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(outside)


@case("link out of")
def link_by_dots(folder):
    link_out_of_the_folder(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../outside.safetensors")


@case("link out of")
def config_links_out(folder):
    secret = folder.parent / "secret.json"
    secret.write_text('{"model_type": "gpt2"}')
    write(folder)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(secret)


@case("link out of")
def link_into_the_blobs_of_another_model(folder):
    blob = folder.parent / "models--other" / "blobs" / "abc"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(safetensors({KEY: ENTRY}))
    snapshot = folder / "models--mine" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    return snapshot


@case("cannot be read", "DataError")
def link_to_itself(folder):
    write(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("model.safetensors")


@case("cannot be read", "DataError")
def link_to_nothing(folder):
    write(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("gone.safetensors")


@case("no plain file")
def pipe_instead_of_weights(folder):
    write(folder)
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


@case("link out of")
def device_instead_of_weights(folder):
    write(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")


@case("no weights", "DataError")
def folder_without_weights(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG))


@case("no weights", "DataError")
def folder_named_as_weights(folder):
    (folder / "model.safetensors").mkdir()


class Payload:
    def __reduce__(self):
        return os.mkdir, ("pickle-ran",)


def npy_case(name, words, raw):
    def builder(folder):
        (folder / "table.npy").write_bytes(raw)
        return folder / "table.npy"

    builder.__name__ = name
    case(words)(builder)


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


npy_case("npy_of_objects", "no table that can be read", saved(np.array([Payload()], dtype=object)))
npy_case("npy_of_whole_numbers", "one table of floats", saved(np.ones((4, 2), np.int64)))
npy_case("npy_of_one_axis", "no table", saved(np.ones(8, np.float32)))
npy_case("npy_cut_off", "no table that can be read", saved(np.ones((4, 2), np.float32))[:-3])
npy_case("npy_with_a_rest", "one table of floats", saved(np.ones((4, 2), np.float32)) + b"rest")
npy_case("npy_that_is_none", "no table that can be read", b"\x93NUMPY")
npy_case(
    "npy_with_code_in_its_header",
    "no table that can be read",
    b"\x93NUMPY\x01\x00v\x00" + b"__import__('os').mkdir('pickle-ran')".ljust(117) + b"\n",
)
npy_case(
    "npy_of_an_exabyte",
    "no table that can be read",
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 1)}".ljust(117)
    + b"\n",
)


def archive(*members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return stream.getvalue()


def pickled_case(name, words, raw):
    def builder(folder):
        (folder / "pytorch_model.bin").write_bytes(raw)
        (folder / "config.json").write_text(json.dumps(CONFIG))

    builder.__name__ = name
    case(words)(builder)


_VERSION = ("archive/version", "3\n")
pickled_case(
    "pickle_that_runs_code",
    "more than tensors",
    archive(("archive/data.pkl", pickle.dumps({"a": Payload()}, 2)), _VERSION),
)
pickled_case("pickle_without_an_archive", "no archive", pickle.dumps({"a": Payload()}))
pickled_case(
    "pickle_deflated",
    "compressed",
    archive(("archive/data.pkl", bytes(10_000_000)), compression=zipfile.ZIP_DEFLATED),
)
pickled_case("pickle_that_leaves_its_archive", "leaves the archive", archive(("../data.pkl", b"x"), _VERSION))
pickled_case("pickle_with_an_absolute_name", "leaves the archive", archive(("/data.pkl", b"x"), _VERSION))
pickled_case(
    "pickle_with_backslashes", "leaves the archive", archive(("a\\..\\..\\data.pkl", b"x"), _VERSION)
)
pickled_case("pickle_cut_off", "no archive", archive(("archive/data.pkl", b"x" * 99), _VERSION)[:-30])


@case("stands twice")
def pickle_with_a_name_twice(folder):
    raw = archive(("archive/data.pkl", b"x"), ("archive/data.pkX", b"y"))
    (folder / "pytorch_model.bin").write_bytes(raw.replace(b"data.pkX", b"data.pkl"))


@case("compressed")
def pickle_that_says_more_than_it_has(folder):
    raw = bytearray(archive(("archive/data.pkl", b"x")))
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 2**31)
    (folder / "pytorch_model.bin").write_bytes(raw)
