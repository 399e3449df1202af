"""The conformance battery: does an encoding keep the rules that models rely on?

Public, so that an encoding of your own can be checked as Milepost's are::

    from milepost.testing import check_encoding
    check_encoding(MyEncoding)          # raises CheckFailed with the name of the rule
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from milepost.encodings import Encoding, Geometry, build, canonical, resolve
from milepost.encodings.base import PLACES
from milepost.errors import CheckFailed, PastTheEnd
from milepost.spec import Spec, parse_spec

GEOMETRY = Geometry(dim=24, heads=3, head_dim=8, max_len=24, embedding_rms=0.05)
_CHECKS: dict[str, Callable[[_Case], str | None]] = {}


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Args:
        name: of the check.
        status: ``passed``, ``failed`` or ``not_applicable``.
        message: what is wrong, or why the check says nothing of this encoding; empty where it passed.
    """

    name: str
    status: str
    message: str = ""


def check_encoding(
    encoding: str | Spec | type[Encoding],
    *,
    geometry: Geometry = GEOMETRY,
    raise_on_failure: bool = True,
) -> list[CheckResult]:
    """Run the battery on one encoding, given by its spec or its class.

    Guarantees that every check ran: an encoding that raises fails that check alone. The global random
    state is left as it was.

    Args:
        encoding: a spec of a registered encoding, or a class, built with its defaults.
        geometry: the model it is built for; ``max_len`` at least 16.
        raise_on_failure: raise at the end when a check failed; otherwise only report.

    Returns:
        One result a check, in the order in which they ran.

    Raises:
        CheckFailed: MP150, naming the checks that failed.

    >>> {result.status for result in check_encoding("alibi")} <= {"passed", "not_applicable"}
    True
    """
    case = _case(encoding, geometry)
    results = [_run(name, check, case) for name, check in _CHECKS.items()]
    failed = [result for result in results if result.status == "failed"]
    if failed and raise_on_failure:
        raise CheckFailed(
            f"{case.label} fails {', '.join(result.name for result in failed)}",
            got="; ".join(f"{result.name}: {result.message}" for result in failed),
            fix="mend the encoding: milepost.encodings.base.Encoding says what each hook promises",
        )
    return results


@dataclass(frozen=True)
class _Case:
    label: str
    spec: Spec | None
    make: Callable[[Geometry], Encoding]
    geometry: Geometry

    def fresh(self, *, seed: int = 0, geometry: Geometry | None = None) -> Encoding:
        torch.manual_seed(seed)
        return self.make(geometry or self.geometry).eval()

    def stirred(self, *, seed: int = 0, geometry: Geometry | None = None) -> Encoding:
        """An encoding with random parameters: one that starts at zero would agree with anything."""
        encoding = self.fresh(seed=seed, geometry=geometry)
        with torch.no_grad():
            for parameter in encoding.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
        return encoding


def _case(encoding: str | Spec | type[Encoding], geometry: Geometry) -> _Case:
    if isinstance(encoding, type):
        options = dict(encoding.defaults)
        return _Case(encoding.__name__, None, lambda wanted: encoding.from_spec(options, wanted), geometry)
    spec = parse_spec(encoding) if isinstance(encoding, str) else encoding
    resolve(spec)  # a misspelt spec is the caller's error, not a failed check
    return _Case(str(spec), spec, lambda wanted: build(spec, wanted), geometry)


def _run(name: str, check: Callable[[_Case], str | None], case: _Case) -> CheckResult:
    with torch.random.fork_rng(devices=[]):
        try:
            reason = check(case)
        except Exception as error:
            kind = "" if type(error) is AssertionError else f"{type(error).__name__}: "
            text = str(error).splitlines()[0] if str(error) else "no message"
            return CheckResult(name, "failed", kind + text)
    return CheckResult(name, "not_applicable" if reason else "passed", reason or "")


