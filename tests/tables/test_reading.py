import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from milepost.errors import DataError, NoTable, OptionError, UnknownFamily, UnsafeFile
from milepost.tables import Folder, pickled, read

CHECKPOINTS = Path(__file__).parents[3] / "shared" / "data" / "checkpoints"
TABLE = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def save(folder, tensors, config=None, name="model.safetensors"):
    folder.mkdir(exist_ok=True)
    save_file({key: torch.as_tensor(value).clone() for key, value in tensors.items()}, folder / name)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


GPT2 = {"model_type": "gpt2", "n_positions": 6}


def test_folder_gives_the_table_with_its_place_in_the_model(tmp_path):
    tensors = {
        "transformer.wpe.weight": TABLE,
        "transformer.h.0.attn.bias": np.ones((1, 1, 6, 6), np.uint8),
        "x": TABLE,
    }
    checkpoint = read(save(tmp_path / "m", tensors, GPT2))
    table = checkpoint.table()
    np.testing.assert_array_equal(table.rows, TABLE)
    assert (table.key, table.dtype, table.first_row, table.usable_length) == (
        "transformer.wpe.weight",
        "F32",
        0,
        6,
    )
    assert (table.expected_rows, table.length_field, table.parameters) == (6, "n_positions", 24)
    assert checkpoint.total_parameters == 48
    assert table.share_of_model == 0.5
    assert (checkpoint.kind, checkpoint.family.name, checkpoint.positions_by) == ("folder", "gpt2", "learned")
    assert checkpoint.files == ("config.json", "model.safetensors")
    entry = checkpoint.tensors["transformer.wpe.weight"]
    raw = (tmp_path / "m" / entry.file).read_bytes()[entry.begin : entry.end]
    assert raw == TABLE.tobytes()


def test_reserved_rows_are_those_before_the_first_position(tmp_path):
    key = "roberta.embeddings.position_embeddings.weight"
    config = {"model_type": "roberta", "pad_token_id": 2, "max_position_embeddings": 6}
    table = read(save(tmp_path / "m", {key: TABLE}, config)).table()
    assert (table.first_row, table.reserved_rows, table.padding_row, table.usable_length) == (
        3,
        (0, 1, 2),
        2,
        3,
    )
    np.testing.assert_array_equal(table.usable_rows, TABLE[3:])


def test_table_of_half_precision_is_read_exactly(tmp_path):
    half = torch.as_tensor(TABLE).to(torch.bfloat16)
    table = read(save(tmp_path / "m", {"wpe.weight": half}, GPT2)).table()
    assert table.dtype == "BF16"
    np.testing.assert_array_equal(table.rows, half.float().numpy())


def test_counts_of_gradients_beside_the_table_are_read(tmp_path):
    counts = np.arange(6, dtype=np.int64)
    tensors = {"wpe.weight": TABLE, "wpe.trained_counts": counts}
    np.testing.assert_array_equal(read(save(tmp_path / "m", tensors, GPT2)).table().trained_counts, counts)
    tensors["wpe.trained_counts"] = counts[:3]
    assert read(save(tmp_path / "n", tensors, GPT2)).table().trained_counts is None


