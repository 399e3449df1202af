"""What each process of test_shards.py runs under torchrun; rank 0 prints the largest differences as JSON."""

import json

import torch
import torch.distributed as dist

from milepost.encodings import LearnedPositions, build_positions, build_shard_positions

LENGTH, DIM = 16, 6


def gradient(positions, tokens, targets):
    """Gradient of a table by one process, from its part of the sequence."""
    torch.manual_seed(0)
    table = LearnedPositions(LENGTH, DIM)
    (table(tokens, positions) * targets).square().sum().backward()
    return table.weight.grad


def main():
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    draw = torch.Generator().manual_seed(1)
    tokens, targets = (torch.randn(3, LENGTH, DIM, generator=draw) for _ in range(2))
    mask = (torch.arange(LENGTH) >= torch.tensor([[0], [3], [9]])).long()
    whole = {"unpadded": build_positions(LENGTH), "left-padded": build_positions(LENGTH, attention_mask=mask)}
    apart = {}
    for order in ("plain", "zigzag"):
        slots = build_shard_positions(LENGTH, rank=rank, world=world, order=order)
        for name, positions in whole.items():
            cases = {name: positions[:, slots[0]]}
            if name == "unpadded":
                cases |= {"derived": slots, "counted from 0": build_positions(slots.shape[1])}
            for case, mine in cases.items():
                shared = gradient(mine, tokens[:, slots[0]], targets[:, slots[0]])
                dist.all_reduce(shared)
                one = gradient(positions, tokens, targets)
                apart[f"{order}, {case}"] = (shared - one).abs().max().item()
    if rank == 0:
        print(json.dumps(apart))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
