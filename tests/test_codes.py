"""Codes on disk, the identity of the model they belong to, and the way back to images."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch

from vqvae_course import data
from vqvae_course.data import (
    CodeSet,
    ImageSet,
    as_float,
    decode_codes,
    encode_dataset,
    fingerprint,
    load_codes,
    save_codes,
)
from vqvae_course.evaluate import evaluate_vqvae2
from vqvae_course.metrics import perplexity
from vqvae_course.train import load_checkpoint, save_checkpoint, vqvae2_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

N, C, H, W, K = 9, 3, 8, 12, 7  # maps of 2 x 3


def build(seed=0, **changes):
    torch.manual_seed(seed)
    config = {"in_channels": C, "hidden": 4, "residual_layers": 1, "residual_hidden": 3, "num_codes": K, "code_dim": 2}
    return VQVAE(VQVAEConfig(**{**config, "normalize_latents": True, **changes})).eval()


@pytest.fixture
def model():
    return build()


@pytest.fixture
def codes(model):
    images = torch.randint(256, (N, C, H, W), dtype=torch.uint8)
    return encode_dataset(model, ImageSet(images, torch.arange(N) % 4, "noise"))


@pytest.fixture
def path(tmp_path, codes, model):
    save_codes(tmp_path / "codes.npz", codes, model)
    return tmp_path / "codes.npz"


def same(one: CodeSet, other: CodeSet) -> bool:
    return torch.equal(one.indices, other.indices) and torch.equal(one.labels, other.labels) and one.name == other.name


# --- from maps to images


@pytest.mark.parametrize("batch_size", [1, 4, N, 100])
def test_decoding_a_set_gives_the_image_of_each_map_in_order_and_clipped(model, codes, batch_size):
    got = decode_codes(model, codes.indices, batch_size)
    with torch.no_grad():
        one_by_one = torch.cat([model.decode(each[None]) for each in codes.indices]).clamp(0, 1)
    assert got.shape == (N, C, H, W)
    torch.testing.assert_close(got, one_by_one)


def test_what_goes_beyond_black_or_white_is_cut_off(model, codes):
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(5)
    got = decode_codes(model, codes.indices)
    assert float(got.min()) == 0
    assert float(got.max()) == 1


@pytest.mark.parametrize("mode", [True, False])
def test_decoding_a_set_leaves_the_model_as_it_was_and_keeps_no_graph(model, codes, mode):
    model.train(mode)
    before = fingerprint(model)
    assert not decode_codes(model, codes.indices).requires_grad
    assert model.training is mode
    assert fingerprint(model) == before


def test_decoding_runs_in_eval_mode(model, codes):
    expected = decode_codes(model, codes.indices)
    model.decoder = torch.nn.Sequential(model.decoder, torch.nn.Dropout(0.9)).train()
    torch.testing.assert_close(decode_codes(model, codes.indices), expected)


# --- the identity of a model


def test_the_fingerprint_is_that_of_the_weights_and_not_of_the_object(model):
    other = build(seed=1)
    assert fingerprint(other) != fingerprint(model)
    other.load_state_dict(model.state_dict())
    assert fingerprint(other) == fingerprint(model) == fingerprint(copy.deepcopy(model))


def test_the_fingerprint_does_not_depend_on_the_mode_or_the_layout_in_memory(model):
    before = fingerprint(model)
    assert fingerprint(model.train()) == before
    assert fingerprint(model.to(memory_format=torch.channels_last)) == before


def test_every_number_of_a_model_is_in_its_fingerprint(model):
    before = fingerprint(model)
    for name, value in model.state_dict().items():
        kept = value.clone()
        value.view(-1)[-1] += 1
        assert fingerprint(model) != before, name
        value.copy_(kept)
    assert fingerprint(model) == before


def test_the_same_weights_under_another_configuration_are_another_model(model):
    other = build(beta=0.5)
    other.load_state_dict(model.state_dict())
    assert fingerprint(other) != fingerprint(model)


def test_the_type_of_numbers_belongs_to_the_fingerprint(model):
    assert fingerprint(copy.deepcopy(model).double()) != fingerprint(model)


# --- codes on disk


def test_codes_come_back_as_they_went(path, codes, model):
    loaded = load_codes(path, model)
    assert same(loaded, codes)
    assert loaded.indices.dtype == loaded.labels.dtype == torch.int64


def test_the_name_of_the_file_is_used_as_it_is_and_its_folder_is_made(tmp_path, codes, model):
    save_codes(tmp_path / "new" / "folder" / "codes", codes, model)
    assert [each.name for each in (tmp_path / "new" / "folder").iterdir()] == ["codes"]
    assert same(load_codes(str(tmp_path / "new" / "folder" / "codes"), model), codes)


def test_codes_of_another_model_are_refused_with_both_fingerprints_and_the_cure(path, model):
    other = build(seed=1)
    ours, theirs = fingerprint(other)[:12], fingerprint(model)[:12]
    with pytest.raises(
        ValueError, match=f"must hold codes of this model, {ours}, got codes of {theirs}: load the model"
    ):
        load_codes(path, other)


def test_codes_are_refused_after_one_more_update_of_the_codebook(path, model):
    model.train()(torch.rand(2, C, H, W))
    with pytest.raises(ValueError, match="encode the images again with encode_dataset"):
        load_codes(path, model.eval())


def test_codes_are_refused_after_one_more_step_of_the_decoder(path, model):
    optimizer = torch.optim.SGD(model.decoder.parameters(), lr=1e-3)
    model(torch.rand(2, C, H, W)).loss.backward()
    optimizer.step()
    with pytest.raises(ValueError, match="must hold codes of this model"):
        load_codes(path, model)


def test_the_same_model_from_a_checkpoint_is_accepted(path, tmp_path, codes, model):
    save_checkpoint(tmp_path / "model.pt", model)
    assert same(load_codes(path, load_checkpoint(tmp_path / "model.pt").model), codes)


def test_a_missing_file_is_called_missing(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_codes(tmp_path / "nowhere.npz", model)


@pytest.mark.parametrize("kept", [0, 40, 0.5, 0.9])
def test_a_damaged_file_is_refused(path, model, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(ValueError, match="must be a file from save_codes, got a damaged or foreign one"):
        load_codes(path, model)


def test_a_file_with_a_flipped_byte_is_refused(path, model):
    content = bytearray(path.read_bytes())
    start = content.index(b"indices.npy") + 60  # inside the compressed maps
    content[start] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_codes(path, model)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("inside", [False, True], ids=["a bare pickle", "an object inside an npz"])
def test_a_pickled_file_is_refused_and_runs_no_code(tmp_path, model, inside):
    path, trace = tmp_path / "codes.npz", tmp_path / "trace"
    if inside:
        bomb = np.array([Bomb(trace)], dtype=object)
        with path.open("wb") as file:
            np.savez(file, format=1, indices=bomb, labels=np.zeros(1), name="x", model="y")
    else:
        path.write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_codes(path, model)
    assert not trace.exists()


def test_a_foreign_array_is_refused(tmp_path, model):
    np.save(tmp_path / "codes.npy", np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_codes(tmp_path / "codes.npy", model)
    np.savez(tmp_path / "codes.npz", indices=np.zeros((3, 2, 2), dtype=np.int64))
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_codes(tmp_path / "codes.npz", model)


def test_a_file_of_another_format_is_refused_by_its_number_whatever_else_it_holds(tmp_path, model):
    np.savez(tmp_path / "codes.npz", format=99)
    with pytest.raises(ValueError, match=re.escape("must be a file of codes of format 1, got 99: encode the images")):
        load_codes(tmp_path / "codes.npz", model)


def test_an_interrupted_write_keeps_the_old_file_and_leaves_nothing_else(monkeypatch, path, codes, model):
    def stop(file, **content):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(data.np, "savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        save_codes(path, codes._replace(name="another"), model)
    assert same(load_codes(path, model), codes)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_later_write_replaces_the_file(path, codes, model):
    other = CodeSet(codes.indices[:4], codes.labels[:4], "fewer")
    save_codes(path, other, model)
    assert same(load_codes(path, model), other)


# --- hierarchies


@pytest.fixture
def hierarchy():
    torch.manual_seed(0)
    config = VQVAE2Config(
        C, 4, 1, 3, num_codes=(K, K + 2, K + 4), code_dim=2, strides=(2, 2, 2), normalize_latents=True
    )
    return VQVAE2(config).eval()


@pytest.fixture
def exact(hierarchy, monkeypatch):
    """The same in double precision: batches of two sizes round differently, and a latent may lie between two codes."""
    monkeypatch.setattr(hierarchy.double(), "features", lambda x: VQVAE2.features(hierarchy, x.double()))
    return hierarchy


@pytest.fixture
def pictures():
    return ImageSet(torch.randint(256, (N, C, 16, 24), dtype=torch.uint8), torch.arange(N) % 4, "noise")


@pytest.mark.parametrize("batch_size", [1, 4, N, 100])
def test_encoding_levels_gives_the_maps_of_each_image_in_order_with_those_above(exact, pictures, batch_size):
    levels = data.encode_levels(exact, pictures, batch_size)
    one_by_one = [exact.encode(as_float(image[None])) for image in pictures.images]
    for depth, codes in enumerate(levels):
        assert torch.equal(codes.indices, torch.cat([maps[depth] for maps in one_by_one]))
        assert torch.equal(codes.labels, pictures.labels)
        assert codes.name == "noise"
        assert len(codes.above) == depth
        assert all(torch.equal(maps, levels[other].indices) for other, maps in enumerate(codes.above))


@pytest.mark.parametrize("batch_size", [1, 4, N, 100])
def test_decoding_levels_gives_the_image_of_each_set_of_maps_in_order_and_clipped(hierarchy, pictures, batch_size):
    maps = [codes.indices for codes in data.encode_levels(hierarchy, pictures)]
    got = data.decode_levels(hierarchy, maps, batch_size)
    with torch.no_grad():
        one_by_one = torch.cat([hierarchy.decode([one[row : row + 1] for one in maps]) for row in range(N)])
    assert got.shape == (N, C, 16, 24)
    torch.testing.assert_close(got, one_by_one.clamp(0, 1))


def test_batches_of_a_lower_level_bring_the_maps_above_of_the_same_images(hierarchy, pictures):
    bottom = data.encode_levels(hierarchy, pictures)[-1]
    numbered = bottom._replace(labels=torch.arange(N))
    batch = next(data.Batches(numbered, 4))
    assert len(batch.above) == 2
    for maps, whole in zip(batch.above, bottom.above, strict=True):
        assert torch.equal(maps, whole[batch.labels])
    assert torch.equal(batch.x, bottom.indices[batch.labels])


def test_the_maps_above_are_written_and_read_with_their_level(hierarchy, pictures, tmp_path):
    for codes in data.encode_levels(hierarchy, pictures):
        save_codes(tmp_path / "level.npz", codes, hierarchy)
        again = load_codes(tmp_path / "level.npz", hierarchy)
        assert same(codes, again)
        assert len(again.above) == len(codes.above)
        assert all(torch.equal(one, other) for one, other in zip(again.above, codes.above, strict=True))


def test_the_scores_of_a_hierarchy_are_those_of_its_parts(exact, pictures):
    scores = evaluate_vqvae2(exact, pictures, batch_size=4)
    levels = data.encode_levels(exact, pictures)
    x_hat = exact.decode([codes.indices for codes in levels])
    mse = float((x_hat - pictures.images / 255).square().mean().detach())
    assert scores.mse == pytest.approx(mse, rel=1e-4)
    assert scores.normalized_mse == pytest.approx(mse / exact.config.data_variance, rel=1e-4)
    assert scores.psnr == pytest.approx(-10 * np.log10(mse), rel=1e-4)
    for depth, codes in enumerate(levels):
        k = exact.config.num_codes[depth]
        assert scores.perplexity[depth] == pytest.approx(float(perplexity(codes.indices, k)))
        assert scores.codes_used[depth] == len(codes.indices.unique())


@pytest.mark.parametrize(
    ("levels", "names"), [(2, ["top", "bottom"]), (3, ["top", "middle", "bottom"])], ids=["two", "three"]
)
def test_the_step_logs_the_perplexity_of_each_level_by_name(levels, names):
    config = VQVAE2Config(C, 4, 1, 3, num_codes=(K, K + 2, K + 4)[:levels], code_dim=2, strides=(2,) * levels)
    model, x = VQVAE2(config), torch.rand(2, C, 16, 24)
    loss, logs = vqvae2_step(model, data.Batch(x, torch.zeros(2, dtype=torch.int64)))
    model.eval()
    for name, indices, k in zip(names, model(x).indices, config.num_codes, strict=True):
        assert 1 <= float(logs[f"perplexity_{name}"]) <= k
        assert len(indices) == 2
    expected = logs["recon_loss"] + config.beta * logs["commitment_loss"]
    torch.testing.assert_close(loss, expected)


def test_a_checkpoint_rebuilds_a_hierarchy(hierarchy, pictures, tmp_path):
    save_checkpoint(tmp_path / "model.pt", hierarchy)
    again = load_checkpoint(tmp_path / "model.pt").model
    assert again.config == hierarchy.config
    assert fingerprint(again) == fingerprint(hierarchy)