def _check(check: Callable[[_Case], str | None]) -> Callable[[_Case], str | None]:
    _CHECKS[check.__name__.removeprefix("_check_")] = check
    return check


def _require(holds: bool | Tensor, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _near(left: Tensor, right: Tensor, message: str, *, tolerance: float = 1e-5) -> None:
    _require(left.shape == right.shape, f"{message}: shapes {tuple(left.shape)} and {tuple(right.shape)}")
    if left.numel():
        scale = max(1.0, right.abs().max().item())
        apart = (left.float() - right.float()).abs().max().item()
        _require(math.isfinite(apart) and apart <= tolerance * scale, f"{message}: apart by {apart:.3g}")


def _queries(case: _Case, batch: int, seq: int, *, heads: int | None = None, seed: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, heads or case.geometry.heads, seq, case.geometry.head_dim, generator=generator)


def _answers(
    encoding: Encoding, query: Tensor, key: Tensor, query_positions: Tensor, key_positions: Tensor
) -> dict[str, Tensor]:
    """What each place in use answers, each part broadcast to a batch."""
    batch, heads, seq, _ = query.shape
    answers: dict[str, Tensor] = {}
    if "vectors" in encoding.places:
        vectors = encoding.vectors(query_positions)
        _require(vectors is not None, "vectors answers nothing")
        assert vectors is not None
        answers["vectors"] = vectors.expand(batch, seq, vectors.shape[-1])
    if "rotate" in encoding.places:
        answers["query"], answers["key"] = encoding.rotate(query, key, query_positions, key_positions)
    if "bias" in encoding.places:
        bias = encoding.bias(query, query_positions, key_positions, scaling=0.5)
        _require(bias is not None, "bias answers nothing")
        assert bias is not None
        answers["bias"] = bias.expand(batch, heads, seq, key.shape[-2])
    return answers


def _simple_answers(case: _Case, encoding: Encoding, seq: int = 8, start: int = 0) -> dict[str, Tensor]:
    positions = torch.arange(start, start + seq)
    return _answers(
        encoding, _queries(case, 2, seq), _queries(case, 2, seq, seed=8), positions, positions.clone()
    )


def _same(left: dict[str, Tensor], right: dict[str, Tensor], message: str) -> None:
    _require(left.keys() == right.keys(), f"{message}: other places answer")
    for name in left:
        _near(left[name], right[name], f"{message} ({name})")


@_check
def _check_places(case: _Case) -> str | None:
    encoding = case.fresh()
    own = {hook for hook in PLACES if getattr(type(encoding), hook) is not getattr(Encoding, hook)}
    _require(
        encoding.places <= own, f"places say {sorted(encoding.places)}, the hooks written are {sorted(own)}"
    )
    _simple_answers(case, encoding)
    query, positions = _queries(case, 2, 4), torch.arange(4)
    silent = {
        "vectors": encoding.vectors(positions) is None,
        "rotate": encoding.rotate(query, query, positions, positions)[0] is query,
        "bias": encoding.bias(query, positions, positions, scaling=0.5) is None,
    }
    loud = [hook for hook in PLACES if hook not in encoding.places and not silent[hook]]
    _require(not loud, f"{loud} act, though places leave them out")
    return None


@_check
def _check_remap(case: _Case) -> str | None:
    encoding, span = case.fresh(), range(6)
    _require(encoding.remap(span, batch=2) is span, "positions change outside of training")
    encoding.train()
    given = torch.arange(6)[None].expand(2, 6)
    for positions in (encoding.remap(span, batch=2), encoding.remap(given, batch=2)):
        if isinstance(positions, range):
            _require(positions == span, "a range is changed to another range")
            continue
        _require(positions.dtype == torch.int64, f"positions become {positions.dtype}")
        _require(positions.shape in ((6,), (1, 6), (2, 6)), f"shape {tuple(positions.shape)} of positions")
        _require(bool((positions.diff() > 0).all()), "positions lose their order")
        _answers(encoding, _queries(case, 2, 6), _queries(case, 2, 6), positions, positions)
    return None


@_check
def _check_spec(case: _Case) -> str | None:
    if case.spec is None:
        return "a class has no spec until it is registered"
    short = canonical(case.spec)
    _require(canonical(str(short)) == short, f"{short} does not read back as itself")
    _require(resolve(short) == resolve(case.spec), f"{short} means something else than {case.spec}")
    torch.manual_seed(0)
    again = build(str(short), case.geometry).eval()
    _same(_simple_answers(case, again), _simple_answers(case, case.fresh()), "built from the canonical spec")
    return None


@_check
def _check_shapes(case: _Case) -> str | None:
    encoding, geometry = case.stirred(), case.geometry
    for shape in ((5,), (1, 5), (2, 5)):
        positions = torch.arange(5).expand(shape)
        if "vectors" in encoding.places:
            vectors = encoding.vectors(positions)
            _require(
                vectors is not None and vectors.shape == (*shape, geometry.dim),
                f"vectors at positions {shape} have shape {getattr(vectors, 'shape', None)}",
            )
            for dtype in (torch.float32, torch.bfloat16):
                embeddings = torch.zeros(2, 5, geometry.dim, dtype=dtype)
                added = encoding.embed(embeddings, positions)
                _require(added.dtype == dtype, f"embed turns {dtype} into {added.dtype}")
        keys = torch.arange(7).expand(*shape[:-1], 7)
        for dtype in (torch.float32, torch.bfloat16):
            query = _queries(case, 2, 5).to(dtype)
            key = _queries(case, 2, 7, heads=1).to(dtype)  # fewer key heads than query heads
            turned = encoding.rotate(query, key, positions, keys)
            for before, after in zip((query, key), turned, strict=True):
                _require(
                    after.shape == before.shape and after.dtype == dtype, "rotate changes a shape or dtype"
                )
            bias = encoding.bias(query, positions, keys, scaling=0.5)
            if bias is not None:
                _require(bias.dtype == torch.float32, f"bias is {bias.dtype}, not float32")
                _require(bool(bias.isfinite().all()), "bias is not finite")
                bias.expand(2, geometry.heads, 5, 7)
    return None


@_check
def _check_range(case: _Case) -> str | None:
    encoding = case.stirred()
    if "vectors" not in encoding.places:
        return "only vectors take a range"
    for span in (range(0, 9), range(3, 11), range(0, 0)):
        by_range, by_tensor = encoding.vectors(span), encoding.vectors(torch.arange(span.start, span.stop))
        assert by_range is not None
        assert by_tensor is not None
        _require(torch.equal(by_range, by_tensor), f"{span} and the same positions as a tensor differ")
    return None


@_check
def _check_prefix(case: _Case) -> str | None:
    encoding = case.stirred()
    long, short = (
        {name: part[..., :5, :] for name, part in _simple_answers(case, encoding, 9).items()},
        _answers(
            encoding,
            _queries(case, 2, 9)[:, :, :5],
            _queries(case, 2, 9, seed=8)[:, :, :5],
            torch.arange(5),
            torch.arange(5),
        ),
    )
    if "bias" in long:
        long["bias"] = long["bias"][..., :5]
    _same(short, long, "a longer input changes the positions before")
    return None


@_check
def _check_batch(case: _Case) -> str | None:
    encoding = case.stirred()
    query, key = _queries(case, 2, 6), _queries(case, 2, 6, seed=8)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 2, 9]])
    together = _answers(encoding, query, key, positions, positions)
    for row in range(2):
        part = slice(row, row + 1)
        alone = _answers(encoding, query[part], key[part], positions[part], positions[part])
        _same(
            alone, {name: answer[part] for name, answer in together.items()}, "a neighbour in the batch tells"
        )
    return None


