"""Run all benchmarks and write ``results.md``: ``python -m benchmarks``, or ``make bench``."""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import precision, sampling, training
from benchmarks.measure import interleaved, processor, table

RESULTS = Path(__file__).with_name("results.md")
# Each large block is then one of its own, and given back as soon as it is freed: what is in use can be read off.
COUNTED = {"MALLOC_MMAP_THRESHOLD_": "65536"}
# glibc returns large freed blocks to the system at once, and the next step pays for having them again. These keep them.
RETAINED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
TIME = "floor {ms:.1f} ms"


def quantizers(device: str, what: str) -> list[dict]:
    """Measure times or memory of all quantizers at all shapes."""
    from benchmarks import quantizer  # needs benchmarks/requirements.txt

    if what == "memory":
        return [quantizer.memory(shape, num_codes) for shape, num_codes in quantizer.SHAPES]
    return [quantizer.measure(shape, num_codes, device) for shape, num_codes in quantizer.SHAPES]


def in_a_new_process(what: str, allocator: dict[str, str], device: str) -> list[dict]:
    """Measure the quantizers under another setting of the allocator, which a process reads when it starts."""
    command = [sys.executable, "-m", "benchmarks", "--quantizers", what, "--device", device]
    return json.loads(subprocess.run(command, env=os.environ | allocator, check=True, capture_output=True).stdout)


def imports() -> dict[str, float]:
    """Return the seconds that a new Python takes to import torch, and to import torch and the course."""

    def start(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    return interleaved(
        {
            "torch": lambda: start("import torch, torchvision, matplotlib.pyplot"),
            "course": lambda: start("import torch, torchvision, matplotlib.pyplot, vqvae_course"),
        },
        rounds=5,
    )


def quantizer_table(corner: str, measured: list[dict], entry: str, floor: str) -> str:
    """Return one row a quantizer, one column a shape, each entry written as the templates say."""
    from benchmarks import quantizer

    header = [corner] + [
        f"{shape}, K = {num_codes}; {floor.format(**found['floor'])}"
        for (shape, num_codes), found in zip(quantizer.SHAPES, measured, strict=True)
    ]
    names = [name for name in measured[0] if name != "floor"]
    body = [
        [name, *(entry.format(**found[name]) if name in found else "too large to try" for found in measured)]
        for name in names
    ]
    return table(header, body)


def sampling_table(measured: list[dict]) -> str:
    """Return one row a shape."""
    header = [
        "images, map",
        "one forward pass",
        "naive",
        "incremental",
        "ratio",
        "incremental, in forward passes",
        "µs a position and image",
        "GFLOP needed",
        "GFLOP/s reached: forward, incremental",
        "same indices",
    ]
    body = []
    for row in measured:
        images, height, width = row["shape"]
        positions = height * width
        timed = "" if row["timed"] == positions else f" (from {row['timed']} of {positions} positions)"
        body.append(
            [
                f"{images}, {height}×{width}",
                f"{row['forward']:.3f} s",
                f"{row['naive']:.4g} s{timed}",
                f"{row['incremental']:.2f} s",
                f"{row['naive'] / row['incremental']:.0f}",
                f"{row['incremental'] / row['forward']:.2f}",
                f"{1e6 * row['incremental'] / (images * positions):.1f}",
                f"{row['gigaflop']:.1f}",
                f"{row['gigaflop'] / row['forward']:.0f}, {row['gigaflop'] / row['incremental']:.0f}",
                {True: "yes", False: "NO", None: "not compared"}[row["same"]],
            ]
        )
    return table(header, body)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--whole", action="store_true", help="run every naive sampling loop to its end (about an hour)")
    parser.add_argument("--quantizers", choices=("times", "memory"), help="measure only these, and print JSON")
    options = parser.parse_args()
    if options.quantizers:
        print(json.dumps(quantizers(options.device, options.quantizers)))
        return
    where = torch.cuda.get_device_name() if options.device == "cuda" else processor()
    steps = training.measure(options.device)
    started = imports()
    parts = [
        f"Measured on {date.today()} with `python -m benchmarks --device {options.device}`: "
        f"{where}, {torch.get_num_threads()} threads, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, vector-quantize-pytorch {version('vector-quantize-pytorch')}.",
        "## The whole quantizer",
        *(
            quantizer_table(
                corner, in_a_new_process("times", setting, options.device), "{forward:.2f} / {both:.2f}", TIME
            )
            for corner, setting in {"time, default allocator": {}, "time, memory retained": RETAINED}.items()
        ),
        quantizer_table("memory", in_a_new_process("memory", COUNTED, "cpu"), "{mib:.0f} MiB", "z_e {mib:.1f} MiB"),
        "## One training update",
        table(
            ["network", "update"],
            [
                ["without a quantizer", f"1 ({steps['floor_ms']:.0f} ms)"],
                ["gradient codebook", f"{steps['gradient codebook']:.2f}"],
                ["EMA codebook", f"{steps['EMA codebook']:.2f}"],
            ],
        ),
        "## Sampling",
        sampling_table([sampling.measure(shape, options.device, options.whole) for shape in sampling.SHAPES]),
        "## Sampling with attention",
        sampling_table(
            [sampling.measure(shape, options.device, options.whole, True) for shape in sampling.ATTENTION_SHAPES]
        ),
        "## Importing",
        table(
            ["what a new Python imports", "seconds"],
            [
                ["torch, torchvision, matplotlib", f"{started['torch']:.2f}"],
                ["the same and `vqvae_course`", f"{started['course']:.2f}"],
            ],
        ),
        f"## {precision.HEADING}",
        precision.section(),
    ]
    RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"Wrote {RESULTS.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
