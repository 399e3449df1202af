"""Position rules: what a grouped or recurring input reads, in memory and from a folder."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import milepost
from milepost.encodings import Geometry, build
from milepost.errors import ExtendRefused, PastTheEnd, SwapRefused, UnknownFamily, UnsafeFile
from milepost.extension.reload_worker import measure
from milepost.extension.target import rule_types
from milepost.models.position_rule import ENCODINGS
from milepost.tables import read, stacks_by_type

sys.path.insert(0, str(Path(__file__).parents[1] / "extension"))  # the models are a module beside those tests
from tiny_models import settings

TO, LONG = 50, 45
ABSOLUTE = {"esm": {"position_embedding_type": "absolute", "token_dropout": False, "mask_token_id": 1}}
SMALL = {"word_embed_proj_dim": 24, "hidden_size": 24, "embedding_size": 24}


def stock(kind: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    cls = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind]
    model = transformers.AutoModel.from_config(cls(**settings(kind) | ABSOLUTE.get(kind, {})))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "pos" in name or "wpe" in name:
                value.normal_()  # as far apart as trained rows, so that a wrong one is seen
    return model.eval()


def oracle(spec: str, length: int, rows: int) -> np.ndarray:
    """LongEmbed, section 3.2: grouped positions floor(p / G) with G = ceil(L / L_o); recurrent ones p mod L_o."""
    places = np.arange(length, dtype=np.float64)
    rows_read = np.floor(places / np.ceil(length / rows)) if spec == "group" else np.mod(places, rows)
    return rows_read.astype(int)


def answer(model: transformers.PreTrainedModel, tokens: torch.Tensor, mask=None) -> torch.Tensor:
    inputs = {"input_ids": tokens, "attention_mask": mask}
    name = model.config.model_type
    if name.endswith("whisper"):
        inputs = {
            "input_features": torch.zeros(
                len(tokens), model.config.num_mel_bins, 2 * model.config.max_source_positions
            ),
            "decoder_input_ids": tokens,
        }
        inputs |= {} if mask is None else {"decoder_attention_mask": mask}
    elif name.endswith("bart"):
        inputs |= {"decoder_input_ids": tokens}
    with torch.no_grad():
        return model(**inputs).last_hidden_state


def draw(length: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(4, 40, (batch, length), generator=torch.Generator().manual_seed(length))


def replayed(kind: str, spec: str, length: int) -> transformers.PreTrainedModel:
    """A stock model whose table has, for one length, a row a position: those that the paper's formula names."""
    model = stock(kind)
    before = dict(copy.deepcopy(model.state_dict()))
    result = milepost.extend(model, to=length, method="zeros")
    after = dict(model.named_parameters())
    with torch.no_grad():
        for change in result["changes"]:
            if change["kind"] == "table":
                name, first = change["name"], len(before[change["name"]]) - result["from_length"]
                rows = first + oracle(spec, length, result["from_length"])
                after[name][first:] = before[name][torch.from_numpy(rows)]
    return model


@pytest.mark.parametrize("kind", rule_types())
def test_every_family_reads_the_rows_that_the_paper_names(kind: str) -> None:
    for spec, length in (("group", 37), ("group", LONG), ("recur", LONG)):
        model = stock(kind)
        usable = milepost.extend(copy.deepcopy(model), to=TO, method="zeros")["from_length"]
        short = answer(model, draw(usable, 2))
        result = milepost.extend(model, to=TO, method=spec)
        assert (result["to_length"], result["method"]) == (TO, spec)
        assert torch.equal(answer(model, draw(usable, 2)), short)
        expected = answer(replayed(kind, spec, length), draw(length))
        torch.testing.assert_close(answer(model, draw(length)), expected, rtol=1e-5, atol=1e-5)


def test_all_families_with_a_learned_text_table_are_there_but_one_whose_mask_ends() -> None:
    refused = stacks_by_type().keys() - set(rule_types())
    without_table = {"llama", "mistral", "qwen2", "qwen3", "phi", "phi3", "gpt_neox", "modernbert"}
    assert refused == without_table | {"clip_vision_model", "vit", "deit", "dinov2"} | {"gpt_neo"}
    with pytest.raises(ExtendRefused, match="rule"):
        milepost.extend(stock("gpt_neo"), to=TO, method="group")


