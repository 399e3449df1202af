"""An encoding of the user's own, priced by the formulas of its row."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import milepost
from milepost.cli import cli
from milepost.errors import OptionError

FILE = Path(__file__).parent / "my_encoding.py"
CONFIG = {"model_type": "gpt2", "n_positions": 16, "n_embd": 8, "n_head": 2, "n_layer": 1}
FORMULA = (
    "cost=CostFormula(lambda sizes, options: sizes.heads, lambda sizes, options, length: Work(layer=length)))"
)


def test_an_encoding_whose_row_has_formulas_is_priced(tmp_path: Path) -> None:
    own = tmp_path / "priced.py"
    text = FILE.read_text("utf-8").replace('places=("bias",))', f'places=("bias",), {FORMULA}')
    own.write_text(text.replace("import EncodingRow", "import CostFormula, EncodingRow, Work"))
    (_, row) = milepost.cost(CONFIG, encodings="root-bias", imports=own)["encodings"]
    assert (row["encoding"], row["parameters"]) == ("root-bias", 2)


def test_one_without_formulas_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"the cost of root-bias is not known"):
        milepost.cost(CONFIG, encodings="root-bias", imports=FILE)
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "gpt2", "n_positions": 16, "n_embd": 8, "n_head": 2, "n_layer": 1}')
    done = CliRunner().invoke(cli, ["cost", str(config), "--encodings", "root-bias", "--import", str(FILE)])
    assert isinstance(done.exception, OptionError)
