"""``vqvae-course export``: ONNX files, which other programs run without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vqvae_course.cli.options import parse
from vqvae_course.cli.run import environment, say
from vqvae_course.cli.trained import Trained, open_trained, prior_name
from vqvae_course.data import fingerprint
from vqvae_course.export import (
    Graph,
    Port,
    decoder_graph,
    encoder_graph,
    index_maps,
    largest_difference,
    need_exporter,
    prior_graph,
    to_onnx,
)
from vqvae_course.runtime import whole_file

EXAMPLE = "vqvae-course export --out runs/glyphs"
FOLDER = "onnx"
ABOUT = f"{FOLDER}/export.json"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Export:
    """Write encoder, decoder and priors as ONNX files, which other programs run without torch.

    Attributes:
        out: Folder of a run that has been trained; its priors are written too if there are any.
    """

    out: Path = Path("runs/glyphs")


class Written(NamedTuple):
    """A file to be: the graph, what it holds, and how far its results are from torch's, None if nobody compared."""

    graph: Graph
    content: bytes
    difference: float | None


def main(arguments: Sequence[str]) -> None:
    """Read the options, export, compare with torch, and write the files."""
    options = parse(Export, arguments, "export", EXAMPLE)
    trained = open_trained(options.out, torch.device("cpu"))
    need_exporter()
    run, model = trained.run, trained.model
    with run.claimed():
        say(f"Exporting the {type(model).__name__} of {run / 'model.pt'}, trained for {trained.updates:,} updates.")
        files = {name: written(graph) for name, graph in graphs_of(trained).items()}
        for name, file in files.items():  # not one by one, so that what lies there always belongs together
            with whole_file(run / FOLDER / name) as opened:
                opened.write(file.content)
            say(f"{run / FOLDER / name}: {described(file)}")
        run.write_json(ABOUT, about(trained, files))
    for level in trained.levels:
        if f"{prior_name(level)}.onnx" not in files:
            say(f"No {prior_name(level)}.onnx: there is no {run / prior_name(level)}.pt yet.")
    for stray in sorted({path.name for path in (run / FOLDER).glob("*.onnx")} - files.keys()):
        say(f"{run / FOLDER / stray} is of an earlier export and does not belong to these files.")
    if any(file.difference is None for file in files.values()):
        say("To compare their results with torch's: python -m pip install onnxruntime, then run this again.")
    say(f"Wrote {run / ABOUT}.")


def graphs_of(trained: Trained) -> dict[str, Graph]:
    """Return what to export as which file: both halves of stage 1, and the priors that there are."""
    _, *size = trained.shape
    graphs = {"encoder.onnx": encoder_graph(trained.model, *size), "decoder.onnx": decoder_graph(trained.model, *size)}
    trained.check_owner()
    maps = index_maps(trained.model, *size)
    for number, name in enumerate(map(prior_name, trained.levels)):
        if (trained.run / f"{name}.pt").exists():
            graphs[f"{name}.onnx"] = prior_graph(trained.prior(number), maps[: number + 1])
    return graphs


def written(graph: Graph) -> Written:
    """Return a graph as a file, compared with torch if onnxruntime is here."""
    content = to_onnx(graph)
    try:
        return Written(graph, content, largest_difference(graph, content))
    except ImportError:
        return Written(graph, content, None)


def described(file: Written) -> str:
    """Return a line about a file: what goes in and out, and how near its results are to torch's."""
    ins, outs = (", ".join(port.name for port in ports) for ports in (file.graph.inputs, file.graph.outputs))
    return f"{ins} -> {outs}; " + (
        "not compared with torch" if file.difference is None else f"largest difference from torch {file.difference:.1g}"
    )


def about(trained: Trained, files: dict[str, Written]) -> dict[str, Any]:
    """Return what a program has to know that is not in the files themselves."""
    model, config = trained.model, trained.model.config
    data = trained.run.read_json("train.json", "train")["data"]
    strides = [trained.shape[1] // height for height, _ in trained.map_sizes]
    maps = index_maps(model, *trained.shape[1:])
    return {
        "model": {
            "kind": type(model).__name__,
            "checkpoint": "model.pt",
            "updates": trained.updates,
            "fingerprint": fingerprint(model),
            "normalize_latents": config.normalize_latents,
        },
        "data": data.get("name"),
        "classes": list(trained.classes) or None,
        "image": {
            "shape": list(trained.shape),
            "range": [0, 1],
            "into_the_encoder": "bytes divided by 255, nothing else",
            "out_of_the_decoder": "not clipped to the range",
        },
        "levels": [
            {"name": port.name, "map": list(port.shape), "K": port.below, "D": config.code_dim, "downsample": stride}
            for port, stride in zip(maps, strides, strict=True)
        ],
        "files": {
            name: {
                "inputs": [as_plain_port(port) for port in file.graph.inputs],
                "outputs": [as_plain_port(port) for port in file.graph.outputs],
                "sha256": sha256(file.content).hexdigest(),
                "largest_difference_from_torch": file.difference,
            }
            for name, file in files.items()
        },
        "environment": environment(trained.device) | {name: version_of(name) for name in PACKAGES},
    }


def as_plain_port(port: Port) -> dict[str, Any]:
    """Return an input or output as values that JSON knows."""
    values = {} if port.below is None else {"below": port.below}
    return {"name": port.name, "type": port.dtype, "shape": ["batch", *port.shape], **values}


def version_of(package: str) -> str | None:
    """Return the version of an installed package, else None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
