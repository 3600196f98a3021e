import functools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import vqvae_course
from vqvae_course import export
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.export import (
    ExportError,
    Graph,
    Port,
    decoder_graph,
    encoder_graph,
    excess_distance,
    index_maps,
    largest_difference,
    prior_graph,
    to_onnx,
)
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, PixelCNN, PixelCNNConfig
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.prior import Prior
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

PAGE = Path(__file__).parents[1] / "book" / "command_line.md"
SMALL = {"hidden": 6, "residual_layers": 1, "residual_hidden": 4, "code_dim": 5}
H, W, K = 16, 24, 7
MAP = Port("indices", (4, 6), K)
ABOVE = (Port("indices_top", (2, 3), 5), Port("indices_middle", (4, 6), 9))
BELOW = (*ABOVE, Port("indices_bottom", (8, 12), K))
PRIOR = {"num_codes": K, "hidden": 8, "layers": 2}


def vqvae(**changes) -> VQVAE:
    return VQVAE(VQVAEConfig(num_codes=K, **SMALL, **changes))


def grey() -> VQVAE:
    """Return a model whose codes lie among the latents of noise, so that each is chosen somewhere."""
    model = vqvae(in_channels=1, quantizer="gradient")
    model.init_codebook(torch.rand(3, 1, 28, 28))
    return model


def two_levels() -> VQVAE2:
    return VQVAE2(VQVAE2Config(num_codes=(5, K), strides=(2, 4), **SMALL))


def three_levels() -> VQVAE2:
    return VQVAE2(VQVAE2Config(num_codes=(5, 9, K), strides=(2, 2, 2), normalize_latents=True, **SMALL))


def snail(**changes) -> PixelSNAIL:
    return PixelSNAIL(PixelSNAILConfig(**(PRIOR | {"layers": 1, "blocks": 2, "heads": 2} | changes)))


def below(levels: int, **changes) -> ConditionalPrior:
    return ConditionalPrior(
        ConditionalPriorConfig(above=[(port.below, 2) for port in ABOVE[:levels]], stack_layers=1, **PRIOR, **changes)
    )


GRAPHS: dict[str, Callable[[], Graph]] = {
    "encoder": lambda: encoder_graph(vqvae(normalize_latents=True, patches=True), H, W),
    "encoder, square and grey": lambda: encoder_graph(grey(), 28, 28),
    "encoder, two levels": lambda: encoder_graph(two_levels(), H, W),
    "encoder, three levels": lambda: encoder_graph(three_levels(), H, W),
    "decoder": lambda: decoder_graph(vqvae(), H, W),
    "decoder, square and grey": lambda: decoder_graph(grey(), 28, 28),
    "decoder, two levels": lambda: decoder_graph(two_levels(), H, W),
    "decoder, three levels": lambda: decoder_graph(three_levels(), H, W),
    "PixelCNN": lambda: prior_graph(PixelCNN(PixelCNNConfig(**PRIOR)), [MAP]),
    "gated": lambda: prior_graph(GatedPixelCNN(GatedPixelCNNConfig(**PRIOR)), [MAP]),
    "gated, classes and a condition": lambda: prior_graph(
        GatedPixelCNN(GatedPixelCNNConfig(**PRIOR, num_classes=3, condition_channels=2)), [MAP]
    ),
    "PixelSNAIL": lambda: prior_graph(snail(), [MAP]),
    "PixelSNAIL, classes": lambda: prior_graph(snail(num_classes=3), [MAP]),
    "one level above": lambda: prior_graph(below(1), [ABOVE[0], Port("indices_bottom", (4, 6), K)]),
    "two levels above, classes": lambda: prior_graph(below(2, num_classes=3), BELOW),
}


class Exported(NamedTuple):
    graph: Graph
    content: bytes


@functools.cache  # it takes seconds
def made(name: str) -> Exported:
    """Return a graph and its file, or skip the test where none can be made."""
    if not hasattr(torch.compiler, "is_exporting"):
        pytest.skip("this torch is too old to export")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    graph = GRAPHS[name]()
    return Exported(graph, to_onnx(graph))


