"""No training step waits for its GPU. Found without one: tensors that pretend to be on CUDA and hold no numbers."""

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode
from torch.torch_version import TorchVersion
from torch.utils._python_dispatch import TorchDispatchMode

from vqvae_course import metrics, nearest, train
from vqvae_course.classifier import Classifier
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import Batch, Batches, CodeSet, ImageSet
from vqvae_course.nearest import FEW_SCORES
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, PixelCNN, PixelCNNConfig
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.prior import FrequencyPrior
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer, nearest_code, restart_dead_codes
from vqvae_course.runtime import send
from vqvae_course.train import (
    StepResult,
    TrainConfig,
    classifier_step,
    fit,
    prior_step,
    vae_step,
    vqvae2_step,
    vqvae_step,
)
from vqvae_course.vae import VAE, VAEConfig
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

N, B, C, SIDE, K, D, CLASSES = 11, 3, 2, 16, 7, 5, 4

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
    pytest.mark.skipif(
        TorchVersion(torch.__version__) < (2, 11), reason="older releases cannot pretend to have CUDA without a driver"
    ),
]


class Waits(TorchDispatchMode):
    """Counts what makes a program wait for its GPU, on a pretended one.

    Fake tensors themselves refuse only numbers that are read and shapes that depend on numbers. A copy waits too,
    unless it comes from pinned memory and need not be finished; and so does an index that lies on the other side, or
    a mask that says where to write. A number of the CPU may be read: it is 1.
    """

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []
        self.pinned: list[Tensor] = []  # kept, so that no later tensor gets the memory of one of them

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = operation._schema.name
        # Where there is no CUDA, autograd does not go back over it. What it hears, and asks for in return, is "meta".
        if name == "prim::device" and on_gpu(args[0]):
            return torch.device("meta")
        if kwargs.get("device") == torch.device("meta"):
            kwargs["device"] = torch.device("cuda", 0)
        if name == "aten::_local_scalar_dense":
            self.note(name, on_gpu(args[0]))
            return args[0].dtype.is_floating_point + 0.0 or 1
        if name in ("aten::index", "aten::index_put", "aten::index_put_") and on_gpu(args[0]):
            given = [index for index in args[1] if index is not None]
            self.note(name, any(not on_gpu(index) or index.dtype == torch.bool for index in given))
        result = operation(*args, **kwargs)
        if name == "aten::empty" and kwargs.get("pin_memory"):
            self.pinned.append(result)
        if name in ("aten::_to_copy", "aten::copy_"):
            start, end = (args[0], result) if name == "aten::_to_copy" else (args[1], args[0])
            at_once = kwargs.get("non_blocking") and memory_of(start) in map(memory_of, self.pinned)
            self.note(name, on_gpu(start) != on_gpu(end) and not at_once)
        return result

    def note(self, name: str, waits: bool) -> None:
        if waits:
            self.seen.append(name)


def on_gpu(x: Tensor) -> bool:
    return x.device.type == "cuda"


def memory_of(x: Tensor) -> int:
    return x.untyped_storage()._cdata


@pytest.fixture
def waits() -> Iterator[Waits]:
    with FakeTensorMode(), Waits() as guard:
        yield guard


# --- what is trained


def vqvae(**changes) -> Callable[[], nn.Module]:
    small = {"in_channels": C, "hidden": 6, "residual_layers": 1, "residual_hidden": 4, "num_codes": K, "code_dim": D}
    return lambda: VQVAE(VQVAEConfig(**small | changes))


def vqvae2(strides: tuple[int, ...], **changes) -> Callable[[], nn.Module]:
    small = {"in_channels": C, "hidden": 6, "residual_layers": 1, "residual_hidden": 4, "code_dim": D}
    sizes = tuple(K + level for level in range(len(strides)))
    return lambda: VQVAE2(VQVAE2Config(**small | {"num_codes": sizes, "strides": strides} | changes))


def conditioned_step(model: nn.Module, batch: Batch) -> StepResult:
    """Train a prior on a map of features beside the codes."""
    features = torch.ones(len(batch.x), 3, *batch.x.shape[1:], device=batch.x.device)
    return StepResult(metrics.nats_per_code(model(batch.x, None, features), batch.x), {})


