"""Training: compiled, checkpointed, and in the loops that people use."""

import copy
import shutil

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from milepost.encodings import registered
from milepost.models import load, swap


def put(model, encoding):
    swap(model, encoding)
    for parameter in model.base_model.milepost.parameters():
        parameter.data.normal_(std=0.5, generator=torch.Generator().manual_seed(2))
    return model


def gradients(model, tokens, **inputs):
    model.zero_grad()
    torch.manual_seed(4)  # some encodings draw positions
    model(tokens, labels=tokens, **inputs).loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_gradients_reach_every_parameter(make, tokens, encoding, attention):
    model = put(make(attention=attention), encoding)
    found = gradients(model, tokens)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert all(found[name].any() for name in found if ".milepost." in name)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(make, tokens, encoding, reentrant):
    model = put(make(), encoding).train()
    mask = (torch.arange(12) >= torch.tensor([[0], [3], [7]])).long()
    wanted = gradients(model, tokens, attention_mask=mask)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    found = gradients(model, tokens, attention_mask=mask)
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], atol=1e-6, rtol=1e-4)


def test_two_forwards_before_one_backward_keep_their_own_positions(make, tokens):
    model = put(make(), "rotary").train()
    model.activation_checkpointing_enable({"use_reentrant": False})

    def loss(length):
        part = tokens[:, :length].contiguous()
        return model(part, labels=part).loss

    model.zero_grad()
    (loss(12) + loss(5)).backward()
    together = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    loss(12).backward()
    loss(5).backward()
    for one, parameter in zip(together, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-6, rtol=1e-4)


# each takes seconds of tracing, so the others run with the slow tests
TRACED = {("gpt2", "learned"), ("gpt2", "rotary"), ("bert", "alibi")}


@pytest.mark.parametrize(
    ("make", "encoding"),
    [
        pytest.param(family, name, marks=() if (family, name) in TRACED else pytest.mark.slow)
        for family in ("gpt2", "bert")
        for name, cls in registered().items()
        if not cls.needs_grid and (family, name) != ("bert", "xpos")
    ],
    indirect=["make"],
)
def test_a_full_graph_compiles(make, tokens, encoding):
    torch._dynamo.reset()
    model = put(make(), encoding)
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager")
    mask = (torch.arange(12) >= torch.tensor([[0], [3], [7]])).long()
    with torch.no_grad():
        for inputs in ({}, {"attention_mask": mask}):
            wanted = model(tokens, **inputs).logits
            torch.testing.assert_close(compiled(tokens, **inputs).logits, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own, on its first import
@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5"])
def test_inductor_compiles_a_training_step(make, tokens, encoding):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("inductor needs a C++ compiler")
    torch._dynamo.reset()
    model = put(make(), encoding)
    compiled = torch.compile(model, fullgraph=True)

    def train_step(called):
        model.zero_grad()
        called(tokens).logits.square().mean().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    for wanted, found in zip(train_step(model), train_step(compiled), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("inner", ["learned", "rotary", "alibi"])
def test_positions_drawn_in_training_are_the_same_in_all_layers(make, tokens, inner):
    model = swap(make(), f"randomized(inner={inner},max_len=64)").train()
    torch.manual_seed(0)
    drawn = torch.randperm(64)[:12].sort().values
    torch.manual_seed(0)
    first = model(tokens).logits
    torch.manual_seed(1)
    assert not torch.equal(first, model(tokens).logits)
    # the encoding inside, at the positions that were drawn
    other = swap(model, model.base_model.milepost.inner).eval()(tokens, position_ids=drawn[None]).logits
    torch.testing.assert_close(first, other, atol=1e-5, rtol=1e-5)


class Rows(torch.utils.data.Dataset):
    def __init__(self, count=16):
        self.tokens = torch.randint(1, 50, (count, 12), generator=torch.Generator().manual_seed(7))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


def train(model, folder, *, resume=None, steps=4):
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, save_steps=2, report_to=[],
        learning_rate=1e-2, use_cpu=True, disable_tqdm=True, logging_strategy="no", seed=1, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=Rows())
    trainer.train(resume_from_checkpoint=resume)
    return model


@pytest.mark.parametrize("encoding", ["learned", "rotary", "t5"])
def test_trainer_trains_saves_and_resumes(make_gpt2, tmp_path, encoding):
    whole = train(put(make_gpt2(), encoding), tmp_path / "whole")
    assert gradient_moved(whole, put(make_gpt2(), encoding))
    resumed = train(
        put(make_gpt2(), encoding), tmp_path / "again", resume=str(tmp_path / "whole" / "checkpoint-2")
    )
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    loaded = load(tmp_path / "whole" / "checkpoint-4")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in whole.state_dict().items())


def gradient_moved(model, start):
    return all(not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True))


def test_trainer_with_stock_and_learned_ends_in_the_same_weights(make_gpt2, tmp_path):
    stock = train(make_gpt2(), tmp_path / "a")
    swapped = train(swap(make_gpt2(), "learned"), tmp_path / "b")
    assert torch.equal(stock.transformer.wpe.weight, swapped.transformer.milepost.weight)
    assert torch.equal(stock.lm_head.weight, swapped.lm_head.weight)


@pytest.mark.parametrize("encoding", ["learned", "t5"])
def test_accelerate_trains_and_resumes(make_bert, tokens, tmp_path, encoding):
    from accelerate import Accelerator

    def steps(model, optimizer, accelerator, count):
        for _ in range(count):
            accelerator.backward(model(tokens, labels=tokens).loss)
            optimizer.step()
            optimizer.zero_grad()

    accelerator = Accelerator(cpu=True)
    model = put(make_bert(), encoding)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), 1e-2))
    steps(model, optimizer, accelerator, 2)
    accelerator.save_state(str(tmp_path))
    steps(model, optimizer, accelerator, 2)
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    accelerator.load_state(str(tmp_path))
    steps(model, optimizer, accelerator, 2)
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    accelerator.unwrap_model(model).save_pretrained(tmp_path / "final")
    assert isinstance(load(tmp_path / "final"), nn.Module)
