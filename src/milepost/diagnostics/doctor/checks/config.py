"""MP301 to MP305: the configuration against the table."""

from __future__ import annotations

from collections.abc import Iterator

from milepost.diagnostics.doctor.folder import CHECKS, ModelFolder, count, dig, place, shown
from milepost.finding import FieldChange, Verdict

_RELATIVE = ("relative_key", "relative_key_query")
_ROUND = 64


@CHECKS.enter("MP301", "rows of the table against the configuration")
def rows_against_config(folder: ModelFolder) -> Iterator[Verdict]:
    """The rows that the family's code will build from the configuration are the rows that are stored."""
    if not folder.placed:
        yield Verdict("not_applicable", "the model has no position table")
    for table, match in folder.placed:
        rows, path = len(table.rows), (table.length_field or "").split(".")
        expected = match.expected_rows()
        if expected is None:
            where = place(folder.config_file, *path) if folder.config_file else table.key
            yield Verdict(
                "cannot_tell", f"the configuration does not say how many rows {table.key} has", where
            )
        if expected is None or expected == rows:
            continue
        stated = count(dig(folder.checkpoint.config, path))
        wanted = None if table.kind == "patches" or stated is None else stated + rows - expected
        # a configuration in another library's words was translated: its own field is not known
        known = (
            wanted is not None and wanted >= 0 and count(folder.value(folder.config_file, *path)) == stated
        )
        asked = match.config.get(match.form.field or "")
        yield Verdict(
            "issue",
            f"{table.key} has {rows} rows; {'.'.join(path)} = {shown(asked)} asks for {expected}",
            place(folder.config_file, *path),
            f"{'.'.join(path)} = {wanted}" if known else f"a setting that asks for {rows} rows",
            "make the configuration say what the table has (--fix); the model cannot load as it is"
            if known
            else "get the configuration that belongs to these weights",
            [FieldChange(folder.config_file, ".".join(path), stated, wanted)] if known else (),
        )


@CHECKS.enter("MP302", "reserved rows taken from the length", most="tip")
def rows_eaten(folder: ModelFolder) -> Iterator[Verdict]:
    """RoBERTa's 514 rows hold 512 positions; its class default of 512 rows holds 510."""
    reserving = [
        table
        for table, match in folder.placed
        if table.first_row and not match.form.extra_rows and table.kind == "learned"
    ]
    if not reserving:
        yield Verdict("not_applicable", "no row is reserved, or the configuration does not count them")
    for table in reserving:
        if len(table.rows) % _ROUND == 0:
            yield Verdict(
                "tip",
                f"{len(table.rows)} rows, of which the first {table.first_row} belong to no position: "
                f"{table.usable_length} positions",
                place(folder.config_file, *(table.length_field or "").split(".")),
                f"{len(table.rows) + table.first_row} rows for {len(table.rows)} positions",
                f"cut texts at {table.usable_length} tokens, special tokens included",
            )


@CHECKS.enter("MP303", "relative positions that transformers 5 leaves out")
def relative_dropped(folder: ModelFolder) -> Iterator[Verdict]:
    """BERT and its kin with relative_key or relative_key_query load as absolute, with a log line at most."""
    found = {
        match.path: match.config["position_embedding_type"]
        for _, match in folder.placed
        if match.config.get("position_embedding_type") in _RELATIVE
    }
    distances = [key for key in folder.checkpoint.tensors if key.endswith(".distance_embedding.weight")]
    for path, kind in found.items():
        stored = f"; {len(distances)} tensors of distances are stored ({distances[0]})" if distances else ""
        yield Verdict(
            "issue",
            f"{kind}{stored}",
            place(folder.config_file, f"{path}position_embedding_type"),
            "absolute, or code that knows the distances",
            "run it with transformers 4; transformers 5 adds absolute positions alone and gives other outputs",
        )


@CHECKS.enter("MP304", "a missing configuration")
def config_missing(folder: ModelFolder) -> Iterator[Verdict]:
    """Without config.json nothing says what the family is, nor what its pad token is."""
    if not folder.config_file:
        yield Verdict(
            "issue",
            "there is no config.json; the table was recognised by its name alone",
            "config.json",
            "the configuration that the model was trained with",
            "put it beside the weights",
        )


@CHECKS.enter("MP305", "fields that repeat the length")
def repeated_fields(folder: ModelFolder) -> Iterator[Verdict]:
    """n_ctx in addition to n_positions: some tools read the one, some the other."""
    for table, match in folder.placed:
        field = table.length_field
        stated = count(dig(folder.checkpoint.config, field.split("."))) if field else None
        for name in match.family.config_fields:
            repeated = match.config.get(name)
            # a window of attention is no length
            if name == "attention_window" or repeated is None or count(repeated) == stated or stated is None:
                continue
            right = len(table.rows) if match.expected_rows() != len(table.rows) else stated
            path = f"{match.path}{name}"
            yield Verdict(
                "issue",
                f"{path} = {shown(repeated)}, {field} = {stated}",
                place(folder.config_file, path),
                f"{path} = {right}",
                "make both say the same (--fix)",
                [FieldChange(folder.config_file, path, repeated, right)],
            )
