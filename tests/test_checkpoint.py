import io
import pickle
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from vqvae_course.checkpoint import load_checkpoint, restore, save_checkpoint
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import Batches, CodeSet
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, PixelCNN, PixelCNNConfig
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.vae import VAE, VAEConfig
from vqvae_course.vqvae import VQVAE, VQVAEConfig

B, H, W, K = 2, 4, 6, 5


def build(kind: str, **changes) -> nn.Module:
    if kind == "VQVAE":
        small = {"in_channels": 1, "hidden": 6, "residual_layers": 1, "residual_hidden": 4, "code_dim": 3}
        return VQVAE(VQVAEConfig(**{**small, "num_codes": K, "normalize_latents": True, **changes}))
    if kind == "VAE":
        return VAE(VAEConfig(**{"height": 16, "width": 24, "hidden": 6, "latent_dim": 3, **changes}))
    return GatedPixelCNN(GatedPixelCNNConfig(**{"num_codes": K, "hidden": 6, "layers": 2, "num_classes": 3, **changes}))


def answer(model: nn.Module):
    model.eval()
    if isinstance(model, VAE | VQVAE):
        return model(torch.linspace(0, 1, B * 16 * 24).view(B, 1, 16, 24)).x_hat
    return model(torch.arange(B * H * W).view(B, H, W) % K, torch.tensor([0, 2]))


def stream() -> Batches:
    return Batches(CodeSet(torch.randint(K, (11, H, W)), torch.arange(11) % 3, "noise"), 3)


