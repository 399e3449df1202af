"""What lies beside the weights: copies, states of training, and a Transformer one folder below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from milepost.errors import UnsafeFile
from milepost.tables import find_transformer, is_copy, locate_transformer


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("model.onnx", True), ("model_quantized.onnx", True), ("model.onnx_data", True), ("tf_model.h5", True),
        ("flax_model.msgpack", True), ("rust_model.ot", True), ("pytorch_model.bin", True), ("openvino_model.bin", True),
        ("model-Q4.gguf", True), ("model.safetensors", False), ("training_args.bin", False), ("optimizer.pt", False),
        ("config.json", False), ("sentencepiece.bpe.model", False),
    ],
)  # fmt: skip
def test_weights_in_another_format_are_told_by_their_names(name: str, copied: bool) -> None:
    assert is_copy(name) == copied


def write(root: Path, modules: object) -> Path:
    (root / "modules.json").write_text(json.dumps(modules), encoding="utf-8-sig")
    return root


def test_the_transformer_is_where_modules_json_says(tmp_path: Path) -> None:
    assert find_transformer(tmp_path) == ""
    kind = "sentence_transformers.models.Transformer"
    write(tmp_path, [3, {"type": "x.Pooling", "path": "1_Pooling"}, {"type": kind, "path": "0_Transformer"}])
    assert find_transformer(tmp_path) == ""  # the folder is not there
    (tmp_path / "0_Transformer").mkdir()
    assert find_transformer(tmp_path) == "0_Transformer"
    assert find_transformer(write(tmp_path, [{"type": kind, "path": ""}])) == ""
    assert find_transformer(write(tmp_path, {"type": kind})) == ""


@pytest.mark.parametrize("path", ["../other", "/etc", "a/b"])
def test_a_module_outside_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile):
        find_transformer(write(tmp_path, [{"type": "s.Transformer", "path": path}]))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0_T").symlink_to(tmp_path / "out")
    with pytest.raises(UnsafeFile, match="outside"):
        find_transformer(write(tmp_path / "in", [{"type": "s.Transformer", "path": "0_T"}]))


def test_only_a_local_folder_holds_a_transformer(tmp_path: Path) -> None:
    assert locate_transformer(tmp_path) == tmp_path
    (tmp_path / "0_Transformer").mkdir()
    write(tmp_path, [{"type": "s.Transformer", "path": "0_Transformer"}])
    assert locate_transformer(tmp_path) == tmp_path / "0_Transformer"
    assert locate_transformer(tmp_path / "modules.json") is None
    assert locate_transformer("organisation/name") is None
