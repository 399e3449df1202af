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
    assert ours.positions.weight.grad.any()
    for left, right in (
        (ours.tokens, theirs.word_embeddings),
        (ours.positions, theirs.position_embeddings),
        (ours.segments, theirs.token_type_embeddings),
        (ours.norm, theirs.LayerNorm),
    ):
        torch.testing.assert_close(left.weight.grad, right.weight.grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize("epsilon", [None, 1e-12])
def test_going_sequence_by_sequence_gives_the_same_numbers(epsilon):
    front = TokenAndPositionEmbedding(
        FrontShape(50, 512, 160, segments=2, epsilon=epsilon, dropout=0.5)
    ).eval()
    tokens = torch.randint(0, 50, (3, 128), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert front._goes_by_sequence(tokens, front.positions.weight[:128])
        for given in (tokens, tokens.int()):
            torch.testing.assert_close(front(given), front(tokens.clone()))
        fast, segmented = front(tokens), front(tokens, segments=torch.zeros_like(tokens))
        front.train()
        assert (front(tokens) == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    front.eval()
    slow = front(tokens)
    assert slow.requires_grad
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(segmented, slow)
    with torch.no_grad(), pytest.raises(IndexError):
        front(torch.full_like(tokens, 50))


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


def stock_decoder(kind):
    """A tiny decoder of transformers, its two tables, and a front with its weights."""
    if kind == "gpt2":
        module = pytest.importorskip("transformers.models.gpt2.modeling_gpt2")
        config = module.GPT2Config(
            vocab_size=50, n_embd=16, n_positions=20, n_layer=1, n_head=2, embd_pdrop=0.0
        )
        theirs = module.GPT2Model(config)
        tables, shape = (theirs.wte, theirs.wpe), FrontShape(50, 16, 20)
    else:
        module = pytest.importorskip("transformers.models.opt.modeling_opt")
        config = module.OPTConfig(
            vocab_size=50,
            hidden_size=16,
            word_embed_proj_dim=16,
            max_position_embeddings=18,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=8,
        )
        theirs = module.OPTModel(config)
        tables = theirs.decoder.embed_tokens, theirs.decoder.embed_positions
        shape = FrontShape(50, 16, 20, 2, pad=1)
    front = TokenAndPositionEmbedding(shape)
    front.load_family({f"model.{name}": value for name, value in theirs.state_dict().items()}, kind)
    return theirs.eval(), tables, front.eval()


LEFT_PADS = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
RIGHT_PADS = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
@pytest.mark.parametrize("mask", [None, LEFT_PADS, RIGHT_PADS], ids=["full", "left pads", "right pads"])
def test_decoders_see_what_transformers_gives_their_first_block(kind, mask):
    theirs, tables, ours = stock_decoder(kind)
    tokens = TOKENS if mask is None else TOKENS.where(mask == 1, 1)
    wanted = theirs(tokens, attention_mask=mask, output_hidden_states=True).hidden_states[0]
    got = ours(tokens, attention_mask=mask)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)
    weights = torch.randn_like(got)
    (wanted * weights).sum().backward()
    (got * weights).sum().backward()
    for left, right in zip((ours.tokens, ours.positions), tables, strict=True):
        assert left.weight.grad.any()
        torch.testing.assert_close(left.weight.grad, right.weight.grad, atol=1e-6, rtol=0)


def test_opts_pads_have_the_row_before_the_first():
    _, (tokens, positions), ours = stock_decoder("opt")
    padded = torch.tensor([[1, 1, 5, 6]])
    rows = torch.tensor([1, 1, 2, 3])
    wanted = tokens(padded) + positions.weight[rows]
    torch.testing.assert_close(ours(padded, attention_mask=torch.tensor([[0, 0, 1, 1]])), wanted)
    # without the mask pads count as any token: OPT does not look for them
    wanted = tokens(padded) + positions.weight[2:6]
    torch.testing.assert_close(ours(padded), wanted)


def test_robertas_pads_are_found_by_their_token_alone_in_mid_sequence_too():
    theirs, ours = stock("roberta")
    tokens = torch.tensor([[5, 1, 6, 1], [1, 1, 7, 8]])
    for mask in (None, torch.ones_like(tokens)):
        torch.testing.assert_close(ours(tokens, attention_mask=mask), theirs(tokens), atol=1e-5, rtol=0)
    ours(tokens).square().sum().backward()
    trained = ours.positions.weight.grad.any(-1)
    assert trained.tolist()[:5] == [False, False, True, True, False]


@pytest.mark.parametrize("wrong", [{"pad": None, "first_row": 2}, {"pad": 1, "first_row": 0}])
def test_pads_without_a_token_or_a_row_are_refused(wrong):
    with pytest.raises(OptionError, match="first_row"):
        FrontShape(50, 16, 20, pad_by_token=True, **wrong)


@pytest.mark.parametrize(("kind", "usable"), [("gpt2", 20), ("opt", 18)])
def test_past_the_end_of_a_front_counts_positions_not_rows(kind, usable):
    _, _, ours = stock_decoder(kind)
    assert ours(torch.zeros(1, usable, dtype=torch.int64)).shape == (1, usable, 16)
    with pytest.raises(PastTheEnd, match=f"{usable} usable positions"):
        ours(torch.zeros(1, usable + 1, dtype=torch.int64))


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
