import csv
import json
import shlex
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from tests.cli.runs import CLASSES, K_TOP, N_TEST, N_TRAIN, ONE_LEVEL, PRIOR, TWO_LEVELS, H, K, W, content
from vqvae_course.checkpoint import load_checkpoint
from vqvae_course.cli import sample as sample_command
from vqvae_course.cli.sample import priors_of
from vqvae_course.cli.trained import open_trained
from vqvae_course.conditional import ConditionalPrior
from vqvae_course.data import as_float, decode_codes, decode_levels, encode_dataset, encode_levels, load_images
from vqvae_course.evaluate import evaluate_prior, evaluate_vqvae, evaluate_vqvae2
from vqvae_course.pixelcnn import GatedPixelCNN
from vqvae_course.pixelsnail import PixelSNAIL
from vqvae_course.sampling import sample, sample_levels
from vqvae_course.vqvae import VQVAE

BOTH = pytest.mark.parametrize("options", [ONE_LEVEL, TWO_LEVELS], ids=["vqvae", "vqvae2"])


@pytest.fixture
def rows(monkeypatch) -> list:
    """Collect the rows of every grid that ``sample`` draws."""
    grids, draw = [], sample_command.mosaic

    def spy(images):
        grids.append(images)
        return draw(images)

    monkeypatch.setattr(sample_command, "mosaic", spy)
    return grids


