"""Tokens a CPU-second of Milepost trials, of a hand-written minimal GPT and of transformers' Trainer, one thread.

All sides have one size and run in one process, step by step in turn: after each step of the Trainer the others take
theirs. Ratios are of medians over steps of the CPU time that a step takes, which neighbours on the machine
disturb less than the wall time. ``python benchmarks/training_speed.py --help`` for sizes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from milepost.comparison.design import ENCODINGS, Design, Model, Training, Trial
from milepost.comparison.trials.model import build_model
from milepost.comparison.trials.training import build_optimizer, take_step
from milepost.tasks import CausalLM, Options


class Block(nn.Module):
    """Pre-norm block: causal self-attention and an MLP."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, seq, dim = x.shape
        qkv = self.qkv(self.norm_1(x)).view(batch, seq, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, seq, dim))
        return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class MinimalGPT(nn.Module):
    """What one writes by hand: a learned position table, blocks, tied output."""

    def __init__(self, vocabulary: int, max_len: int, layers: int, dim: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, dim), nn.Embedding(max_len, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--encodings", default=",".join(ENCODINGS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = CausalLM.open("builtin:python-docs", Options())
    size = Model(layers=options.layers, dim=options.dim, heads=options.heads)
    recipe = Training(steps=options.steps, batch=options.batch)
    design = Design("causal-lm", task.streams.name, task.sha256, options.length, model=size, training=recipe)

    hand_written = MinimalGPT(
        task.head.vocabulary_size, options.length, options.layers, options.dim, options.heads
    )
    optimizer = build_optimizer(hand_written, recipe)

    def hand_step(tokens: torch.Tensor, step: int) -> None:
        logits = hand_written(tokens[:, :-1])
        functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(hand_written.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()

    sides: dict[str, Callable[[torch.Tensor, int], object]] = {"hand-written": hand_step}
    for name in options.encodings.split(","):
        sides[name] = milepost_step(Trial(design, name, 0), task)
    seconds = run_in_turn(sides, task, options)
    per_step = options.batch * options.length
    bases = [statistics.median(seconds[name][10:]) for name in ("hand-written", "Trainer")]
    print(f"{'':<14}{'tokens/s':>10}{'ms a step':>11}{'of hand-written':>17}{'of Trainer':>12}")
    for name, taken in seconds.items():
        median = statistics.median(taken[10:])
        ratios = "".join(f"{base / median:>{width}.3f}" for base, width in zip(bases, (17, 12), strict=True))
        print(f"{name:<14}{per_step / median:>10.0f}{1e3 * median:>11.2f}{ratios}")


def run_in_turn(
    sides: Mapping[str, Callable[[torch.Tensor, int], object]], task: CausalLM, options: argparse.Namespace
) -> dict[str, list[float]]:
    """CPU seconds of each step of each side and of the Trainer, which runs the others between its own steps."""
    seconds: dict[str, list[float]] = {name: [] for name in (*sides, "Trainer")}

    class InTurn(TrainerCallback):
        begin = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.begin = time.process_time()

        def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            seconds["Trainer"].append(time.process_time() - self.begin)
            step = state.global_step - 1
            tokens = torch.from_numpy(task.batch(0, step, options.batch, options.length)["tokens"])
            for name, take in sides.items():
                begin = time.process_time()
                take(tokens, step)
                seconds[name].append(time.process_time() - begin)
            self.begin = time.process_time()

    build_trainer(task, options, InTurn()).train()
    return seconds


def build_trainer(task: CausalLM, options: argparse.Namespace, callback: TrainerCallback) -> Trainer:
    """transformers' own GPT-2 in its own Trainer, as its documentation sets it up."""
    config = GPT2Config(
        vocab_size=task.head.vocabulary_size,
        n_positions=options.length,
        n_embd=options.dim,
        n_layer=options.layers,
        n_head=options.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    rows = [
        {"input_ids": row, "labels": row}
        for step in range(options.steps)
        for row in task.batch(0, step, options.batch, options.length)["tokens"][:, :-1]
    ]
    arguments = TrainingArguments(
        output_dir="trainer",
        max_steps=options.steps,
        per_device_train_batch_size=options.batch,
        learning_rate=2e-3,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return Trainer(model=GPT2LMHeadModel(config), args=arguments, train_dataset=rows, callbacks=[callback])


def milepost_step(trial: Trial, task: CausalLM) -> Callable[[torch.Tensor, int], object]:
    """One step of a trial, as the training loop takes it."""
    design = trial.design
    model = build_model(trial, task).train()
    optimizer = build_optimizer(model, design.training)
    return lambda tokens, step: take_step(model, optimizer, task, {"tokens": tokens}, design.training, step)


if __name__ == "__main__":
    main()
