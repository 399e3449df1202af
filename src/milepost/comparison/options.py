"""What a user asks of a comparison: the options of ``milepost.compare``, grouped, as they were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from milepost.comparison.design import ENCODINGS, Model, Training, read_encodings, read_lengths, read_seeds
from milepost.comparison.plan import Plan, Progress
from milepost.comparison.request import Purpose, Request
from milepost.comparison.run_folder.folder import RunFolder
from milepost.comparison.settings import SettingGrid, read_grid
from milepost.errors import OptionError, UnknownName
from milepost.plugins import Imports
from milepost.statistics import SequentialTest
from milepost.storage.files import expand
from milepost.tasks import Metric, Options, Task

RUNS = "milepost-runs"
FIRST_LOOK = 3
_LEARNED_HERE = ("char", "byte", "train:")  # tokenizers that no model brings


@dataclass(frozen=True)
class Inputs:
    """The task, its data and lengths, and code of the user's own; what is None is as the task has it."""

    task: str = "causal-lm"
    data: str | None = None
    train_length: int | None = None
    lengths: str | Sequence[int] | None = None
    options: Options = field(default_factory=Options)
    tokenizer: str | None = None
    imports: Imports | None = None

    def read_lengths(self, task: type[Task], need_length: int | None) -> tuple[int, tuple[int, ...]]:
        """The trained length, and all lengths to measure: it is among them, and so is the one that is needed.

        Raises:
            OptionError: MP105.
        """
        trained = task.train_length if self.train_length is None else self.train_length
        measured = [*read_lengths(task.lengths if self.lengths is None else self.lengths), trained]
        return trained, read_lengths(measured if need_length is None else [*measured, need_length])

    def read_options(self, task: type[Task], model: Model) -> Options:
        """What is said of the data, with a tokenizer that fits the model.

        Raises:
            OptionError: MP105.
        """
        tokenizer = self.tokenizer or choose_tokenizer(model.folder, reads_text=task.reads_text)
        options = replace(self.options, tokenizer=tokenizer)
        if model.weights and task.reads_text:
            refuse_strange_tokenizer(options.tokenizer, model.folder)
        return options


@dataclass(frozen=True)
class Question:
    """Which encodings are compared, and by what."""

    encodings: str | Sequence[str] = ENCODINGS
    baseline: str | None = None
    metric: str | None = None
    margin: float = 0.01
    purpose: Purpose = field(default_factory=Purpose)

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise OptionError(
                "the margin must be at least 0 and below 1",
                got=str(self.margin),
                fix="0.01 is one per cent",
            )


@dataclass(frozen=True)
class Stopping:
    """How many seeds there are, and whether their number depends on what they show."""

    seeds: int | str | Sequence[int] = 3
    until: str | None = None
    max_seeds: int = 20

    def read(self) -> tuple[tuple[int, ...], SequentialTest | None]:
        """The seeds to begin with, and the looks of a sweep that adds seeds until every verdict is decided.

        Raises:
            OptionError: MP105.
        """
        seeds = read_seeds(self.seeds)
        sequential = read_until(self.until, seeds, self.max_seeds)
        if sequential is not None and len(seeds) < sequential.looks[0]:
            seeds = read_seeds(sequential.looks[0])
        return seeds, sequential


@dataclass(frozen=True)
class Tuning:
    """Learning rates and factors on the initial scale to choose from, for each encoding."""

    lr: str | Sequence[float] | None = None
    scale: str | Sequence[float] | None = None

    def read(self, lr: float) -> SettingGrid:
        """The grid around a learning rate.

        Raises:
            OptionError: MP105.
        """
        return SettingGrid(read_grid("tune-lr", self.lr, lr), read_grid("tune-scale", self.scale, 1.0))


@dataclass(frozen=True)
class Shared:
    """What all trials share: the model, the recipe, and what widens models that have fewer parameters."""

    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    match: str | None = None


@dataclass(frozen=True)
class FolderOptions:
    """Where a call leaves what it finds, and what it does with what is there."""

    out: str | Path | None = None
    restart: bool = False
    retry_failed: bool = False
    keep_models: bool = False
    dry_run: bool = False

    def open(self, request: Request) -> RunFolder:
        """The run folder; trials in it are removed where they are to be trained again.

        Raises:
            FolderError: MP107, it holds something else.
        """
        design = request.design
        folder = RunFolder(expand(self.out) if self.out else Path(RUNS) / f"{design.task}-{design.key()}")
        folder.check(design)
        if not self.restart:
            folder.check_looks(request.sequential.looks if request.sequential else None)
        elif not self.dry_run:
            folder.restart()
        return folder


@dataclass(frozen=True)
class Listeners:
    """Whom a sweep tells what it plans and how far it is."""

    on_plan: Callable[[Plan], None] = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None


def read_baseline(baseline: str | None, names: tuple[str, ...]) -> str:
    """The encoding that the others are compared with: ``learned`` where it is listed, else the first.

    Raises:
        OptionError: MP105, when it is not listed. SpecError: MP103. UnknownName: MP104.

    >>> read_baseline(None, ("rotary", "learned"))
    'learned'
    """
    if baseline is None:
        return "learned" if "learned" in names else names[0]
    (base,) = read_encodings([baseline])
    if base not in names:
        raise OptionError(
            "the baseline is not among the encodings", got=base, fix=f"one of {', '.join(names)}"
        )
    return base


def read_metric(name: str | None, task: type[Task]) -> Metric:
    """The metric that decides: the task's first, unless another one of the task is named.

    Raises:
        UnknownName: MP104.
    """
    known = {metric.name: metric for metric in task.metrics}
    if name is not None and name not in known:
        raise UnknownName.among(f"metric of {task.name}", name, known)
    return task.metrics[0] if name is None else known[name]


def read_until(until: str | None, seeds: Sequence[int], max_seeds: int) -> SequentialTest | None:
    """The looks of a sweep that adds seeds until every verdict is decided; none for a fixed number of seeds.

    Raises:
        OptionError: MP105.

    >>> read_until("decided", (0, 1, 2), 5).looks
    (3, 4, 5)
    """
    if until is None:
        return None
    if until != "decided":
        raise OptionError("a sweep can go on until it is decided", got=until[:40], fix="--until decided")
    first = max(FIRST_LOOK, len(seeds))
    if max_seeds < first:
        raise OptionError(
            "the most seeds are fewer than those of the first look",
            got=f"{max_seeds}, the first look is at {first}",
            fix=f"--max-seeds {max(20, first)}",
        )
    return SequentialTest.up_to(max_seeds, first)


def choose_tokenizer(folder: str, *, reads_text: bool) -> str:
    """The tokenizer by default: that of the user's own model, where the task reads text.

    >>> choose_tokenizer("", reads_text=True), choose_tokenizer("my-model", reads_text=True)
    ('char', 'my-model')
    """
    return folder if folder and reads_text else "char"


def refuse_strange_tokenizer(tokenizer: str, folder: str) -> None:
    """Refuse to continue from weights with ids that mean something else than those they were trained on.

    Raises:
        OptionError: MP105.

    >>> refuse_strange_tokenizer("tokenizer.json", "my-model")
    """
    if tokenizer.startswith(_LEARNED_HERE):
        raise OptionError(
            "the weights were trained on the ids of another tokenizer",
            got=f"--weights and --tokenizer {tokenizer}",
            fix=f"--tokenizer {folder}, or leave --weights out",
        )