@_check
def _check_shift(case: _Case) -> str | None:
    encoding = case.stirred()
    if not encoding.relative:
        return "the encoding does not promise to depend on distances alone"
    query, key = _queries(case, 2, 8), _queries(case, 2, 8, seed=8)
    _require("vectors" not in encoding.places, "a relative encoding adds no vectors")
    _near(
        _scores(encoding, query, key, torch.arange(5, 13)),
        _scores(encoding, query, key, torch.arange(8)),
        "shifting all positions changes the scores",
        tolerance=1e-4,
    )
    return None


def _scores(encoding: Encoding, query: Tensor, key: Tensor, positions: Tensor) -> Tensor:
    turned, against = encoding.rotate(query, key, positions, positions)
    bias = encoding.bias(query, positions, positions, scaling=0.5)
    scores = turned @ against.mT * 0.5 + (0.0 if bias is None else bias)
    return scores.tril()  # what a causal model sees; all that every encoding promises


@_check
def _check_buffers(case: _Case) -> str | None:
    encoding = case.fresh()
    kept = encoding.state_dict()
    for name, buffer in encoding.named_buffers():
        _require(name in kept, f"{name} is a buffer outside the state dict: loading fills it with garbage")
        _require(not buffer.is_floating_point(), f"{name} is a floating-point buffer: .bfloat16() rounds it")
    return None


