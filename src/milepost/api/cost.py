"""What position costs a model, and what the alternatives would."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milepost.plugins import Imports


def cost(
    model: str | os.PathLike[str] | Mapping[str, Any],
    *,
    lengths: str | Sequence[int] | None = None,
    encodings: str | None = None,
    max_len: int | None = None,
    revision: str | None = None,
    imports: Imports | None = None,
) -> dict[str, Any]:
    """Compute what a model's position encoding and its alternatives cost, from the configuration alone.

    Numbers follow from formulas (``docs/cost.md``) that tests compare with the encodings themselves: the
    parameters that they have, the operations that they run. Nothing is built and torch is not imported.

    Args:
        model: a folder with ``config.json``, such a file, a Hub id, or the configuration as a mapping.
        lengths: of the sequence, in tokens, in a list or comma separated; by default the positions that the model has.
        encodings: specs, comma separated; by default all that this model can have, for any direction of
            attention. ``rotary`` needs an even head width, those for images a grid of patches.
        max_len: positions that tables get, instead of the model's own.
        revision: of a Hub id.
        imports: your own code that defines encodings: paths of files and names of installed modules. An encoding is a
            module of torch, so that these import it.

    Returns:
        The document of ``schemas/cost.json``. The model's own encoding comes first among ``encodings``.

    Raises:
        UnknownFamily: MP120. DataError: MP110. UnsafeFile: MP130. HubError: MP131.
        UnknownName: MP104. SpecError: MP103. OptionError: MP105.

    >>> gpt3 = {"model_type": "gpt2", "n_positions": 2048, "n_embd": 12288, "n_head": 96, "n_layer": 96}
    >>> cost(gpt3)["present"]["parameters"]
    25165824
    """
    from milepost.diagnostics.cost import price_model
    from milepost.plugins import load_imports

    load_imports(imports)

    return price_model(model, lengths=lengths, encodings=encodings, max_len=max_len, revision=revision)
