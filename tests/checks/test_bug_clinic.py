"""Right and wrong answers to the exercises of notebook 14."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.registered import Answers
from vqvae_course import check
from vqvae_course.checks import patients
from vqvae_course.checks.chapter_14_bug_clinic import LACKS, SORT, SORTS, ailment
from vqvae_course.checks.patients import FINDINGS
from vqvae_course.encdec import ResidualLayer
from vqvae_course.metrics import data_variance
from vqvae_course.pixelcnn import GatedLayer, gate
from vqvae_course.quantize import (
    EMAVectorQuantizer,
    Quantized,
    VectorQuantizer,
    straight_through,
)

answers = Answers()


def answering(diagnosis, repaired):
    """Return an answer; registered under the repaired version's name."""

    def answer():
        return diagnosis, repaired

    answer.__name__ = f"{diagnosis}-{getattr(repaired, '__name__', type(repaired).__name__)}"
    return answer


def accept(number, diagnosis):
    def register(repaired):
        answers.accept(f"patient_{number}")(answering(diagnosis, repaired))
        return repaired

    return register


def reject(number, diagnosis, fragment):
    def register(repaired):
        answers.reject(f"patient_{number}", fragment)(answering(diagnosis, repaired))
        return repaired

    return register


def one_layer(channels, hidden):
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
    )


# Patient 1: a stack whose layers are one and the same


@accept(1, "shared-layers")
class OneForEach(patients.Patient1):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        self.layers = nn.ModuleList(one_layer(channels, hidden) for _ in range(layers))


@accept(1, "Shared layers")
class OfThePackage(nn.Sequential):
    def __init__(self, channels, hidden, layers):
        super().__init__(*(ResidualLayer(channels, hidden) for _ in range(layers)))


@accept(1, "shared_layers")
class Copied(patients.Patient1):
    """The same first weights, but each layer has its own."""

    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        self.layers = nn.ModuleList(copy.deepcopy(self.layers[0]) for _ in range(layers))


@accept(1, "shared-layers")
class WithoutBiases(nn.Module):
    """The first ReLU out of place, biases left out, and functions for the rest."""

    def __init__(self, channels, hidden, layers):
        super().__init__()
        self.wide = nn.ModuleList()
        self.narrow = nn.ModuleList()
        for _ in range(layers):
            self.wide.append(nn.Conv2d(channels, hidden, 3, padding="same", bias=False))
            self.narrow.append(nn.Conv2d(hidden, channels, 1, bias=False))

    def forward(self, x):
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            x = narrow(F.relu(wide(F.relu(x)), inplace=True)) + x
        return x


reject(1, "shared-layers", "the patient itself, unchanged")(patients.Patient1)


@reject(1, "shared-layers", "no parameters that an optimizer could find")
class PlainList(patients.Patient1):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        del self.layers
        self.layers = [one_layer(channels, hidden) for _ in range(layers)]


@reject(1, "shared-layers", "of the weights receive no gradient")
class OnlyTheLastUsed(OneForEach):
    def forward(self, x):
        return x + self.layers[-1](x)


@reject(1, "shared-layers", "with weights of its own in each layer")
class ListOfPairs(patients.Patient1):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        pair = [one_layer(channels, hidden) for _ in range(2)]
        self.layers = nn.ModuleList((pair * layers)[:layers])


@reject(1, "shared-layers", "closes its branch, and the skip carries the map")
class NoSkip(OneForEach):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@reject(1, "shared-layers", "closes its branch, and the skip carries the map")
class ReLUAtTheEnd(OneForEach):
    def forward(self, x):
        return super().forward(x).relu()


