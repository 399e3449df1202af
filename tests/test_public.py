from __future__ import annotations

import pytest

import milepost


@pytest.mark.parametrize("name", milepost.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(milepost, name) is not None
    assert name in dir(milepost)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'comparre'"):
        milepost.comparre  # noqa: B018
