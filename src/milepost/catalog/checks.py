"""Relations between options and a model, which rows of the catalogue and constructors refuse alike."""

from __future__ import annotations

from milepost.errors import OptionError


def check_rank(rank: int, init: str, rows: int, dim: int) -> None:
    """Refuse a table of low rank that cannot be.

    Raises:
        OptionError: MP105, a rank out of range, or initial values that have no two factors.
    """
    if not 1 <= rank <= min(rows, dim):
        raise OptionError(
            "rank must lie between 1 and the smaller size of the table",
            got=f"rank={rank}, a table of {rows} x {dim}",
            fix="rank=0 is the full table",
        )
    if init == "sinusoidal":
        raise OptionError(
            "a table of low rank starts normal or at zeros", got=f"init={init}", fix="init=normal"
        )


def check_patches(grid: tuple[int, int], rows: int) -> None:
    """Refuse more patches than rows.

    Raises:
        OptionError: MP105.
    """
    if min(grid) < 1 or grid[0] * grid[1] > rows:
        raise OptionError(
            "the grid does not fit the table",
            got=f"{grid[0]} x {grid[1]} patches, {rows} rows",
            fix="one row a patch, behind those of the prefix",
        )


def check_buckets(buckets: int, max_distance: int, causal: bool) -> None:
    """Refuse buckets that distances cannot be put into.

    Raises:
        OptionError: MP105.
    """
    directed = buckets if causal else buckets // 2
    if directed < 2 or buckets % 2:
        raise OptionError(
            "t5 needs an even number of buckets, 4 or more where bidirectional",
            got=f"buckets={buckets}",
            fix="buckets=32",
        )
    if max_distance <= directed // 2:
        raise OptionError(
            "max_distance must lie past the distances that have a bucket of their own",
            got=f"max_distance={max_distance}, buckets={buckets}",
            fix=f"max_distance={4 * buckets}",
        )


def check_quarters(head_dim: int) -> None:
    """Refuse a width of heads that has no pairs for rows and for columns.

    Raises:
        OptionError: MP105.
    """
    if head_dim < 4 or head_dim % 4:
        raise OptionError(
            "rotary2d needs a head width that 4 divides: pairs for rows, pairs for columns",
            got=f"head_dim={head_dim}",
            fix="change the width or the number of heads",
        )