SMALL_GATED = {"hidden": 8, "layers": 2}
SMALL_SNAIL = {"hidden": 8, "blocks": 1, "layers": 1, "heads": 2}
SMALL_BELOW = {"hidden": 6, "layers": 2, "stack_layers": 1}
OF_IMAGES = {
    "VQ-VAE, running means": (vqvae(), vqvae_step),
    "VQ-VAE, gradient": (vqvae(quantizer="gradient"), vqvae_step),
    "VQ-VAE, normalised": (vqvae(normalize_latents=True), vqvae_step),
    "VQ-VAE, restarts": (vqvae(restart_below=1.0), vqvae_step),
    "VQ-VAE, patches": (vqvae(patches=True), vqvae_step),
    "VQ-VAE, all options": (vqvae(normalize_latents=True, restart_below=1.0, patches=True), vqvae_step),
    "VQ-VAE-2, two levels": (vqvae2((2, 4)), vqvae2_step),
    "VQ-VAE-2, three levels": (vqvae2((2, 2, 2)), vqvae2_step),
    "VQ-VAE-2, all options": (vqvae2((2, 2), normalize_latents=True, restart_below=1.0, patches=True), vqvae2_step),
    "VAE": (lambda: VAE(VAEConfig(C, SIDE, SIDE, hidden=6, latent_dim=3)), vae_step),
    "classifier": (lambda: Classifier(C, CLASSES, 6), classifier_step),
}
OF_CODES = {
    "PixelCNN": (lambda: PixelCNN(PixelCNNConfig(K, **SMALL_GATED)), prior_step),
    "gated PixelCNN": (lambda: GatedPixelCNN(GatedPixelCNNConfig(K, **SMALL_GATED)), prior_step),
    "gated PixelCNN, classes": (
        lambda: GatedPixelCNN(GatedPixelCNNConfig(K, num_classes=CLASSES, **SMALL_GATED)),
        prior_step,
    ),
    "gated PixelCNN, condition": (
        lambda: GatedPixelCNN(GatedPixelCNNConfig(K, condition_channels=3, **SMALL_GATED)),
        conditioned_step,
    ),
    "PixelSNAIL": (lambda: PixelSNAIL(PixelSNAILConfig(K, **SMALL_SNAIL)), prior_step),
    "PixelSNAIL, classes": (lambda: PixelSNAIL(PixelSNAILConfig(K, num_classes=CLASSES, **SMALL_SNAIL)), prior_step),
    "PixelSNAIL, condition": (
        lambda: PixelSNAIL(PixelSNAILConfig(K, condition_channels=3, **SMALL_SNAIL)),
        conditioned_step,
    ),
    "a level below": (lambda: ConditionalPrior(ConditionalPriorConfig(K, [(K + 2, 2)], **SMALL_BELOW)), prior_step),
    "a level below two": (
        lambda: ConditionalPrior(
            ConditionalPriorConfig(K, [(K + 2, 2), (K + 1, 2)], num_classes=CLASSES, **SMALL_BELOW)
        ),
        prior_step,
    ),
}
EVERY = OF_IMAGES | OF_CODES
EACH = pytest.mark.parametrize("name", EVERY)


def model_and_step(name: str, device: str = "cuda") -> tuple[nn.Module, Callable]:
    build, step = EVERY[name]
    with torch.device(device):
        return build().train(), step


def data_for(name: str, device: str = "cpu") -> ImageSet | CodeSet:
    labels = torch.zeros(N, dtype=torch.int64, device=device)
    if name in OF_IMAGES:
        return ImageSet(torch.zeros(N, C, SIDE, SIDE, dtype=torch.uint8, device=device), labels, "black")
    maps = [torch.zeros(N, side, 2 * side, dtype=torch.int64, device=device) for side in (8, 4, 2)]
    above = {"a level below": (maps[1],), "a level below two": (maps[2], maps[1])}
    return CodeSet(maps[0], labels, "first code", above.get(name, ()))


# --- the rule


@EACH
def test_a_step_forward_and_backward_waits_for_nothing(name, waits):
    model, step = model_and_step(name)
    batch = next(Batches(data_for(name), B, device="cuda"))
    waits.seen.clear()
    loss, logs = step(model, batch)
    loss.backward()
    assert waits.seen == []
    assert all(on_gpu(value) for value in (loss, *logs.values()))
    assert all(on_gpu(weight.grad) for weight in model.parameters() if weight.grad is not None)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *((name, "cpu") for name in EVERY),
        ("VAE", "cuda"),
        ("gated PixelCNN, classes", "cuda"),
        ("a level below", "cuda"),
    ],
)
def test_training_waits_once_per_entry_of_the_history(name, kept, waits):
    model, step = model_and_step(name)
    batches = Batches(data_for(name, kept), B, device="cuda")
    at_entry: list[int] = []
    started: list[int] = []

    def counted(*given):
        if not started:
            started.append(len(waits.seen))
        return step(*given)

    config = TrainConfig(steps=5, log_every=2, clip=1.0, progress=False)
    waits.seen.clear()
    history = fit(model, batches, counted, config, on_entry=lambda _: at_entry.append(len(waits.seen)))
    assert history.steps == [2, 4, 5]
    assert started == [0]
    assert at_entry == [1, 2, 3]
    assert waits.seen == ["aten::_to_copy"] * 3


def test_an_update_in_bfloat16_does_not_wait(waits, monkeypatch):
    monkeypatch.setattr(torch.amp.autocast_mode, "warnings", type("Silent", (), {"warn": lambda *_, **__: None}))
    model, step = model_and_step("VQ-VAE, all options")
    waits.seen.clear()
    fit(
        model,
        Batches(data_for("VAE"), B, device="cuda"),
        step,
        TrainConfig(steps=2, progress=False, precision="bfloat16"),
    )
    assert len(waits.seen) == 1


