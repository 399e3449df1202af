"""Writing what a verb made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click


def write(files: Mapping[str, bytes], *, quiet: bool) -> None:
    """Write files whole or not at all, and name each on stderr."""
    from milepost.files import durable

    for path, content in files.items():
        with durable(Path(path)) as beside:
            beside.write_bytes(content)
        if not quiet:
            click.echo(f"written: {path}", err=True)
