"""Position tables of published models, built without their memory."""

import pytest
import torch

from milepost.encodings import Geometry, LearnedPositions, build

# rows and width of each model's own table; RoBERTa's holds two rows before position 0
SHAPES = {"gpt3": (2048, 12_288), "bert-base": (512, 768), "gpt2": (1024, 768), "roberta-base": (514, 768)}
COUNTS = {"gpt3": 25_165_824, "bert-base": 393_216, "gpt2": 786_432, "roberta-base": 394_752}


@pytest.mark.parametrize("name", SHAPES)
def test_tables_build_on_the_meta_device_with_the_right_parameter_count(name):
    rows, dim = SHAPES[name]
    geometry = Geometry(dim=dim, heads=dim // 64, head_dim=64, max_len=rows)
    with torch.device("meta"):
        by_spec = build("learned", geometry)
    for table in (by_spec, LearnedPositions(rows, dim, device="meta")):
        assert sum(parameter.numel() for parameter in table.parameters()) == COUNTS[name]
        assert all(parameter.is_meta for parameter in table.parameters())
        assert table.usable_length == rows
        added = table(torch.empty(2, rows, dim, device="meta"))
        assert added.shape == (2, rows, dim)


def test_a_low_rank_table_of_gpt3s_size_is_a_fraction_of_it():
    geometry = Geometry(dim=12_288, heads=96, head_dim=128, max_len=2048)
    with torch.device("meta"):
        table = build("learned(rank=64)", geometry)
    assert sum(parameter.numel() for parameter in table.parameters()) == 64 * (2048 + 12_288)