def test_the_look_at_all_weights_before_a_checkpoint_is_one(waits):
    model, _ = model_and_step("VQ-VAE, running means")
    waits.seen.clear()
    train._must_be_finite(model, 5)
    assert len(waits.seen) == 1


def test_a_tensor_is_sent_to_the_gpu_without_waiting(waits):
    sent = send(torch.ones(3, 4, dtype=torch.uint8)[:, 1:], "cuda")
    assert (sent.shape, sent.dtype, sent.device.type) == ((3, 3), torch.uint8, "cuda")
    assert waits.seen == []


# --- the guard sees what it is for


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: int(x.argmax()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: torch.zeros(4).copy_(x),
        lambda x: x.copy_(torch.zeros(4)),
        lambda x: torch.tensor([1.0, 2.0], device="cuda"),
        lambda x: torch.zeros(4).to("cuda"),
        lambda x: torch.zeros(4).to("cuda", non_blocking=True),
        lambda x: x[torch.tensor([0, 2])],
        lambda x: x.__setitem__(torch.tensor([0, 2]), 1.0),
        lambda x: x.__setitem__(x > 0, torch.ones(2, device="cuda")),
    ],
)
def test_the_guard_counts_what_waits(wait, waits):
    wait(torch.zeros(4, device="cuda"))
    assert waits.seen != []


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: (x > 0).nonzero(),
        lambda x: torch.where(x > 0),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: x.unique(),
        lambda x: torch.bincount(x.long(), minlength=3),
    ],
)
def test_a_shape_that_depends_on_numbers_is_refused(wait, waits):
    with pytest.raises(DynamicOutputShapeException):
        wait(torch.zeros(4, device="cuda"))


# --- from outside, everything is still looked at


def quantizer_of(kind: type[nn.Module]) -> nn.Module:
    with torch.device("cuda"):
        return kind(K, D)


def prior_of(name: str) -> Callable[[Tensor], Tensor]:
    return lambda indices: model_and_step(name)[0].eval()(indices)


@pytest.mark.parametrize(
    "call",
    [
        lambda indices: quantizer_of(VectorQuantizer).lookup(indices),
        lambda indices: quantizer_of(EMAVectorQuantizer).lookup(indices),
        lambda indices: model_and_step("VQ-VAE, running means")[0].decode(indices),
        lambda indices: metrics.code_counts(indices, K),
        lambda indices: metrics.perplexity(indices, K),
        lambda indices: FrequencyPrior(indices, K),
        lambda indices: FrequencyPrior(indices[:0], K)(indices),
        prior_of("PixelCNN"),
        prior_of("gated PixelCNN"),
        prior_of("PixelSNAIL"),
    ],
)
def test_indices_from_outside_are_looked_at_on_a_gpu_too(call, waits):
    indices = torch.zeros(B, 4, 6, dtype=torch.int64, device="cuda")
    waits.seen.clear()
    call(indices)
    assert "aten::_local_scalar_dense" in waits.seen


def test_without_gradients_a_prior_in_train_mode_looks_too(waits):
    model, _ = model_and_step("gated PixelCNN, classes")
    indices, labels = (torch.zeros(shape, dtype=torch.int64, device="cuda") for shape in ((B, 4, 6), (B,)))
    with torch.no_grad():
        model(indices, labels)
    assert len(waits.seen) == 4  # least and largest, of indices and of labels


def test_batches_of_a_prior_that_come_from_elsewhere_are_looked_at_one_by_one(waits):
    model, step = model_and_step("gated PixelCNN")
    maps = torch.zeros(B, 4, 6, dtype=torch.int64, device="cuda")
    waits.seen.clear()
    fit(model, repeat(Batch(maps, maps[:, 0, 0])), step, TrainConfig(steps=3, progress=False))
    assert waits.seen.count("aten::_local_scalar_dense") == 2 * 3


# --- what a GPU computes instead


@pytest.mark.parametrize("few", [True, False])
def test_on_a_gpu_distances_are_compared_in_float64(few, waits):
    z, codebook = torch.ones(N if few else FEW_SCORES, D, device="cuda"), torch.ones(K, D, device="cuda")
    assert nearest.fits_at_once(z, codebook) is few
    assert nearest._compared_in(z, codebook) == torch.float64
    assert isinstance(nearest_code(z, codebook), FakeTensor)
    assert waits.seen == []


def test_restarting_codes_waits_for_nothing_and_naming_them_by_number_would(waits):
    quantizer, z_e = quantizer_of(EMAVectorQuantizer), torch.ones(B, D, 2, 4, device="cuda")
    waits.seen.clear()
    restarted = restart_dead_codes(quantizer, z_e)
    assert restarted.shape == (K,)
    assert waits.seen == []
    with pytest.raises(DynamicOutputShapeException):
        restarted.nonzero()


@pytest.mark.gpu
@EACH
def test_a_gpu_itself_says_that_no_update_waits(name):
    model, step = model_and_step(name)
    batches = Batches(data_for(name), B, device="cuda")
    optimizer = torch.optim.AdamW(model.parameters())

    def update():
        loss, _ = step(model, next(batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    update()  # libraries start
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
