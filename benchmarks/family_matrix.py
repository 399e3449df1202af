"""Tiny random models of every family, and the properties that a swap must have in each of them."""

from __future__ import annotations

import contextlib
import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel, StaticCache
from transformers.utils import logging

from milepost.encodings import registered
from milepost.errors import MilepostError
from milepost.models import load, swap
from milepost.models.families import find_bases
from milepost.models.transformers_private import cache_argument, parameter_names
from milepost.tables import stacks_by_type

SMALL = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 40,
}  # fmt: skip
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IMAGE = {"image_size": 16, "patch_size": 4, "num_channels": 3} | NO_DROPOUT
SEQ2SEQ = {
    "vocab_size": 50, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "init_std": 0.2,
    "dropout": 0.0, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
LENGTH = 12


@dataclass(frozen=True)
class Subject:
    """A tiny model of one family, and how it is called.

    Args:
        cls: the class.
        options: of its config.
        kind: ``encoder``, ``decoder``, ``seq2seq``, ``speech`` or ``image``.
        pad: token id of pads.
        sees_pads: why pads change the answers of real tokens, in stock models too.
        places: whether ``position_ids`` are an argument.
        dropout: options that turn dropout on.
    """

    cls: str
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = "encoder"
    pad: int = 1
    sees_pads: str = ""
    places: bool = True
    dropout: dict[str, float] = field(default_factory=lambda: {"hidden_dropout_prob": 0.1})

    def build(self, attention: str = "sdpa", **extra: Any) -> PreTrainedModel:
        """The model, the same weights each time, in evaluation mode."""
        torch.manual_seed(0)
        cls = getattr(transformers, self.cls)
        base = {} if self.kind in ("seq2seq", "speech") else SMALL
        config = cls.config_class(**(base | {"pad_token_id": self.pad} | self.options | extra))
        if cls._supports_sdpa:
            config._attn_implementation = attention
        model: PreTrainedModel = cls(config).eval()
        with torch.no_grad():  # tables that begin at zero could not be told apart from none
            for name, parameter in model.named_parameters():
                if "position" in name and not parameter.any():
                    parameter.normal_(std=0.2)
        return model

    @property
    def has_cache(self) -> bool:
        """Whether the model can keep keys."""
        return self.kind in ("decoder", "seq2seq", "speech")


_BERT = {"type_vocab_size": 2} | NO_DROPOUT
_GPT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
_LLAMA = {"num_key_value_heads": 2}
SUBJECTS = {
    "gpt2": Subject("GPT2LMHeadModel", {"n_positions": 40, "n_inner": 48} | _GPT, "decoder", 0,
                    dropout={"resid_pdrop": 0.1}),
    "bert": Subject("BertForMaskedLM", _BERT, pad=0),
    "roberta": Subject("RobertaForMaskedLM", _BERT),
    "xlm-roberta": Subject("XLMRobertaForMaskedLM", _BERT),
    "camembert": Subject("CamembertForMaskedLM", _BERT, pad=3),
    "mpnet": Subject("MPNetForMaskedLM", NO_DROPOUT),
    "distilbert": Subject("DistilBertForMaskedLM", {"dropout": 0.0, "attention_dropout": 0.0, "hidden_dim": 48},
                          pad=0, dropout={"dropout": 0.1}),
    "electra": Subject("ElectraForMaskedLM", _BERT | {"embedding_size": 16}, pad=0),
    "albert": Subject("AlbertForMaskedLM", _BERT | {"embedding_size": 16}, pad=0),
    "convbert": Subject("ConvBertForMaskedLM", _BERT | {"embedding_size": 16}, pad=0,
                        sees_pads="its convolutions reach into pads"),
    "esm": Subject("EsmForMaskedLM", _BERT | {"position_embedding_type": "absolute", "mask_token_id": 49,
                                              "emb_layer_norm_before": True, "token_dropout": False}),
    "gpt_neo": Subject("GPTNeoForCausalLM",
                       {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
                        "window_size": 6, "resid_dropout": 0.0, "embed_dropout": 0.0, "attention_dropout": 0.0},
                       "decoder", 0, dropout={"embed_dropout": 0.1}),
    "opt": Subject("OPTForCausalLM", {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.2, "dropout": 0.0},
                   "decoder", dropout={"dropout": 0.1}),
    "biogpt": Subject("BioGptForCausalLM", NO_DROPOUT, "decoder"),
    "bart": Subject("BartForConditionalGeneration", SEQ2SEQ | {"max_position_embeddings": 40}, "seq2seq",
                    places=False, dropout={"dropout": 0.1}),
    "whisper": Subject("WhisperForConditionalGeneration",
                       SEQ2SEQ | {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 40,
                                  "use_cache": True, "suppress_tokens": None, "begin_suppress_tokens": None},
                       "speech", dropout={"dropout": 0.1}),
    "clip_text_model": Subject("CLIPTextModelWithProjection", {"initializer_factor": 5.0, "eos_token_id": 49},
                               dropout={}),
    "clip_vision_model": Subject("CLIPVisionModel", IMAGE | {"initializer_factor": 5.0}, "image", dropout={}),
    "vit": Subject("ViTModel", IMAGE, "image"),
    "deit": Subject("DeiTModel", IMAGE, "image"),
    "dinov2": Subject("Dinov2Model", IMAGE | {"mlp_ratio": 2}, "image"),
    "llama": Subject("LlamaForCausalLM", _LLAMA, "decoder", 0, dropout={}),
    "mistral": Subject("MistralForCausalLM", _LLAMA | {"sliding_window": 6, "head_dim": 8}, "decoder", 0, dropout={}),
    "qwen2": Subject("Qwen2ForCausalLM", _LLAMA | {"use_sliding_window": True, "sliding_window": 6,
                                                  "max_window_layers": 1}, "decoder", 0, dropout={}),
    "qwen3": Subject("Qwen3ForCausalLM", _LLAMA | {"head_dim": 16}, "decoder", 0, dropout={}),
    "phi": Subject("PhiForCausalLM", {"resid_pdrop": 0.0, "embd_pdrop": 0.0}, "decoder", 0, dropout={}),
    "phi3": Subject("Phi3ForCausalLM", _LLAMA | {"eos_token_id": 2}, "decoder", 0, dropout={}),
    "gpt_neox": Subject("GPTNeoXForCausalLM", {"hidden_dropout": 0.0}, "decoder", 0, dropout={}),
    "modernbert": Subject("ModernBertForMaskedLM", {"global_attn_every_n_layers": 2, "local_attention": 8,
                                                    "cls_token_id": 0, "sep_token_id": 2}, pad=0, dropout={}),
}  # fmt: skip


class Inapplicable(Exception):
    """A property that says nothing of this model; the message says why."""


@dataclass(frozen=True)
class Case:
    """One encoding in one family."""

    family: str
    encoding: str

    @property
    def subject(self) -> Subject:
        """The family's tiny model."""
        return SUBJECTS[self.family]

    def stock(self, attention: str = "sdpa", **extra: Any) -> PreTrainedModel:
        """The model before the swap."""
        return self.subject.build(attention, **extra)

    def swapped(self, attention: str = "sdpa") -> PreTrainedModel:
        """The model after it; what begins at zero gets something to say."""
        model = swap(self.stock(attention), self.encoding)
        generator = torch.Generator().manual_seed(5)
        for base, _ in find_bases(model):
            for parameter in base.milepost.parameters():
                if not parameter.any():
                    parameter.data.normal_(std=0.3, generator=generator)
        return model


def tokens(pad: int, rows: int = 3) -> Tensor:
    """Token ids, none of them a pad."""
    found = torch.randint(4, 48, (rows, LENGTH), generator=torch.Generator().manual_seed(1))
    return found + (found == pad).long()


def pixels(size: int = 16) -> Tensor:
    """Three images."""
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


def run(model: PreTrainedModel, subject: Subject, ids: Tensor | None = None, **inputs: Any) -> Tensor:
    """The model's answer for each token, or each patch."""
    if subject.kind == "image":
        return model(pixels()).last_hidden_state
    ids = tokens(subject.pad) if ids is None else ids
    if subject.kind == "seq2seq":
        mask = inputs.get("attention_mask")
        inputs["decoder_attention_mask"] = mask
        out = model(input_ids=ids, decoder_input_ids=ids, **inputs)
        return torch.cat([out.logits, out.encoder_last_hidden_state], -1)
    if subject.kind == "speech":
        inputs = {f"decoder_{name}": value for name, value in inputs.items()}
        features = torch.randn(1, 8, 20, generator=torch.Generator().manual_seed(2)).expand(len(ids), -1, -1)
        return model(input_features=features, decoder_input_ids=ids, **inputs).logits
    out = model(input_ids=ids, **inputs)
    return out.logits if "logits" in out else out.last_hidden_state


def close(found: Tensor, wanted: Tensor, what: str) -> None:
    """Equal to 1e-5 of the largest value."""
    scale = max(1.0, wanted.abs().max().item())
    torch.testing.assert_close(found / scale, wanted / scale, atol=1e-5, rtol=0, msg=lambda m: f"{what}: {m}")


# ---- properties


@torch.no_grad()
def sdpa_is_eager(case: Case) -> None:
    """sdpa and eager attention agree."""
    if case.family in _NO_INTERFACE:
        raise Inapplicable("the family knows only eager attention")
    close(run(case.swapped("eager"), case.subject), run(case.swapped(), case.subject), "eager")


def stock_is_kept(case: Case) -> None:
    """Learned to learned, or rotary to the family's own rotary, computes what stock computes, gradients too."""
    own = stacks_by_type()[case.family][0].rotary is not None
    if case.encoding != ("rotary" if own else "learned"):
        raise Inapplicable("for the encoding that the family has")
    if case.family == "modernbert":
        raise Inapplicable("its two kinds of layers turn by different bases")
    for attention in ("sdpa",) if case.family in _NO_INTERFACE else ("sdpa", "eager"):
        stock = case.stock(attention, **case.subject.dropout)
        changed = swap(copy.deepcopy(stock), case.encoding)
        for padded in (False, True) if case.subject.kind != "image" else (False,):
            _compare_to_stock(case.subject, stock, changed, padded=padded)


def _compare_to_stock(
    subject: Subject, stock: PreTrainedModel, changed: PreTrainedModel, *, padded: bool
) -> None:
    wanted, old = _answer_and_gradients(subject, stock, padded=padded)
    found, new = _answer_and_gradients(subject, changed, padded=padded)
    assert torch.equal(found, wanted), f"outputs differ, padded {padded}"
    gone, come = [n for n in old if n not in new], [n for n in new if n not in old]
    assert len(gone) == len(come) == sum(family.table is not None for _, family in find_bases(changed))
    assert all(torch.equal(new[n], old[n]) for n in old if n in new), f"gradients differ, padded {padded}"
    for before, after in zip(gone, come, strict=True):
        rows = old[before].reshape(-1, old[before].shape[-1])
        first = len(rows) - len(new[after])
        assert torch.equal(rows[first:], new[after]), f"gradient of {before} differs, padded {padded}"


def _answer_and_gradients(
    subject: Subject, model: PreTrainedModel, *, padded: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Answers for real tokens, in training mode, and gradients of a sum of them."""
    inputs: dict[str, Any] = {}
    if padded:
        mask = torch.arange(LENGTH) < torch.tensor([[12], [9], [4]])
        inputs = {"ids": torch.where(mask, tokens(subject.pad), subject.pad), "attention_mask": mask.long()}
    model.zero_grad()
    torch.manual_seed(3)
    out = run(model.train(), subject, **inputs)
    real = out[mask] if padded else out
    (real * torch.randn(real.shape, generator=torch.Generator().manual_seed(4))).sum().backward()
    return real.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@torch.no_grad()
def padding_changes_nothing(case: Case) -> None:
    """Right pads, left pads, and sequences of several lengths in a batch answer as each alone does."""
    subject = case.subject
    if subject.kind == "image" or subject.sees_pads:
        raise Inapplicable(subject.sees_pads or "images have no pads")
    for attention in _attentions(case):
        model, ids = case.swapped(attention), tokens(subject.pad)
        for side in ("left", "right"):
            lengths = torch.tensor([[12], [8], [5]])
            places = torch.arange(LENGTH)
            mask = (places >= LENGTH - lengths if side == "left" else places < lengths).long()
            batch = run(model, subject, torch.where(mask.bool(), ids, subject.pad), attention_mask=mask)
            for row in range(3):
                real = mask[row].bool()
                alone = run(model, subject, ids[row : row + 1, real])
                close(batch[row : row + 1, real], alone, f"{attention}, {side} pads")


@torch.no_grad()
def packing_changes_nothing(case: Case) -> None:
    """Two documents packed into one sequence answer as each alone does."""
    subject = case.subject
    if subject.kind == "image" or subject.sees_pads or not subject.places:
        raise Inapplicable("it takes no position_ids")
    if case.family in ("mpnet", "esm"):
        raise Inapplicable("it takes no mask of blocks, or its own bias no position_ids")
    if registered()[case.encoding].needs_whole:
        raise Inapplicable("positions depend on the number of tokens in the input")
    model, ids = case.swapped(), tokens(subject.pad)[:1]
    document = torch.tensor([0] * 5 + [1] * 7)
    block = document[:, None] == document[None]
    base, family = find_bases(model)[0]
    if family.is_causal(base.config):
        block = block.tril()
    mask = block[None, None]
    if case.family in _NO_INTERFACE:  # their attention adds what it is given
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    row = family.first_row_of(base.config) if family.pad is not None else 0
    places = (torch.cat([torch.arange(5), torch.arange(7)]) + row)[None]
    inputs: dict[str, Any] = {"attention_mask": mask}
    if getattr(model.config, "sliding_window", None):  # these find the documents by their positions
        inputs = {"use_cache": False}
    if case.family == "modernbert":
        near = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs() <= model.config.sliding_window
        inputs = {"attention_mask": {"full_attention": mask, "sliding_attention": mask & near}}
    packed = run(model, subject, ids, position_ids=places, **inputs)
    apart = torch.cat([run(model, subject, ids[:, :5]), run(model, subject, ids[:, 5:])], 1)
    close(packed, apart, "packed")


def _attentions(case: Case) -> tuple[str, ...]:
    return ("sdpa",) if case.family in _NO_INTERFACE else ("sdpa", "eager")


_NO_INTERFACE = {name for name, rows in stacks_by_type().items() if not rows[0].interface}


@torch.no_grad()
def cache_changes_nothing(case: Case) -> None:
    """A prompt in chunks with a dynamic or a static cache, left pads and all, answers as the whole does."""
    subject = case.subject
    if not subject.has_cache:
        raise Inapplicable("it keeps no keys")
    if registered()[case.encoding].needs_whole:
        raise Inapplicable("positions depend on the number of tokens in the input")
    for kind in ("dynamic", "static"):
        if kind == "static" and (case.family in _NO_INTERFACE or subject.kind != "decoder"):
            continue
        model, ids = case.swapped(), tokens(subject.pad)
        for pads in (0, 3):
            mask = torch.cat([torch.zeros(3, pads, dtype=torch.int64), torch.ones_like(ids)], 1)
            padded = torch.cat([torch.full((3, pads), subject.pad), ids], 1)
            close(
                _in_chunks(model, subject, kind, padded, mask)[:, pads:],
                _decoded(run(model, subject, ids), subject),
                f"{kind}, {pads} left pads",
            )


def _decoded(out: Tensor, subject: Subject) -> Tensor:
    return out[..., :50] if subject.kind == "seq2seq" else out


def cached(model: PreTrainedModel, cache: Any) -> dict[str, Any]:
    """The arguments that pass a cache to a model, under the name that this transformers has for it."""
    name = cache_argument(parameter_names(model))
    assert name is not None, type(model).__name__
    return {name: cache, "use_cache": True}


def _in_chunks(model: PreTrainedModel, subject: Subject, kind: str, ids: Tensor, mask: Tensor) -> Tensor:
    length, config = ids.shape[1], model.config
    cache: Any = (
        StaticCache(config, max_cache_len=length + 2) if kind == "static" else DynamicCache(config=config)
    )
    fixed: dict[str, Any] = {}
    if subject.kind != "decoder":
        cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
        if subject.kind == "seq2seq":
            real = ids[:, length - LENGTH :]
            fixed = {"encoder_outputs": model.get_encoder()(real)}
        else:
            features = torch.randn(1, 8, 20, generator=torch.Generator().manual_seed(2)).expand(
                len(ids), -1, -1
            )
            fixed = {"encoder_outputs": model.get_encoder()(features)}
    name = "" if subject.kind == "decoder" else "decoder_"
    parts = []
    for start, stop in ((0, 7), (7, 8), (8, length)):
        inputs = {f"{name}input_ids": ids[:, start:stop], f"{name}attention_mask": mask[:, :stop]}
        parts.append(model(**inputs, **fixed, **cached(model, cache)).logits)
    return torch.cat(parts, 1)


@torch.no_grad()
def generation_agrees(case: Case) -> None:
    """``generate`` with a cache, without one, and behind left pads writes the same."""
    subject = case.subject
    if subject.kind not in ("decoder", "seq2seq"):
        raise Inapplicable("it writes no text by generate alone")
    model, ids, cached = case.swapped(), tokens(subject.pad), not registered()[case.encoding].needs_whole
    mask = torch.cat([torch.zeros(3, 4, dtype=torch.int64), torch.ones_like(ids)], 1)
    padded = torch.cat([torch.full((3, 4), subject.pad), ids], 1)
    options: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": subject.pad,
                               "eos_token_id": None, "output_logits": True, "return_dict_in_generate": True}  # fmt: skip
    scores = [
        torch.stack(model.generate(given, attention_mask=seen, use_cache=use, **options).logits, 1)
        for given, seen, use in (
            (ids, torch.ones_like(ids), cached),
            (ids, torch.ones_like(ids), False),
            (padded, mask, cached),
        )
    ]
    close(scores[1], scores[0], "without a cache")
    close(scores[2], scores[0], "behind left pads")


@torch.no_grad()
def strategies_agree(case: Case) -> None:
    """Beams with and without a cache write the same; drafts from the prompt or from another model change nothing."""
    subject = case.subject
    if subject.kind != "decoder":
        raise Inapplicable("it writes no text by generate alone")
    if registered()[case.encoding].needs_whole:
        raise Inapplicable("positions depend on the number of tokens in the input")
    model, ids = case.swapped(), tokens(subject.pad)[:1]
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": subject.pad,
                               "eos_token_id": None}  # fmt: skip
    beams = [model.generate(ids, num_beams=3, use_cache=use, **options) for use in (True, False)]
    assert torch.equal(*beams), "beams differ without a cache"
    greedy = model.generate(ids, **options)
    lookup = model.generate(ids.repeat(1, 2), prompt_lookup_num_tokens=2, **options)
    assert torch.equal(lookup, model.generate(ids.repeat(1, 2), **options)), "prompt lookup differs"
    if case.family not in _NO_INTERFACE:
        drafted = model.generate(ids, assistant_model=case.swapped(), **options)
        assert torch.equal(drafted, greedy), "assisted decoding differs"


def _gradients(model: PreTrainedModel, subject: Subject) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(4)  # some encodings draw positions
    out = run(model, subject)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(4))).mean().backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def gradients_reach_all(case: Case) -> None:
    """Every parameter of the encoding gets a gradient that is not zero."""
    model = case.swapped().train()
    found = _gradients(model, case.subject)
    mine = [name for name, _ in model.named_parameters() if "milepost." in name]
    if not mine:
        raise Inapplicable("the encoding has no parameters")
    assert all(name in found and found[name].any() for name in mine)


def checkpointing_changes_nothing(case: Case) -> None:
    """Gradient checkpointing, reentrant and not, gives the same gradients."""
    model = case.swapped().train()
    if not model.supports_gradient_checkpointing:
        raise Inapplicable("the family has no gradient checkpointing")
    wanted = _gradients(model, case.subject)
    for reentrant in (False, True):
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        if reentrant and case.subject.kind != "image":
            model.enable_input_require_grads()
        found = _gradients(model, case.subject)
        for name, value in wanted.items():
            if name in found or ".milepost." in name:
                close(found[name], value, name)


def disk_keeps_it(case: Case) -> None:
    """``save_pretrained`` and ``milepost.load`` are a round trip, and stock classes refuse the folder."""
    model = case.swapped()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = load(folder)
        for options in ({}, {"attn_implementation": "eager"}):
            for cls in (type(model), transformers.AutoModel):
                try:
                    cls.from_pretrained(folder, **options)
                except Exception:
                    continue
                raise AssertionError(f"{cls.__name__} opens the folder with {options}")
    one, two = model.state_dict(), again.state_dict()
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    with torch.no_grad():
        assert torch.equal(run(model, case.subject), run(again, case.subject))


def traced(family: str) -> str:
    """The encoding that a family is compiled with: each place in turn, since tracing takes seconds."""
    at = list(SUBJECTS).index(family)
    return "learned" if family in _NO_INTERFACE else ("rotary", "learned", "alibi")[at % 3]


def full_graph_compiles(case: Case) -> None:
    """``torch.compile(fullgraph=True)`` traces it whole and computes the same."""
    if case.encoding != traced(case.family):
        raise Inapplicable("one encoding a family, each place in turn")
    _compiled(case, case.swapped())


def _compiled(case: Case, model: nn.Module) -> None:
    torch._dynamo.reset()
    with torch.no_grad():
        wanted = run(model, case.subject)  # type: ignore[arg-type]
        made = torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager")
        close(run(made, case.subject), wanted, "compiled")


PROPERTIES: tuple[Callable[[Case], None], ...] = (
    stock_is_kept,
    sdpa_is_eager,
    padding_changes_nothing,
    packing_changes_nothing,
    cache_changes_nothing,
    generation_agrees,
    strategies_agree,
    gradients_reach_all,
    checkpointing_changes_nothing,
    disk_keeps_it,
    full_graph_compiles,
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' remarks on tiny models."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def cases() -> list[Case]:
    """Every encoding in every family."""
    return [Case(family, encoding) for family in SUBJECTS for encoding in registered()]


def refusal(case: Case) -> str | None:
    """The first line of why an encoding makes no sense in a family; ``None`` where it does."""
    try:
        swap(case.stock(), case.encoding)
    except MilepostError as error:
        return str(error).splitlines()[0]
    return None


def check(case: Case, found: Callable[[Case], None]) -> str:
    """``passed``, or ``inapplicable: ...`` or ``failed: ...``."""
    try:
        found(case)
    except Inapplicable as reason:
        return f"inapplicable: {reason}"
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}".split("\n")[0]
    return "passed"
