"""What position encodings cost, held against the encodings themselves."""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CONFIG_MAPPING,
    AlbertConfig,
    AlbertModel,
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    CLIPConfig,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    OPTConfig,
    OPTModel,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
    ViTConfig,
    ViTModel,
    WhisperConfig,
)

import milepost
from milepost.catalog import BUILT_IN, KEPT, CostFormula, Sizes, Work, find_row, row
from milepost.diagnostics.cost import price, read_shape
from milepost.encodings import build, memo
from milepost.errors import DataError, OptionError, SpecError, UnknownFamily, UnknownName, UnsafeFile
from milepost.spec import parse_spec
from milepost.tables import family_of

GPT3 = {
    "model_type": "gpt2",
    "n_positions": 2048,
    "n_embd": 12288,
    "n_head": 96,
    "n_layer": 96,
    "vocab_size": 50257,
}
SPECS = [
    "learned", "learned(rank=3)", "learned(rows=40)", "learned(past=tile)", "sinusoidal", "sinusoidal(theta=50)", "rotary",
    "rotary(partial=0.5)", "rotary(scaling=ntk(factor=4))", "rotary(theta=500,scaling=dynamic(original=16))",
    "rotary(scaling=llama3)", "xpos", "xpos(gamma=0.5)", "alibi", "t5",
    "t5(buckets=8,max_distance=20)", "shaw", "shaw(max_distance=3)", "kerple", "kerple(variant=power)", "fire",
    "fire(width=5)", "sandwich", "sandwich(width=6)", "none", "randomized(inner=learned,max_len=100)",
    "shape(inner=learned,max_shift=7)", "shape", "learned(past=bicubic)", "learned2d", "learned2d(past=bicubic)",
    "sinusoidal2d", "sinusoidal2d(theta=50)", "rotary2d",
]  # fmt: skip
SIZES = [
    Sizes(3, 24, 6, 2, 8, 20, grid=(3, 6), prefix=2),
    Sizes(2, 15, 2, 2, 4, 33, grid=(4, 8), prefix=1),
]


def make(spec: str, s: Sizes) -> Any:
    return build(spec, s.geometry).eval()


def test_every_encoding_is_priced_in_these_tests() -> None:
    assert {parse_spec(spec).name for spec in SPECS} == set(BUILT_IN)


EACH = frozenset(
    [
        "add",
        "sub",
        "rsub",
        "mul",
        "div",
        "neg",
        "pow",
        "exp",
        "log",
        "log1p",
        "sin",
        "cos",
        "maximum",
        "clamp",
        "clamp_min",
        "relu",
        "sigmoid",
        "abs",
        "reciprocal",
    ]
)

FREE = frozenset(
    [
        "arange",
        "_to_copy",
        "unsqueeze",
        "view",
        "_unsafe_view",
        "stack",
        "cat",
        "slice",
        "slice_backward",
        "detach",
        "embedding",
        "gather",
        "where",
        "roll",
        "split",
        "split_with_sizes",
        "expand",
        "transpose",
        "t",
        "permute",
        "alias",
        "lift_fresh",
        "gt",
        "lt",
        "ge",
        "empty_like",
        "select",
        "aminmax",
        "squeeze",
        "clone",
        "scalar_tensor",
        "masked_fill",
        "_local_scalar_dense",
        "zeros_like",
        "ones_like",
    ]
)