def is_picture(path: str | Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG" and min(picture.size) > 50


def next_command(out: str) -> list[str]:
    [line] = [line for line in out.splitlines() if line.startswith("Next: ")]
    program, *arguments = shlex.split(line.removeprefix("Next: "))
    assert program == "vqvae-course"
    return arguments


# --- all in a row


@BOTH
def test_each_command_names_the_next_one_until_everything_is_measured(cli, pets, options):
    made = {
        "train": ["train.json", "model.pt", "model.csv", "pictures/reconstructions.png"],
        "encode": [],
        "train-prior": [],
        "sample": ["pictures/samples_prior.png"],
        "reconstruct": ["pictures/reconstructions.png"],
        "evaluate": ["evaluation.json"],
    }
    more = {"train": ("--steps", 4, *options), "train-prior": ("--steps", 3, *PRIOR), "sample": ("--count", 2)}
    arguments = ["train", "--out", "some folder"]
    for command, files in made.items():
        assert arguments == [command, "--out", "some folder"]
        outcome = cli(*arguments, *more.get(command, ()))
        assert (outcome.status, outcome.err) == (0, "")
        assert all(Path("some folder", file).exists() for file in files)
        assert "cpu" in outcome.out or torch.cuda.is_available()  # each says where it runs
        if command != "evaluate":
            arguments = next_command(outcome.out)
    assert all(map(is_picture, Path("some folder/pictures").iterdir()))
    levels = ["_top", "_bottom"] if options is TWO_LEVELS else [""]
    for level in levels:
        assert {f"prior{level}.{kind}" for kind in ("json", "pt", "csv")} <= {
            file.name for file in Path("some folder").iterdir()
        }
        assert all(Path("some folder/codes", f"{split}{level}.npz").exists() for split in ("train", "test"))
    assert not list(Path("some folder").rglob(".*.*"))  # nothing half written


@BOTH
def test_a_run_writes_down_enough_to_repeat_it(cli, pets, options):
    assert cli("train", "--out", "run", "--steps", 4, *options, "--seed", 3, "--beta", 0.5).status == 0
    about = json.loads(Path("run/train.json").read_text())
    assert about["data"] == {"name": "pets", "shape": [3, H, W], "train": N_TRAIN}
    assert about["environment"]["torch"] == torch.__version__
    assert about["options"]["seed"] == 3
    assert about["options"]["network"]["beta"] == 0.5
    assert about["options"]["training"]["steps"] == 4
    assert cli("train", "--out", "again", "--steps", 4, *options, "--seed", 3, "--beta", 0.5).status == 0
    assert Path("run/model.csv").read_bytes() == Path("again/model.csv").read_bytes()
    assert cli("train", "--out", "other", "--steps", 4, *options, "--seed", 4, "--beta", 0.5).status == 0
    assert Path("run/model.csv").read_bytes() != Path("other/model.csv").read_bytes()


@pytest.mark.parametrize("name", ["model", "prior"])
def test_the_table_holds_the_history_of_the_checkpoint(whole, name):
    history = load_checkpoint(f"run/{name}.pt").history
    with Path(f"run/{name}.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["update", *history["values"]]
    assert [int(row[0]) for row in rows] == history["steps"] == [2, 4, 6]
    for column, values in enumerate(history["values"].values(), start=1):
        assert [float(row[column]) for row in rows] == values


def test_the_progress_bar_is_there_unless_it_is_told_not_to(cli, pets):
    for number, options in enumerate(((), ("--progress",))):
        outcome = cli("train", "--out", f"run{number}", "--steps", 2, *ONE_LEVEL, *options)
        assert ("updates/s" in outcome.out) is bool(options)  # ONE_LEVEL says no


def test_codes_start_from_images_of_all_classes(cli, pets, monkeypatch):
    started, start = [], VQVAE.init_codebook
    monkeypatch.setattr(VQVAE, "init_codebook", lambda model, x: (started.append(x), start(model, x)))
    assert cli("train", "--out", "run", "--steps", 2, *ONE_LEVEL, "--codebook", "kmeans").status == 0
    images = load_images("folder:pets", "train")  # sorted by class
    rows = [int((as_float(images.images) == x).flatten(1).all(dim=1).nonzero()) for x in started[0]]
    assert len(set(rows)) == len(rows) < N_TRAIN
    assert set(images.labels[rows].tolist()) == set(range(CLASSES))


def test_epochs_are_passes_over_the_data(cli, pets):
    assert cli("train", "--out", "run", *ONE_LEVEL, "--epochs", 2).status == 0
    assert load_checkpoint("run/model.pt").step == 2 * (N_TRAIN // 6)


# --- encode


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_codes_are_those_the_model_chooses(whole, split):
    images = load_images("folder:pets", split)
    with torch.no_grad():
        expected = load_checkpoint("run/model.pt").model.encode(as_float(images.images))
    with np.load(f"run/codes/{split}.npz") as file:
        assert np.array_equal(file["indices"], expected.numpy())
        assert np.array_equal(file["labels"], images.labels.numpy())
    assert expected.shape == ({"train": N_TRAIN, "test": N_TEST}[split], H // 2, W // 2)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_codes_of_a_hierarchy_are_those_the_model_chooses(hierarchy, split):
    images = load_images("folder:pets", split)
    with torch.no_grad():
        top, bottom = load_checkpoint("run/model.pt").model.encode(as_float(images.images))
    with np.load(f"run/codes/{split}_top.npz") as file:
        assert np.array_equal(file["indices"], top.numpy())
        assert "above_0" not in file
    with np.load(f"run/codes/{split}_bottom.npz") as file:
        assert np.array_equal(file["indices"], bottom.numpy())
        assert np.array_equal(file["above_0"], top.numpy())
        assert np.array_equal(file["labels"], images.labels.numpy())
    assert (top.shape[1:], bottom.shape[1:]) == ((H // 4, W // 4), (H // 2, W // 2))


def test_encode_says_what_an_image_costs(cli, trained):
    out = cli("encode", "--out", "run").out
    places = H // 2 * (W // 2)
    bits = f"{places * log2(K):.0f} bits an image"
    assert f"{N_TRAIN} maps of {H // 2}x{W // 2} codes of {K}, {bits}" in out
    assert f"{N_TEST} maps of {H // 2}x{W // 2} codes of {K}, {bits}" in out


# --- train-prior


@pytest.mark.parametrize(("prior", "kind"), [("gated", GatedPixelCNN), ("pixelsnail", PixelSNAIL)])
@pytest.mark.parametrize(
    ("conditional", "classes"), [("--class-conditional", CLASSES), ("--no-class-conditional", None)]
)
def test_the_prior_is_of_the_kind_asked_for(cli, trained, prior, kind, conditional, classes):
    cli("encode", "--out", "run")
    assert cli("train-prior", "--out", "run", "--steps", 2, *PRIOR, "--prior", prior, conditional).status == 0
    model = load_checkpoint("run/prior.pt").model
    assert type(model) is kind
    assert (model.num_codes, model.num_classes) == (K, classes)


def test_train_prior_measures_on_the_test_split(cli, trained):
    cli("encode", "--out", "run")
    out = cli("train-prior", "--out", "run", "--steps", 5, *PRIOR).out
    codes = encode_dataset(load_checkpoint("run/model.pt").model, load_images("folder:pets", "test"))
    nats = evaluate_prior(load_checkpoint("run/prior.pt").model, codes)
    assert f"{nats:.4f} nats a code on {N_TEST} test images." in out


def test_a_hierarchy_gets_its_priors_level_by_level(cli, hierarchy):
    train_prior = ("train-prior", "--out", "run", "--steps", 2, *PRIOR)
    assert cli(*train_prior, "--level", "top", "--prior", "pixelsnail").status == 0
    assert not Path("run/prior_bottom.pt").exists()
    missing = cli("sample", "--out", "run")
    assert missing.status == 1
    assert "prior_bottom.pt is missing: run `vqvae-course train-prior --out run` first" in missing.err
    assert "nats_per_code" not in cli("evaluate", "--out", "run").out
    assert cli(*train_prior, "--level", "bottom").status == 0
    top, bottom = (load_checkpoint(f"run/prior_{level}.pt").model for level in ("top", "bottom"))
    assert (type(top), type(bottom)) == (PixelSNAIL, ConditionalPrior)
    assert (top.num_codes, bottom.num_codes) == (K_TOP, K)
    assert bottom.config.above == ((K_TOP, 2),)
    assert cli("sample", "--out", "run", "--count", 2).status == 0


def test_three_levels_go_all_the_way(cli, pets):
    sizes = ("--size", 16, "--strides", 2, 2, 2, "--num-codes", 4, 5, 6)
    assert cli("train", "--out", "run", "--steps", 2, *TWO_LEVELS, *sizes).status == 0
    assert cli("encode", "--out", "run").status == 0
    for level in ("middle", "bottom", "top"):
        assert cli("train-prior", "--out", "run", "--steps", 2, *PRIOR, "--level", level).status == 0
    assert load_checkpoint("run/prior_bottom.pt").model.config.above == ((4, 2), (5, 2))
    assert cli("sample", "--out", "run", "--count", 1).status == 0
    assert len(json_of(cli)["nats_per_code"]) == 3


@pytest.mark.parametrize(
    ("kind", "level", "offered"), [("whole", "top", "all"), ("hierarchy", "middle", "all top bottom")]
)
def test_a_level_the_run_does_not_have_is_refused(cli, request, kind, level, offered):
    request.getfixturevalue(kind)
    outcome = cli("train-prior", "--out", "run", "--level", level)
    assert (outcome.status, outcome.err) == (
        1,
        f"vqvae-course train-prior: level must be one of {offered}, got {level}\n",
    )


# --- sample


def test_samples_are_what_the_prior_draws_and_the_decoder_makes_of_it(cli, whole, rows):
    assert cli("sample", "--out", "run", "--count", 2, "--seed", 5, "--temperature", 0.7, "--classes", 2, 0).status == 0
    [grid] = rows
    prior, model = (load_checkpoint(f"run/{name}.pt").model for name in ("prior", "model"))
    labels = torch.tensor([2, 2, 0, 0])
    generator = torch.Generator().manual_seed(5)
    maps = sample(prior, (4, H // 2, W // 2), labels, temperature=0.7, generator=generator)
    assert list(grid) == ["class 2", "class 0"]
    assert torch.equal(torch.cat(list(grid.values())), decode_codes(model, maps))


def test_samples_of_a_hierarchy_go_from_top_to_bottom(cli, hierarchy, rows):
    assert cli("train-prior", "--out", "run", "--steps", 2, *PRIOR).status == 0
    assert cli("sample", "--out", "run", "--count", 1, "--seed", 5).status == 0
    priors = [load_checkpoint(f"run/prior_{level}.pt").model for level in ("top", "bottom")]
    shapes = [(CLASSES, H // 4, W // 4), (CLASSES, H // 2, W // 2)]
    maps = sample_levels(priors, shapes, torch.arange(CLASSES), generator=torch.Generator().manual_seed(5))
    drawn = torch.cat(list(rows[0].values()))
    assert torch.equal(drawn, decode_levels(load_checkpoint("run/model.pt").model, maps))


def test_all_classes_are_drawn_unless_some_are_asked_for(cli, whole, rows):
    cli("sample", "--out", "run", "--count", 2)
    cli("sample", "--out", "run", "--count", 2, "--classes", 1, 1)
    assert [list(grid) for grid in rows] == [["class 0", "class 1", "class 2"], ["class 1"]]
    assert all(len(images) == 2 for grid in rows for images in grid.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--classes", 1, 3), "classes must lie in [0, 3), got 1 3"),
        (("--classes", -1), "classes must lie in [0, 3), got -1"),
        (("--codes", "uniform", "--classes", 1), "classes must be left out for a prior that knows none, got 1"),
    ],
)
def test_classes_nobody_knows_are_refused(cli, whole, arguments, message):
    outcome = cli("sample", "--out", "run", *arguments)
    assert (outcome.status, outcome.err) == (1, f"vqvae-course sample: {message}\n")
    assert not (whole / "pictures" / "samples_prior.png").exists()


@pytest.mark.parametrize("codes", ["prior", "uniform", "unigram"])
def test_the_same_seed_gives_the_same_file_and_another_seed_another(cli, whole, codes):
    files = []
    for seed in (1, 1, 2):
        assert cli("sample", "--out", "run", "--count", 1, "--codes", codes, "--seed", seed).status == 0
        files.append((whole / "pictures" / f"samples_{codes}.png").read_bytes())
    assert files[0] == files[1] != files[2]


def test_near_temperature_zero_the_seed_does_not_matter(cli, whole, rows):
    for seed in (1, 2):
        cli("sample", "--out", "run", "--count", 2, "--temperature", 1e-6, "--seed", seed)
    one, other = (torch.cat(list(grid.values())) for grid in rows)
    assert torch.equal(one, other)


def test_a_picture_goes_where_it_is_told_to(cli, whole):
    assert (
        "Wrote elsewhere/new.png." in cli("sample", "--out", "run", "--count", 1, "--picture", "elsewhere/new.png").out
    )
    assert is_picture("elsewhere/new.png")
    assert not (whole / "pictures" / "samples_prior.png").exists()


def test_without_a_prior_codes_are_drawn_uniformly_or_as_often_as_they_occur(hierarchy):
    trained = open_trained("run", torch.device("cpu"))
    maps = [level.indices for level in encode_levels(trained.model, load_images("folder:pets"))]
    for prior, num_codes in zip(priors_of(trained, "uniform"), (K_TOP, K), strict=True):
        logits = prior(torch.zeros(1, 2, 3, dtype=torch.int64))
        assert torch.allclose(logits.exp(), torch.full_like(logits, 1 / num_codes))
    for prior, level, num_codes in zip(priors_of(trained, "unigram"), maps, (K_TOP, K), strict=True):
        counts = torch.bincount(level.flatten(), minlength=num_codes) + 1.0
        logits = prior(torch.zeros(1, 2, 3, dtype=torch.int64))
        assert torch.allclose(logits[0, :, 1, 2].exp(), counts / counts.sum())


def test_a_prior_without_classes_fills_one_row(cli, trained, rows):
    cli("encode", "--out", "run")
    cli("train-prior", "--out", "run", "--steps", 2, *PRIOR, "--no-class-conditional")
    assert cli("sample", "--out", "run", "--count", 4).status == 0
    assert {name: len(images) for name, images in rows[0].items()} == {"prior": 4}


def test_ctrl_c_while_sampling_writes_no_picture(cli, whole, monkeypatch):
    def stopped(*arguments, **options):
        raise sample_command.SamplingInterrupted(torch.zeros(1, 2, 3))

    monkeypatch.setattr(sample_command, "sample_levels", stopped)
    outcome = cli("sample", "--out", "run")
    assert (outcome.status, outcome.err) == (130, "vqvae-course sample: stopped; no picture was written\n")
    assert not (whole / "pictures" / "samples_prior.png").exists()


# --- evaluate


def json_of(cli) -> dict:
    assert cli("evaluate", "--out", "run").status == 0
    return json.loads(Path("run/evaluation.json").read_text())


def test_what_is_measured_is_what_the_definitions_say(cli, whole):
    measured = json_of(cli)
    model, prior = (load_checkpoint(f"run/{name}.pt").model for name in ("model", "prior"))
    images, train = (load_images("folder:pets", split) for split in ("test", "train"))
    x, places, values = as_float(images.images), H // 2 * (W // 2), 3 * H * W
    with torch.no_grad():
        output = model(x)
    mse = (output.x_hat - x).double().square().mean()
    assert measured["normalized_mse"] == pytest.approx(float(mse / as_float(train.images).double().var(correction=0)))
    assert measured["psnr_db"] == pytest.approx(float(-10 * mse.log10()))
    assert measured["perplexity"] == pytest.approx(evaluate_vqvae(model, images).perplexity)
    assert measured["codes_used"] == len(output.indices.unique())
    assert (measured["num_codes"], measured["images"], measured["data"]) == (K, N_TEST, "pets")
    assert measured["bits_per_dim_without_prior"] == pytest.approx(places * log2(K) / values)
    nats = evaluate_prior(prior, encode_dataset(model, images))
    assert measured["nats_per_code"] == pytest.approx(nats)
    assert measured["nats_per_image"] == pytest.approx(places * nats)
    assert measured["bits_per_dim"] == pytest.approx(places * nats / log(2) / values)
    assert measured["ssim"] is None  # 8 pixels are less than its window of 11
    assert measured["environment"]["torch"] == torch.__version__


def test_a_hierarchy_is_measured_level_by_level(cli, hierarchy):
    without = json_of(cli)
    assert "nats_per_code" not in without
    assert cli("train-prior", "--out", "run", "--steps", 2, *PRIOR).status == 0
    measured = json_of(cli)
    assert without.items() <= measured.items()
    model, images = load_checkpoint("run/model.pt").model, load_images("folder:pets", "test")
    scores = evaluate_vqvae2(model, images)
    assert measured["normalized_mse"] == pytest.approx(scores.normalized_mse)
    assert measured["perplexity"] == pytest.approx(list(scores.perplexity))
    codes = encode_levels(model, images)
    priors = [load_checkpoint(f"run/prior_{level}.pt").model for level in ("top", "bottom")]
    nats = [evaluate_prior(prior, level) for prior, level in zip(priors, codes, strict=True)]
    assert measured["nats_per_code"] == pytest.approx(nats)
    in_all = H // 4 * (W // 4) * nats[0] + H // 2 * (W // 2) * nats[1]
    assert measured["nats_per_image"] == pytest.approx(in_all)


def test_the_table_shows_what_the_json_holds(cli, whole):
    out = cli("evaluate", "--out", "run").out
    measured = json.loads(Path("run/evaluation.json").read_text())
    shown = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("  ")}
    assert shown["ssim"] == ["–"]
    assert shown["num_codes"] == [str(K)]
    for name in ("normalized_mse", "psnr_db", "nats_per_code", "bits_per_dim"):
        assert float(shown[name][0]) == pytest.approx(measured[name], rel=1e-3)


def test_larger_images_have_a_structural_similarity(cli, pets):
    assert cli("train", "--out", "run", "--steps", 1, *ONE_LEVEL, "--size", 16).status == 0
    assert -1 <= json_of(cli)["ssim"] <= 1


def test_no_more_images_are_measured_than_asked_for(cli, whole):
    assert cli("evaluate", "--out", "run", "--count", 4).status == 0
    assert json.loads(Path("run/evaluation.json").read_text())["images"] == 4


# --- out of turn


@pytest.mark.parametrize(
    ("arguments", "missing", "first"),
    [
        (("train", "--resume"), "train.json", "train"),
        (("encode",), "train.json", "train"),
        (("train-prior",), "train.json", "train"),
        (("train-prior", "--resume"), "prior.json", "train-prior"),
        (("sample",), "train.json", "train"),
        (("reconstruct",), "train.json", "train"),
        (("evaluate",), "train.json", "train"),
    ],
)
def test_a_command_that_comes_too_early_names_the_one_before(cli, pets, arguments, missing, first):
    outcome = cli(*arguments, "--out", "run")
    message = f"run/{missing} is missing: run `vqvae-course {first} --out run` first"
    assert outcome == (1, "", f"vqvae-course {arguments[0]}: {message}\n")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("arguments", "missing", "first"),
    [
        (("train-prior",), "codes/train.npz", "encode"),
        (("sample", "--codes", "unigram"), "codes/train.npz", "encode"),
        (("sample",), "prior.pt", "train-prior"),
    ],
)
def test_a_command_after_train_names_the_one_it_needs(cli, trained, arguments, missing, first):
    outcome = cli(*arguments, "--out", "run")
    message = f"run/{missing} is missing: run `vqvae-course {first} --out run` first"
    assert outcome == (1, "", f"vqvae-course {arguments[0]}: {message}\n")


@pytest.mark.parametrize(("command", "file"), [("train", "model.pt"), ("train-prior", "prior.pt")])
def test_a_run_that_is_there_is_not_overwritten(cli, whole, command, file):
    before = content(whole)
    outcome = cli(command, "--out", "run", *(ONE_LEVEL if command == "train" else PRIOR), "--seed", 8)
    assert (outcome.status, outcome.out) == (1, "")
    assert f"{command}: run/{file} is there already: go on with --resume, or" in outcome.err
    assert content(whole) == before


@pytest.mark.parametrize("command", ["train", "encode", "train-prior", "evaluate"])
def test_a_folder_in_use_is_left_alone(cli, whole, command):
    before = content(whole)
    with FileLock(whole / ".lock"):
        outcome = cli(command, "--out", "run", *(("--resume",) if command.startswith("train") else ()))
        assert outcome.status == 1
        assert outcome.err == (
            f"vqvae-course {command}: run is in use by another process: wait until it ends, or choose another --out\n"
        )
        assert content(whole) == before
    assert cli(command, "--out", "run", *(("--resume",) if command.startswith("train") else ())).status == 0