def shard(folder, config=GPT2):
    save(folder, {"wpe.weight": TABLE}, config, "model-1.safetensors")
    save(folder, {"h.0.weight": TABLE * 2}, None, "model-2.safetensors")
    weight_map = {"wpe.weight": "model-1.safetensors", "h.0.weight": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_sharded_folder_is_read_whole(tmp_path):
    checkpoint = read(shard(tmp_path / "m"))
    np.testing.assert_array_equal(checkpoint.table().rows, TABLE)
    assert checkpoint.total_parameters == 48
    assert checkpoint.weight_map["h.0.weight"] == "model-2.safetensors"


def test_hub_cache_is_read_through_its_links(tmp_path):
    blobs = tmp_path / "models--org--name" / "blobs"
    save(blobs.parent, {}, name="unused.safetensors")
    snapshot = blobs.parent / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    source = save(tmp_path / "m", {"wpe.weight": TABLE}, GPT2)
    blobs.mkdir()
    for number, name in enumerate(("model.safetensors", "config.json")):
        (source / name).rename(blobs / f"blob{number}")
        (snapshot / name).symlink_to(f"../../blobs/blob{number}")
    np.testing.assert_array_equal(read(snapshot).table().rows, TABLE)
    np.testing.assert_array_equal(read(snapshot / "model.safetensors").table().rows, TABLE)


def test_link_that_the_user_names_is_followed(tmp_path):
    source = save(tmp_path / "m", {"wpe.weight": TABLE})
    (tmp_path / "link.safetensors").symlink_to(source / "model.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "link.safetensors").table().rows, TABLE)


def test_single_file_uses_the_configuration_beside_it(tmp_path):
    key = "embeddings.position_embeddings.weight"
    file = save(tmp_path / "m", {key: TABLE}) / "model.safetensors"
    with pytest.raises(UnknownFamily, match="--first-row"):
        read(file)
    assert read(file, tensor=key, first_row=2).table().usable_length == 4
    (file.parent / "config.json").write_text('{"model_type": "mpnet"}')
    assert read(file).table().first_row == 2


def test_named_tensor_of_an_unknown_family_needs_its_first_row(tmp_path):
    folder = save(tmp_path / "m", {"positions": TABLE}, {"model_type": "brand_new"})
    with pytest.raises(UnknownFamily):
        read(folder)
    with pytest.raises(UnknownFamily):
        read(folder, tensor="positions")
    checkpoint = read(folder, tensor="positions", first_row=1)
    assert (checkpoint.family, checkpoint.positions_by, checkpoint.table().first_row) == (None, "unknown", 1)
    with pytest.raises(NoTable, match="'positions'"):
        read(folder, tensor="position", first_row=1)


def test_several_tables_are_told_apart_by_name(tmp_path):
    tensors = {f"model.{side}.embed_positions.weight": TABLE for side in ("encoder", "decoder")}
    checkpoint = read(save(tmp_path / "m", tensors, {"model_type": "bart"}))
    assert [table.role for table in checkpoint.tables] == ["encoder", "decoder"]
    with pytest.raises(NoTable, match="--tensor"):
        checkpoint.table()
    assert checkpoint.table("model.decoder.embed_positions.weight").role == "decoder"
    one = read(tmp_path / "m", tensor="model.decoder.embed_positions.weight")
    assert (one.table().role, one.table().first_row) == ("decoder", 2)
    with pytest.raises(OptionError, match="2 tables"):
        read(tmp_path / "m", first_row=0)


def test_layout_boxes_do_not_hide_the_one_table_of_the_sequence(tmp_path):
    tensors = {f"embeddings.{name}position_embeddings.weight": TABLE for name in ("", "x_", "y_", "h_", "w_")}
    checkpoint = read(save(tmp_path / "m", tensors, {"model_type": "layoutlm", "max_position_embeddings": 6}))
    assert len(checkpoint.tables) == 5
    assert checkpoint.table().key == "embeddings.position_embeddings.weight"


def test_first_row_of_the_user_goes_before_the_familys(tmp_path):
    key = "embeddings.position_embeddings.weight"
    config = {"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 6}
    table = read(save(tmp_path / "m", {key: TABLE}, config), tensor=key, first_row=0).table()
    assert (table.first_row, table.reserved_rows, table.usable_length, table.expected_rows) == (0, (), 6, 6)


def test_rotary_model_has_no_table_and_says_why(tmp_path):
    checkpoint = read(save(tmp_path / "m", {"model.norm.weight": TABLE}, {"model_type": "llama"}))
    assert (checkpoint.tables, checkpoint.positions_by) == ((), "rotary")
    with pytest.raises(NoTable, match="llama knows positions by: rotary"):
        checkpoint.table()


def test_configuration_that_disagrees_leaves_the_grid_unknown(tmp_path):
    config = {"model_type": "vit", "image_size": 32, "patch_size": 16}
    table = read(save(tmp_path / "m", {"embeddings.position_embeddings": TABLE[None]}, config)).table()
    assert (table.expected_rows, len(table.rows), table.grid, table.prefix_rows) == (5, 6, None, 1)
    config["image_size"] = [16, 80]
    assert read(
        save(tmp_path / "m", {"embeddings.position_embeddings": TABLE[None]}, config)
    ).table().grid == (1, 5)


def test_bare_table_needs_its_first_row(tmp_path):
    np.save(tmp_path / "table.npy", TABLE.astype(np.float64))
    with pytest.raises(OptionError, match="--first-row"):
        read(tmp_path / "table.npy")
    checkpoint = read(tmp_path / "table.npy", first_row=2)
    assert (checkpoint.kind, checkpoint.table().dtype, checkpoint.table().usable_length) == ("npy", "F64", 4)
    np.testing.assert_array_equal(checkpoint.table().rows, TABLE.astype(np.float64))


def test_pickled_weights_are_read_only_when_allowed(tmp_path):
    torch.save({"model": {"wpe.weight": torch.as_tensor(TABLE).half()}}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    with pytest.raises(OptionError, match="--allow-pickle"):
        read(tmp_path)
    for model in (tmp_path, tmp_path / "pytorch_model.bin"):
        table = read(model, allow_pickle=True).table()
        assert table.dtype == "F16"
        np.testing.assert_array_equal(table.rows, TABLE.astype(np.float16).astype(np.float32))


def write_pickle(folder, pickled):
    """A file as torch writes it, around a pickle of our own."""
    (folder / "config.json").write_text(json.dumps(GPT2))
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return folder


TWO_GIGABYTES = b"c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R"
ALLOCATES = b"\x80\x02}X\x01\x00\x00\x00a" + TWO_GIGABYTES + b"s."
# tuples of two of the one before, used as keys: each hash costs twice the one before
DOUBLED = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(1, 46))
HASHES = b"\x80\x02}()q\x01" + DOUBLED + b"u."


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound memory")
def test_a_pickle_that_allocates_more_than_its_file_is_refused(tmp_path):
    with pytest.raises(UnsafeFile, match=r"MemoryError|limits"):
        read(write_pickle(tmp_path, ALLOCATES), allow_pickle=True)


def test_a_pickle_that_computes_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled, "SECONDS", 0.2)
    with pytest.raises(UnsafeFile, match="limits of time"):
        read(write_pickle(tmp_path, HASHES), allow_pickle=True)


def test_tensors_without_numbers_of_their_own_are_left_out(tmp_path):
    tensors = {
        "wpe.weight": torch.as_tensor(TABLE),
        "a": torch.eye(3).to_sparse(),
        "b": torch.empty(2, 2, device="meta"),
        "c": torch.zeros(1, 1).expand(2**31, 2),
    }
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    checkpoint = read(tmp_path, allow_pickle=True)
    assert set(checkpoint.tensors) == {"wpe.weight", "c"}
    with pytest.raises(UnsafeFile, match="too large"):
        read(tmp_path, tensor="c", first_row=0, allow_pickle=True)


def test_a_process_that_dies_is_the_files_fault(tmp_path, monkeypatch):
    torch.save({"wpe.weight": torch.as_tensor(TABLE)}, tmp_path / "pytorch_model.bin")
    program = "import sys, os; sys.stdin.readline(); os._exit(7)"
    start = pickled.start_python
    monkeypatch.setattr(pickled, "start_python", lambda _, **more: start(["-c", program], **more))
    with pytest.raises(UnsafeFile, match="limits"):
        pickled.read_pickled(tmp_path / "pytorch_model.bin", True)


def test_file_cut_short_while_it_is_read_is_an_error(tmp_path):
    folder = save(tmp_path / "m", {"wpe.weight": np.ones((4096, 64), np.float32)})
    with Folder(folder) as source:
        size = source.size("model.safetensors")
        os.truncate(folder / "model.safetensors", 5000)
        with pytest.raises(DataError, match="changed while it was read"):
            source.read("model.safetensors", 0, size)


def test_file_that_changes_while_it_is_read_is_an_error(tmp_path):
    folder = save(tmp_path / "m", {"wpe.weight": TABLE})
    with Folder(folder) as source:
        size = source.size("model.safetensors")
        os.utime(folder / "model.safetensors", ns=(1, 1))
        with pytest.raises(DataError, match="changed"):
            source.read("model.safetensors", 0, size)


def test_longer_headers_are_read_on_request(tmp_path):
    hostile.write(tmp_path, {"__metadata__": {"a": "x" * 2000}, hostile.KEY: hostile.ENTRY})
    with pytest.raises(UnsafeFile, match="--max-header"):
        read(tmp_path, max_header_bytes=1000)
    for limit in (0, -1, 100_000_001, 10**400):
        with pytest.raises(OptionError, match="give 1 to 100000000"):
            read(tmp_path, max_header_bytes=limit)
    assert read(tmp_path, max_header_bytes=3000).metadata["a"] == "x" * 2000


@pytest.mark.parametrize("model", ["no/such/folder", "./gpt2", "model.safetensors", "a\0b", "", "../x"])
def test_missing_model_is_an_error_without_a_request(model):
    with pytest.raises(DataError, match="no such model"):
        read(model)


def test_revision_and_first_row_are_checked(tmp_path):
    with pytest.raises(OptionError, match="Hub"):
        read(save(tmp_path / "m", {"wpe.weight": TABLE}), revision="main")
    with pytest.raises(OptionError):
        read(tmp_path / "m", first_row=-1)
    with pytest.raises(DataError, match="past the last row"):
        read(tmp_path / "m", first_row=6)


def test_names_with_markup_and_escapes_are_data_and_never_shown_raw(tmp_path):
    odd = "<img onerror=x>\x1b]0;t\x07\u202e../wpe.weight"
    folder = save(tmp_path / "m", {odd: TABLE, "wpe.weight": TABLE}, GPT2)
    assert odd in read(folder).tensors
    with pytest.raises(NoTable) as caught:
        read(folder, tensor="position", first_row=0)
    assert str(caught.value).replace("\n", "").isprintable()


def test_reading_a_folder_loads_neither_torch_nor_the_hub(tmp_path):
    save(tmp_path / "m", {"wpe.weight": TABLE}, GPT2)
    code = (
        "import sys; from milepost.tables import read; read(sys.argv[1]);"
        "print([name for name in ('torch', 'transformers', 'huggingface_hub', 'safetensors') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m")], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.skipif(not CHECKPOINTS.exists(), reason="the real checkpoints lie beside the project, not in it")
class TestRealCheckpoints:
    def test_first_rows_of_gpt2(self):
        table = read(CHECKPOINTS / "gpt2_wpe_first64" / "gpt2_wpe.npy", first_row=0).table()
        assert table.rows.shape == (64, 768)
        assert 0.1 < np.abs(table.rows[1:]).max() < 10

    def test_decision_transformer(self):
        model = CHECKPOINTS / "decision_transformer" / "ReproduceOriginalPostShort.pt"
        assert read(model, allow_pickle=True).table().rows.shape == (
            2,
            128,
        )  # TransformerLens' own, of two tokens
        key = next(key for key in read_keys(model) if key.endswith("time_embedding.weight"))
        table = read(model, tensor=key, first_row=0, allow_pickle=True).table()
        assert table.rows.shape == (1001, 128)
        assert abs(np.linalg.norm(table.rows, axis=1).mean() - 6.3) < 0.2


def read_keys(model):
    return torch.load(model, map_location="cpu", weights_only=True)["model_state_dict"]