EACH = pytest.mark.parametrize("kind", ["VAE", "VQVAE", "GatedPixelCNN"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "model.pt"


# --- round trip


@EACH
def test_a_model_comes_back_from_its_file_alone(path, kind):
    model = build(kind)
    save_checkpoint(path, model, step=7, history={"steps": [7], "values": {"loss": [0.5]}})
    checkpoint = load_checkpoint(path)
    assert type(checkpoint.model) is type(model)
    assert checkpoint.model.config == model.config
    assert not checkpoint.model.training
    assert checkpoint.model.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(v, model.state_dict()[name]) for name, v in checkpoint.model.state_dict().items())
    assert torch.equal(answer(checkpoint.model), answer(model))
    assert checkpoint.step == 7
    assert checkpoint.history == {"steps": [7], "values": {"loss": [0.5]}}


@EACH
def test_saving_leaves_mode_and_random_state_alone(path, kind):
    model = build(kind)
    state = torch.get_rng_state()
    save_checkpoint(path, model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_optimizer_stream_and_random_state_come_back(path):
    model, batches = build("VQVAE"), stream()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model(torch.rand(B, 1, 16, 24)).loss.backward()
    optimizer.step()
    next(batches)
    save_checkpoint(path, model, 1, None, optimizer, batches)
    expected = float(torch.rand(1)), next(batches).x

    torch.manual_seed(99)
    again, other = build("VQVAE"), stream()
    fresh = torch.optim.AdamW(again.parameters(), lr=0.5)
    restore(load_checkpoint(path), again, fresh, other)
    assert float(torch.rand(1)) == expected[0]
    assert torch.equal(other.order, batches.order)
    assert other.position == batches.position - 3
    assert fresh.param_groups[0]["lr"] == 0.01
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(optimizer.state[one]["exp_avg"], fresh.state[two]["exp_avg"])


def test_loading_alone_does_not_touch_the_random_state(path):
    save_checkpoint(path, build("VQVAE"))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    restored = load_checkpoint(path)
    torch.set_rng_state(state)
    assert not torch.equal(restored.random["cpu"], state)


def test_a_path_may_be_a_string(path):
    model = build("VQVAE")
    save_checkpoint(str(path), model)
    assert torch.equal(answer(load_checkpoint(str(path)).model), answer(model))


# What version 0.1.0 wrote: priors kept their arguments as a dict, and the levels above as lists.
OF_0_1_0 = {
    "PixelCNN": {"num_codes": K, "hidden": 6, "layers": 2, "kernel_size": 3, "first_kernel_size": 5},
    "GatedPixelCNN": {
        **{"num_codes": K, "hidden": 6, "layers": 2, "kernel_size": 3},
        **{"num_classes": 3, "condition_channels": None, "first_kernel_size": 5},
    },
    "PixelSNAIL": {
        **{"num_codes": K, "hidden": 6, "blocks": 1, "layers": 2, "heads": 2, "kernel_size": 3},
        **{"num_classes": None, "condition_channels": 2, "first_kernel_size": 5},
    },
    "ConditionalPrior": {
        **{"num_codes": K, "above": [[4, 2], [3, 2]], "hidden": 6, "layers": 2, "kernel_size": 3},
        **{"num_classes": None, "stack_layers": 1, "first_kernel_size": 5},
    },
}
BUILT = {
    "PixelCNN": lambda: PixelCNN(PixelCNNConfig(K, 6, 2, first_kernel_size=5)),
    "GatedPixelCNN": lambda: GatedPixelCNN(GatedPixelCNNConfig(K, 6, 2, num_classes=3, first_kernel_size=5)),
    "PixelSNAIL": lambda: PixelSNAIL(PixelSNAILConfig(K, 6, 1, heads=2, condition_channels=2, first_kernel_size=5)),
    "ConditionalPrior": lambda: ConditionalPrior(
        ConditionalPriorConfig(K, ((4, 2), (3, 2)), 6, 2, stack_layers=1, first_kernel_size=5)
    ),
}


@pytest.mark.parametrize("kind", OF_0_1_0)
def test_a_prior_of_version_0_1_0_is_loaded_and_trained_further(path, kind):
    model = BUILT[kind]()
    optimizer, batches = torch.optim.AdamW(model.parameters()), stream()
    path.parent.mkdir()
    torch.save(
        {
            **{"format": 1, "model": kind, "config": OF_0_1_0[kind], "weights": model.state_dict(), "step": 7},
            **{"history": None, "optimizer": optimizer.state_dict(), "batches": batches.state_dict()},
            "random": {"cpu": torch.get_rng_state(), "cuda": []},
        },
        path,
    )
    checkpoint = load_checkpoint(path)
    assert type(checkpoint.model) is type(model)
    assert checkpoint.model.config == model.config
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in checkpoint.model.state_dict().items())
    again = BUILT[kind]()
    restore(checkpoint, again, torch.optim.AdamW(again.parameters()), stream())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


# --- writing


def test_a_write_that_fails_keeps_the_old_checkpoint_and_leaves_no_other_file(monkeypatch, path):
    save_checkpoint(path, build("VQVAE"), step=1)
    before = path.read_bytes()

    def full_disk(content, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, build("VQVAE"), step=2)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert load_checkpoint(path).step == 1


def test_a_new_checkpoint_replaces_the_old_one_and_nothing_else_stays(path):
    save_checkpoint(path, build("VQVAE"), step=1)
    save_checkpoint(path, build("VQVAE"), step=2)
    assert load_checkpoint(path).step == 2
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_model_of_another_kind_is_refused(path):
    with pytest.raises(ValueError, match=r"model must be one of VAE, VQVAE, VQVAE2, .*, got Linear"):
        save_checkpoint(path, nn.Linear(2, 3))
    assert not path.exists()


# --- files that are no checkpoint


def test_a_missing_file_is_missing(path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, kept):
    save_checkpoint(path, build("VQVAE"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=r"model\.pt must be a checkpoint of this course, got a damaged or foreign"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"junk", b"PK\x03\x04junk", bytes(500)], ids=["text", "zip", "zeros"])
def test_a_foreign_file_is_refused(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a checkpoint of this course, got a damaged or foreign file"):
        load_checkpoint(path)


class Evil:
    """A pickle that writes a file when it is read."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("form", ["pickle", "torch", "hidden in the weights"])
def test_a_file_cannot_run_code(path, form):
    path.parent.mkdir()
    target = path.with_name("executed")
    if form == "pickle":
        path.write_bytes(pickle.dumps(Evil(target)))
    elif form == "torch":
        torch.save(Evil(target), path)
    else:
        torch.save({"format": 1, "model": "VQVAE", "config": {}, "weights": Evil(target)}, path)
    with pytest.raises(ValueError, match="must be a checkpoint of this course, got a damaged or foreign file"):
        load_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [({"format": 99}, "99"), ({"weights": 1}, "None"), ([1, 2], "'list'"), (torch.zeros(3), "'Tensor'")],
    ids=["newer", "without", "list", "tensor"],
)
def test_another_format_is_refused_by_name(path, content, found):
    path.parent.mkdir()
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"must be a checkpoint of format 1, got {found}"):
        load_checkpoint(path)


def edited(path, **changes) -> None:
    content = torch.load(path, weights_only=True)
    content.update(changes)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    "changes",
    [{"weights": {}}, {"model": "GatedPixelCNN"}, {"config": {"num_codes": 5, "colour": "red"}}],
    ids=["weights", "model", "config"],
)
def test_weights_that_do_not_fit_their_model_are_refused(path, changes):
    save_checkpoint(path, build("VQVAE"))
    edited(path, **changes)
    with pytest.raises(ValueError, match="must hold a model and the weights that fit it, got others"):
        load_checkpoint(path)


# --- restore


@pytest.mark.parametrize(
    ("kind", "changes"), [("VQVAE", {"num_codes": K + 1}), ("VQVAE", {"beta": 0.5}), ("GatedPixelCNN", {})]
)
def test_a_checkpoint_of_another_model_is_refused(path, kind, changes):
    model, batches = build("VQVAE"), stream()
    save_checkpoint(path, model, 1, None, torch.optim.AdamW(model.parameters()), batches)
    other = build(kind, **changes)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="checkpoint must belong to this model"):
        restore(load_checkpoint(path), other, torch.optim.AdamW(other.parameters()), batches)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("missing", ["optimizer", "batches"])
def test_a_checkpoint_for_use_only_cannot_be_continued(path, missing):
    model, batches = build("VQVAE"), stream()
    optimizer = torch.optim.AdamW(model.parameters())
    kept = {"optimizer": optimizer, "batches": batches, missing: None}
    save_checkpoint(path, model, 1, None, **kept)
    with pytest.raises(ValueError, match="checkpoint must hold the optimizer and the stream of batches to continue"):
        restore(load_checkpoint(path), model, optimizer, batches)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("step", "seven", "must hold the number of updates done, got 'seven'"),
        ("optimizer", {"x": 1}, "checkpoint must hold the state of a whole run, got a damaged one"),
        ("batches", {"x": 1}, "checkpoint must hold the state of a whole run, got a damaged one"),
        ("random", {"x": 1}, "checkpoint must hold the state of a whole run, got a damaged one"),
    ],
)
def test_a_checkpoint_with_a_damaged_part_is_refused(path, part, value, message):
    model, batches = build("VQVAE"), stream()
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(path, model, 1, None, optimizer, batches)
    torch.save(torch.load(path, weights_only=True) | {part: value}, path)
    with pytest.raises(ValueError, match=message):
        restore(load_checkpoint(path), model, optimizer, batches)


class Generator:
    """What torch has for each GPU: here it only remembers."""

    state = None

    def set_state(self, state):
        self.state = state


@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        (2, 1, "made on a machine with 2 GPUs, this one has 1 GPU: the run goes on"),
        (1, 3, "made on a machine with 1 GPU, this one has 3 GPUs: the run goes on"),
        (2, 0, "made on a machine with 2 GPUs, this one has no GPU: the run goes on"),
        (0, 1, "made on a machine with no GPU, this one has 1 GPU: the run goes on"),
        (2, 2, None),
        (0, 0, None),
    ],
)
def test_a_run_goes_on_with_fewer_and_with_more_gpus(monkeypatch, path, there, here, message):
    model, batches = build("VQVAE"), stream()
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(path, model, 1, None, optimizer, batches)
    expected = float(torch.rand(1))
    states = [torch.full((16,), gpu, dtype=torch.uint8) for gpu in range(there)]
    random = torch.load(path, weights_only=True)["random"]
    edited(path, random=random | {"cuda": states})

    generators = tuple(Generator() for _ in range(here))
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here > 0)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda.random, "_lazy_call", lambda call, **_: call())
    again, other = build("VQVAE"), stream()
    with pytest.warns(UserWarning, match=message) if message else nullcontext():
        restore(load_checkpoint(path), again, torch.optim.AdamW(again.parameters()), other)
    for gpu, generator in enumerate(generators):
        assert generator.state is None if gpu >= there else torch.equal(generator.state, states[gpu])
    assert float(torch.rand(1)) == expected
    assert torch.equal(other.order, batches.order)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))
