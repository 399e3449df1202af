"""``milepost doctor``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from milepost.diagnostics.doctor import FieldChange

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


@click.command("doctor", epilog=_EPILOG)
@click.argument("model")
@click.option("--revision", help="Branch, tag or commit of a Hub id.")
@click.option("--fix", is_flag=True, help="Set JSON fields that can be mended safely, and say which.")
@click.option("--dry-run", is_flag=True, help="Print what --fix would change as a diff, and write nothing.")
@click.option("--text", metavar="FILE", help="One text a line: say how much of it each limit cuts.")
@click.option("--tokenizer", metavar="DIR", help="Folder of the tokenizer that counts.  [default: MODEL]")
@click.option("--allow-pickle", is_flag=True, help="Let torch's weights_only loader read .bin and .pt.")
@click.option(
    "--max-header",
    "max_header_bytes",
    type=int,
    metavar="BYTES",
    help="Longer headers are refused; at most 100000000.  [default: 10000000]",
)
@click.option(
    "--run", is_flag=True, help="Load the model and run its positions too: needs torch, and a folder."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "github"]), default="text", show_default=True,
    help="github: annotations for a workflow.",
)  # fmt: skip
@click.option("--html", metavar="PATH", help="Write the result as a page.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print no summary; the exit code says it.")
def command(
    model: str,
    fix: bool,
    dry_run: bool,
    form: str,
    html: str | None,
    as_json: bool,
    quiet: bool,
    run: bool,
    max_header_bytes: int | None,
    **options: Any,
) -> int:
    """Where does a length live in the folder of MODEL, and where do these places disagree?

    MODEL is a folder, a .safetensors file or a Hub id. Nothing is built without --run, and nothing written
    without --fix.
    """
    from milepost.cli.output import compute_alone, plan_outputs, write

    _refuse_contradictions(dry_run=dry_run, github=form == "github", html=html, as_json=as_json)
    planned = plan_outputs(html=html)
    compute_alone()
    from milepost.diagnostics.doctor import apply_fixes, doctor, plan_fixes

    if max_header_bytes is not None:
        options["max_header_bytes"] = max_header_bytes
    result = doctor(model, **options)
    changes = plan_fixes(result) if fix or dry_run else []
    if not quiet:
        for change in changes:
            click.echo(_describe(change, "would change" if dry_run else "change"), err=True)
    if dry_run:
        for line in _difference(model, changes):
            click.echo(line)
        return _exit_code(result)
    if changes:
        apply_fixes(model, changes)
        result = doctor(model, **options)
    if run:
        result["findings"] += _run(model)
    if planned:
        from milepost.reporting import render_doctor_html

        write({planned["html"]: render_doctor_html(result).encode()}, quiet=quiet)
    _print(result, form=form, as_json=as_json, quiet=quiet)
    return _exit_code(result)


def _run(model: str) -> list[dict[str, str]]:
    """What the self-test of positions finds in the model of a folder."""
    from milepost.errors import MissingExtra, OptionError
    from milepost.tables import locate_transformer

    folder = locate_transformer(model)
    if folder is None:
        raise OptionError(
            "--run loads a folder", got=f"MODEL {model}", fix="leave out --run, or download the model"
        )
    try:
        from milepost.models.check.folder import check_folder
    except ModuleNotFoundError as error:
        raise MissingExtra.of("torch", str(error.name)) from error
    return [found.document() for found in check_folder(folder)]


def _refuse_contradictions(*, dry_run: bool, github: bool, html: str | None, as_json: bool) -> None:
    from milepost.errors import OptionError

    chosen = {"--dry-run": dry_run, "--format github": github, "--json": as_json}
    given = [name for name, on in chosen.items() if on]
    if len(given) > 1:
        raise OptionError(
            "one output at a time", got=" and ".join(given), fix=f"keep {given[0]}, or the other"
        )
    if dry_run and html:
        raise OptionError("--dry-run writes nothing", got=f"--html {html}", fix="leave out one of them")


def _difference(model: str, changes: Sequence[FieldChange]) -> Iterator[str]:
    """What --fix would change, as a unified diff; long lines are cut, for a tokenizer may be one line of megabytes."""
    import difflib

    from milepost.diagnostics.doctor import preview_fixes
    from milepost.errors import printable

    for name, (old, new) in preview_fixes(model, changes).items():
        for line in difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm=""
        ):
            cut = (
                f"{line[:_LONGEST_LINE]} [cut: {len(line):,} characters]"
                if len(line) > _LONGEST_LINE
                else line
            )
            yield printable(cut)


def _describe(change: FieldChange, verb: str) -> str:
    import json

    from milepost.errors import printable

    old, new = (json.dumps(value)[:_LONGEST_LINE] for value in (change.old, change.new))
    return printable(f"{verb}: {change.file}: {change.field}: {old} -> {new}")


def _print(result: dict[str, Any], *, form: str, as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(result, indent=1))
    elif form == "github":
        from milepost.reporting import annotate

        for line in annotate(result):
            click.echo(line)
    elif not quiet:
        from milepost.reporting import print_doctor

        print_doctor(result)


def _exit_code(result: dict[str, Any]) -> int:
    return 1 if any(found["status"] == "issue" for found in result["findings"]) else 0