def session(content: bytes) -> Any:
    return pytest.importorskip("onnxruntime").InferenceSession(content)


@pytest.fixture(params=GRAPHS)
def exported(request) -> Exported:
    return made(request.param)


@pytest.mark.parametrize("batch", [1, 5])
def test_onnxruntime_computes_what_torch_does_for_a_batch_of_any_size(exported, batch):
    assert 0 <= largest_difference(*exported, batch) <= 1e-4


def test_the_file_has_the_names_types_and_shapes_that_the_graph_says(exported):
    file = session(exported.content)
    types = {"tensor(float)": "float32", "tensor(int64)": "int64"}
    for found, expected in (
        (file.get_inputs(), exported.graph.inputs),
        (file.get_outputs(), exported.graph.outputs),
    ):
        assert [(one.name, types[one.type]) for one in found] == [(port.name, port.dtype) for port in expected]
        assert [one.shape for one in found] == [["batch", *port.shape] for port in expected]


def test_the_file_tells_nothing_of_the_folders_of_this_machine(exported):
    assert str(Path(vqvae_course.__file__).parent).encode() not in exported.content


def test_indices_in_onnxruntime_are_those_of_encode_where_one_code_is_clearly_nearest():
    graph, content = made("encoder, square and grey")
    model, x = graph.model, torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        distances = torch.cdist(model.quantizer.to_rows(model.latents(x)).double(), model.quantizer.codebook.double())
    nearest, second = distances.topk(2, dim=1, largest=False).values.unbind(dim=1)
    clear = (second - nearest > 1e-4).view(3, 7, 7).numpy()
    (indices,) = session(content).run(None, {"image": x.numpy()})
    assert clear.any()
    np.testing.assert_array_equal(indices[clear], model.encode(x).numpy()[clear])


def test_the_excess_is_how_much_farther_than_the_nearest_code_a_chosen_one_is():
    model = vqvae(in_channels=1).eval()
    with torch.no_grad():
        model.to_code_dim.weight.zero_()
        model.to_code_dim.bias.zero_()  # every latent is the origin
        model.quantizer.codebook.copy_(torch.arange(1.0, K + 1)[:, None] * torch.eye(K, 5)[0])
    x, nearest = torch.rand(2, 1, H, W), torch.zeros(2, 4, 6, dtype=torch.int64)
    assert excess_distance(model, x, [nearest]) == 0
    nearest[1, 2, 3] = 4
    assert excess_distance(model, x, [nearest]) == pytest.approx(4)


@torch.no_grad()
def test_the_excess_of_a_lower_level_is_counted_given_the_indices_above_it():
    model = two_levels().eval()
    model.to_code_dim[0].weight.zero_()
    model.to_code_dim[0].bias.zero_()
    model.quantizers[0].codebook.copy_(torch.eye(5))  # every code is equally near to the only latent, the origin
    x, top = torch.rand(2, 3, H, W), torch.randint(5, (2, 2, 3))
    z_e = model.latents(1, model.features(x)[1], model.descend(0, None, model.quantizers[0].lookup(top)))
    distances = torch.cdist(model.quantizers[1].to_rows(z_e).double(), model.quantizers[1].codebook.double())
    best, worst = distances.argmin(dim=1).view(2, 4, 6), distances.argmax(dim=1).view(2, 4, 6)
    assert excess_distance(model, x, [top, best]) == pytest.approx(0, abs=1e-6)
    expected = float((distances.amax(dim=1) - distances.amin(dim=1)).max())
    assert excess_distance(model, x, [top, worst]) == pytest.approx(expected, rel=1e-5)


def test_a_file_that_computes_something_else_is_refused():
    graph, content = made("decoder")
    graph = graph._replace(call=lambda indices: graph.model.decode(indices) + 1e-2)
    with pytest.raises(ExportError, match=r"must compute the same .* got a difference of 0\.01 in image"):
        largest_difference(graph, content)
    with pytest.raises(ExportError, match="got a difference of nan"):
        largest_difference(graph._replace(call=lambda indices: torch.tensor(float("nan"))), content)


