"""The patients of the bug clinic: each shows its own fault, and none of the others."""

import inspect

import pytest
import torch
from torch import nn

from vqvae_course.checks import patients
from vqvae_course.checks.chapter_14_bug_clinic import EXAMINE, FINDINGS, PROBES, SORT, SORTS, ailment, probe
from vqvae_course.encdec import ResidualLayer
from vqvae_course.pixelcnn import GatedLayer
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer, restart_dead_codes

FAULTS = {
    patients.Patient1: "shared-layers",
    patients.Patient2: "beta-on-codebook",
    patients.Patient3: "inplace-skip",
    patients.Patient4: "wrong-range-variance",
    patients.Patient5: "sound",
    patients.Patient6: "ema-start",
    patients.Patient7: "swapped-crop",
    patients.Patient8: "losses-too-late",
    patients.Patient9: "restart-keeps-statistics",
}


class SoundRestarting(EMAVectorQuantizer):
    """The package's own restart, after each update."""

    def __init__(self, num_codes, code_dim, beta=0.25, decay=0.99, min_count=0.1):
        super().__init__(num_codes, code_dim, beta, decay)
        self.min_count = min_count

    def update(self, z, indices):
        super().update(z, indices)
        if self.min_count:
            restart_dead_codes(self, z.T[None, :, None], min_usage=self.min_count)


def sound_stack(channels, hidden, layers):
    return nn.Sequential(*(ResidualLayer(channels, hidden) for _ in range(layers)))


SOUND = {
    "stack": sound_stack,
    "quantizer": VectorQuantizer,
    "ema": EMAVectorQuantizer,
    "restarting": SoundRestarting,
    "layer": GatedLayer,
    "loss": lambda images: _Unit(images),
}


class _Unit:
    def __init__(self, images):
        self.variance = float(self.prepare(images).double().var(correction=0))

    def prepare(self, images):
        return images / 255 * 2 - 1

    def __call__(self, x, x_hat):
        return (x - x_hat).square().mean() / self.variance


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("patient", FAULTS, ids=lambda patient: patient.__name__)
def test_a_patient_has_its_own_fault_and_no_other(patient, seed):
    torch.manual_seed(seed)
    found = [finding for finding in PROBES if probe(finding, patient, SORT[patient]).found]
    assert found == [fault for fault in [FAULTS[patient]] if fault != "sound"]
    assert ailment(patient, SORT[patient]) == FAULTS[patient]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # ``check`` lets none through
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sort", SORTS)
def test_what_the_package_has_of_a_sort_is_found_sound(sort, seed):
    torch.manual_seed(seed)
    assert ailment(SOUND[sort], sort) == "sound"
    EXAMINE[sort](SOUND[sort], sort)


def test_every_patient_is_of_a_sort_and_eight_of_nine_are_ill():
    assert list(FAULTS) == list(patients.PATIENTS) == list(SORT)
    assert set(SORT.values()) == set(SORTS) == set(EXAMINE)
    assert len(set(FAULTS.values())) == 9
    assert [name for name, fault in FAULTS.items() if fault == "sound"] == [patients.Patient5]


def test_every_finding_has_a_probe_and_every_probe_a_finding():
    assert set(PROBES) == set(FINDINGS) - {"sound"}


@pytest.mark.parametrize("patient", FAULTS, ids=lambda patient: patient.__name__)
def test_a_patient_is_short_and_does_not_tell_what_ails_it(patient):
    source = inspect.getsource(patient)
    code = source.replace(patient.__doc__, "").strip().splitlines()
    assert len(code) <= 35
    assert all(len(line) <= 92 for line in code[1:])
    assert "#" not in source
    for word in ("fault", "bug", "wrong", "mistake", "sound", "swap"):
        assert word not in source.lower()


# What the probes measure, seen once more in another way


