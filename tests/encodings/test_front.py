import pytest
import torch

from milepost.encodings.front import FrontShape, TokenAndPositionEmbedding
from milepost.errors import OptionError, PastTheEnd

SHAPE = FrontShape(50, 16, 20, segments=2, epsilon=1e-12, pad=0)
TOKENS = torch.tensor([[5, 6, 7, 8], [9, 5, 0, 0]])


def stock(kind):
    """A stock module of transformers, and a front with its weights."""
    if kind == "bert":
        module = pytest.importorskip("transformers.models.bert.modeling_bert")
        config = module.BertConfig(
            vocab_size=50, hidden_size=16, max_position_embeddings=20, hidden_dropout_prob=0.0
        )
        theirs, shape = module.BertEmbeddings(config), SHAPE
    else:
        module = pytest.importorskip("transformers.models.roberta.modeling_roberta")
        config = module.RobertaConfig(
            vocab_size=50, hidden_size=16, max_position_embeddings=20, hidden_dropout_prob=0.0, pad_token_id=1
        )
        theirs = module.RobertaEmbeddings(config)
        shape = FrontShape(50, 16, 20, 2, 2, 1e-12, pad=1, pad_by_token=True)
    front = TokenAndPositionEmbedding(shape)
    front.load_family({f"embeddings.{name}": value for name, value in theirs.state_dict().items()}, kind)
    return theirs, front


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_outputs_and_gradients_are_those_of_transformers(kind):
    theirs, ours = stock(kind)
    tokens = TOKENS if kind == "bert" else TOKENS.where(TOKENS != 0, 1)
    wanted, got = theirs(tokens), ours(tokens)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
    weights = torch.randn_like(got)
    (wanted * weights).sum().backward()
    (got * weights).sum().backward()
    for left, right in (
        (ours.tokens, theirs.word_embeddings),
        (ours.segments, theirs.token_type_embeddings),
        (ours.norm, theirs.LayerNorm),
    ):
        torch.testing.assert_close(left.weight.grad, right.weight.grad, atol=1e-5, rtol=0)


def test_a_kept_gradient_is_the_same_and_accumulates():
    _, plain = stock("bert")
    kept = TokenAndPositionEmbedding(SHAPE, keep_gradient=True)
    kept.load_state_dict(plain.state_dict())
    plain(TOKENS).square().sum().backward()
    for times in (1, 2):
        kept(TOKENS).square().sum().backward()
        torch.testing.assert_close(kept.tokens.weight.grad, plain.tokens.weight.grad * times)
    buffer = kept.tokens.weight.grad.data_ptr()
    kept.zero_grad(set_to_none=False)
    kept(TOKENS).square().sum().backward()
    assert kept.tokens.weight.grad.data_ptr() == buffer
    torch.testing.assert_close(kept.positions.weight.grad, plain.positions.weight.grad)


def test_gpt2_and_opt_load_by_their_own_names():
    for family, names, first in (
        ("gpt2", ("wte", "wpe"), 0),
        ("opt", ("embed_tokens", "embed_positions"), 2),
    ):
        front = TokenAndPositionEmbedding(FrontShape(50, 16, 20, first))
        tables = torch.randn(50, 16), torch.randn(20, 16)
        front.load_family({f"model.{n}.weight": t for n, t in zip(names, tables, strict=True)}, family)
        torch.testing.assert_close(front(TOKENS), tables[0][TOKENS] + tables[1][first : first + 4])
        with pytest.raises(PastTheEnd, match=f"{20 - first} usable positions"):
            front(torch.zeros(1, 21 - first, dtype=torch.int64))


def test_what_cannot_be_loaded_is_refused_and_nothing_changes():
    front = TokenAndPositionEmbedding(SHAPE)
    before = front.tokens.weight.clone()
    for state, family in (
        ({}, "bert"),
        ({"wte.weight": torch.ones(3, 2), "wpe.weight": torch.ones(3, 2)}, "gpt2"),
        ({}, "t5"),
    ):
        with pytest.raises(OptionError, match="MP105"):
            front.load_family(state, family)
    assert torch.equal(front.tokens.weight, before)