def test_a_file_that_onnxruntime_cannot_read_is_refused_in_a_sentence():
    pytest.importorskip("onnxruntime")
    with pytest.raises(ExportError, match=r"^VQVAE must run in onnxruntime .*, got InvalidProtobuf \([^\n]*\)$"):
        largest_difference(decoder_graph(vqvae(), H, W), b"nothing")


def test_a_graph_is_made_of_a_copy():
    model = vqvae(in_channels=1).double().train()
    graph = encoder_graph(model, H, W)
    assert model.training
    assert not graph.model.training
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert {p.dtype for p in graph.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("height", "width"), [(18, 24), (16, 26), (0, 24)])
def test_images_that_cannot_be_divided_into_codes_are_refused(height, width):
    with pytest.raises(ValueError, match=f"multiples of 8, got {height} and {width}"):
        index_maps(two_levels(), height, width)


def test_a_prior_over_other_codes_is_refused():
    with pytest.raises(ValueError, match=f"maps must end with one of the prior's {K} codes, got one of 9"):
        prior_graph(GatedPixelCNN(GatedPixelCNNConfig(**PRIOR)), ABOVE)


class Peeking(Prior):
    """A prior that looks at the numbers, which a graph cannot."""

    def forward(self, indices, labels=None, condition=None):
        return torch.zeros(indices.shape[0], K, *indices.shape[1:]) if indices.max() > 2 else indices[:, None].float()


class Counting(Prior):
    """A prior that asks for the batch in a way that fixes it."""

    def forward(self, indices, labels=None, condition=None):
        return torch.zeros(len(indices), K, *indices.shape[1:]) + indices[:, None]


def test_a_failed_export_is_one_sentence_and_nothing_else(capfd):
    made("decoder")  # or skip
    capfd.readouterr()
    with pytest.raises(ExportError, match=r"^Peeking must be a program .* got \w+ \([^\n]*\): [^\n]*onnxscript$"):
        to_onnx(prior_graph(Peeking(K), [MAP]))
    assert capfd.readouterr() == ("", "")


def test_a_graph_of_one_batch_size_is_refused():
    made("decoder")  # or skip
    with pytest.raises(ExportError, match="Counting must take batches of any size, got a graph with a fixed one"):
        to_onnx(prior_graph(Counting(K), [MAP]))


@pytest.mark.parametrize("name", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(name, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_exporting", bool, raising=False)
    monkeypatch.setitem(sys.modules, "onnx", sys)
    monkeypatch.setitem(sys.modules, "onnxscript", sys)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExportError, match=rf"got no {name} here .*: python -m pip install onnx onnxscript$"):
        export.need_exporter()


def test_a_torch_that_is_too_old_is_named(monkeypatch):
    monkeypatch.delattr(torch.compiler, "is_exporting", raising=False)
    with pytest.raises(ExportError, match=r"torch must be 2\.7 or newer .*, got .*pip install --upgrade torch"):
        to_onnx(prior_graph(GatedPixelCNN(GatedPixelCNNConfig(**PRIOR)), [MAP]))


def test_the_example_of_the_book_runs_without_torch(tmp_path):
    files = {"encoder": made("encoder, square and grey").content, "decoder": made("decoder, square and grey").content}
    folder = tmp_path / "runs" / "mnist" / "onnx"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / f"{name}.onnx").write_bytes(content)
    Image.fromarray(np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)).save(tmp_path / "seven.png")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (example,) = (block for block in blocks if "onnxruntime" in block)
    ran = subprocess.run(
        [sys.executable, "-c", example + "\nimport sys\nassert 'torch' not in sys.modules"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "(1, 7, 7)" in ran.stdout
    with Image.open(tmp_path / "again.png") as again:
        assert again.size == (28, 28)
