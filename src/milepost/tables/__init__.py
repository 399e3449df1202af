"""Position tables in checkpoints: families as data, and reading without building a model.

``read`` is the one door; numpy is all it needs. torch is imported for pickled weights alone, and
huggingface_hub for models on the Hub.
"""

from milepost.storage.folder import Folder, parse_json
from milepost.tables.build import COUNTS, COUNTS_FILE
from milepost.tables.checkpoint import Checkpoint, PositionTable, TensorEntry
from milepost.tables.families import FAMILIES, family_of, stacks_by_type
from milepost.tables.family import Family, Part, Stack, TableForm, Variant
from milepost.tables.header import MAX_HEADER_BYTES, Header, parse_header, read_header
from milepost.tables.hub import HubModel, is_hub_id
from milepost.tables.numbers import decode, encode
from milepost.tables.reading import INDEX, read
from milepost.tables.recognition import Match, recognise
from milepost.tables.rule import PREFIX, RECORD, RULES, Rule, read_rule
from milepost.tables.siblings import COPY_FOLDERS, find_transformer, is_copy, locate_transformer, read_modules
from milepost.tables.windows import segment_of, step_of, windows_of

__all__ = [
    "COPY_FOLDERS",
    "COUNTS",
    "COUNTS_FILE",
    "FAMILIES",
    "INDEX",
    "MAX_HEADER_BYTES",
    "PREFIX",
    "RECORD",
    "RULES",
    "Checkpoint",
    "Family",
    "Folder",
    "Header",
    "HubModel",
    "Match",
    "Part",
    "PositionTable",
    "Rule",
    "Stack",
    "TableForm",
    "TensorEntry",
    "Variant",
    "decode",
    "encode",
    "family_of",
    "find_transformer",
    "is_copy",
    "is_hub_id",
    "locate_transformer",
    "parse_header",
    "parse_json",
    "read",
    "read_header",
    "read_modules",
    "read_rule",
    "recognise",
    "segment_of",
    "stacks_by_type",
    "step_of",
    "windows_of",
]