@pytest.mark.parametrize("kind", ["bert", "roberta", "opt", "gpt2"])
@pytest.mark.parametrize("spec", ENCODINGS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_each_sequence_of_a_padded_batch_goes_by_its_own_length(kind: str, spec: str, side: str) -> None:
    model = stock(kind)
    milepost.extend(model, to=TO, method=spec)
    tokens, lengths = draw(LONG, 3), (LONG, 23, 9)
    padded, mask = torch.full_like(tokens, 3), torch.zeros_like(tokens)
    for row, length in enumerate(lengths):
        where = slice(LONG - length, None) if side == "left" else slice(length)
        padded[row, where], mask[row, where] = tokens[row, :length], 1
    together = answer(model, padded, mask)
    for row, length in enumerate(lengths):
        inside = together[row][mask[row].bool()]
        alone = answer(model, tokens[row : row + 1, :length])[0]
        torch.testing.assert_close(inside, alone, rtol=1e-4, atol=1e-5)


def make_decoder() -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, vocab_size=40, n_positions=8, bos_token_id=0, eos_token_id=None, pad_token_id=3
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    model.transformer.wpe.weight.data.normal_()
    milepost.extend(model, to=40, method="group")
    return model


def generate(model: transformers.PreTrainedModel, tokens: torch.Tensor, new: int, **more) -> torch.Tensor:
    settings = transformers.GenerationConfig(
        max_new_tokens=new, do_sample=False, pad_token_id=3, output_logits=True, return_dict_in_generate=True,
        max_length=None,
    )  # fmt: skip
    return torch.stack(model.generate(tokens, generation_config=settings, tokenizer=None, **more).logits, 1)


def test_a_cache_serves_until_groups_would_grow_and_then_says_so() -> None:
    model, tokens = make_decoder(), draw(10)
    cached, whole = generate(model, tokens, 7), generate(model, tokens, 7, use_cache=False)
    torch.testing.assert_close(cached, whole)
    with pytest.raises(PastTheEnd, match="use_cache=False"):
        generate(model, tokens, 8)
    assert generate(model, tokens, 12, use_cache=False).shape[1] == 12
    padded = torch.cat([torch.full((1, 6), 3), tokens[:, :4]], 1)
    mask = (torch.arange(10) >= 6).long()[None]
    assert generate(model, padded, 5, attention_mask=mask).shape[1] == 5
    with pytest.raises(PastTheEnd, match="use_cache=False"):  # by its own length, not by that of the batch
        generate(model, padded, 6, attention_mask=mask)


def test_on_a_device_the_same_verdict_comes_later_and_nothing_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("milepost.encodings.table.is_at_host", lambda tensor: False)
    table = build("learned(past=group)", Geometry(dim=4, heads=1, head_dim=4, max_len=8))
    places = torch.tensor([[8, 9], [3, 4]])
    assert table.group(places, cached=True).tolist() == [[8, 8], [3, 4]]
    vectors = table.vectors(table.group(places, cached=True))
    assert vectors[0].isnan().all() and vectors[1].isfinite().all()
    with pytest.raises(PastTheEnd, match="groups"):
        table.check_positions_seen()


def test_group_compiles_into_one_graph() -> None:
    table = build("learned(past=group)", Geometry(dim=4, heads=1, head_dim=4, max_len=8))

    def read_rows(places: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return table.vectors(table.group(places, real=real))

    places, real = torch.arange(20)[None].expand(2, 20), torch.arange(20) < torch.tensor([[20], [12]])
    explained = torch._dynamo.explain(read_rows)(places, real)
    assert explained.graph_break_count == 0
    rows = table.group(places, real=real)
    assert rows[0].tolist() == [p // 3 for p in range(20)]
    assert rows[1, :12].tolist() == [p // 2 for p in range(12)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ruled")
    stock("roberta").save_pretrained(root / "old")
    (root / "old" / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "RobertaTokenizer", "model_max_length": 16}'
    )
    for spec in ENCODINGS:
        milepost.extend(root / "old", to=TO, method=spec, out=root / spec)
    return root


@pytest.mark.parametrize("spec", ENCODINGS)
def test_a_folder_keeps_its_weights_and_says_the_new_limit(folders: Path, spec: str, tmp_path: Path) -> None:
    new = folders / spec
    assert (new / "model.safetensors").read_bytes() == (folders / "old" / "model.safetensors").read_bytes()
    old_config, config = (json.loads((path / "config.json").read_text()) for path in (folders / "old", new))
    assert config["milepost"]["rule"] == {"spec": spec, "rows": 16, "to_length": TO}
    assert config["max_position_embeddings"] == old_config["max_position_embeddings"] == 20
    assert json.loads((new / "tokenizer_config.json").read_text())["model_max_length"] == TO
    model, memory = milepost.load(new), stock("roberta")
    milepost.extend(memory, to=TO, method=spec)
    assert torch.equal(answer(model, draw(LONG)), answer(memory, draw(LONG)))
    model.save_pretrained(tmp_path)
    again = milepost.load(tmp_path)
    assert torch.equal(answer(model, draw(LONG)), answer(again, draw(LONG)))
    assert again.config.milepost["rule"] == config["milepost"]["rule"]
    for folder in (new, tmp_path):
        found = milepost.doctor(folder)
        assert found["limits"]["usable"]["value"] == TO
        assert not [one for one in found["findings"] if one["status"] == "issue"]
        (table,) = read(folder).tables
        assert (table.usable_length, len(table.usable_rows)) == (16, 16)
        assert milepost.inspect(folder)["position_rule"] == config["milepost"]["rule"]


@pytest.mark.parametrize("spec", ENCODINGS)
def test_the_proofs_of_a_whole_model_load_it_as_milepost_does(folders: Path, spec: str) -> None:
    task = {"old_folder": str(folders / "old"), "new_folder": str(folders / spec), "old": 16, "new": TO,
            "role": "text", "same_outputs": True}  # fmt: skip
    assert [check["status"] for check in measure(task)] == ["passed"] * 3


def test_what_has_a_rule_is_neither_extended_nor_swapped(folders: Path, tmp_path: Path) -> None:
    model = milepost.load(folders / "group")
    model.save_pretrained(tmp_path / "saved")
    for again in (folders / "group", tmp_path / "saved", model):
        with pytest.raises(ExtendRefused, match="by a rule already: group"):
            milepost.extend(again, to=90, **({} if again is model else {"out": tmp_path / "new"}))
    with pytest.raises(SwapRefused, match="rule"):
        milepost.swap(model, "rotary")
    milepost.swap(stock("roberta"), "rotary").save_pretrained(tmp_path / "swapped")
    with pytest.raises(UnknownFamily, match="was swapped"):
        milepost.extend(tmp_path / "swapped", to=90, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_self_test_of_positions_finds_no_end(folders: Path) -> None:
    for spec in ENCODINGS:
        model = milepost.load(folders / spec)
        assert model.config.model_type == "milepost_roberta"
        found = {one.code: one.status for one in milepost.check_positions(model)}
        assert (found["MP341"], found["MP342"], found["MP343"], found["MP348"]) == ("passed",) * 4


def test_stock_classes_refuse_the_folder(folders: Path) -> None:
    code = (
        "import sys, transformers\n"
        "for cls in (transformers.AutoModel, transformers.RobertaModel):\n"
        "    try:\n        cls.from_pretrained(sys.argv[1])\n"
        "    except ValueError:\n        continue\n"
        "    sys.exit(1)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(folders / "group")], check=False)
    assert done.returncode == 0


def edit(folder: Path, to: Path, **record) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    config = json.loads((to / "config.json").read_text())
    config["milepost"] |= record
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize(
    "rule",
    [3, {}, {"spec": "group"}, {"spec": "eval", "rows": 16, "to_length": 50}, {"spec": "group", "rows": True, "to_length": 9},
     {"spec": "group", "rows": 16, "to_length": 0}, {"spec": "group", "rows": 15, "to_length": 50}],
)  # fmt: skip
def test_a_rule_that_is_malformed_or_of_another_table_is_refused(
    folders: Path, tmp_path: Path, rule: object
) -> None:
    with pytest.raises(UnsafeFile):
        milepost.load(edit(folders / "group", tmp_path / "bad", rule=rule))


def test_a_table_that_is_missing_is_not_made_up(folders: Path, tmp_path: Path) -> None:
    bad = edit(folders / "group", tmp_path / "bad")
    weights = load_file(bad / "model.safetensors")
    del weights["embeddings.position_embeddings.weight"]
    save_file(weights, bad / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsafeFile, match="position table"):
        milepost.load(bad)


def test_images_and_smaller_targets_are_refused(folders: Path, tmp_path: Path) -> None:
    for to, method in ((16, "group"), (8, "recur"), ("8x8", "group")):
        with pytest.raises(milepost.MilepostError):
            milepost.extend(folders / "old", to=to, method=method, out=tmp_path / "new")
    vit = transformers.AutoModel.from_config(transformers.ViTConfig(**settings("vit")))
    with pytest.raises(milepost.MilepostError):
        milepost.extend(vit, to=64, method="group")
    assert not (tmp_path / "new").exists()
