from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from milepost.errors import DataError, OptionError
from milepost.models.building.scratch import ModelShape, build_scratch
from milepost.tasks.scores import find_entities
from milepost.tasks.tag import Tag
from milepost.tasks.task import Options, to_device

CPU = torch.device("cpu")


def write(path: Path, sentences: list[list[tuple[str, str]]]) -> str:
    path.write_text("\n".join("".join(f"{word}\t{tag}\n" for word, tag in one) for one in sentences))
    return str(path)


def draw(count: int, seed: int) -> list[list[tuple[str, str]]]:
    """Sentences in which a capital begins an entity that lasts as long as capitals follow."""
    rng = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        words = [
            "".join(rng.choice(list("abcXY"), size=rng.integers(1, 5))) for _ in range(rng.integers(2, 9))
        ]
        inside, sentence = False, []
        for word in words:
            tag = "O" if word[0].islower() else "I-n" if inside else "B-n"
            inside = tag != "O"
            sentence.append((word, tag))
        sentences.append(sentence)
    return sentences


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Tag:
    return Tag.open(write(tmp_path_factory.mktemp("data") / "a.conll", draw(300, 0)), Options())


class Single(nn.Module):
    """Scores each token by itself, so that losses can be counted by hand."""

    def __init__(self, tokens: int, labels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(tokens, labels, generator=torch.Generator().manual_seed(1)))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        assert ((attention_mask == 0) <= (input_ids == len(self.table) - 1)).all()
        return type("Output", (), {"logits": self.table[input_ids]})()


@pytest.mark.parametrize("length", [5, 16, 64])
def test_metrics_equal_a_loop_in_float64(task: Tag, length: int) -> None:
    model, words = Single(task.head.vocabulary_size, 3), task.parts["test"]
    measured = task.evaluate(model, length, CPU)
    logits = model.table.detach().double().numpy()
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    firsts, truth = words.firsts, words.labels[words.firsts]
    losses = np.array([-logp[words.ids[place], tag] for place, tag in zip(firsts, truth, strict=True)])
    predicted = logp[words.ids[firsts]].argmax(1)
    assert measured.metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert measured.metrics["accuracy"] == float((predicted == truth).mean())
    right = wanted = found = 0
    for begin, end in zip(words.sentences[:-1], words.sentences[1:], strict=True):
        one, other = (
            {*find_entities(task.labels[t] for t in tags[begin:end])} for tags in (truth, predicted)
        )
        right, wanted, found = right + len(one & other), wanted + len(one), found + len(other)
    assert measured.metrics["f1"] == pytest.approx(2 * right / (wanted + found))
    places = [firsts % length == place for place in range(length)]
    all_met = all(one.any() for one in places)
    assert all_met == (length < 64)  # a curve with holes is none
    curve = [losses[one].mean() for one in places] if all_met else []
    np.testing.assert_allclose(measured.curve, curve, rtol=1e-5)
    assert sum(measured.breakdown["entities by quarter of the window"].values()) == wanted