class Operations(TorchDispatchMode):
    """Counts floating-point arithmetic while torch runs it; an operation that it does not know is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_")
        if isinstance(answer, torch.Tensor) and not answer.is_floating_point():
            return answer
        if name in EACH:
            self.count += answer.numel()
        elif name == "addcmul":
            self.count += 2 * answer.numel()
        elif name == "sum":
            self.count += args[0].numel()
        elif name in ("mm", "bmm"):
            self.count += 2 * answer.numel() * args[0].shape[-1]
        elif name == "addmm":
            self.count += answer.numel() * (1 + 2 * args[1].shape[-1])
        else:
            assert name in FREE, f"{func} is neither counted nor free"
        return answer


def measure(spec: str, s: Sizes, length: int) -> int:
    """Operations of one forward pass over one sequence, as a model calls an encoding."""
    encoding = make(spec, s)
    at = torch.arange(length)
    query, key = torch.ones(1, s.heads, length, s.head_dim), torch.ones(1, s.kv_heads, length, s.head_dim)
    scores, embeddings = torch.zeros(1, s.heads, length, length), torch.zeros(1, length, s.dim)
    with torch.no_grad(), Operations() as counted:
        if "vectors" in encoding.places:
            encoding.embed(embeddings)
        for _ in range(s.layers):
            if "bias" in encoding.places:
                scores + encoding.bias(query, at, at, scaling=0.5)
            encoding.rotate(query, key, at, at)
    return counted.count


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("sizes", SIZES)
def test_operations_are_those_that_the_encoding_runs(spec: str, sizes: Sizes) -> None:
    for length in (4, 11, 20):
        assert price(parse_spec(spec), sizes).work(length).operations(sizes.layers) == measure(
            spec, sizes, length
        )


@pytest.mark.parametrize("spec", ["alibi", "sandwich(width=2)", "t5", "rotary", "xpos"])
def test_what_is_too_large_to_keep_is_derived_in_each_layer(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memo, "_LARGEST", 50)
    monkeypatch.setattr(row, "KEPT", 50)
    sizes = SIZES[0]
    again = price(parse_spec(spec), sizes).work(12).operations(sizes.layers)
    assert again == measure(spec, sizes, 12)
    monkeypatch.undo()
    assert again > price(parse_spec(spec), sizes).work(12).operations(sizes.layers)


def test_the_size_that_is_kept_is_the_encodings_own() -> None:
    assert memo._LARGEST == KEPT


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("sizes", [*SIZES, Sizes(12, 768, 12, 12, 64, 197, grid=(14, 14), prefix=1)])
def test_parameters_and_limits_are_those_that_the_encoding_has(spec: str, sizes: Sizes) -> None:
    with torch.device("meta"):
        encoding = make(spec, sizes)
    priced = price(parse_spec(spec), sizes)
    assert priced.parameters == sum(weight.numel() for weight in encoding.parameters())
    assert priced.usable_length == encoding.usable_length


@pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if "(" not in spec and spec not in ("shape", "none")]
)
def test_what_is_held_is_what_the_hooks_answer(spec: str) -> None:
    sizes, n = SIZES[0], 11
    encoding, at = make(spec, sizes), torch.arange(n)
    held = price(parse_spec(spec), sizes).work(n).held
    if "vectors" in encoding.places:
        answer = encoding.vectors(range(n))
        # what is read in place is held once, by the parameter, or else whole
        whole = answer if answer._base is None else answer._base
        assert held == (0 if whole.requires_grad and whole.is_leaf else whole.numel())
    elif "bias" in encoding.places:
        query = torch.ones(1, sizes.heads, n, sizes.head_dim)
        assert held == encoding.bias(query, at, at, scaling=1.0).numel()
    else:
        query = torch.ones(1, 1, n, sizes.head_dim)
        encoding.rotate(query, query, at, at)
        memos = [module._memo._kept for module in encoding.modules()]
        assert held == sum(part.numel() for kept in memos for part in kept[3])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_memory_is_that_of_torchs_adam(dtype: str) -> None:
    table = milepost.LearnedPositions(64, 16, dtype=getattr(torch, dtype))
    optimizer = torch.optim.AdamW(table.parameters())
    table(torch.zeros(1, 64, 16, dtype=table.weight.dtype)).sum().backward()
    optimizer.step()
    state = [value for value in optimizer.state[table.weight].values() if value.ndim]
    held = sum(one.nbytes for one in (table.weight, table.weight.grad, *state))
    config = {"model_type": "gpt2", "n_positions": 64, "n_embd": 16, "n_head": 2, "n_layer": 1}
    (learned,) = milepost.cost(config, encodings="learned")["encodings"]
    assert learned["training_bytes"][dtype] == held
    assert learned["weight_bytes"][dtype] == table.weight.nbytes


MODELS = [
    (GPT2Config(), GPT2Model, "wpe", 786_432),
    (BertConfig(), BertModel, "position_embeddings", 393_216),
    (RobertaConfig(max_position_embeddings=514), RobertaModel, "position_embeddings", 394_752),
    (GPT2Config(n_positions=2048, n_embd=12288, n_head=96, n_layer=1), GPT2Model, "wpe", 25_165_824),
    (OPTConfig(), OPTModel, "embed_positions", 2050 * 768),
    (BartConfig(), BartModel, "embed_positions", 2 * 1026 * 1024),
    (ElectraConfig(), ElectraModel, "position_embeddings", 512 * 128),
    (AlbertConfig(num_attention_heads=64), AlbertModel, "position_embeddings", 512 * 128),
    (ViTConfig(), ViTModel, "position_embeddings", 197 * 768),
    (T5Config(), T5Model, "relative_attention_bias", 2 * 32 * 8),
]


@pytest.mark.parametrize(
    ("config", "cls", "name", "number"), MODELS, ids=lambda value: getattr(value, "__name__", "")
)
def test_parameters_of_known_models_are_those_that_transformers_builds(
    config: Any, cls: Any, name: str, number: int
) -> None:
    with torch.device("meta"):
        model = cls(config)
    built = sum(weight.numel() for key, weight in model.named_parameters() if name in key)
    assert milepost.cost(config.to_dict(), max_len=512)["present"]["parameters"] == built == number


def test_tables_of_every_family_are_those_of_the_survey(shared: Path) -> None:
    """Rows and widths that were measured on models built from each configuration's defaults."""
    measured: dict[str, set[tuple[int, int]]] = defaultdict(set)
    with (shared / "families.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "learned" and row["rows"] and row["dim"] and family_of(row["model_type"]):
                measured[row["model_type"]].add((int(row["rows"]), int(row["dim"])))
    seen = 0
    for name, wanted in measured.items():
        if name not in CONFIG_MAPPING or name in (
            "esm",
            "fnet",
            "lxmert",
        ):  # no pad, no heads, no layers said
            continue
        found = milepost.cost(CONFIG_MAPPING[name]().to_dict(), max_len=512)
        if not found["part"]:
            tables = [table for table in found["present"]["tables"] if table["kind"] != "fixed_sinusoid"]
            assert tables and {(table["rows"], table["dim"]) for table in tables} <= wanted, name
            seen += 1
    assert seen > 50


def test_gpt3s_table_on_the_meta_device() -> None:
    with torch.device("meta"):
        table = milepost.LearnedPositions(2048, 12288)
    learned = milepost.cost(GPT3)["encodings"][0]
    assert learned["encoding"] == "learned"
    assert learned["present"]
    assert learned["parameters"] == table.weight.numel() == 25_165_824
    assert learned["weight_bytes"] == {"float32": 100_663_296, "bfloat16": 50_331_648}
    assert learned["training_bytes"]["mixed"] == 402_653_184
    assert learned["operations_per_token"] == {"2048": 12288.0}


def test_reserved_rows_count_as_parameters_and_not_as_positions() -> None:
    found = milepost.cost(RobertaConfig(max_position_embeddings=514).to_dict())
    assert found["present"]["tables"][0]["rows"] == 514
    assert found["sizes"]["max_len"] == 512
    assert found["encodings"][0]["parameters"] == 512 * 768


def test_a_length_past_the_table_has_no_answer() -> None:
    found = milepost.cost(GPT3, lengths=[2048, 2049], encodings="learned,learned(past=clamp)")["encodings"]
    assert found[0]["operations"]["2049"] is None
    assert found[0]["working_bytes"]["2049"] is None
    assert found[1]["operations"]["2049"] == 2049 * 12288


def test_max_len_sizes_the_alternatives_and_not_what_is_there() -> None:
    found = milepost.cost(GPT3, max_len=8192)
    assert found["present"]["parameters"] == 25_165_824
    assert found["encodings"][0]["parameters"] == 8192 * 12288


def test_rotary_settings_and_key_heads_come_from_the_configuration() -> None:
    config = LlamaConfig(
        num_key_value_heads=8, rope_parameters={"rope_type": "default", "rope_theta": 5e5}
    ).to_dict()
    shape = read_shape(config)
    assert (str(shape.encoding), shape.parameters, shape.sizes.kv_heads) == ("rotary(theta=500000)", 0, 8)
    partial = {"model_type": "gpt_neox", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    partial |= {"max_position_embeddings": 32, "rotary_pct": 0.25}
    assert str(read_shape(partial).encoding) == "rotary(partial=0.25)"


def test_yardsticks_are_the_token_table_and_the_two_products_of_attention() -> None:
    found = milepost.cost(GPT3, lengths=[10])["yardsticks"]
    with FlopCounterMode(display=False) as counted:
        query = torch.ones(1, 96, 10, 128)
        torch.softmax(query @ query.mT, -1) @ query
    assert found["attention_operations"] == {"10": 96 * counted.get_total_flops()}
    assert found["token_table_parameters"] == 50257 * 12288


def test_other_orders_are_named_and_not_priced_by_guess() -> None:
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "max_position_embeddings": 16,
    }
    bias = milepost.cost({"model_type": "funnel", **sizes})["present"]
    assert bias == {"positions_by": "relative_bias", "encoding": None, "parameters": None, "tables": []}
    assert milepost.cost({"model_type": "falcon", "alibi": True, **sizes})["present"]["encoding"] == "alibi"
    esm = {"model_type": "esm", "pad_token_id": 1, **sizes}
    assert milepost.cost({**esm, "position_embedding_type": "rotary"})["present"]["encoding"] == "rotary"
    assert milepost.cost({**esm, "position_embedding_type": "absolute"})["present"]["parameters"] == 16 * 32


def test_a_model_of_parts_is_priced_at_its_text() -> None:
    found = milepost.cost(CLIPConfig().to_dict())
    assert (found["part"], found["sizes"]["max_len"], found["sizes"]["dim"]) == ("text_config", 77, 512)


def test_a_frozen_sinusoid_beside_a_table_is_no_parameter() -> None:
    found = milepost.cost(WhisperConfig().to_dict())["present"]
    assert found["parameters"] == 448 * 384
    assert [table["kind"] for table in found["tables"]] == ["learned", "fixed_sinusoid"]


def test_a_swapped_model_has_the_encoding_of_its_record() -> None:
    from milepost.models import ModelShape, build_scratch

    shape = ModelShape(layers=1, dim=8, heads=2, init_std=0.02, max_len=32, vocabulary_size=16)
    model = build_scratch("causal-lm", shape, encoding="t5(buckets=8)", seed=0)
    found = milepost.cost(model.config.to_dict())
    assert found["present"]["encoding"] == "t5(buckets=8)"
    assert found["present"]["parameters"] == 16
    assert found["sizes"]["max_len"] == 32


def test_an_alternative_that_cannot_be_is_left_out_unless_asked_for() -> None:
    odd = {"model_type": "gpt2", "n_positions": 8, "n_embd": 9, "n_head": 3, "n_layer": 1}
    assert "rotary" not in {found["encoding"] for found in milepost.cost(odd)["encodings"]}
    with pytest.raises(OptionError, match="pairs"):
        milepost.cost(odd, encodings="rotary")


@pytest.mark.parametrize(
    ("config", "options", "error"),
    [
        ({"model_type": "unheard-of"}, {}, UnknownFamily),
        ({"model_type": ["gpt2"]}, {}, UnknownFamily),
        ({}, {}, UnknownFamily),
        ({"model_type": "gpt2", "n_positions": 8}, {}, DataError),
        ({**GPT3, "n_embd": "wide"}, {}, DataError),
        ({**GPT3, "n_layer": 0}, {}, DataError),
        ({"model_type": "clip"}, {}, DataError),
        (GPT3, {"lengths": [0]}, OptionError),
        (GPT3, {"max_len": -1}, OptionError),
        (GPT3, {"encodings": "rotery"}, UnknownName),
        (GPT3, {"encodings": "rotary(speed=1)"}, SpecError),
        (GPT3, {"encodings": "kerple(variant=cubic)"}, OptionError),
        (GPT3, {"encodings": "fire(width=wide)"}, SpecError),
        (GPT3, {"encodings": "shape(inner=3)"}, SpecError),
        ({"model_type": "bloom", "hidden_size": 8, "n_head": 2, "n_layer": 1}, {}, OptionError),
        ("no/such/folder", {}, DataError),
    ],
)
def test_what_cannot_be_priced_is_refused(config: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        milepost.cost(config, **options)


def test_a_folder_and_its_file_say_the_same(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GPT3))
    folder, file = milepost.cost(tmp_path), milepost.cost(tmp_path / "config.json")
    assert folder.pop("source") != file.pop("source")
    assert folder == file


def test_a_changed_formula_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    more = replace(find_row("alibi"), cost=CostFormula(lambda s, o: 0, lambda s, o, n: Work(once=1)))
    monkeypatch.setitem(BUILT_IN, "alibi", more)
    sizes = SIZES[0]
    assert price(parse_spec("alibi"), sizes).work(4).operations(sizes.layers) != measure("alibi", sizes, 4)


@pytest.mark.parametrize(
    "record", [{"trained_length": 512}, {"rule": {"spec": "group", "rows": 512, "to_length": 2048}}]
)
def test_a_record_of_lengths_leaves_the_table_what_it_is(record):
    config = {
        "model_type": "gpt2",
        "n_embd": 16,
        "n_head": 2,
        "n_layer": 1,
        "n_positions": 512,
        "vocab_size": 9,
    }
    before = milepost.cost(config)["present"]
    kind = "milepost_gpt2" if "rule" in record else "gpt2"
    assert milepost.cost(config | {"milepost": record, "model_type": kind})["present"] == before
    assert before["encoding"] == "learned"


def test_a_pipe_is_no_name_on_the_hub(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(UnsafeFile, match="plain file"):
        milepost.cost("pipe")


def test_an_image_model_is_priced_with_encodings_of_its_grid() -> None:
    found = milepost.cost(ViTConfig().to_dict())
    by_name = {one["encoding"]: one for one in found["encodings"]}
    assert (found["sizes"]["grid"], found["sizes"]["prefix"], found["sizes"]["causal"]) == (
        (14, 14),
        1,
        False,
    )
    assert by_name["learned2d"]["parameters"] == (14 + 14 + 1) * 768
    assert by_name["learned2d"]["usable_length"] == 197
    assert {"sinusoidal2d", "rotary2d"} <= by_name.keys()
    assert not {"learned2d", "sinusoidal2d", "rotary2d"} & {
        one["encoding"] for one in milepost.cost(GPT3)["encodings"]
    }


def test_an_encoding_without_formulas_is_not_priced_by_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN, "alibi", replace(find_row("alibi"), cost=None))
    assert "alibi" not in {one["encoding"] for one in milepost.cost(GPT3)["encodings"]}
    with pytest.raises(OptionError, match="cost of alibi is not known"):
        milepost.cost(GPT3, encodings="alibi")


def test_what_a_family_says_about_its_direction_decides_as_in_a_swap() -> None:
    assert milepost.cost(GPT3, encodings="xpos")["sizes"]["causal"]
    assert milepost.cost(BartConfig().to_dict(), encodings="xpos")["sizes"]["causal"]
    with pytest.raises(OptionError, match="causal"):
        milepost.cost(BertConfig().to_dict(), encodings="xpos")
    with pytest.raises(OptionError, match="buckets"):
        milepost.cost(BertConfig().to_dict(), encodings="t5(buckets=2)")
