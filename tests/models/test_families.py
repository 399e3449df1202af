"""Every family: a covering subset of the matrix, its page, and that its properties can fail."""

import copy
import importlib
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from milepost.errors import MilepostError, SwapRefused
from milepost.models import geometry, hooks, swap
from milepost.models.check.self_test import TESTED_TRANSFORMERS
from milepost.models.families import find_bases
from milepost.models.slot import Slot
from milepost.models.transformers_private import no_init_weights
from milepost.tables import stacks_by_type

ROOT = Path(__file__).parents[2]


sys.path.insert(0, str(ROOT / "benchmarks"))
matrix = importlib.import_module("family_matrix")
page = importlib.import_module("matrix")
sys.path.remove(str(ROOT / "benchmarks"))

ROTATING = ("rotary", "alibi", "sinusoidal", "t5", "none", "shaw", "kerple")
ALWAYS = [matrix.padding_changes_nothing, matrix.gradients_reach_all, matrix.disk_keeps_it]
IN_TURN = [
    matrix.cache_changes_nothing,
    matrix.packing_changes_nothing,
    matrix.checkpointing_changes_nothing,
    matrix.sdpa_is_eager,
    matrix.generation_agrees,
]


def covering():
    """Each family once with an encoding of a rotation that makes sense there."""
    for at, (name, rows) in enumerate(stacks_by_type().items()):
        encoding = ROTATING[at % len(ROTATING)]
        if not rows[0].interface:
            encoding = "sinusoidal"
        elif rows[0].prefix is not None:
            encoding = ("rotary2d", "learned2d", "sinusoidal2d", "rotary")[at % 4]
        yield matrix.Case(name, encoding)


@pytest.mark.parametrize("case", list(covering()), ids=lambda case: f"{case.family}-{case.encoding}")
def test_properties_hold(case):
    at = list(stacks_by_type()).index(case.family)
    chosen = [*ALWAYS, *(IN_TURN[(at + step) % len(IN_TURN)] for step in (0, 1))]
    with matrix.quiet():
        found = {one.__name__: matrix.check(case, one) for one in chosen}
    assert not {name: value for name, value in found.items() if value.startswith("failed")}
    assert sum(value == "passed" for value in found.values()) >= 2


@pytest.mark.parametrize("family", stacks_by_type())
def test_init_weights_reaches_every_parameter(family):
    """``milepost.models.building`` builds without values and leaves no parameter as it was in memory."""
    with no_init_weights(), torch.no_grad():
        model = matrix.SUBJECTS[family].build()
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    model.init_weights()
    assert not [name for name, value in model.named_parameters() if value.isnan().any()]


CACHED = [matrix.cache_changes_nothing, matrix.generation_agrees, matrix.strategies_agree]


@pytest.mark.parametrize(
    "case", [case for case in covering() if case.subject.has_cache], ids=lambda case: case.family
)
def test_every_family_with_a_cache_answers_with_it_as_without(case):
    with matrix.quiet():
        found = {one.__name__: matrix.check(case, one) for one in CACHED}
    assert not {name: value for name, value in found.items() if value.startswith("failed")}
    assert found["cache_changes_nothing"] == "passed"


@pytest.mark.parametrize("family", list(stacks_by_type()))
def test_the_familys_own_encoding_computes_what_stock_computes(family):
    own = "rotary" if stacks_by_type()[family][0].rotary else "learned"
    with matrix.quiet():
        assert matrix.check(matrix.Case(family, own), matrix.stock_is_kept) == (
            "inapplicable: its two kinds of layers turn by different bases"
            if family == "modernbert"
            else "passed"
        )


def test_a_full_graph_compiles():
    case = next(case for case in covering() if case.family == "vit")
    assert matrix.check(matrix.Case(case.family, matrix.traced(case.family)), matrix.full_graph_compiles) == (
        "passed"
    )


def test_the_page_is_as_new_as_what_it_describes():
    text = (ROOT / "docs" / "families.md").read_text("utf-8")
    inputs, versions = page.read_header(text)
    assert inputs == page.inputs_hash(), "run: make matrix"
    missing = {f"transformers {version}" for version in TESTED_TRANSFORMERS} - set(versions)
    assert not missing, "run `make matrix` under these versions too"


