"""What does each part of the gated PixelCNN bring: two stacks, gates, the link, the class inside the gate?

Priors over the codes of one VQ-VAE per seed, MNIST digits, one part changed at a time, with as many weights (page 11).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor, nn

from experiments.training import split, trained_vqvae
from vqvae_course.data import Batches, CodeSet, encode_dataset
from vqvae_course.evaluate import evaluate_prior
from vqvae_course.metrics import data_variance
from vqvae_course.pixelcnn import GatedLayer, MaskedConv2d, gate, output_stack
from vqvae_course.prior import EmbeddingPrior
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, prior_step
from vqvae_course.vqvae import VQVAEConfig

CLASSES = 10


@dataclass(frozen=True)
class Setting:
    """What one prior is made of.

    Attributes:
        stacks: Two, or one of masked convolutions.
        unit: ``"gate"``, or ``"relu"``, which needs half of the channels before it.
        link: From the vertical stack to the horizontal one: ``"before"`` the gate, or ``"after"`` a gate of its own.
        label: Where the class enters: ``"inside"`` the gate, ``"after"`` it, or ``"none"``.
        hidden: Channels; chosen so that all settings without a class have about as many weights.
        layers: Layers, the first one included.
        updates: Of 32 maps; the learning rate goes through one cycle in them.
        lr: Highest learning rate.
        stage_1_updates: Of the VQ-VAE, which all settings of a seed share.
        num_codes: K.
        vqvae_hidden: Channels of the VQ-VAE.
        encoded: Training images whose maps the prior learns from.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    stacks: int = 2
    unit: str = "gate"
    link: str = "before"
    label: str = "none"
    hidden: int = 16
    layers: int = 4
    updates: int = 500
    lr: float = 0.008
    stage_1_updates: int = 250
    num_codes: int = 128
    vqvae_hidden: int = 32
    encoded: int = 20_000
    held_out: int = 2000
    dataset: str = "mnist"


GATED = Setting()
SETTINGS = {
    "two stacks, gates": GATED,
    "two stacks, ReLU": replace(GATED, unit="relu", hidden=22),
    "one stack, gates": replace(GATED, stacks=1, hidden=21),
    "one stack, ReLU": replace(GATED, stacks=1, unit="relu", hidden=27),
    "link after the gate": replace(GATED, link="after"),
    "class inside the gate": replace(GATED, label="inside"),
    "class after the gate": replace(GATED, label="after"),
}
SEEDS = range(5)
SMOKE = Setting(label="after", hidden=4, layers=2, updates=2, stage_1_updates=2, num_codes=8, vqvae_hidden=8,
                held_out=20, dataset="glyphs")  # fmt: skip


class Layer(GatedLayer):
    """The package's layer with one part changed."""

    def __init__(self, setting: Setting, first: bool):
        s = setting
        super().__init__(s.hidden, 3, first, CLASSES if s.label == "inside" else None)
        self.setting = s
        self.unit = gate if s.unit == "gate" else F.relu
        channels = 2 * s.hidden if s.unit == "gate" else s.hidden
        self.vertical = nn.Conv2d(s.hidden, channels, self.vertical.kernel_size)
        self.horizontal = nn.Conv2d(s.hidden, channels, self.horizontal.kernel_size)
        self.link = nn.Conv2d(channels, channels, 1)
        if s.stacks == 1:
            self.vertical = self.link = None
            self.horizontal = MaskedConv2d(s.hidden, channels, 3, "A" if first else "B")
        self.shift = nn.Embedding(CLASSES, 2 * s.hidden) if s.label == "after" else None

    def forward(
        self, v: Tensor, h: Tensor, labels: Tensor | None = None, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map both stacks one layer up; a single stack is ``h``."""
        bias_v, bias_h = self.bias(labels, condition)
        shift_v, shift_h = (0.0, 0.0) if self.shift is None else self.shift(labels)[..., None, None].chunk(2, dim=1)
        past = -1 if self.first else 0
        if self.setting.stacks == 1:
            found = self.unit(self.horizontal(h) + bias_h)
        else:
            above = self.vertical(F.pad(v, (self.reach, self.reach, self.reach, past)))
            v = self.unit(above + bias_v) + shift_v
            left = self.horizontal(F.pad(h, (self.reach, past, 0, 0))) + bias_h
            if self.setting.link == "before":
                found = self.unit(left + self.link(above))
            else:
                found = self.unit(left) + self.unit(self.link(above))
        step = self.out(found + shift_h)
        return v, step if self.first else h + step


class Variant(EmbeddingPrior):
    """A gated PixelCNN with one part changed."""

    def __init__(self, setting: Setting):
        super().__init__(setting.num_codes, setting.hidden, None if setting.label == "none" else CLASSES)
        self.layers = nn.ModuleList(Layer(setting, depth == 0) for depth in range(setting.layers))
        self.head = output_stack(setting.hidden, setting.num_codes)

    def logits_from(self, embedded: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return (B, K, h, w) logits from embedded codes (B, hidden, h, w)."""
        v = h = embedded
        for layer in self.layers:
            v, h = layer(v, h, labels)
        return self.head(h)


@lru_cache(maxsize=1)
def codes(seed: int, setting: Setting) -> list[CodeSet]:
    """Return the codes of the images to train and to score on, of one VQ-VAE; the settings of a seed share them."""
    s = setting
    train, validation = split(s.dataset, s.held_out)
    config = VQVAEConfig(
        in_channels=1,
        hidden=s.vqvae_hidden,
        residual_layers=0,
        num_codes=s.num_codes,
        code_dim=32,
        downsample=4,
        decay=0.95,
        normalize_latents=True,
        patches=True,
        data_variance=data_variance(train.images),
    )
    plan = TrainConfig(steps=s.stage_1_updates, lr=0.016, progress=False)
    model = trained_vqvae(config, train, plan, seed, kmeans_images=512)
    return [encode_dataset(model, part) for part in (train.take(slice(s.encoded)), validation)]


def shared(setting: Setting) -> Setting:
    """Return what the settings of a seed have in common: stage 1."""
    s = setting
    return Setting(
        stage_1_updates=s.stage_1_updates,
        num_codes=s.num_codes,
        vqvae_hidden=s.vqvae_hidden,
        encoded=s.encoded,
        held_out=s.held_out,
        dataset=s.dataset,
    )


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train one prior.

    Returns:
        ``nats_per_code`` on held-out codes, ``training_nats`` on 500 of those trained on, how many ``weights``
        are in use (not hidden by a mask), and ``ms_per_update``.
    """
    s = setting
    train, validation = codes(seed, shared(s))
    generator = seed_everything(seed)
    prior = Variant(s)
    plan = TrainConfig(steps=s.updates, lr=s.lr, weight_decay=0.01, clip=1.0, progress=False)
    history = fit(prior, Batches(train, 32, generator), prior_step, plan)
    seen = train._replace(indices=train.indices[:500], labels=train.labels[:500])
    return {
        "nats_per_code": evaluate_prior(prior, validation),
        "training_nats": evaluate_prior(prior, seen),
        "weights": weights_in_use(prior),
        "ms_per_update": 1000 * history.seconds / s.updates,
    }


def weights_in_use(prior: nn.Module) -> int:
    """Count the parameters, without the weights that a mask hides."""
    hidden = sum(int((~m.mask).sum()) * m.weight[:, :, 0, 0].numel() for m in prior.modules() if hasattr(m, "mask"))
    return sum(p.numel() for p in prior.parameters()) - hidden