def test_a_perfect_model_finds_all_entities_however_windows_are_cut(task: Tag) -> None:
    class Perfect(nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            rows = [self.at[tuple(row[row != task.head.pad].tolist())] for row in input_ids]
            return type("Output", (), {"logits": torch.stack(rows)})()

    model, words = Perfect(), task.parts["test"]
    for length in (3, 17):
        labels = np.where(words.labels < 0, 0, words.labels)
        model.at = {}
        for begin in range(0, len(words.ids), length):
            row = torch.zeros(length, 3)
            tags = torch.from_numpy(labels[begin : begin + length])
            row[torch.arange(len(tags)), tags] = 9.0
            model.at[tuple(words.ids[begin : begin + length].tolist())] = row
        if len(model.at) == -(-len(words.ids) // length):  # no two windows are alike
            assert task.evaluate(model, length, CPU).metrics["f1"] == 1.0
    assert len(model.at) == -(-len(words.ids) // 17)


def test_where_tags_mark_no_entities_f1_is_accuracy(tmp_path: Path) -> None:
    plain = [[(word, "VERB" if word[0].islower() else "X") for word, _ in one] for one in draw(60, 3)]
    task = Tag.open(write(tmp_path / "a.conll", plain), Options())
    metrics = task.evaluate(Single(task.head.vocabulary_size, 2), 64, CPU).metrics
    assert metrics["f1"] == pytest.approx(metrics["accuracy"])
    assert 0 < metrics["f1"] < 1


def test_sentences_are_joined_and_only_first_tokens_are_labelled(task: Tag) -> None:
    words = task.parts["train"]
    assert words.documents.tolist() == [0, len(words.ids)]
    assert len(words.firsts) == words.sentences[-1]
    space = int(task.tokenizer.encode(" ")[0])
    assert (words.ids[words.firsts[1:] - 1] == space).all()  # a word ends before the next begins
    assert not (words.ids[words.firsts] == space).any()


def test_windows_stay_in_their_document(tmp_path: Path) -> None:
    documents = [[[(chr(0x4E00 + number), "X")] * 4] for number in range(60)]
    text = "".join("-DOCSTART- O\n\n" + "".join(f"{w}\t{t}\n" for w, t in one[0]) + "\n" for one in documents)
    (tmp_path / "a.conll").write_text(text)
    task = Tag.open(str(tmp_path / "a.conll"), Options())
    batch = task.batch(0, 0, 32, 20)
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        assert mask[0] == 1
        assert len({*ids[mask == 1].tolist()} - {int(task.tokenizer.encode(" ")[0])}) == 1
    seen = [set(task.parts[part].ids.tolist()) for part in ("train", "validation", "test")]
    assert len(seen[0] & seen[1]) == len(seen[0] & seen[2]) == len(seen[1] & seen[2]) == 1  # the blank
    with pytest.raises(DataError, match="fills one window") as caught:
        task.check_lengths(8, (9,))
    assert caught.value.got == "8 char tokens in the longest, 9 wanted"
    task.check_lengths(8, (8,))


def test_a_batch_is_a_function_of_its_arguments(task: Tag) -> None:
    one, again = task.batch(1, 2, 6, 20), task.batch(1, 2, 6, 20)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    for other in (task.batch(1, 3, 6, 20), task.batch(2, 2, 6, 20)):
        assert not np.array_equal(one["input_ids"], other["input_ids"])
    assert (one["labels"][:, 0] >= 0).all()


def test_sentences_of_a_part_of_the_users_own_are_left_out_of_the_data(tmp_path: Path) -> None:
    same = [("thanks", "B-n"), ("!", "O")]
    train = write(tmp_path / "train.conll", [same, *draw(60, 1), same])
    test = write(tmp_path / "test.conll", [*draw(20, 2), same])
    task = Tag.open(train, Options(test=test))
    alone = Tag.open(train, Options())
    assert task.facts()["left_out_sentences"] >= 2
    assert alone.facts()["left_out_sentences"] == 0
    assert task.sha256 != alone.sha256
    ids = task.tokenizer.encode("thanks").tobytes()
    assert ids in task.parts["test"].ids.tobytes()
    assert ids not in task.parts["train"].ids.tobytes()


def test_a_word_of_which_the_tokenizer_leaves_nothing_is_scored_too(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    built = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    built.normalizer = normalizers.Replace("\ufe0f", "")
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.save(str(tmp_path / "tokenizer.json"))
    sentences = [[("a", "O"), ("\ufe0f", "O")] * (1 + number) for number in range(40)]
    path = write(tmp_path / "a.conll", sentences)
    task = Tag.open(path, Options(tokenizer=str(tmp_path / "tokenizer.json")))
    assert sum(task.facts()[f"{part}_words"] for part in ("train", "validation", "test")) == 2 * 820


def test_a_small_model_learns_tags(task: Tag) -> None:
    head = task.head
    shape = ModelShape(layers=1, dim=32, heads=4, init_std=0.1, max_len=16, labels=3, pad=head.pad, vocabulary_size=head.vocabulary_size)  # fmt: skip
    model = build_scratch("tag", shape, encoding="learned", seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(50):
        loss = task.loss(model, to_device(task.batch(0, step, 16, 16), CPU))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    measured = task.evaluate(model.eval(), 16, CPU)
    assert measured.metrics["loss"] < task.floor() * 0.6
    assert measured.metrics["accuracy"] > 0.7 > task.facts()["majority_accuracy"]


def test_options_without_use_are_refused() -> None:
    for options in (Options(evaluate="sliding"), Options(header=False), Options(horizon=3)):
        with pytest.raises(OptionError, match="no use"):
            Tag.open("builtin:python-tokens", options)
