"""Model families as data: which tensor is the position table, where position 0 lies, what shares its length, what a
swap replaces.

One row per family, read by ``tables``, ``extension``, ``diagnostics`` and ``models``. A new family is one row here and
one in ``docs/families-of-tables.md``. Facts were read in the model code of transformers 5.23 and checked against tiny
models built from it (``tests/tables/test_families.py``).
"""

from __future__ import annotations

from milepost.tables.families.decoders import DECODERS
from milepost.tables.families.encoders import ENCODERS
from milepost.tables.families.images import IMAGES
from milepost.tables.families.other_libraries import OTHER_LIBRARIES
from milepost.tables.families.pairs import PAIRS
from milepost.tables.families.tableless import TABLELESS
from milepost.tables.family import Family, Stack

FAMILIES: tuple[Family, ...] = (*ENCODERS, *DECODERS, *IMAGES, *PAIRS, *OTHER_LIBRARIES, *TABLELESS)


def family_of(model_type: str) -> Family | None:
    """The family that ``model_type`` belongs to, or None.

    >>> family_of("camembert").name
    'roberta'
    """
    return _BY_TYPE.get(model_type)


def stacks_by_type() -> dict[str, tuple[Stack, ...]]:
    """The stacks that a swap knows, by model type, sorted; encoder-decoders have one for each half.

    >>> [stack.base for stack in stacks_by_type()["bart"]]
    ['BartEncoder', 'BartDecoder']
    """
    known = [stack for family in FAMILIES for stack in family.stacks]
    types = sorted({stack.model_type for stack in known})
    return {name: tuple(stack for stack in known if stack.model_type == name) for name in types}


def _by_type() -> dict[str, Family]:
    found: dict[str, Family] = {}
    for family in FAMILIES:
        for model_type in family.model_types:
            assert model_type not in found, f"{model_type} is in two families"
            found[model_type] = family
        assert {stack.model_type for stack in family.stacks} <= set(family.model_types), family.name
    return found


_BY_TYPE = _by_type()
