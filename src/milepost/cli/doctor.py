"""``milepost doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from milepost.api.doctor import doctor
from milepost.cli.options import options_of
from milepost.cli.output import compute_alone, say_written, show

_EPILOG = """\b
Examples:
  milepost doctor my-model/
  milepost doctor my-model/ --dry-run
  milepost doctor my-model/ --fix
  milepost doctor my-model/ --text texts.txt --json
  milepost doctor my-model/ --format github

Exit codes: 0 no issue; 1 an issue (after --fix: one that is left); 2 usage or environment; 3 input refused.
"""
_LONGEST_LINE = 400
option = options_of(doctor)


@click.command("doctor", epilog=_EPILOG)
@click.argument("model")
@option("--revision", help="Branch, tag or commit of a Hub id.")
@option("--fix", is_flag=True, help="Set JSON fields that can be mended safely, and say which.")
@option("--dry-run", is_flag=True, help="Print what --fix would change as a diff, and write nothing.")
@option("--text", metavar="FILE", help="One text a line: say how much of it each limit cuts.")
@option("--tokenizer", metavar="DIR", help="Folder of the tokenizer that counts.  [default: MODEL]")
@option("--allow-pickle", is_flag=True, help="Let torch's weights_only loader read .bin and .pt.")
@option("--max-header-bytes", metavar="BYTES", help="Longer headers are refused; at most 100000000.")
@option("--run", is_flag=True, help="Load the model and run its positions too: needs torch, and a folder.")
@click.option(
    "--format", "form", type=click.Choice(["text", "github"]), default="text", show_default=True,
    help="github: annotations for a workflow.",
)  # fmt: skip
@option("--html", metavar="PATH", help="Write the result as a page.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print no summary; the exit code says it.")
def command(model: str, dry_run: bool, form: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Where does a length live in the folder of MODEL, and where do these places disagree?

    MODEL is a folder, a .safetensors file or a Hub id. Nothing is built without --run, and nothing written
    without --fix.
    """
    _refuse_contradictions(dry_run=dry_run, github=form == "github", as_json=as_json)
    compute_alone()
    written: list[str] = []
    result = doctor(model, dry_run=dry_run, on_written=written.append, **options)
    if not quiet:
        for change in result["changes"] if dry_run else result.get("fixed", ()):
            click.echo(_describe(change, "would change" if dry_run else "change"), err=True)
        for path in written:
            say_written(path)
    if dry_run:
        for line in result["difference"]:
            click.echo(_cut(line))
    elif form == "github":
        from milepost.reporting import annotate

        for line in annotate(result):
            click.echo(line)
    else:
        show(result, "doctor", as_json=as_json, quiet=quiet)
    return 1 if any(found["status"] == "issue" for found in result["findings"]) else 0


def _refuse_contradictions(*, dry_run: bool, github: bool, as_json: bool) -> None:
    from milepost.errors import OptionError

    chosen = {"--dry-run": dry_run, "--format github": github, "--json": as_json}
    given = [name for name, on in chosen.items() if on]
    if len(given) > 1:
        raise OptionError(
            "one output at a time", got=" and ".join(given), fix=f"keep {given[0]}, or the other"
        )


def _cut(line: str) -> str:
    """A line that fits a terminal: a tokenizer may be one line of megabytes."""
    from milepost.errors import printable

    size = f" [cut: {len(line):,} characters]" if len(line) > _LONGEST_LINE else ""
    return printable(line[:_LONGEST_LINE] + size)


def _describe(change: Mapping[str, Any], verb: str) -> str:
    import json

    from milepost.errors import printable

    old, new = (json.dumps(change[name])[:_LONGEST_LINE] for name in ("old", "new"))
    return printable(f"{verb}: {change['file']}: {change['field']}: {old} -> {new}")