def test_the_hash_of_the_page_sees_statements_alone(tmp_path):
    def hashed(text):
        (tmp_path / "code.py").write_text(text)
        return page.code_hash(tmp_path / "code.py")

    plain = hashed('"""A file."""\nfrom a import b\n\n# why\nx = b(1)\n')
    assert hashed('"""Another word for it."""\nfrom a.c import (\n    b,\n)\nx = b(1)\n') == plain
    assert (
        len({plain, hashed("x = b(2)\n"), hashed('x = b("""1""")\n'), hashed("if x:\n    x = b(1)\n")}) == 4
    )


def test_the_page_keeps_the_versions_whose_results_are_the_same():
    def written(versions, cells, inputs="a" * 32):
        return f"# Families\n\nInputs: `{inputs}`; the same results with {', '.join(versions)}.\n\n{cells}\n"

    old = written(["transformers 5.23.0"], "| 6/6 |")
    new = written(["transformers 5.24.0"], "| 6/6 |")
    assert page.merge(old, new) == written(["transformers 5.23.0", "transformers 5.24.0"], "| 6/6 |")
    assert page.merge(new, new) == new
    with pytest.raises(SystemExit, match=r"differ from those with transformers 5\.23\.0"):
        page.merge(old, written(["transformers 5.24.0"], "| 5/6 **!** |"))
    changed = written(["transformers 5.24.0"], "| 7/7 |", "b" * 32)
    assert page.merge(old, changed) == changed  # the sources changed: earlier results say nothing
    assert page.merge("", new) == new


def test_every_family_has_a_tiny_model():
    assert matrix.SUBJECTS.keys() == stacks_by_type().keys()


# ---- the properties can fail


def shifted_read(read):
    count = iter(range(10**6))

    def broken(self, *args, **kwargs):
        out = read(self, *args, **kwargs).clone()
        out[..., 0] += 0.1 * next(count)  # one dimension: what all have in common is normalised away
        return out

    return broken


def refuse_gradients(swapped):
    def broken(self, attention="sdpa"):
        model = swapped(self, attention)
        for base, _ in find_bases(model):
            base.milepost.requires_grad_(False)
        return model

    return broken


def other_weights(swapped):
    count = iter(range(10**6))

    def broken(self, attention="sdpa"):
        model = swapped(self, attention)
        with torch.no_grad():
            next(model.parameters())[:, 0].add_(0.1 * next(count))
        return model

    return broken


def ignore_mask(state, call):
    return hooks._places(call)


def ignore_past(state, call, keys, offset):
    slots = torch.arange(keys)
    return slots[: call.length], slots


def break_graph(positions):
    def broken(state, call):
        torch._dynamo.graph_break()
        return positions(state, call)

    return broken


BREAKAGES = {
    "stock_is_kept": ("learned", lambda patch: patch.setattr(Slot, "read", shifted_read(Slot.read))),
    "sdpa_is_eager": ("rotary", lambda patch: patch.setattr(matrix.Case, "swapped", other_weights(matrix.Case.swapped))),
    "padding_changes_nothing": ("learned", lambda patch: patch.setattr(hooks, "_derived", ignore_mask)),
    "packing_changes_nothing": ("learned", lambda patch: patch.setattr(Slot, "read", shifted_read(Slot.read))),
    "cache_changes_nothing": ("rotary", lambda patch: patch.setattr(hooks, "_slot_pair", ignore_past)),
    "generation_agrees": ("rotary", lambda patch: patch.setattr(hooks, "_slot_pair", ignore_past)),
    "strategies_agree": ("rotary", lambda patch: patch.setattr(hooks, "_slot_pair", ignore_past)),
    "gradients_reach_all": ("learned", lambda patch: patch.setattr(matrix.Case, "swapped", refuse_gradients(matrix.Case.swapped))),
    "checkpointing_changes_nothing": ("learned", lambda patch: patch.setattr(Slot, "read", shifted_read(Slot.read))),
    "disk_keeps_it": ("learned", lambda patch: patch.setattr(matrix, "load", lambda folder: matrix.Case("gpt2", "learned").stock())),
    "full_graph_compiles": ("rotary", lambda patch: patch.setattr(hooks, "_positions", break_graph(hooks._positions))),
}  # fmt: skip


@pytest.mark.parametrize("found", matrix.PROPERTIES, ids=lambda one: one.__name__)
def test_a_broken_swap_is_found(found, monkeypatch):
    encoding, breakage = BREAKAGES[found.__name__]
    case = matrix.Case("gpt2", encoding)
    breakage(monkeypatch)
    with matrix.quiet():
        assert matrix.check(case, found).startswith("failed")


