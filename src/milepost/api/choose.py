"""Which method of extension suits a model and its documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milepost.plugins import Imports


def choose(
    model: str | os.PathLike[str],
    data: str,
    *,
    to: int | str | tuple[int, int],
    candidates: Sequence[str] | str | None = None,
    documents: int = 50,
    text_column: str | None = None,
    header: bool = True,
    objective: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    revision: str | None = None,
    tensor: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    imports: Imports | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure methods of extension on documents, without training, and recommend one or none.

    Every candidate is applied to the model in memory and evaluated on the same documents: language models by the loss at each
    position, embedding models by which document a passage finds. All are compared with the model as it is.

    Guarantee: nothing is written but in ``cache``, no code of the folder is run. The same arguments give the same numbers on
    the same machine. A method is recommended only where it is significantly better by paired 95 % intervals over documents,
    corrected for the number of candidates, and not significantly worse on inputs within the old length.

    Args:
        model: a folder or a Hub id of a text model.
        data: what ``milepost.tasks.read_text`` reads. Documents that the model can read already are left out.
        to: usable positions wanted. Longer documents are cut there.
        candidates: spec strings of methods, in a list or comma separated; all that need no training by default.
        documents: how many are measured at most; drawn by ``seed``.
        text_column: name of the texts' column, or its index from 0.
        header: whether the first row of a table names its columns.
        objective: ``masked-lm``, ``causal-lm`` or ``embedding``; what the model is for by default.
        seed: of documents, masks and passages.
        device: a torch device.
        revision: of a Hub id.
        tensor: the key of the table, where several could be meant.
        cache: a folder, made where it is missing, in which the numbers of each candidate are kept: the same call again, after
            an interruption or with further candidates, measures only the model as it is and what is missing.
        imports: your own code that defines methods: paths of files and names of installed modules.
        on_progress: called with what is done, and how many of how many readings are finished (of 0, before they are counted).

    Returns:
        The document of ``schemas/choose.json``: ``candidates`` with their metrics, ``recommendation`` and more.

    Raises:
        DataError: MP110, fewer than three documents that are longer than the model. OptionError: MP105.
        FolderError: MP107, a cache that cannot be written. MissingExtra: MP106. ModelError: MP124, a model that cannot be
            measured. UnknownName: MP104. SpecError: MP103. PluginError: MP109. MilepostError: what ``milepost.tables.read`` raises.

    >>> import tempfile
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    >>> words = Tokenizer(models.WordLevel({"?": 0, "the": 1, "of": 2}, unk_token="?"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> config = GPT2Config(vocab_size=3, n_positions=16, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     GPT2LMHeadModel(config).save_pretrained(folder)
    ...     _ = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(folder)
    ...     result = choose(folder, "builtin:python-docs", to=32, candidates="tile,linear", documents=3)
    >>> [(row["method"], row["metrics"]["short"]["verdict"]) for row in result["candidates"]][0]
    ('tile', 'same')
    """
    from milepost.extension.source import find_source
    from milepost.plugins import load_imports
    from milepost.tables import read
    from milepost.tuning.selection.measure import Selection, measure_methods

    load_imports(imports)
    wanted = Selection(
        to,
        candidates,
        documents,
        text_column,
        header,
        objective,
        seed,
        device,
        revision,
        tensor,
        cache,
        imports,
    )
    source = find_source(model, revision)
    checkpoint = read(source.weights or source.folder)
    return measure_methods(model, source, checkpoint, data, wanted, on_progress)
