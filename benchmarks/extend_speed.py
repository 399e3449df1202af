"""Time, memory and disk of ``milepost extend`` beside ``cp`` and ``sync``, on files of one and four gigabytes.

    python benchmarks/extend_speed.py --folder /big/disk

Pairs are interleaved, and medians are printed: a busy disk slows both. Peak memory is that of the process, as the
kernel counts it (``ru_maxrss``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from milepost.storage.processes import run_python

EXTEND = """
import resource, sys, time
from milepost.extension.apply import apply_plan
from milepost.extension.plan import plan_extension
start = time.perf_counter()
apply_plan(plan_extension(sys.argv[1], to=2048, out=sys.argv[2]), verify=sys.argv[3])
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
DIM = 768
CHUNK_BYTES = 16 << 20


def write_model(folder: Path, size_bytes: int) -> None:
    """A BERT whose table lies in the middle of other tensors; their bytes are random, so that nothing compresses."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 512}))
    half = size_bytes // 2 // (4 * DIM)
    shapes = {
        "before": (half, DIM),
        "embeddings.position_embeddings.weight": (512, DIM),
        "behind": (half, DIM),
    }
    header, at = {}, 0
    for key, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # finite values of about one: the table must be one that a method can blend
    chunk = bytes(
        byte
        for _ in range(CHUNK_BYTES // 4096)
        for byte in os.urandom(1024)
        for byte in (byte, byte, byte, 0x3F)
    )
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for begin in range(0, at, CHUNK_BYTES):
            file.write(chunk[: at - begin])
        os.fsync(file.fileno())


def run_extend(model: Path, output: Path, verify: str) -> tuple[float, float]:
    """Seconds and peak MiB of one extension."""
    done = run_python(["-c", EXTEND, str(model), str(output), verify])
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def run_copy(model: Path, output: Path) -> float:
    """Seconds that ``cp`` of the folder and ``sync`` of its files take."""
    start = time.perf_counter()
    subprocess.run(["cp", "-r", "--reflink=never", str(model), str(output)], check=True)
    subprocess.run(["sync", *map(str, output.iterdir()), str(output)], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the files go; removed at the end")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 4.0])
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="milepost-extend-", dir=options.folder))
    try:
        for size in options.gigabytes:
            model = root / f"model-{size:g}"
            write_model(model, int(size * 1e9))
            found: dict[str, list[float]] = {
                "copy": [],
                "none": [],
                "files": [],
                "peak none": [],
                "peak files": [],
            }
            for pair in range(options.pairs):
                found["copy"].append(run_copy(model, root / "copy"))
                shutil.rmtree(root / "copy")
                for verify in ("none", "files")[: 2 if pair == 0 else 1]:
                    seconds, peak = run_extend(model, root / "new", verify)
                    found[verify].append(seconds)
                    found[f"peak {verify}"].append(peak)
                    shutil.rmtree(root / "new")
            middle = {name: statistics.median(values) for name, values in found.items()}
            print(
                f"{size:g} GB: cp + sync {middle['copy']:.2f} s; extend --verify none {middle['none']:.2f} s "
                f"({middle['none'] / middle['copy']:.2f} x), peak {middle['peak none']:.0f} MiB; "
                f"--verify files {middle['files']:.2f} s, peak {middle['peak files']:.0f} MiB; {options.pairs} pairs",
                flush=True,
            )
            shutil.rmtree(model)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