def test_a_failure_is_on_the_page_and_in_the_exit_code(monkeypatch, tmp_path):
    def good(case):
        """Holds."""

    def bad(case):
        """Does not."""
        raise AssertionError("off by one")

    monkeypatch.setattr(page, "PROPERTIES", (good, bad))
    monkeypatch.setattr(sys, "argv", ["matrix", "--families", "gpt2", "--out", str(tmp_path / "page.md")])
    threads = torch.get_num_threads()
    assert page.main() == 1
    torch.set_num_threads(threads)
    text = (tmp_path / "page.md").read_text()
    assert "| 1/2 **!** |" in text and "- gpt2, learned, `bad`: AssertionError: off by one" in text


# ---- refusals


def untouched(model, call):
    before, text = {n: v.clone() for n, v in model.state_dict().items()}, str(model)
    config = model.config
    with pytest.raises(MilepostError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 3
    after = model.state_dict()
    assert str(model) == text and model.config is config and before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    return str(caught.value)


@pytest.mark.parametrize("family", ["roberta", "opt", "bart", "clip_text_model", "llama", "modernbert"])
@pytest.mark.parametrize("encoding", ["learned2d", "sinusoidal2d", "rotary2d"])
def test_text_refuses_encodings_for_images(family, encoding):
    model = matrix.SUBJECTS[family].build()
    assert "is for images" in untouched(model, lambda: swap(model, encoding))


@pytest.mark.parametrize(
    ("family", "encoding", "words"),
    [
        ("gpt_neo", "rotary", "attention interface"),
        ("mpnet", "alibi", "attention interface"),
        ("convbert", "t5", "attention interface"),
        ("mpnet", "none", "would still know order"),
        ("convbert", "none", "would still know order"),
        ("bert", "xpos", "causal"),
        ("vit", "nope", "no encoding"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(family, encoding, words):
    model = matrix.SUBJECTS[family].build()
    assert words in untouched(model, lambda: swap(model, encoding))


def test_refusals_of_one_half_leave_the_other_untouched():
    model = matrix.SUBJECTS["bart"].build()
    table = swap(matrix.SUBJECTS["opt"].build(), "learned").model.decoder.milepost
    assert "one encoding cannot stand" in untouched(model, lambda: swap(model, table))
    assert "causal" in untouched(model, lambda: swap(model, "xpos"))


def test_the_length_of_an_image_model_is_its_grid():
    model = matrix.SUBJECTS["vit"].build()
    assert "number of patches" in untouched(model, lambda: swap(model, "sinusoidal", max_len=99))


def test_a_rotary_esm_is_refused():
    model = matrix.SUBJECTS["esm"].build(position_embedding_type="rotary")
    assert "position_embedding_type='rotary'" in untouched(model, lambda: swap(model, "learned"))


REASONS = {
    "bloom": "it has alibi already",
    "clip": "several models",
    "deberta": "distances of positions in its own way",
    "ernie": "or add a Stack to the family 'bert'",
    "gemma": "Milepost does not know its modules",
    "mamba": "it has no attention",
    "t5": "distances of positions in its own way",
    "wavlm": "a convolution over its input",
}


@pytest.mark.parametrize("name", REASONS)
def test_families_known_to_be_beyond_a_swap_say_why(name, make_gpt2):
    model = make_gpt2()
    model.config.model_type = name
    with pytest.raises(SwapRefused) as caught:
        swap(model, "learned")
    assert caught.value.code == "MP121" and REASONS[name] in str(caught.value)
    assert caught.value.got == f"model_type {name!r}"


# ---- scale, copies, and a second swap


@pytest.mark.parametrize("family", ["roberta", "opt", "vit", "whisper"])
def test_an_absolute_encoding_has_the_scale_of_the_table_it_replaces(family):
    model = matrix.SUBJECTS[family].build()
    (base, row), *_ = find_bases(model)
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name.startswith(row.table):
                parameter.normal_(std=0.047)
    assert geometry(model).embedding_rms == pytest.approx(0.047, rel=0.05)
    swap(model, "sinusoidal")
    vectors = base.milepost.vectors(range(16))
    assert vectors.square().mean().sqrt().item() == pytest.approx(0.047, rel=0.05)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "modernbert"])
def test_without_a_table_the_scale_is_that_of_the_tokens(family):
    model = matrix.SUBJECTS[family].build()
    tokens = model.get_input_embeddings().weight
    assert geometry(model).embedding_rms == pytest.approx(tokens.square().mean().sqrt().item())
    learned = swap(model, "learned").base_model.milepost.weight
    assert learned.shape == (40, 32)
    assert learned.std().item() == pytest.approx(geometry(model).embedding_rms, rel=0.1)


@pytest.mark.parametrize("family", ["roberta", "opt", "bart", "vit", "mistral", "clip_text_model"])
def test_copies_and_second_swaps(family):
    subject = matrix.SUBJECTS[family]
    once = swap(subject.build(), "rotary")
    with torch.no_grad():
        wanted = matrix.run(once, subject)
        assert torch.equal(matrix.run(copy.deepcopy(once), subject), wanted)
        assert torch.equal(matrix.run(pickle.loads(pickle.dumps(once)), subject), wanted)  # noqa: S301
        for first in ("sinusoidal", "alibi", "learned"):
            assert torch.equal(matrix.run(swap(swap(subject.build(), first), "rotary"), subject), wanted)
    trained = swap(subject.build(), "learned").train()
    matrix.run(trained, subject).sum().backward()
    assert isinstance(copy.deepcopy(trained).state_dict(), dict)  # nothing of a call is left in it


def test_nothing_of_a_call_outlives_an_error():
    model = swap(matrix.SUBJECTS["vit"].build(), "learned").train()
    with pytest.raises(ValueError, match="doesn't match model"):
        model(matrix.pixels(20))
    assert model.state_dict()["embeddings.position_embeddings"].shape == (1, 0, 32)
    copy.deepcopy(model)


# ---- images of another size


def images(model, size):
    with torch.no_grad():
        return model(matrix.pixels(size), interpolate_pos_encoding=True).last_hidden_state


@pytest.mark.parametrize("family", ["vit", "deit", "clip_vision_model"])
def test_a_learned_table_is_stretched_as_stock_stretches_it(family):
    stock = matrix.SUBJECTS[family].build()
    assert torch.equal(images(swap(copy.deepcopy(stock), "learned"), 24), images(stock, 24))


@pytest.mark.parametrize("family", ["vit", "deit", "dinov2", "clip_vision_model"])
@pytest.mark.parametrize(
    "encoding", ["rotary", "alibi", "none", "sinusoidal2d", "rotary2d", "learned(past=bicubic)"]
)
def test_other_encodings_answer_for_larger_images(family, encoding):
    out = images(swap(matrix.SUBJECTS[family].build(), encoding), 24)
    assert out.shape[2] == 32 and out.isfinite().all()


# ---- training and flex attention


@pytest.mark.parametrize(("family", "encoding"), [("roberta", "learned"), ("llama", "alibi"), ("opt", "t5")])
def test_trainer_trains_and_its_folder_comes_back(family, encoding, tmp_path):
    from transformers import Trainer, TrainingArguments

    from milepost.models import load

    ids = matrix.tokens(matrix.SUBJECTS[family].pad, 8)
    rows = [{"input_ids": row, "labels": row} for row in ids]
    model = matrix.Case(family, encoding).swapped()
    before = {name: value.clone() for name, value in model.named_parameters()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, save_steps=2, report_to=[],
        learning_rate=1e-2, use_cpu=True, disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    after = dict(model.named_parameters())
    assert all(not torch.equal(before[name], after[name]) for name in before if ".milepost." in name)
    again = load(tmp_path / "checkpoint-2").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("family", ["gpt2", "roberta", "llama", "opt"])
@pytest.mark.parametrize("encoding", ["rotary", "alibi"])
def test_flex_attention_agrees_with_sdpa(family, encoding):
    torch._dynamo.reset()
    case = matrix.Case(family, encoding)
    model = case.swapped()
    mask = torch.ones(3, matrix.LENGTH, dtype=torch.int64)
    mask[1, 8:] = 0

    def answers() -> Tensor:
        with torch.no_grad():
            return matrix.run(model, case.subject, attention_mask=mask)[mask.bool()]

    wanted = answers()
    model.set_attn_implementation("milepost_flex")
    torch.testing.assert_close(answers(), wanted, atol=1e-5, rtol=1e-5)
