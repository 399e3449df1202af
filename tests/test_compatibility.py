"""What Milepost relies on in its dependencies and their documentation does not promise.

Each test is named in docs/contributing/compatibility.md next to what breaks when it fails.
"""

import inspect
import json
import pickle
import re
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from safetensors.numpy import save
from tokenizers import Tokenizer, models, pre_tokenizers

from milepost.models.check.self_test import TESTED_TORCH, TESTED_TRANSFORMERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/contributing/compatibility.md").read_text("utf-8")
WORDS = ["[UNK]", "one", "two", "three"]
# drawn with numpy 2.4.6 and torch 2.13.0
NUMPY_INTEGERS = [23, 136, 56, 883, 818]
NUMPY_PERMUTATION = [0, 5, 1, 4, 3, 2]
NUMPY_NORMAL = [0.33317856011478525, -0.8741390633642093]
TORCH_NORMAL = [-0.8201345205307007, 0.39563116431236267, 0.8989084959030151]


def test_every_test_named_on_the_page_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(named) > 20
    assert named <= written


def test_the_locked_versions_cover_everything_that_make_installs():
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line[:1] != "#"]
    locked = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}
    assert all(locked.values()) and not any("+" in version for version in locked.values())
    assert needed_names(locked) <= locked.keys(), "run: make lock"


def needed_names(locked):
    """All packages that ours need, as far as the installed releases are the locked ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["all"],
        *project["dependency-groups"]["test"],
    ]
    waiting, seen = [(Requirement(line), "") for line in named], set()
    while waiting:
        one, extra = waiting.pop()
        name = canonicalize_name(one.name)
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        for wanted in {"", *one.extras} - {extra for other, extra in seen if other == name}:
            seen.add((name, wanted))
            if name == "milepost" or metadata.version(name).split("+")[0] == locked.get(name):
                waiting += [(Requirement(line), wanted) for line in metadata.requires(name) or []]
    return {name for name, _ in seen} - {"milepost"}


def test_the_page_names_the_tested_versions():
    assert f"| transformers | {', '.join(TESTED_TRANSFORMERS)} |" in PAGE
    assert f"| torch | {', '.join(TESTED_TORCH)} |" in PAGE


def test_private_names_of_transformers_stand_in_one_file():
    """Names with an underscore on a config or a model class, and modules below the public ones."""
    private = re.compile(
        r"\b(?:config|built|cls|model|made|stock)\._(?:attn|weight|from|supports|auto|keep|tied|no_split|init)\w*"
        r"|from transformers\.(?!utils import logging)\S+"
    )
    found = {
        path.name: hits
        for path in (ROOT / "src").rglob("*.py")
        if path.name != "transformers_private.py" and (hits := private.findall(path.read_text("utf-8")))
    }
    assert not found
    assert private.search("config._attn_implementation") and private.search(
        "from transformers.cache_utils import x"
    )


# ---- torch


def test_torch_keeps_submodules_parameters_and_buffers_in_dictionaries():
    module = torch.nn.BatchNorm1d(2)
    module.add_module("inner", torch.nn.Linear(2, 2))
    assert list(module._parameters) == ["weight", "bias"]
    assert list(module._buffers) == ["running_mean", "running_var", "num_batches_tracked"]
    assert list(module._modules) == ["inner"]
    assert list(module.state_dict())[:2] == ["weight", "bias"]


def test_torch_tells_tensors_of_vmap_from_others():
    seen = []
    torch.func.vmap(lambda one: seen.append(torch._C._functorch.is_functorch_wrapped_tensor(one)) or one)(
        torch.ones(2, 3)
    )
    assert seen == [True]
    assert not torch._C._functorch.is_functorch_wrapped_tensor(torch.ones(2))


def test_torch_draws_the_same_normal_numbers():
    drawn = torch.empty(20).normal_(generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(drawn[:3], torch.tensor(TORCH_NORMAL), atol=1e-6, rtol=0)


class Planted:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a pickle ran')",))


def test_torch_refuses_to_run_code_of_a_pickle(tmp_path):
    torch.save({"weight": Planted()}, tmp_path / "model.bin")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model.bin", weights_only=True)


# ---- numpy


def test_numpy_draws_the_same_numbers():
    rng = np.random.default_rng([3, 5])
    assert rng.integers(0, 1000, 5).tolist() == NUMPY_INTEGERS
    assert rng.permutation(6).tolist() == NUMPY_PERMUTATION
    np.testing.assert_allclose(rng.normal(size=2), NUMPY_NORMAL, rtol=1e-12)


def test_numpy_states_go_through_a_list():
    before = np.random.get_state()
    try:
        np.random.seed(3)
        name, keys, *rest = np.random.get_state(legacy=True)
        first = np.random.random(3)
        np.random.set_state((name, np.asarray(keys.tolist(), np.uint32), *rest))
        assert np.array_equal(np.random.random(3), first)
    finally:
        np.random.set_state(before)


# ---- tokenizers


@pytest.fixture
def cutting():
    """A tokenizer whose file asks for windows of four tokens, and for pads to eight."""
    built = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    built.enable_truncation(4, stride=1)
    built.enable_padding(length=8)
    return Tokenizer.from_str(built.to_str())


def test_tokenizers_give_every_token_whatever_the_file_says(cutting):
    text = " ".join(WORDS[1 + at % 3] for at in range(50))
    assert len(cutting.encode(text).ids) == 8
    cutting.no_truncation()
    cutting.no_padding()
    assert cutting.encode(text).ids == [1 + at % 3 for at in range(50)]


def test_tokenizers_give_the_same_ids_one_by_one_and_in_batches(cutting):
    cutting.no_truncation()
    cutting.no_padding()
    texts = ["one two", "three", "", "one four two one three"]
    batch = cutting.encode_batch_fast(texts, add_special_tokens=False)
    assert [one.ids for one in batch] == [
        cutting.encode(text, add_special_tokens=False).ids for text in texts
    ]


def test_tokenizers_write_the_same_text_each_time(cutting):
    assert cutting.to_str() == Tokenizer.from_str(cutting.to_str()).to_str()


# ---- safetensors, huggingface_hub


def test_safetensors_writes_the_documented_format():
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = save({"table": table})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert header == {"table": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    assert content[8 + length :] == table.tobytes()


def test_the_hub_client_has_what_ranged_requests_need():
    from huggingface_hub import HfApi, constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    assert {"revision", "timeout"} <= set(inspect.signature(HfApi.model_info).parameters)
    assert hf_hub_url("org/name", "a.json", revision="b", endpoint="https://hub").endswith(
        "/org/name/resolve/b/a.json"
    )
    assert "user-agent" in build_hf_headers()
    assert hasattr(get_session(), "stream")
    assert constants.ENDPOINT.startswith("http")


def test_the_hub_cache_keeps_blobs_beside_snapshots(tmp_path):
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    repo = tmp_path / "models--org--name"
    snapshot = repo / "snapshots" / ("a" * 40)
    for folder in (repo / "blobs", repo / "refs", snapshot):
        folder.mkdir(parents=True)
    (repo / "blobs" / "hash").write_text("{}")
    (repo / "refs" / "main").write_text("a" * 40)
    (snapshot / "config.json").symlink_to("../../blobs/hash")
    found = try_to_load_from_cache("org/name", "config.json", cache_dir=tmp_path)
    assert Path(str(found)).resolve() == (repo / "blobs" / "hash").resolve()
    (cached,) = scan_cache_dir(tmp_path).repos
    assert [file.blob_path.name for revision in cached.revisions for file in revision.files] == ["hash"]
