"""The front against transformers' own BertEmbeddings at BERT-base size: same weights, same run.

    python benchmarks/front.py

Prints milliseconds of both sides, alternating on two threads, their ratio, and how far the results lie
apart. On a machine that does other work too, the lowest times say more than the medians.
"""

from __future__ import annotations

import statistics
import time

import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings

from milepost.encodings.front import FrontShape, TokenAndPositionEmbedding

BATCH, LENGTH, ROUNDS, THREADS = 16, 512, 25, 2


def build(*, keep_gradient: bool) -> tuple[BertEmbeddings, TokenAndPositionEmbedding]:
    config = BertConfig(hidden_dropout_prob=0.0)
    theirs = BertEmbeddings(config)
    shape = FrontShape(
        config.vocab_size, config.hidden_size, 512, segments=2, epsilon=config.layer_norm_eps, pad=0
    )
    ours = TokenAndPositionEmbedding(shape, keep_gradient=keep_gradient)
    ours.load_family(theirs.state_dict(), "bert")
    return theirs, ours


def measure(name: str, left, right) -> None:
    times: dict[int, list[float]] = {0: [], 1: []}
    for round_ in range(ROUNDS + 3):
        for side, run in enumerate((left, right)):
            begun = time.perf_counter()
            run()
            if round_ >= 3:
                times[side].append(1e3 * (time.perf_counter() - begun))
    for kind, choose in (("median", statistics.median), ("lowest", min)):
        theirs, ours = choose(times[0]), choose(times[1])
        print(f"{name}, {kind}: transformers {theirs:.1f} ms, milepost {ours:.1f} ms, {theirs / ours:.2f} x")


def backward(module: torch.nn.Module, tokens: torch.Tensor, gradient: torch.Tensor, *, clear: bool):
    def run() -> None:
        module.zero_grad(set_to_none=clear)
        module(tokens).backward(gradient)

    return run


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    tokens = torch.randint(1, 30_522, (BATCH, LENGTH))
    gradient = torch.randn(BATCH, LENGTH, 768)
    print(f"{BATCH} x {LENGTH} x 768, {torch.get_num_threads()} threads, torch {torch.__version__}")
    theirs, ours = build(keep_gradient=False)
    _, keeping = build(keep_gradient=True)
    keeping.load_family(theirs.state_dict(), "bert")
    with torch.no_grad():
        print(f"largest difference: {(theirs(tokens) - ours(tokens)).abs().max():.1e}")
        measure("forward", lambda: theirs(tokens), lambda: ours(tokens))
    stock = backward(theirs, tokens, gradient, clear=True)
    measure("forward and backward", stock, backward(ours, tokens, gradient, clear=True))
    measure("with a kept gradient", stock, backward(keeping, tokens, gradient, clear=False))


if __name__ == "__main__":
    main()