@_check
def _check_state(case: _Case) -> str | None:
    encoding = case.stirred()
    wanted, state = _simple_answers(case, encoding), encoding.state_dict()
    other = case.stirred(seed=1)
    other.load_state_dict(state)
    _same(_simple_answers(case, other), wanted, "loaded from a state dict")
    with torch.device("meta"):
        hollow = case.fresh()
    hollow.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in hollow.parameters():
            parameter.fill_(float("nan"))
    hollow.load_state_dict(state)
    _same(_simple_answers(case, hollow), wanted, "built on the meta device, then loaded")
    return None


@_check
def _check_copies(case: _Case) -> str | None:
    encoding = case.stirred()
    wanted = _simple_answers(case, encoding)  # first, so that anything remembered is copied too
    _same(_simple_answers(case, copy.deepcopy(encoding)), wanted, "a deep copy")
    back = pickle.loads(pickle.dumps(encoding))  # noqa: S301 - our own bytes
    _same(_simple_answers(case, back), wanted, "pickled and back")
    return None


@_check
def _check_half(case: _Case) -> str | None:
    far = 4097
    encoding = case.stirred(geometry=replace(case.geometry, max_len=far))
    if encoding.usable_length is not None and encoding.usable_length < far:
        return f"the spec fixes a length below {far}"
    rounded = copy.deepcopy(encoding).bfloat16()
    exact = copy.deepcopy(rounded).float()
    positions = torch.tensor([0, 1, 254, 255, 256, 257, 258, 1023, 1025, 2049, 4095, 4096])
    query = _queries(case, 1, len(positions)).bfloat16().float()
    wanted = _answers(exact, query, query, positions, positions)
    half = query.bfloat16()
    for name, answer in _answers(rounded, half, half, positions, positions).items():
        right = wanted[name]
        # a share of each number, not of the largest: distance 1 counts beside distance 4096
        allowed = 0.02 * (right.abs() + right.abs().max().clamp(max=1.0))
        _require(
            bool(((answer.float() - right).abs() <= allowed).all()),
            f"positions up to 4096 are not exact in bfloat16 ({name})",
        )
    return None


@_check
def _check_gradient(case: _Case) -> str | None:
    encoding = case.stirred()
    if not list(encoding.parameters()):
        return "no parameters"
    total = torch.stack([part.square().sum() for part in _simple_answers(case, encoding).values()]).sum()
    total.backward()
    for name, parameter in encoding.named_parameters():
        gradient = parameter.grad
        _require(gradient is not None, f"no gradient reaches {name}")
        assert gradient is not None
        _require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
        _require(bool(gradient.any()), f"the gradient of {name} is zero everywhere")
    return None


