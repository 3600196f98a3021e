"""Trained models as ONNX files, which other programs run without torch.

    graph = decoder_graph(model, 28, 28)
    content = to_onnx(graph)
    largest_difference(graph, content)
    Path("decoder.onnx").write_bytes(content)

Explained on the page about the command line.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vqvae_course.prior import Prior
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer
from vqvae_course.train import LEVEL_NAMES
from vqvae_course.vqvae import VQVAE
from vqvae_course.vqvae2 import VQVAE2

TOLERANCE = 1e-4  # of a file's results against torch's, in the unit of the result, or relative to the largest of them


class ExportError(ValueError):
    """A model that could not be written as ONNX, or whose file does not compute what the model does."""


class Port(NamedTuple):
    """An input or an output of a graph.

    Attributes:
        name: As in the file.
        shape: Without the batch, which stands first and may have any size.
        below: K, for int64 indices or labels in [0, K); None for float32.
    """

    name: str
    shape: tuple[int, ...]
    below: int | None = None

    @property
    def dtype(self) -> str:
        """The type of the numbers, as NumPy calls it."""
        return "float32" if self.below is None else "int64"

    def example(self, batch: int, generator: torch.Generator) -> Tensor:
        """Return random values that are allowed here, floats in [0, 1]."""
        if self.below is None:
            return torch.rand(batch, *self.shape, generator=generator)
        return torch.randint(self.below, (batch, *self.shape), generator=generator)


class Graph(NamedTuple):
    """A function of a model that becomes a file of its own.

    Attributes:
        model: A copy of the model, on the CPU, in float32 and eval mode.
        call: The function; it takes the inputs in order, and returns a tensor or a list of them.
        inputs: What goes in.
        outputs: What comes out.
    """

    model: nn.Module
    call: Callable[..., Tensor | list[Tensor]]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class _Called(nn.Module):
    """A function as a module, which is what the exporter takes."""

    def __init__(self, graph: Graph):
        super().__init__()
        self.model, self.call = graph.model, graph.call

    def forward(self, *inputs: Tensor) -> Tensor | list[Tensor]:
        return self.call(*inputs)


def encoder_graph(model: VQVAE | VQVAE2, height: int, width: int) -> Graph:
    """Return ``encode``: ``image`` (B, C, H, W) in [0, 1] -> ``indices``, or one map for each level, top first.

    Args:
        model: Trained; it is copied and stays as it is.
        height: H of the images.
        width: W of the images.
    """
    model = _settled(model)
    return Graph(model, model.encode, (_image(model, height, width),), index_maps(model, height, width))


def decoder_graph(model: VQVAE | VQVAE2, height: int, width: int) -> Graph:
    """Return ``decode``: ``indices``, or one map for each level, top first -> ``image`` (B, C, H, W), not clipped.

    Args:
        model: Trained; it is copied and stays as it is.
        height: H of the images.
        width: W of the images.
    """
    model = _settled(model)
    call = (lambda *maps: model.decode(list(maps))) if isinstance(model, VQVAE2) else model.decode
    return Graph(model, call, index_maps(model, height, width), (_image(model, height, width),))


def prior_graph(prior: Prior, maps: Sequence[Port]) -> Graph:
    """Return a prior: its own index map, ``labels`` if it has classes, and its condition -> ``logits`` (B, K, h, w).

    The condition is ``condition`` (B, C, h, w) float32 for a prior with ``condition_channels``, else the maps of the
    levels above if the prior asks for them.

    Args:
        prior: Trained; it is copied and stays as it is.
        maps: Those of the levels above, top first, and that of the prior's own level last; from ``index_maps``.

    Raises:
        ValueError: If the last map is of another number of codes.
    """
    prior = _settled(prior)
    *above, own = maps
    if own.below != prior.num_codes:
        raise ValueError(f"maps must end with one of the prior's {prior.num_codes} codes, got one of {own.below}")
    height, width = own.shape
    labels = () if prior.num_classes is None else (Port("labels", (), prior.num_classes),)
    if prior.condition_channels is not None:
        condition = (Port("condition", (prior.condition_channels, height, width)),)
    elif prior.condition_from(tuple(above)) is not None:
        condition = tuple(above)
    else:
        condition = ()

    def call(indices: Tensor, *rest: Tensor) -> Tensor:
        conditions = rest[len(labels) :]
        given = conditions[0] if len(conditions) == 1 else conditions or None
        return prior(indices, rest[0] if labels else None, given)

    return Graph(prior, call, (own, *labels, *condition), (Port("logits", (prior.num_codes, height, width)),))


def index_maps(model: VQVAE | VQVAE2, height: int, width: int) -> tuple[Port, ...]:
    """Return the index maps of a model, top first: ``indices``, or ``indices_top`` and so on.

    Args:
        model: Its configuration decides.
        height: H of the images.
        width: W of the images.

    Raises:
        ValueError: If the images are too small or cannot be divided into codes.
    """
    c = model.config
    stride = c.total_stride if isinstance(model, VQVAE2) else c.downsample
    if height < 1 or width < 1 or height % stride or width % stride:
        raise ValueError(f"height and width must be positive multiples of {stride}, got {height} and {width}")
    if not isinstance(model, VQVAE2):
        return (Port("indices", (height // stride, width // stride), c.num_codes),)
    levels = zip(LEVEL_NAMES[c.levels], c.map_sizes(height, width), c.num_codes, strict=True)
    return tuple(Port(f"indices_{name}", size, num_codes) for name, size, num_codes in levels)


def to_onnx(graph: Graph) -> bytes:
    """Return a graph as the content of an ONNX file, whose batch may have any size.

    Args:
        graph: From ``encoder_graph``, ``decoder_graph`` or ``prior_graph``.

    Raises:
        ExportError: If torch is too old, a package is missing, or torch cannot follow the program.
    """
    need_exporter()
    sizes = ({0: torch.export.Dim("batch")},) * len(graph.inputs)
    generator = torch.Generator().manual_seed(0)
    try:
        with _quiet():
            program = torch.onnx.export(
                _Called(graph).eval(),
                tuple(port.example(2, generator) for port in graph.inputs),
                dynamo=True,
                verbose=False,
                dynamic_shapes=(sizes,),  # of the only argument, *inputs
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
            )
            file = program.model_proto
            for part in (*file.graph.node, *file.graph.value_info, *file.graph.input, *file.graph.output):
                del part.metadata_props[:]  # where in which folder of this machine the source of each line lies
            content = file.SerializeToString()
    except Exception as error:  # of many kinds: of torch, onnxscript, onnx and protobuf
        raise ExportError(
            f"{type(graph.model).__name__} must be a program that torch {torch.__version__} can export as ONNX, "
            f"got {first_line(error.__cause__ or error)}: a newer torch needs newer exporters, "
            "python -m pip install --upgrade onnx onnxscript"
        ) from error
    fixed = [port.name for port in file.graph.input if not port.type.tensor_type.shape.dim[0].dim_param]
    if fixed:  # torch does not call that an error
        raise ExportError(
            f"{type(graph.model).__name__} must take batches of any size, got a graph with a fixed one for "
            f"{', '.join(fixed)}: use x.shape[0] in place of len(x)"
        )
    return content


def need_exporter() -> None:
    """Raise ``ExportError`` where ONNX files cannot be written."""
    if not hasattr(torch.compiler, "is_exporting"):
        raise ExportError(
            f"torch must be 2.7 or newer to export ONNX files, got {torch.__version__}: "
            "python -m pip install --upgrade torch torchvision"
        )
    for name in ("onnx", "onnxscript"):
        try:
            import_module(name)
        except ImportError as error:
            raise ExportError(
                f"export must find the packages onnx and onnxscript, got no {name} here ({error}): "
                "python -m pip install onnx onnxscript"
            ) from error


def largest_difference(graph: Graph, content: bytes, batch: int = 3) -> float:
    """Return how far the results of an ONNX file are from torch's, on random inputs.

    Indices are no numbers to subtract. Theirs is ``excess_distance``: 0 for the same indices, next to nothing where
    two codes are equally near, and as much as a code is too far away elsewhere.

    Args:
        graph: What the file was made from.
        content: Of the file.
        batch: How many examples; another number than the exporter saw.

    Returns:
        The largest absolute difference, in the unit of the result.

    Raises:
        ExportError: If it is more than ``TOLERANCE``, also relative to the largest result.
        ImportError: If onnxruntime is not installed.
    """
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3  # errors only
    generator = torch.Generator().manual_seed(1)
    examples = {port.name: port.example(batch, generator) for port in graph.inputs}
    try:
        session = onnxruntime.InferenceSession(content, quiet, providers=["CPUExecutionProvider"])
        found = session.run(None, {name: values.numpy() for name, values in examples.items()})
    except Exception as error:  # its own kinds of them have no common root
        raise ExportError(
            f"{type(graph.model).__name__} must run in onnxruntime {onnxruntime.__version__}, got {first_line(error)}"
        ) from error
    with torch.no_grad():
        if graph.outputs[0].below is None:
            right = graph.call(*examples.values()).numpy()
            worst, largest = float(np.abs(found[0] - right).max()), float(np.abs(right).max())
        else:
            worst = excess_distance(graph.model, *examples.values(), [torch.from_numpy(one) for one in found])
            largest = max(float(quantizer.codebook.abs().max()) for quantizer in quantizers_of(graph.model))
    if not worst <= TOLERANCE * max(1.0, largest):  # NaN is no agreement
        raise ExportError(
            f"{type(graph.model).__name__} must compute the same as ONNX file and in torch, to {TOLERANCE:g}, "
            f"got a difference of {worst:.2g} in {', '.join(port.name for port in graph.outputs)}"
        )
    return worst


@torch.no_grad()
def excess_distance(model: VQVAE | VQVAE2, x: Tensor, maps: Sequence[Tensor]) -> float:
    """Return how much farther than the nearest code a chosen one is, at worst over all positions and levels.

        max_i ( ||z_i - e_{k_i}|| - min_j ||z_i - e_j|| )

    On each level but the top, z depends on the indices above it: those of ``maps``, right or wrong.

    Args:
        model: In eval mode.
        x: (B, C, H, W) in [0, 1].
        maps: (B, h, w) int64 each, top first.
    """
    quantizers = quantizers_of(model)
    if isinstance(model, VQVAE2):
        latents, above = [], None
        for level, features in enumerate(model.features(x)):
            latents.append(model.latents(level, features, above))
            if level + 1 < len(maps):
                above = model.descend(level, above, quantizers[level].lookup(maps[level]))
    else:
        latents = [model.latents(x)]
    excess = []
    for quantizer, z_e, indices in zip(quantizers, latents, maps, strict=True):
        rows, codebook = quantizer.to_rows(z_e).double(), quantizer.codebook.double()
        distances = torch.cdist(rows, codebook, compute_mode="donot_use_mm_for_euclid_dist")  # (B*h*w, K)
        excess.append(distances.gather(1, indices.reshape(-1, 1))[:, 0] - distances.amin(dim=1))
    return float(torch.cat(excess).max())


def quantizers_of(model: VQVAE | VQVAE2) -> list[VectorQuantizer | EMAVectorQuantizer]:
    """Return the quantizer of each level, top first."""
    return list(model.quantizers) if isinstance(model, VQVAE2) else [model.quantizer]


def first_line(error: BaseException) -> str:
    """Return the kind of an error and how its text begins; that of an exporter goes on for pages."""
    return f"{type(error).__name__} ({str(error).strip().partition(chr(10))[0]})"


def _settled(model: nn.Module) -> Any:
    """Return a copy to compute with as on the CPU, in float32 and eval mode; the model itself stays as it is."""
    return copy.deepcopy(model).cpu().float().eval()


def _image(model: VQVAE | VQVAE2, height: int, width: int) -> Port:
    return Port("image", (model.config.in_channels, height, width))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says to its makers from the terminal; what it fails with is in its error."""
    handlers = logging.getLogger("torch").handlers
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")  # of code that nobody but its makers can change
        for handler in handlers:
            handler.addFilter(_nothing)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False