@reject(1, "shared-layers", "changes the tensor that is put in")
class InPlaceNow(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[0].inplace = True


@reject(1, "shared-layers", "there is no ReLU any more")
class NoReLUBetween(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[2] = nn.Identity()


@reject(1, "shared-layers", "The same map comes out differently the second time")
class DrawnAnew(OneForEach):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.1)


@reject(1, "shared-layers", "In your version it feels 9 of those and 16 others")
class Dilated(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[1].dilation, layer[1].padding = (2, 2), (2, 2)


@accept(1, "shared-layers")
class StartingAtZero(OneForEach):
    """Each branch begins with nothing, as is often done, and keeps its 1x1 kernel in a Linear."""

    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        self.layers = nn.ModuleList(nn.Conv2d(channels, hidden, 3, padding=1) for _ in range(layers))
        self.back = nn.ModuleList(nn.Linear(hidden, channels) for _ in range(layers))
        for linear in self.back:
            nn.init.zeros_(linear.weight)

    def forward(self, x):
        for wide, back in zip(self.layers, self.back, strict=True):
            x = x + back(wide(x.relu()).relu().movedim(1, -1)).movedim(-1, 1)
        return x


@reject(1, "shared-layers", "the output is not that of x + conv1x1")
class SmallBranches(OneForEach):
    def forward(self, x):
        for layer in self.layers:
            x = x + 0.1 * layer(x)
        return x


@reject(1, "shared-layers", "with zeros around the map")
class AroundTheEdge(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[1] = nn.Conv2d(channels, hidden, 3, padding=1, padding_mode="circular")


@reject(1, "shared-layers", "other shapes than 3×3 from channels to hidden and 1×1 back")
class KernelsExchanged(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[1], layer[3] = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 3, padding=1)


@reject(1, "shared-layers", "In your version it feels 9 of those and 0 others")
class SideBySide(OneForEach):
    def forward(self, x):
        return x + sum(layer(x) for layer in self.layers)


reject(1, "inplace-skip", "the diagnosis is not what it cures. You say: an in-place ReLU")(OneForEach)
reject(1, "inplace-skip", "comes out as it came in, and the tensor that was put in is as before")(patients.Patient1)
reject(1, "sound", "layers on top of the first add less than they should")(patients.Patient1)
reject(1, "too-few-layers", "'too-few-layers' is not in the catalogue")(OneForEach)
reject(1, "shared-layers", "return the class itself, without building it")(OneForEach(3, 4, 2))
reject(1, "shared-layers", "Keep the arguments of the patient's __init__")(lambda channels: OneForEach(channels, 2, 3))
reject(1, "shared-layers", "The repaired version is a NoneType")(None)


@answers.reject("patient_1", "A pair is asked for, the diagnosis and the repaired class; a str came back")
def name_alone():
    return "shared-layers"


@answers.reject("patient_1", "the wrong way round")
def turned_round():
    return OneForEach, "shared-layers"


@answers.reject("patient_1", "The diagnosis should be a string from the catalogue; an int came back")
def a_number():
    return 3, OneForEach


# Patient 2: β weighs the pull on the codes


@accept(2, "beta-on-codebook")
class BetaMoved(patients.Patient2):
    def forward(self, z_e):
        out = super().forward(z_e)
        loss = self.beta * out.codebook_loss + out.commitment_loss
        return out._replace(loss=loss)


@accept(2, "beta-on-codebook")
class DetachMoved(VectorQuantizer):
    def forward(self, z_e):
        indices = self.choose(z_e)
        e_k = self.lookup(indices)
        codebook_loss = F.mse_loss(z_e.detach(), e_k)
        commitment_loss = F.mse_loss(e_k.detach(), z_e)
        loss = codebook_loss + self.beta * commitment_loss
        return Quantized(straight_through(z_e, e_k), indices, loss, codebook_loss, commitment_loss)


accept(2, "BETA on codebook")(VectorQuantizer)


class Rewritten(VectorQuantizer):
    """A quantizer to write wrong losses with."""

    def terms(self, z_e, e_k):
        return F.mse_loss(e_k, z_e.detach()), F.mse_loss(z_e, e_k.detach())

    def total(self, codebook_loss, commitment_loss):
        return codebook_loss + self.beta * commitment_loss

    def output(self, z_e, e_k):
        return straight_through(z_e, e_k)

    def forward(self, z_e):
        indices = self.choose(z_e)
        e_k = self.lookup(indices)
        terms = self.terms(z_e, e_k)
        return Quantized(self.output(z_e, e_k), indices, self.total(*terms), *terms)


class OnBoth(Rewritten):
    def total(self, codebook_loss, commitment_loss):
        return self.beta * (codebook_loss + commitment_loss)


class Without(Rewritten):
    def total(self, codebook_loss, commitment_loss):
        return codebook_loss + commitment_loss


class Inverse(Rewritten):
    """1/β on the codebook term gives the right ratio, and a loss that is 1/β too large."""

    def total(self, codebook_loss, commitment_loss):
        return codebook_loss / max(self.beta, 1e-3) + commitment_loss


class NoDetach(Rewritten):
    def terms(self, z_e, e_k):
        return F.mse_loss(e_k, z_e), F.mse_loss(z_e, e_k)


class CommitmentAlone(Rewritten):
    def total(self, codebook_loss, commitment_loss):
        return self.beta * commitment_loss


class SumsOfSquares(Rewritten):
    def terms(self, z_e, e_k):
        return (e_k - z_e.detach()).square().sum(), (z_e - e_k.detach()).square().sum()


class Distances(Rewritten):
    def terms(self, z_e, e_k):
        return (e_k - z_e.detach()).norm(dim=1).mean(), (z_e - e_k.detach()).norm(dim=1).mean()


class Quarter(Rewritten):
    def total(self, codebook_loss, commitment_loss):
        return codebook_loss + 0.25 * commitment_loss


class CodesToDecoder(Rewritten):
    def output(self, z_e, e_k):
        return e_k


class NotQuantized(Rewritten):
    def output(self, z_e, e_k):
        return z_e


class Cut(Rewritten):
    def output(self, z_e, e_k):
        return e_k.detach()


class BothEnds(Rewritten):
    def output(self, z_e, e_k):
        return z_e + e_k - z_e.detach()


class Farthest(Rewritten):
    def choose(self, z_e):
        rows = self.to_rows(z_e)
        return torch.cdist(rows, self.codebook).argmax(dim=1).view(len(z_e), *z_e.shape[2:])


class Scrambled(Rewritten):
    def to_rows(self, z_e):
        return z_e.reshape(-1, self.code_dim)


class FlatIndices(Rewritten):
    def forward(self, z_e):
        out = super().forward(z_e)
        return out._replace(indices=out.indices.flatten())


class PlainTuple(Rewritten):
    def forward(self, z_e):
        return tuple(super().forward(z_e))


class BufferNow(Rewritten):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        codebook = self.codebook.data
        del self.codebook
        self.register_buffer("codebook", codebook)

    def total(self, codebook_loss, commitment_loss):
        return self.beta * commitment_loss


class Renamed(VectorQuantizer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.codes = self.codebook
        del self.codebook


WEIGHTS = "For β = 0.25 the loss of your version pulls the latents with weight {} and the codes with weight {}"
QUANTIZERS = [
    (OnBoth, WEIGHTS.format("0.25", "0.25")),
    (Without, WEIGHTS.format("1", "1")),
    (Inverse, WEIGHTS.format("1", "4")),
    (NoDetach, WEIGHTS.format("1.25", "1.25")),
    (CommitmentAlone, WEIGHTS.format("0.25", "0")),
    (SumsOfSquares, WEIGHTS.format("30", "120")),
    (Distances, "The loss pulls in other directions"),
    (Quarter, "For β = 2.5 the loss of your version pulls the latents with weight 0.25"),
    (CodesToDecoder, "flows into the codebook now"),
    (NotQuantized, "z_q does not have the value of the chosen codes"),
    (Cut, "does not arrive at the latents unchanged"),
    (BothEnds, "flows into the codebook now"),
    (Farthest, "Not every latent gets its nearest code any more"),
    (Scrambled, "Not every latent gets its nearest code any more"),
    (FlatIndices, "indices have shape (40,); (2, 4, 5) is meant"),
    (PlainTuple, "without a tensor named z_q"),
    (BufferNow, "The codebook is no parameter any more"),
    (Renamed, "has no codebook of shape (K, D)"),
]
for repaired, fragment in QUANTIZERS:
    reject(2, "beta-on-codebook", fragment)(repaired)
    reject(8, "losses-too-late", fragment)(repaired)

reject(2, "beta-on-codebook", "the patient itself, unchanged")(patients.Patient2)
reject(2, "losses-too-late", "pulls the codes with weight 0.25")(patients.Patient2)
reject(2, "losses-too-late", "the diagnosis is not what it cures")(VectorQuantizer)
reject(2, "sound", "what β does to the gradients of its loss")(patients.Patient2)
reject(2, "shared-layers", "it has no layers")(BetaMoved)
reject(2, "beta-on-codebook", "The diagnosis is right. The repair is not yet")(EMAVectorQuantizer)


# Patient 3: the skip connection carries what an in-place ReLU has left


def stack_of(make):
    class Stack(patients.Patient3):
        def __init__(self, channels, hidden, layers):
            super().__init__(channels, hidden, layers)
            self.layers = nn.ModuleList(make(channels, hidden) for _ in range(layers))

    Stack.__name__ = make.__name__
    return Stack


accept(3, "inplace-skip")(stack_of(one_layer))


@accept(3, "inplace-skip")
class SecondStaysInPlace(patients.Patient3):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[0] = nn.ReLU()


@accept(3, "INPLACE_SKIP")
class Cloned(patients.Patient3):
    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x.clone())
        return x


accept(3, "inplace skip")(OfThePackage)

reject(3, "inplace-skip", "the patient itself, unchanged")(patients.Patient3)


@reject(3, "inplace-skip", "the skip carries the map. Yours changes it")
class ClonedOnce(patients.Patient3):
    """Saves the input of the whole stack, and no skip."""

    def forward(self, x):
        return super().forward(x.clone())


@reject(3, "inplace-skip", "the skip carries the map. Yours changes it")
class AddedAfterwards(patients.Patient3):
    def forward(self, x):
        for layer in self.layers:
            branch = layer(x.clone())
            x = x.relu() + branch
        return x


@reject(3, "inplace-skip", "the skip carries the map. Yours changes it")
class NoFirstReLU(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[0] = nn.Identity()


@reject(3, "inplace-skip", "changes the tensor that is put in")
class FirstLayerForgotten(patients.Patient3):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers[1:]:
            layer[0].inplace = False


@reject(3, "inplace-skip", "Someone may need it: the skip, for one.")
class OtherReLU(patients.Patient3):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[2].inplace = False


@reject(3, "inplace-skip", "the skip carries the map. Yours changes it")
class Leaky(OneForEach):
    def __init__(self, channels, hidden, layers):
        super().__init__(channels, hidden, layers)
        for layer in self.layers:
            layer[0] = nn.LeakyReLU(0.1)


@reject(3, "inplace-skip", "the skip carries the map. Yours changes it")
class SkipDropped(patients.Patient3):
    def forward(self, x):
        x = x.clone()
        for layer in self.layers:
            x = layer(x)
        return x


@reject(3, "inplace-skip", "its gradient at the input is not")
class SkipDetached(patients.Patient3):
    def forward(self, x):
        x = x.clone()
        for layer in self.layers:
            x = x.detach().clone() + layer(x)
        return x


@reject(3, "inplace-skip", "changes the tensor that is put in")
class SumTurnedRound(patients.Patient3):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x) + x
        return x


reject(3, "inplace-skip", "with weights of its own in each layer")(patients.Patient1)
reject(3, "shared-layers", "three 474, three times as many")(patients.Patient3)
reject(3, "shared-layers", "the diagnosis is not what it cures")(OneForEach)
reject(3, "sound", "with all weights at zero its output differs from its input")(patients.Patient3)
reject(3, "ema-start", "it keeps no running counts and sums")(patients.Patient3)


# Patient 4: the variance is that of other pixels


@accept(4, "wrong-range-variance")
class FourTimes(patients.Patient4):
    def __init__(self, images):
        self.variance = 4 * data_variance(images)


@accept(4, "wrong-range-variance")
class FromPrepared(patients.Patient4):
    def __init__(self, images):
        self.variance = self.prepare(images).var()


@accept(4, "wrong-range-variance")
class ByHand(patients.Patient4):
    """Written anew: an explicit mean, sums instead of a mean of squares, the divisor kept inside."""

    def __init__(self, images):
        x = self.prepare(images).double()
        self.scale = float(((x - x.mean()) ** 2).mean()) ** 0.5

    def __call__(self, x, x_hat):
        return ((x - x_hat) / self.scale).square().sum() / x.numel()


@accept(4, "wrong-range-variance")
class BackToUnit(patients.Patient4):
    def __call__(self, x, x_hat):
        return super().__call__((x + 1) / 2, (x_hat + 1) / 2)


reject(4, "wrong-range-variance", "the patient itself, unchanged")(patients.Patient4)


@reject(4, "wrong-range-variance", "prepare turns 0, 51 and 255 into 0, 0.2, 1")
class OtherRange(patients.Patient4):
    def prepare(self, images):
        return images.float() / 255


@reject(4, "wrong-range-variance", "is meant")
class Twice(patients.Patient4):
    def __init__(self, images):
        self.variance = 2 * data_variance(images)


@reject(4, "wrong-range-variance", "is meant")
class OtherWay(patients.Patient4):
    def __init__(self, images):
        self.variance = data_variance(images) / 4


@reject(4, "wrong-range-variance", "On a part of the training set, an answer with a mean squared error of")
class AboutMidGrey(patients.Patient4):
    """A loss of 1 for mid-grey, not for the mean grey."""

    def __init__(self, images):
        self.variance = self.prepare(images).square().mean()


@reject(4, "wrong-range-variance", "is meant")
class PerPixel(patients.Patient4):
    def __init__(self, images):
        self.variance = self.prepare(images).var(0).mean()


@reject(4, "wrong-range-variance", "is meant")
class PerChannel(patients.Patient4):
    def __init__(self, images):
        self.variance = self.prepare(images).var(dim=(0, 2, 3)).mean()


@reject(4, "wrong-range-variance", "is meant")
class PerColumn(patients.Patient4):
    def __init__(self, images):
        self.variance = self.prepare(images).flatten(0, 2).var(dim=0).mean()


def of_a_part(first, last):
    class Part(patients.Patient4):
        def __init__(self, images):
            self.variance = self.prepare(images[first:last]).var()

    Part.__name__ = f"From{first}To{last}"
    return Part


for part in ((0, 100), (0, 1000), (-100, None), (0, 32), (0, 128)):
    reject(4, "wrong-range-variance", "is meant")(of_a_part(*part))


@reject(4, "wrong-range-variance", "On a part of the training set, an answer with a mean squared error of")
class OfTheFirstBatch(patients.Patient4):
    """Calibrated on whatever comes first."""

    def __call__(self, x, x_hat):
        if not hasattr(self, "seen"):
            self.seen = x.var()
        return F.mse_loss(x_hat, x) / self.seen


OfTheFirstBatch.__init__ = lambda self, images: None


@reject(4, "wrong-range-variance", "is meant")
class Darkest(patients.Patient4):
    """In units of the whole second moment of pixels from 0 to 1, times four."""

    def __init__(self, images):
        self.variance = 4 * (images / 255).square().mean()


@reject(4, "wrong-range-variance", "single pixels into what they should be, and whole images not")
class Centred(FourTimes):
    def prepare(self, images):
        x = super().prepare(images)
        return x - x.mean() if len(images) > 1 else x


@reject(4, "wrong-range-variance", "On a part of the training set")
class OfTheBatch(patients.Patient4):
    def __call__(self, x, x_hat):
        return F.mse_loss(x_hat, x) / x.var(correction=0)


@reject(4, "wrong-range-variance", "is meant")
class PerImage(patients.Patient4):
    def __init__(self, images):
        self.variance = self.prepare(images).flatten(1).var(dim=1).mean()


@reject(4, "wrong-range-variance", "is meant")
class StandardDeviation(patients.Patient4):
    def __init__(self, images):
        self.variance = self.prepare(images).std()


@reject(4, "wrong-range-variance", "is meant")
class NoUnit(patients.Patient4):
    def __init__(self, images):
        self.variance = 1.0


@reject(4, "wrong-range-variance", "is meant")
class OfMNIST(patients.Patient4):
    def __init__(self, images):
        self.variance = 4 * 0.0949


@reject(4, "wrong-range-variance", "no scalar tensor that a gradient flows through")
class PlainNumber(FourTimes):
    def __call__(self, x, x_hat):
        return super().__call__(x, x_hat).item()


reject(4, "sound", "mean grey does not get the loss that its description promises")(patients.Patient4)
reject(4, "softmax-twice", "it computes no cross-entropy")(FourTimes)

# Patient 5 is sound


accept(5, "sound")(patients.Patient5)
accept(5, "sound")(VectorQuantizer)
accept(5, " Sound ")(Rewritten)


@accept(5, "sound")
class SoundRetold(patients.Patient5):
    def forward(self, z_e):
        return super().forward(z_e)


reject(5, "beta-on-codebook", "pulls the latents with weight 0.25 and 2.5")(patients.Patient5)
reject(5, "beta-on-codebook", "it cures. You say: β weighs the pull on the codes")(VectorQuantizer)
reject(5, "losses-too-late", "Its loss pulls the codes with weight 1:")(Rewritten)
reject(5, "farthest-code", "40 of 40 random latents got their nearest code")(patients.Patient5)
reject(5, "mixed-channels", "no other positions of z_q change")(patients.Patient5)
reject(5, "reconstruction-trains-codebook", "1 arrives at the latents and 0 at the codebook")(patients.Patient5)
reject(5, "sound", "Not every latent gets its nearest code any more")(Farthest)
reject(5, "sound", WEIGHTS.format("1", "0.25"))(patients.Patient2)
reject(5, "sound", WEIGHTS.format("-0.75", "0"))(patients.Patient8)
reject(5, "sound", "are meant. A weight below 0 is a push")(patients.Patient8)
reject(5, "sound", "Nothing needs repair; but your version is not sound")(None)
reject(5, "updates-in-eval", "move its codebook by 0 in all")(patients.Patient5)


# Patient 6: counts start at 0 and sums at the codebook


class Starting(patients.Patient6):
    def start(self):
        raise NotImplementedError

    def __init__(self, num_codes, code_dim, beta=0.25, decay=0.99):
        super().__init__(num_codes, code_dim, beta, decay)
        self.start()


@accept(6, "ema-start")
class CountsAtOne(Starting):
    def start(self):
        self.ema_count.fill_(1)


@accept(6, "ema-start")
class SmallButConsistent(Starting):
    def start(self):
        self.ema_count.fill_(0.1)
        self.ema_sum.copy_(0.1 * self.codebook)


@accept(6, "ema-start")
class VerySmallButConsistent(Starting):
    """Laplace smoothing shortens idle codes by less than a hundredth a batch."""

    def start(self):
        self.ema_count.fill_(0.01)
        self.ema_sum.copy_(0.01 * self.codebook)


@reject(6, "ema-start", "codes that no latent chose have moved")
class AsSmallAsTheSmoothing(Starting):
    def start(self):
        self.ema_count.fill_(1e-4)
        self.ema_sum.copy_(1e-4 * self.codebook)


@accept(6, "ema-start")
class BothAtZeroAndGuarded(Starting):
    def start(self):
        self.ema_sum.zero_()

    @torch.no_grad()
    def update(self, z, indices):
        one_hot = F.one_hot(indices, self.num_codes).to(z)
        self.ema_count.lerp_(one_hot.sum(dim=0), 1 - self.decay)
        self.ema_sum.lerp_(one_hot.T @ z, 1 - self.decay)
        used = self.ema_count > 0
        self.codebook[used] = self.ema_sum[used] / self.ema_count[used, None]


accept(6, "ema-start")(EMAVectorQuantizer)

reject(6, "ema-start", "the patient itself, unchanged")(patients.Patient6)


@reject(6, "ema-start", "codes that no latent chose have moved")
class BothAtZero(Starting):
    def start(self):
        self.ema_sum.zero_()


@reject(6, "ema-start", "codes that no latent chose have moved")
class SumsAtZero(Starting):
    def start(self):
        self.ema_sum.zero_()
        self.ema_count.fill_(1)


@reject(6, "ema-start", "codes that no latent chose have moved")
class MoreSmoothing(patients.Patient6):
    def __init__(self, num_codes, code_dim, beta=0.25, decay=0.99):
        super().__init__(num_codes, code_dim, beta, decay)
        self.eps = 0.1


@reject(6, "ema-start", "codes that no latent chose have moved")
class CountsClamped(patients.Patient6):
    @torch.no_grad()
    def update(self, z, indices):
        super().update(z, indices)
        self.codebook.copy_(self.ema_sum / self.ema_count.clamp(min=1)[:, None])


@reject(6, "ema-start", "lies off the line between its old place and the mean of its latents")
class OnlyTheChosen(patients.Patient6):
    """Leaves the codes alone that nobody chose; the chosen ones still start from the wrong pair."""

    @torch.no_grad()
    def update(self, z, indices):
        before = self.codebook.clone()
        super().update(z, indices)
        idle = torch.bincount(indices, minlength=self.num_codes) == 0
        self.codebook[idle] = before[idle]


@reject(6, "ema-start", "codes that no latent chose have moved")
class Shortened(patients.Patient6):
    @torch.no_grad()
    def update(self, z, indices):
        super().update(z, indices)
        self.codebook.copy_(F.normalize(self.codebook))


@reject(6, "ema-start", "began with a small count goes about 29%")
class NoMemory(CountsAtOne):
    @torch.no_grad()
    def update(self, z, indices):
        used = indices.unique()
        self.codebook[used] = torch.stack([z[indices == index].mean(dim=0) for index in used])


@reject(6, "ema-start", "codes that no latent chose have moved")
class DecayTurnedRound(CountsAtOne):
    def __init__(self, num_codes, code_dim, beta=0.25, decay=0.99):
        super().__init__(num_codes, code_dim, beta, 1 - decay)


@reject(6, "ema-start", "In its first batch in train mode the codebook does not move")
class SkipsTheFirst(CountsAtOne):
    @torch.no_grad()
    def update(self, z, indices):
        if getattr(self, "begun", False):
            super().update(z, indices)
        self.begun = True


@reject(6, "ema-start", "In its second batch in train mode the codebook does not move")
class OnlyTheFirst(CountsAtOne):
    @torch.no_grad()
    def update(self, z, indices):
        if not getattr(self, "begun", False):
            super().update(z, indices)
        self.begun = True


@reject(6, "ema-start", "Of the 7 codes of a new quantizer some are equal")
class AllAtZero(Starting):
    def start(self):
        self.ema_count.fill_(1)
        self.codebook.zero_()
        self.ema_sum.zero_()


@reject(6, "ema-start", "some are equal")
class OneCodeForAll(Starting):
    def start(self):
        self.ema_count.fill_(1)
        self.codebook.copy_(self.codebook[:1].expand_as(self.codebook))
        self.ema_sum.copy_(self.codebook)


@reject(6, "ema-start", "In its first batch in train mode the codebook does not move")
class Frozen(patients.Patient6):
    def update(self, z, indices):
        pass


@reject(6, "ema-start", "A forward pass in eval mode changes the codebook")
class AlwaysUpdating(CountsAtOne):
    def forward(self, z_e):
        out = super().forward(z_e)
        if not self.training:
            self.update(self.to_rows(z_e.detach()), out.indices.flatten())
        return out


@reject(6, "ema-start", "as they were before the update")
class UpdatesFirst(CountsAtOne):
    def forward(self, z_e):
        out = super().forward(z_e)
        return out._replace(z_q=straight_through(z_e, self.lookup(out.indices)))


reject(6, "ema-start", "it follows a running mean, and no optimizer should move it")(VectorQuantizer)
reject(6, "restart-keeps-statistics", "it restarts no codes")(CountsAtOne)
reject(6, "updates-in-eval", "move its codebook by 0 in all")(patients.Patient6)
reject(6, "sound", "where no running mean of codes and latents can lie")(patients.Patient6)
reject(6, "beta-on-codebook", "the codes do not feel β")(patients.Patient6)


# Patient 7: rows are cropped by the width


@accept(7, "swapped-crop")
class CropMended(patients.Patient7):
    def forward(self, v, h):
        height, width = v.shape[2:]
        above = self.vertical(v)[:, :, self.start : self.start + height]
        left = self.horizontal(h)[..., self.start : self.start + width]
        step = self.out(gate(left + self.link(above)))
        return gate(above), h + step if self.start else step


accept(7, "swapped-crop")(GatedLayer)


@accept(7, "swapped crop")
class NothingToCrop(patients.Patient7):
    def forward(self, v, h):
        reach, size = self.vertical.kernel_size[1] // 2, self.vertical.kernel_size[0]
        top = F.pad(v, (reach, reach, size - self.start, self.start - 1))
        side = F.pad(h, (size - self.start, self.start - 1, 0, 0))
        above = F.conv2d(top, self.vertical.weight, self.vertical.bias)
        left = F.conv2d(side, self.horizontal.weight, self.horizontal.bias)
        step = self.out(gate(left + self.link(above)))
        return gate(above), h + step if self.start else step


reject(7, "swapped-crop", "the patient itself, unchanged")(patients.Patient7)


class Cropping(patients.Patient7):
    """A layer to crop wrongly with."""

    def crop(self, rows, columns, height, width):
        return rows[:, :, self.start : self.start + height], columns[..., self.start : self.start + width]

    def forward(self, v, h):
        above, left = self.crop(self.vertical(v), self.horizontal(h), *v.shape[2:])
        step = self.out(gate(left + self.link(above)))
        return gate(above), h + step if self.start else step


@reject(7, "swapped-crop", "It runs on a square map")
class HeightForBoth(Cropping):
    def crop(self, rows, columns, height, width):
        return super().crop(rows, columns, height, height)


@reject(7, "swapped-crop", "It runs on a square map")
class Shorter(Cropping):
    def crop(self, rows, columns, height, width):
        return super().crop(rows, columns, min(height, width), min(height, width))


@reject(7, "swapped-crop", "The repair is not yet")
class FromTheTop(Cropping):
    """In later layers the own row and column drop out."""

    def crop(self, rows, columns, height, width):
        return rows[:, :, :height], columns[..., :width]


@reject(7, "swapped-crop", "The repair is not yet")
class FromTheBottom(Cropping):
    """Cropped at the wrong end: later rows and columns come in."""

    def crop(self, rows, columns, height, width):
        return rows[:, :, -height:], columns[..., -width:]


@reject(7, "swapped-crop", "The repair is not yet")
class PaddedLess(patients.Patient7):
    """Symmetric padding needs no crop, and sees the future."""

    def forward(self, v, h):
        return gate(F.interpolate(self.vertical(v), v.shape[2:])), h


@reject(7, "swapped-crop", "The repair is not yet")
class ResidualInTheFirst(Cropping):
    def forward(self, v, h):
        new_v, new_h = super().forward(v, h)
        return new_v, new_h if self.start else h + new_h


@reject(7, "swapped-crop", "The repair is not yet")
class Unlinked(Cropping):
    def forward(self, v, h):
        above, left = self.crop(self.vertical(v), self.horizontal(h), *v.shape[2:])
        step = self.out(gate(left))
        return gate(above), h + step if self.start else step


@reject(7, "swapped-crop", "The repair is not yet")
class Turned(patients.Patient7):
    """The map is turned on its side, cropped, and turned back."""

    def forward(self, v, h):
        new_v, new_h = super().forward(v.mT, h.mT)
        return new_v.mT, new_h.mT


@reject(7, "swapped-crop", "v of 5 rows and 7 columns comes out of the layer as it went in")
class LeavesOthersAlone(patients.Patient7):
    """Maps that are not square are handed on."""

    def forward(self, v, h):
        return super().forward(v, h) if v.shape[2] == v.shape[3] else (v, h)


@reject(7, "swapped-crop", "v of 5 rows and 5 columns comes out of the layer as it went in")
class Idle(patients.Patient7):
    def forward(self, v, h):
        return v, h


@reject(7, "swapped-crop", "v of 5 rows and 7 columns comes out of the layer as it went in")
class OnlyTheNewH(Cropping):
    def forward(self, v, h):
        new_v, new_h = super().forward(v, h)
        return new_v if v.shape[2] == v.shape[3] else v, new_h


@reject(7, "swapped-crop", "You add v to the new v")
class ResidualInBoth(Cropping):
    def forward(self, v, h):
        new_v, new_h = super().forward(v, h)
        return v + new_v, new_h


@reject(7, "swapped-crop", "5 rows and 7 columns. Your class raised AttributeError")
class Misspelt(Cropping):
    def forward(self, v, h):
        if v.shape[2] != v.shape[3]:
            self.cropped = self.breadth
        return super().forward(v, h)


@reject(7, "swapped-crop", "5 rows and 7 columns. Your class raised RuntimeError: the map is not square")
class NotSupported(Cropping):
    def forward(self, v, h):
        if v.shape[2] != v.shape[3]:
            raise RuntimeError("the map is not square")
        return super().forward(v, h)


@reject(7, "swapped-crop", "Your class raised TypeError")
class TakesOne(patients.Patient7):
    def forward(self, v):
        return super().forward(v, v)


reject(7, "swapped-crop", "Somewhere rows and columns are swapped")(HeightForBoth)

reject(7, "mask-hides-centre", "25 of 25 positions of the new h feel h at their own")(CropMended)
reject(7, "future-leak", "0 of 25 positions feel their own place or a later one")(patients.Patient7)
reject(7, "sound", "there are maps that it cannot take")(patients.Patient7)
reject(7, "inplace-skip", "A forward pass changes its inputs by 0")(CropMended)
reject(7, "softmax-twice", "no softmax made them")(CropMended)


# Patient 8: losses after straight-through


@accept(8, "losses-too-late")
class Earlier(patients.Patient8):
    def forward(self, z_e):
        indices = self.choose(z_e)
        e_k = self.lookup(indices)
        codebook_loss = F.mse_loss(e_k, z_e.detach())
        commitment_loss = F.mse_loss(z_e, e_k.detach())
        loss = codebook_loss + self.beta * commitment_loss
        return Quantized(straight_through(z_e, e_k), indices, loss, codebook_loss, commitment_loss)


accept(8, "losses-too-late")(VectorQuantizer)
accept(8, "Losses too late")(Rewritten)


@reject(8, "losses-too-late", WEIGHTS.format("0.25", "0"))
class CodebookDetached(Rewritten):
    """Both ends of the codebook loss are stopped now."""

    def terms(self, z_e, e_k):
        return F.mse_loss(straight_through(z_e.detach(), e_k), z_e.detach()), F.mse_loss(z_e, e_k.detach())


@reject(8, "losses-too-late", WEIGHTS.format("1", "0.25"))
class SwappedNow(Rewritten):
    def terms(self, z_e, e_k):
        return F.mse_loss(z_e, e_k.detach()), F.mse_loss(e_k, z_e.detach())


reject(8, "losses-too-late", "the patient itself, unchanged")(patients.Patient8)
reject(8, "beta-on-codebook", "the codes with weight 0 and 0: the codes do not feel β")(patients.Patient8)
reject(8, "beta-on-codebook", "A weight below 0 is a push: the latents move away from their codes")(patients.Patient8)
reject(8, "beta-on-codebook", "the diagnosis is not what it cures")(VectorQuantizer)
reject(8, "sound", "one of the two things that its loss should move does not move")(patients.Patient8)
reject(8, "reconstruction-trains-codebook", "1 arrives at the latents and 0 at the codebook")(patients.Patient8)


# Patient 9: a restart that the statistics undo


@accept(9, "restart-keeps-statistics")
class ResetAll(patients.Patient9):
    @torch.no_grad()
    def update(self, z, indices):
        EMAVectorQuantizer.update(self, z, indices)
        dead = (self.ema_count < self.min_count).nonzero().flatten()
        self.reset_codes(dead, z[torch.randint(len(z), dead.shape)])


@accept(9, "restart-keeps-statistics")
class ResetFirst(patients.Patient9):
    @torch.no_grad()
    def update(self, z, indices):
        dead = self.ema_count < self.min_count
        fresh = z[torch.randint(len(z), (self.num_codes,))]
        self.ema_sum = torch.where(dead[:, None], fresh, self.ema_sum)
        self.ema_count = torch.where(dead, 1.0, self.ema_count)
        EMAVectorQuantizer.update(self, z, indices)


@accept(9, "restart-keeps-statistics")
class KeepsTheSmallCount(patients.Patient9):
    """The sum fits the count that is there; a code restarts until it is used."""

    @torch.no_grad()
    def update(self, z, indices):
        EMAVectorQuantizer.update(self, z, indices)
        for code in (self.ema_count < self.min_count).nonzero().flatten().tolist():
            self.codebook[code] = z[int(torch.randint(len(z), ()))]
            self.ema_sum[code] = self.ema_count[code] * self.codebook[code]


def restarting(name, restart):
    class Variant(patients.Patient9):
        @torch.no_grad()
        def update(self, z, indices):
            EMAVectorQuantizer.update(self, z, indices)
            restart(self, self.ema_count < self.min_count, z[torch.randint(len(z), (self.num_codes,))])

    Variant.__name__ = name
    return Variant


def only_later(q, dead, fresh):
    q.codebook[dead] = fresh[dead]


def with_sum(q, dead, fresh):
    q.codebook[dead] = q.ema_sum[dead] = fresh[dead]


def with_count(q, dead, fresh):
    q.codebook[dead], q.ema_count[dead] = fresh[dead], 1.0


def with_sum_of_two(q, dead, fresh):
    q.codebook[dead], q.ema_count[dead], q.ema_sum[dead] = fresh[dead], 1.0, 2 * fresh[dead]


def to_noise(q, dead, fresh):
    q.reset_codes(dead.nonzero().flatten(), torch.randn_like(fresh)[dead])


def to_zero(q, dead, fresh):
    q.reset_codes(dead.nonzero().flatten(), torch.zeros_like(fresh)[dead])


def to_one_place(q, dead, fresh):
    q.reset_codes(dead.nonzero().flatten(), fresh[:1].expand_as(fresh)[dead])


def ignoring_min_count(q, dead, fresh):
    q.reset_codes((q.ema_count < 0.95).nonzero().flatten(), fresh[q.ema_count < 0.95])


def everything(q, dead, fresh):
    if q.min_count:
        q.reset_codes(torch.arange(q.num_codes), fresh)


def at_once(q, dead, fresh):
    q.reset_codes((q.ema_count < 1).nonzero().flatten(), fresh[q.ema_count < 1])


def nothing(q, dead, fresh):
    pass


def frozen_for_good(q, dead, fresh):
    q.reset_codes(dead.nonzero().flatten(), fresh[dead], count=1e6)


def wiping_all(q, dead, fresh):
    q.codebook[dead] = fresh[dead]
    if dead.any():
        q.ema_sum.copy_(q.codebook)
        q.ema_count.fill_(1)


def evening_out(q, dead, fresh):
    """Every code gets the same share of what was counted."""
    q.codebook[dead] = fresh[dead]
    if dead.any():
        q.ema_count.fill_(float(q.ema_count.mean()))
        q.ema_sum.copy_(q.ema_count[:, None] * q.codebook)


def one_at_a_time(q, dead, fresh):
    first = dead.nonzero().flatten()[:1]
    q.reset_codes(first, fresh[first])


def all_but_one(q, dead, fresh):
    some = dead.nonzero().flatten()
    some = some[: max(1, len(some) - 1)]
    q.reset_codes(some, fresh[some])


def at_half(q, dead, fresh):
    dead = (q.ema_count < q.min_count / 2).nonzero().flatten()
    q.reset_codes(dead, fresh[dead])


def at_a_tenth(q, dead, fresh):
    """Whatever min_count says; but not for a min_count of 0."""
    dead = (q.ema_count < min(0.1, q.min_count)).nonzero().flatten()
    q.reset_codes(dead, fresh[dead])


def at_double(q, dead, fresh):
    dead = (q.ema_count < 2 * q.min_count).nonzero().flatten()
    q.reset_codes(dead, fresh[dead])


def only_once(q, dead, fresh):
    if not hasattr(q, "had"):
        q.had = torch.zeros_like(dead)
    dead = dead & ~q.had
    q.had |= dead
    q.reset_codes(dead.nonzero().flatten(), fresh[dead])


def beside_a_latent(q, dead, fresh):
    q.reset_codes(dead.nonzero().flatten(), (fresh + 0.3 * torch.randn_like(fresh))[dead])


def on_a_live_code(q, dead, fresh):
    live = (~dead).nonzero().flatten()
    drawn = live[torch.randint(len(live), (int(dead.sum()),))]
    q.reset_codes(dead.nonzero().flatten(), q.codebook[drawn])


@accept(9, "restart-keeps-statistics")
class CountOfTheOthers(patients.Patient9):
    """A restarted code begins with the mean of the running counts, restarted in forward."""

    def update(self, z, indices):
        EMAVectorQuantizer.update(self, z, indices)

    def forward(self, z_e):
        out = super().forward(z_e)
        if self.training:
            rows = self.to_rows(z_e.detach())
            dead = (self.ema_count < self.min_count).nonzero().flatten()
            drawn = torch.randperm(len(rows))[: len(dead)]
            self.reset_codes(dead, rows[drawn], count=float(self.ema_count.mean()))
        return out


@reject(9, "restart-keeps-statistics", "are moved, but not to where a latent of that batch lies")
class ToTheMean(patients.Patient9):
    @torch.no_grad()
    def update(self, z, indices):
        EMAVectorQuantizer.update(self, z, indices)
        dead = (self.ema_count < self.min_count).nonzero().flatten()
        self.reset_codes(dead, z.mean(dim=0).expand(len(dead), -1))


@reject(9, "restart-keeps-statistics", "A forward pass in eval mode restarts codes")
class RestartsInEval(patients.Patient9):
    def update(self, z, indices):
        EMAVectorQuantizer.update(self, z, indices)

    def forward(self, z_e):
        dead = (self.ema_count < self.min_count).nonzero().flatten()
        rows = self.to_rows(z_e.detach())
        out = super().forward(z_e)
        self.reset_codes(dead, rows[torch.randint(len(rows), dead.shape)])
        return out


@reject(6, "ema-start", "The default of beta in your version is 0.5; it was 0.25.")
class AnotherDefault(patients.Patient6):
    def __init__(self, num_codes, code_dim, beta=0.5, decay=0.99):
        super().__init__(num_codes, code_dim, beta, decay)
        self.ema_count.fill_(1)


@reject(9, "restart-keeps-statistics", "Codes always restart on the first latents of the batch")
class TheFirst(patients.Patient9):
    @torch.no_grad()
    def update(self, z, indices):
        EMAVectorQuantizer.update(self, z, indices)
        dead = (self.ema_count < self.min_count).nonzero().flatten()
        self.reset_codes(dead, z[: len(dead)])


for restart, fragment in (
    (only_later, "throws some of them to a place"),
    (with_sum, "throws some of them to a place"),
    (with_count, "throws some of them to a place"),
    (with_sum_of_two, "throws some of them to a place"),
    (to_noise, "are moved, but not to where a latent of that batch lies"),
    (to_zero, "are moved, but not to where a latent of that batch lies"),
    (frozen_for_good, "neither followed them nor restarted there"),
    (wiping_all, "a code that was in use all the time goes"),
    (evening_out, "a code that was in use all the time goes"),
    (one_at_a_time, "Four codes fall below min_count at the same batch, and 1 of them restarts; each should"),
    (all_but_one, "Four codes fall below min_count at the same batch, and 3 of them restart; each should"),
    (at_half, "and the code does not restart in this batch, nor in the next"),
    (at_a_tenth, "and the code does not restart in this batch, nor in the next"),
    (at_double, "A code restarts when its running count has fallen to"),
    (only_once, "neither followed them nor restarted there"),
    (beside_a_latent, "are moved, but not to where a latent of that batch lies"),
    (on_a_live_code, "The repair is not yet."),
    (to_one_place, "put on one and the same latent"),
    (everything, "Codes that are in use are restarted as well"),
    (at_once, "codes that no latent chose have moved, though none has fallen below min_count"),
    (ignoring_min_count, "though none has fallen below min_count"),
    (nothing, "and after none of these batches do they lie on a latent of it: they stay where they are"),
):
    reject(9, "restart-keeps-statistics", fragment)(restarting(restart.__name__, restart))

reject(9, "restart-keeps-statistics", "the patient itself, unchanged")(patients.Patient9)
reject(9, "restart-keeps-statistics", "Keep the arguments")(EMAVectorQuantizer)
reject(9, "ema-start", "the others moved towards the mean of their latents")(ResetAll)
reject(9, "updates-in-eval", "move its codebook by 0 in all")(ResetAll)
reject(9, "sound", "codes that fell out of use stay out of use")(patients.Patient9)

test_right_answers_are_accepted, test_wrong_answers_are_rejected = answers.tests()


# Hints that would mislead


@pytest.mark.parametrize("repaired", [Misspelt, NotSupported, TakesOne])
def test_rows_and_columns_are_only_suspected_where_sizes_do_not_fit(repaired):
    report = check("patient_7", answering("swapped-crop", repaired))
    assert "swapped" not in str(report).replace("swapped-crop", "")
    assert "function" not in report.message


@pytest.mark.parametrize("repaired", [restarting("noise", to_noise), restarting("zero", to_zero), ToTheMean])
def test_the_order_of_lines_is_only_suspected_where_no_code_moves(repaired):
    report = check("patient_9", answering("restart-keeps-statistics", repaired))
    assert report.message
    assert not report.hint


@pytest.mark.parametrize("repaired", [VectorQuantizer, EMAVectorQuantizer, GatedLayer])
def test_a_class_of_the_package_is_a_repair_as_the_notebook_says(repaired):
    for number, finding in ((2, "beta-on-codebook"), (6, "ema-start"), (7, "swapped-crop"), (8, "losses-too-late")):
        base = GatedLayer if number == 7 else patients.PATIENTS[number - 1].__base__
        assert check(f"patient_{number}", answering(finding, repaired)).correct == (repaired is base)


# Every wrong diagnosis of every patient


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("number", range(1, 10))
def test_a_diagnosis_is_right_or_refused_with_what_speaks_against_it(number, finding):
    patient = patients.PATIENTS[number - 1]
    sort = SORT[patient]
    report = check(f"patient_{number}", lambda: (finding, patient))
    if finding == ailment(patient, sort):
        assert report.correct or "The diagnosis is right" in report.message
        return
    claim, _, counter = report.message.partition(f"You say: {FINDINGS[finding]}. ")
    assert not report.correct
    assert counter
    assert claim in ("", "The repaired version is as it should be, but the diagnosis is not what it cures. ")
    specific = counter.startswith("It does not: ") if finding == "sound" else LACKS.get(finding, "") in counter
    assert specific or any(character.isdigit() for character in counter)
    for other in FINDINGS:
        assert f" {other}" not in str(report)  # nothing names the right one
    assert SORTS[sort] in counter or not counter.startswith("It is a ")