def test_patient_1_has_the_parameters_of_one_layer_however_deep():
    shallow, deep = patients.Patient1(3, 5, 1), patients.Patient1(3, 5, 6)
    assert len(list(deep.parameters())) == len(list(shallow.parameters()))
    assert len(list(sound_stack(3, 5, 6).parameters())) == 6 * len(list(shallow.parameters()))


def test_patient_2_pulls_latents_with_weight_one_whatever_beta():
    z_e = torch.randn(2, 3, 4, 5).requires_grad_()
    quantizers = [patients.Patient2(7, 3, beta) for beta in (0.25, 2.5)]
    quantizers[1].codebook.data.copy_(quantizers[0].codebook)
    pulls = [torch.autograd.grad(q(z_e).loss, (z_e, q.codebook)) for q in quantizers]
    assert torch.allclose(pulls[0][0], pulls[1][0])
    assert torch.allclose(10 * pulls[0][1], pulls[1][1], atol=1e-6)


def test_patient_3_loses_what_is_negative():
    stack = patients.Patient3(3, 5, 2)
    x = torch.randn(2, 3, 4, 5)
    before = x.clone()
    out = stack(x)
    assert torch.equal(x, before.relu())
    assert torch.equal(out, stack(before.relu()))


def test_patient_4_is_four_times_too_large():
    images = torch.randint(0, 256, (20, 1, 5, 6), dtype=torch.uint8)
    measure = patients.Patient4(images)
    x = measure.prepare(images)
    assert float(measure(x, x.mean().expand_as(x))) == pytest.approx(4, rel=1e-4)


def test_patient_5_is_the_quantizer_of_the_package():
    patient, package = patients.Patient5(7, 3, 0.3), VectorQuantizer(7, 3, 0.3)
    package.load_state_dict(patient.state_dict())
    z_e = torch.randn(2, 3, 4, 5).requires_grad_()
    for mine, theirs in zip(patient(z_e), package(z_e), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    both = [torch.autograd.grad(q(z_e).loss, (z_e, q.codebook)) for q in (patient, package)]
    for mine, theirs in zip(*both, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_patient_6_makes_codes_that_nobody_chose_vastly_long():
    quantizer = patients.Patient6(6, 4)
    before = quantizer.codebook.clone()
    indices = quantizer(before[:1].T[None, :, None].expand(1, 4, 3, 5)).indices
    assert indices.unique().tolist() == [0]
    assert (quantizer.codebook[1:].norm(dim=1) > 1000 * before[1:].norm(dim=1)).all()


def test_patient_7_is_right_on_squares_and_stops_elsewhere():
    patient, package = patients.Patient7(3, 5), GatedLayer(3, 5)
    package.load_state_dict(patient.state_dict())
    v, h = torch.randn(2, 2, 3, 6, 6)
    for mine, theirs in zip(patient(v, h), package(v, h), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    with pytest.raises(RuntimeError):
        patient(v[:, :, :4], h[:, :, :4])


def test_patient_8_has_a_loss_of_the_right_value_that_never_moves_a_code():
    patient, package = patients.Patient8(7, 3), VectorQuantizer(7, 3)
    package.load_state_dict(patient.state_dict())
    z_e = torch.randn(2, 3, 4, 5).requires_grad_()
    assert torch.allclose(patient(z_e).loss, package(z_e).loss)
    (to_codes,) = torch.autograd.grad(patient(z_e).loss, patient.codebook, allow_unused=True)
    assert to_codes is None


def test_patient_9_ends_where_it_would_end_without_restarting():
    patient, package = patients.Patient9(6, 4, decay=0.5), EMAVectorQuantizer(6, 4, decay=0.5)
    package.load_state_dict(patient.state_dict())
    for _ in range(8):
        z_e = patient.codebook[:1].T[None, :, None].expand(1, 4, 3, 5) + 0.1 * torch.randn(1, 4, 3, 5)
        patient(z_e), package(z_e)
        assert torch.equal(patient.codebook, package.codebook)
    assert (patient.ema_count < patient.min_count).any()
