"""A probe: how well positions can be read from hidden states."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTH, _STEPS, _BATCH, _LR = 128, 200, 512, 3e-3


def probe(model: nn.Module, tokens: Tensor, seed: int) -> list[float]:
    """Error of positions read from each layer's hidden states, as a share of the error of guessing.

    A classifier of two layers is trained on the states of three quarters of the texts, and its most likely
    positions are compared with the right ones on the rest.

    Args:
        model: a causal model of transformers.
        tokens: texts, int64 of shape ``(batch, seq)``.
        seed: of the classifier.

    Returns:
        A mean absolute error by layer, the embeddings first, over that of the middle position always.

    Source: Haviv et al. 2022 (probing). Differs: their chance is a uniform guess, a third of the length.
    """
    with torch.no_grad():
        states = model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
    held = len(tokens) // 4
    return [_error(layer[held:].detach(), layer[:held].detach(), seed) for layer in states]


def _error(train: Tensor, test: Tensor, seed: int) -> float:
    seq, dim = train.shape[1:]
    scale = train.flatten(0, 1).std()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = nn.Sequential(nn.Linear(dim, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, seq))
        optimizer = torch.optim.Adam(reader.parameters(), lr=_LR)
        flat, places = train.flatten(0, 1) / scale, torch.arange(seq).repeat(len(train))
        for _ in range(_STEPS):
            chosen = torch.randint(len(flat), (_BATCH,))
            functional.cross_entropy(reader(flat[chosen]), places[chosen]).backward()
            optimizer.step()
            optimizer.zero_grad()
        found = reader(test / scale).argmax(-1)
    places = torch.arange(seq)
    guess = (places - (seq - 1) / 2).abs().mean()
    return ((found - places).abs().double().mean() / guess).item()