@_check
def _check_compile(case: _Case) -> str | None:
    encoding = case.stirred()
    if not encoding.places:
        return "acts nowhere"
    query, key = _queries(case, 2, 6), _queries(case, 2, 6, seed=8)
    positions = torch.arange(6)[None].expand(2, 6).contiguous()
    embeddings = torch.zeros(2, 6, case.geometry.dim)

    def run() -> tuple[Tensor, ...]:
        both = encoding.embed(embeddings), encoding.embed(embeddings, positions)
        return *both, *_answers(encoding, query, key, positions, positions).values()

    torch.compiler.reset()
    compiled = torch.compile(run, fullgraph=True, backend="eager")()
    for after, before in zip(compiled, run(), strict=True):
        _near(after, before, "compiled and plain differ")
    return None


@_check
def _check_limit(case: _Case) -> str | None:
    encoding, limit = case.stirred(), case.fresh().usable_length
    if limit is None:
        for answer in _simple_answers(case, encoding, start=3 * case.geometry.max_len).values():
            _require(bool(answer.isfinite().all()), "no finite answer past max_len, though no limit is named")
        return None if encoding.places else "acts nowhere"
    _require(limit >= 1, f"usable_length is {limit}")
    for answer in _simple_answers(case, encoding, 4, start=limit - 4).values():
        _require(bool(answer.isfinite().all()), "no finite answer at the last usable position")
    spans: list[range | Tensor] = [torch.arange(limit, limit + 1), torch.tensor([-1])]
    for span in [*spans, range(limit - 1, limit + 1)] if "vectors" in encoding.places else spans:
        _require(_refuses(case, encoding, span), f"no PastTheEnd at {span}, past a usable length of {limit}")
    return None


def _refuses(case: _Case, encoding: Encoding, span: range | Tensor) -> bool:
    try:
        if isinstance(span, range):
            encoding.vectors(span)
        else:
            query = _queries(case, 1, len(span))
            _answers(encoding, query, query, span, span)
    except PastTheEnd:
        return True
    return False


@_check
def _check_deterministic(case: _Case) -> str | None:
    encoding = case.stirred()
    first, second = _simple_answers(case, encoding), _simple_answers(case, encoding)
    third = _simple_answers(case, case.stirred())
    for name in first:
        _require(torch.equal(first[name], second[name]), f"{name} differs from call to call")
        _require(torch.equal(first[name], third[name]), f"{name} differs between two builds of one seed")
    return None


@_check
def _check_device(case: _Case) -> str | None:
    """On the meta device there is no value to read, so reading one raises."""
    encoding = case.stirred()
    if not encoding.places:
        return "acts nowhere"
    encoding = encoding.to("meta")
    positions = torch.zeros(2, 6, dtype=torch.int64, device="meta")
    query = _queries(case, 2, 6).to("meta")
    for name, answer in _answers(encoding, query, query, positions, positions).items():
        _require(answer.device.type == "meta", f"{name} is not on the device of its positions")
    embeddings = torch.empty(2, 6, case.geometry.dim, device="meta")
    _require(encoding.embed(embeddings).device.type == "meta", "embed leaves the device")
    return None


@_check
def _check_inputs(case: _Case) -> str | None:
    encoding = case.stirred()
    query, key, positions = _queries(case, 2, 6), _queries(case, 2, 6, seed=8), torch.arange(6)
    embeddings = torch.ones(2, 6, case.geometry.dim)
    before = query.clone(), key.clone(), positions.clone(), embeddings.clone()
    _answers(encoding, query, key, positions, positions)
    encoding.embed(embeddings, positions)
    for old, new in zip(before, (query, key, positions, embeddings), strict=True):
        _require(torch.equal(old, new), "an input was changed in place")
    return None


@_check
def _check_scales(case: _Case) -> str | None:
    for name, scale in case.fresh().scales.items():
        _require(math.isfinite(scale) and scale >= 0, f"scale {name} is {scale}")
    return None
