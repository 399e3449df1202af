from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from milepost.errors import DataError, OptionError
from milepost.models import swap
from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.tables import stacks_by_type
from milepost.tasks.classify import Classify, find_first_position_id
from milepost.tasks.task import Options, to_device

CPU = torch.device("cpu")


def write(path: Path, documents: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{label}\t{text}\n" for text, label in [("text", "label"), *documents]))
    return str(path)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Classify:
    """Two hundred documents of 3 to 40 letters; the class is how the last letter of the first 30 is named."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc"), size=rng.integers(3, 41))) for _ in range(200)]
    path = tmp_path_factory.mktemp("data") / "a.tsv"
    return Classify.open(write(path, [(text, text[:30][-1].upper()) for text in texts]), Options())


class Bag(nn.Module):
    """Scores by the tokens that attention may see, so that losses can be counted by hand."""

    def __init__(self, tokens: int, labels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(tokens, labels, generator=torch.Generator().manual_seed(0)))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        logits = (self.table[input_ids] * attention_mask[:, :, None]).sum(1)
        return type("Output", (), {"logits": logits})()


@pytest.mark.parametrize("length", [2, 7, 64])
def test_metrics_equal_a_loop_in_float64_and_scikit_learn(task: Classify, length: int) -> None:
    model = Bag(task.head.vocabulary_size, 3)
    measured = task.evaluate(model, length, CPU)
    table, examples = model.table.detach().double().numpy(), task.parts["test"]
    losses, predicted = [], []
    for number, label in enumerate(examples.labels):
        ids = examples.ids[examples.starts[number] : examples.starts[number + 1]][:length]
        assert ids[0] == task.tokenizer.specials["cls"]
        scores = table[ids].sum(0)
        predicted.append(scores.argmax())
        losses.append(np.log(np.exp(scores).sum()) - scores[label])
    assert measured.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert measured.metrics["accuracy"] == accuracy_score(examples.labels, predicted)
    wanted = f1_score(examples.labels, predicted, average="macro", zero_division=0)
    assert measured.metrics["macro_f1"] == pytest.approx(wanted)
    assert measured.curve == []
    counts = measured.breakdown["documents by length"]
    assert sum(counts.values()) == len(examples.labels)
    shares = measured.breakdown["accuracy by length"]
    mean = sum(shares[name] * counts[name] for name in counts) / len(examples.labels)
    assert mean == pytest.approx(measured.metrics["accuracy"])
    cut = counts.get(f"over {length} tokens, cut", 0)
    assert cut == (examples.sizes > length).sum()
    assert sum(measured.breakdown["confusion matrix, documents"].values()) == len(examples.labels)


class Reader(nn.Module):
    """Knows the class where it sees the token at one position."""

    def __init__(self, position: int, ids: list[int]) -> None:
        super().__init__()
        self.position, self.ids, self.seen = position, torch.tensor(ids), set[int]()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> object:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        self.seen |= set(position_ids.flatten().tolist())
        told = (input_ids[:, :, None] == self.ids) & (position_ids == self.position)[:, :, None]
        return type("Output", (), {"logits": told.any(1).float()})()


def test_the_third_that_holds_the_evidence_is_found_at_its_own_positions(task: Classify) -> None:
    letters = [int(task.tokenizer.encode(letter)[0]) for letter in "abc"]
    model = Reader(30, letters)
    measured = task.evaluate(model, 31, CPU)
    ((title, shown),) = ((k, v) for k, v in measured.breakdown.items() if "third" in k)
    full = int((task.parts["test"].sizes >= 31).sum())
    assert title == f"accuracy by the third that is shown, {full} documents"
    assert (shown["whole"], shown["last"]) == (1.0, 1.0)
    assert shown["first"] == shown["middle"] < 0.8  # the class that is named without evidence
    assert model.seen == set(range(31))


def test_a_third_is_shown_at_the_rows_of_a_model_that_counts_from_its_pad(task: Classify) -> None:
    model = Reader(0, [1, 2, 3])
    model.config = SimpleNamespace(model_type="roberta", pad_token_id=9)
    task._by_third(model, np.zeros(len(task.parts["test"].labels), bool), 31, CPU, "test")
    assert model.seen == set(range(10, 41))


OWN = [("bert", 0), ("roberta", 8), ("xlm-roberta", 8), ("camembert", 8), ("mpnet", 2), ("electra", 0), ("esm", 8)]  # fmt: skip


def own_model(model_type: str) -> PreTrainedModel:
    """A tiny classifier of a family, whose pad is 7."""
    more = {"mask_token_id": 6} if model_type == "esm" else {}
    config = AutoConfig.for_model(
        model_type, num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16, vocab_size=40,
        max_position_embeddings=60, pad_token_id=7, initializer_range=0.5, token_dropout=False, **more,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize(("model_type", "first"), OWN)
@pytest.mark.parametrize("encoding", [None, "learned"])
@torch.no_grad()
def test_position_ids_of_a_third_are_those_that_the_family_counts(
    model_type: str, first: int, encoding: str | None
) -> None:
    model = own_model(model_type)
    if encoding:
        swap(model, encoding)
    assert find_first_position_id(model) == first
    ids = torch.randint(8, 40, (3, 24))
    alone = model(input_ids=ids).logits
    places = torch.arange(24).expand_as(ids)
    told = model(input_ids=ids, position_ids=places + find_first_position_id(model)).logits
    torch.testing.assert_close(told, alone)
    if first and encoding is None:  # the mistake would show
        assert (model(input_ids=ids, position_ids=places).logits - alone).abs().max() > 1e-3


def test_every_family_of_text_that_can_be_swapped_says_where_its_position_ids_begin() -> None:
    rows = {row for rows in stacks_by_type().values() for row in rows if row.prefix is None}
    wrong = {
        row.model_type
        for row in rows
        if find_first_position_id(
            SimpleNamespace(config=SimpleNamespace(model_type=row.model_type, pad_token_id=5))
        )
        != (0 if row.pad is None else 1 + (5 if row.pad == "pad" else row.pad))
    }
    assert len(rows) > 20 and wrong == set()


def test_a_batch_is_a_function_of_its_arguments_and_padded_on_the_right(task: Classify) -> None:
    one, again = task.batch(1, 2, 6, 20), task.batch(1, 2, 6, 20)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["input_ids"], task.batch(1, 3, 6, 20)["input_ids"])
    assert not np.array_equal(one["input_ids"], task.batch(2, 2, 6, 20)["input_ids"])
    mask = one["attention_mask"]
    assert (np.diff(mask, axis=1) <= 0).all()
    assert ((one["input_ids"] == task.head.pad) == (mask == 0)).all()


@pytest.mark.parametrize("encoding", ["learned", "rotary", "alibi"])
def test_pads_change_nothing(task: Classify, encoding: str) -> None:
    head = task.head
    shape = ModelShape(
        layers=1, dim=16, heads=2, init_std=0.1, max_len=64, labels=3, pad=head.pad, vocabulary_size=head.vocabulary_size
    )  # fmt: skip
    model = build_scratch("classify", shape, encoding=encoding, seed=0).eval()
    losses = [
        task.loss(model, to_device(task.batch(0, 0, 8, length), CPU)).detach().item() for length in (41, 64)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_small_model_learns_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", [(f"{'no' if i % 2 else 'yes'} {i:x}", str(i % 2)) for i in range(200)])
    task = Classify.open(path, Options())
    head = task.head
    shape = ModelShape(layers=1, dim=32, heads=4, init_std=0.1, max_len=12, labels=2, pad=head.pad, vocabulary_size=head.vocabulary_size)  # fmt: skip
    model = build_scratch("classify", shape, encoding="learned", seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(40):
        loss = task.loss(model, to_device(task.batch(0, step, 16, 12), CPU))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    measured = task.evaluate(model.eval(), 12, CPU)
    assert measured.metrics["macro_f1"] > 0.9
    assert measured.metrics["loss"] < task.floor() / 2


def test_no_text_is_in_two_parts_and_a_repeated_one_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", [(chr(0x4E00 + i % 150) * 3, str(i % 2)) for i in range(300)])
    task = Classify.open(path, Options())
    seen = [set(task.parts[part].ids.tolist()) - set(task.tokenizer.specials.values()) for part in task.parts]
    assert [len(one) for one in seen] == [
        task.facts()[f"{part}_documents"] for part in ("train", "validation", "test")
    ]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 150
    assert task.facts()["repeated_documents"] == 150


def test_parts_of_the_users_own_must_not_share_documents(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", [(f"text {i}", str(i % 2)) for i in range(30)])
    test = write(tmp_path / "test.tsv", [(f"other {i}", "2") for i in range(5)])
    task = Classify.open(train, Options(test=test))
    assert task.labels == ("0", "1", "2")
    assert task.facts()["test_documents"] == 5
    assert task.sha256 != Classify.open(train, Options()).sha256
    both = write(tmp_path / "both.tsv", [("text 3", "1")])
    with pytest.raises(DataError, match="share documents"):
        Classify.open(train, Options(test=both))


def test_facts_give_what_ignoring_the_input_gives(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", [(f"text {i}", str(int(i % 4 == 0))) for i in range(400)])
    task = Classify.open(path, Options())
    share = float((task.parts["train"].labels == 1).mean())
    assert task.floor() == pytest.approx(-share * np.log(share) - (1 - share) * np.log(1 - share))
    assert task.facts()["majority_accuracy"] == float((task.parts["test"].labels == 0).mean())


def test_documents_that_are_cut_are_counted_in_a_note(task: Classify) -> None:
    sizes = np.concatenate([one.sizes for one in task.parts.values()])
    (cut, few) = task.notes(20, (20, 41))
    assert cut.startswith(
        f"{(sizes > 20).sum()} of 200 documents are longer than the training length of 20 char tokens"
    )
    assert f"longest {sizes.max()}" in cut and "--tokenizer" in cut
    documents = len(task.parts["test"].labels)
    assert f"few different documents: {documents} at length 20, {documents} at length 41." in few
    assert task.notes(41, (20,)) == [few.replace(f", {documents} at length 41", "")]


def test_a_document_that_a_given_test_part_repeats_is_one_item(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", [(f"text {i}", str(i % 2)) for i in range(30)])
    test = write(tmp_path / "test.tsv", [(f"other {i % 3}", "1") for i in range(9)])
    assert Classify.open(train, Options(test=test)).count_items(8) == 3


def test_too_few_documents_a_length_of_one_and_options_without_use_are_refused(
    task: Classify, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tsv", [(f"text {i}", "x") for i in range(19)])
    with pytest.raises(DataError, match="too few documents"):
        Classify.open(path, Options())
    with pytest.raises(OptionError, match="no use"):
        Classify.open(path, Options(evaluate="sliding"))
    with pytest.raises(OptionError, match="two tokens"):
        task.check_lengths(8, (1, 8))
