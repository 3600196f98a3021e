import dataclasses
import inspect
import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.cli.runs import ONE_LEVEL, TWO_LEVELS, H, W
from vqvae_course import __version__
from vqvae_course import cli as command_line
from vqvae_course.checkpoint import load_checkpoint
from vqvae_course.cli import encode, evaluate, export, reconstruct, sample, train, train_prior
from vqvae_course.cli.course import nbgrader_for
from vqvae_course.cli.options import TrainVQVAE, device_from, from_plain, given
from vqvae_course.cli.presets import PRESETS
from vqvae_course.cli.run import RunError, as_plain
from vqvae_course.data import load_images
from vqvae_course.train import TrainConfig
from vqvae_course.vqvae import VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2Config

MODULES = {
    "train": train,
    "encode": encode,
    "train-prior": train_prior,
    "sample": sample,
    "reconstruct": reconstruct,
    "evaluate": evaluate,
    "export": export,
}
EACH_COMMAND = pytest.mark.parametrize("command", MODULES)
CPU = torch.device("cpu")


@pytest.fixture
def parsed(monkeypatch) -> list:
    """Stop every command once its options are read, and collect those of the two that train."""
    options = []

    def stop(*arguments):
        raise RunError("parsed")

    monkeypatch.setattr(train, "train_model", options.append)
    monkeypatch.setattr(train_prior, "train_priors", options.append)
    for module in (encode, sample, reconstruct, evaluate, export):
        monkeypatch.setattr(module, "open_trained", stop)
    return options


def is_parsed(outcome) -> bool:
    return outcome.status == 0 or outcome.err.endswith(": parsed\n")


def described(kind: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each field."""
    text = inspect.getdoc(kind).partition("Attributes:\n")[2]  # Python 3.13 keeps docstrings without indentation
    parts = re.split(r"^ {4}(\w+): ", text, flags=re.MULTILINE)
    return {name: one_line(said) for name, said in zip(parts[1::2], parts[2::2], strict=True)}


def one_line(text: str) -> str:
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


# --- help


@pytest.mark.parametrize(
    "arguments", [*((command,) for command in MODULES), ("train", "--model", "vqvae2")], ids=" ".join
)
def test_the_help_of_a_command_fits_a_screen_and_shows_an_example(monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "80")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # elsewhere frames are drawn in another way
    with redirect_stdout(terminal), pytest.raises(SystemExit, match="0"):
        command_line.main([*arguments, "--help"])
    terminal.seek(0)
    lines = terminal.read().splitlines()
    assert len(lines) <= 60
    assert one_line(f"Example: {MODULES[arguments[0]].EXAMPLE}") in one_line(" ".join(lines))


@EACH_COMMAND
def test_help_explains_where_there_is_room(cli, command):
    brief, verbose = (cli(command, option).out for option in ("--help", "--help-verbose"))
    assert (brief == verbose) is (command not in ("train", "train-prior"))


@pytest.mark.parametrize(
    ("kind", "model", "not_options"),
    [
        (VQVAEConfig, "vqvae", {"in_channels", "data_variance"}),
        (VQVAE2Config, "vqvae2", {"in_channels", "data_variance"}),
        (TrainConfig, "vqvae", {"checkpoint", "resume"}),
        (TrainConfig, "vqvae2", {"checkpoint", "resume"}),
    ],
)
def test_every_field_of_a_configuration_is_an_option_with_its_docstring_as_help(
    cli, monkeypatch, kind, model, not_options
):
    monkeypatch.setenv("COLUMNS", "200")
    shown = one_line(cli("train", "--model", model, "--help-verbose").out)
    about = described(kind)
    assert about.keys() == {field.name for field in dataclasses.fields(kind)}
    for name in about.keys() - not_options:
        assert re.search(rf"--{name.replace('_', '-')}[ ,]", shown), name
        assert about[name] in shown
    for name in {"in-channels", "checkpoint"}:  # the command sets them
        assert not re.search(rf"--{name}[ ,]", shown)
    for name in ("data-variance", "resume"):  # the command has its own
        assert len(re.findall(rf"--{name}[ ,]", shown)) == 1


@EACH_COMMAND
def test_every_option_has_a_help_text_of_its_own(cli, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "200")
    shown = one_line(cli(command, "--help-verbose").out)
    names = re.findall(r" (--[a-z0-9-]+)[ ,]", cli(command, "--help").out)
    for name in set(names) - {"--help", "--help-verbose"} - {each for each in names if each.startswith("--no-")}:
        said = re.search(rf"{name}(?:, --no-[a-z-]+)? (?:\[.*?\]+|\{{.*?\}}\S*|[A-Z]+)* ?(.*?) ?\(default:", shown)
        assert said, name
        assert said[1].endswith("."), (name, said[1])


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_all_of_them_are_shown(cli, arguments):
    outcome = cli(*arguments)
    assert outcome.status == 0
    assert all(f"vqvae-course {command} --" in outcome.out for command in MODULES)


def test_the_version_is_that_of_the_package(cli):
    assert cli("--version") == (0, f"{__version__}\n", "")


@EACH_COMMAND
def test_the_example_of_a_command_can_be_typed(cli, parsed, command):
    program, *arguments = shlex.split(MODULES[command].EXAMPLE)
    assert program == "vqvae-course"
    assert arguments[0] == command
    assert is_parsed(cli(*arguments))


def test_the_examples_of_the_overview_can_be_typed(cli, parsed):
    lines = re.findall(r"(?:vqvae-course|-m vqvae_course) ([a-z-]+ --\w+ .*?)(?:   |\n)", command_line.__doc__)
    assert len(lines) == len(MODULES) + 1  # and one with torchrun
    assert all(is_parsed(cli(*shlex.split(line))) for line in lines)


# --- presets


def test_the_classic_preset_for_cifar10_holds_the_values_of_public_scripts(cli, parsed):
    assert cli("train", "--preset", "cifar10-classic").status == 0
    [options] = parsed
    network, training = options.network, options.training
    assert (options.data, options.batch_size, options.epochs, options.codebook) == ("cifar10", 32, None, "uniform")
    assert (training.steps, training.lr, training.log_every, training.schedule) == (5000, 3e-4, 50, "constant")
    assert (training.betas, training.weight_decay, training.clip) == ((0.9, 0.999), 0.0, None)  # that is Adam
    assert (network.hidden, network.residual_layers, network.residual_hidden) == (128, 2, 32)
    assert (network.num_codes, network.code_dim, network.beta, network.downsample) == (512, 64, 0.25, 4)
    assert (network.quantizer, network.normalize_latents, network.restart_below) == ("gradient", False, 0.0)


def test_the_classic_preset_for_mnist_holds_the_values_of_public_scripts(cli, parsed):
    assert cli("train", "--preset", "mnist-classic").status == 0
    [options] = parsed
    network, training = options.network, options.training
    assert (options.data, options.batch_size, options.epochs) == ("mnist", 128, 10)
    assert (training.lr, training.schedule, training.betas) == (2e-4, "constant", (0.9, 0.999))
    assert (network.num_codes, network.code_dim, network.beta, network.quantizer) == (512, 40, 1.0, "gradient")
    assert options.training_for(60_000).steps == 10 * (60_000 // 128)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_name_gives_and_survives_json(name):
    options = PRESETS[name](CPU)
    assert options.preset == name
    assert from_plain(type(options), as_plain(options)) == options


def test_the_default_preset_follows_the_model(cli, parsed):
    for arguments in ((), ("--model", "vqvae"), ("--model=vqvae2",)):
        assert cli("train", *arguments).status == 0
    assert parsed == [PRESETS["quick"](CPU), PRESETS["quick"](CPU), PRESETS["quick-hierarchy"](CPU)]


def test_options_override_the_preset_and_leave_the_rest(cli, parsed):
    cli("train", "--preset", "cifar10-classic", "--num-codes", 9, "--lr", 0.5, "--out", "here", "--betas", 0.1, 0.2)
    [options] = parsed
    usual = PRESETS["cifar10-classic"](CPU)
    expected = dataclasses.replace(
        usual,
        out=Path("here"),
        network=dataclasses.replace(usual.network, num_codes=9),
        training=dataclasses.replace(usual.training, lr=0.5, betas=(0.1, 0.2)),
    )
    assert options == expected


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ((), 20),
        (("--steps", 3), 3),
        (("--epochs", 2), 4),
        (("--steps", 3, "--epochs", 0.5), 1),
        (("--epochs", 0.01), 1),
    ],
)
def test_steps_alone_override_the_epochs_of_a_preset(cli, parsed, arguments, steps):
    cli("train", "--preset", "mnist-classic", *arguments)
    [options] = parsed
    assert options.training_for(2 * 128 + 100).steps == steps


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ((), "runs/glyphs"),
        (("--data", "scenes"), "runs/scenes"),
        (("--data", "folder:some/where/pets"), "runs/pets"),
        (("--preset", "cifar10-classic"), "runs/cifar10-classic"),
        (("--data=scenes", "--out", "here"), "here"),
    ],
)
def test_a_run_is_named_after_its_data_unless_it_is_told_otherwise(cli, parsed, arguments, out):
    cli("train", *arguments)
    assert parsed[0].out == Path(out)


@pytest.mark.parametrize(
    ("here", "data", "out"),
    [
        (".", "folder:pets/train/..", "runs/pets"),
        (".", "folder:pets/", "runs/pets"),
        ("pets", "folder:.", "../runs/pets"),
        ("pets/train", "folder:..", "../../runs/pets"),
        ("pets/train", "folder:.", "../runs/train"),
        ("pets/train/ant", "folder:../..", "../../../runs/pets"),
        ("pets/test", "folder:../train", "runs/train"),
    ],
)
def test_a_run_lies_beside_the_pictures_not_among_them(cli, parsed, pets, monkeypatch, here, data, out):
    monkeypatch.chdir(here)
    cli("train", "--data", data)
    assert parsed[0].out == Path(out)


@pytest.mark.parametrize("out", ["pets", "pets/train", "pets/train/bee", "pets/test/cow", "pets/../pets"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_among_the_pictures_is_refused(cli, pets, out, workers):
    before = sorted(pets.rglob("*"))
    outcome = cli("train", *ONE_LEVEL, "--workers", workers, "--out", out)
    assert outcome.status == 1
    assert f"out must be a folder apart from the pictures of folder:pets, got {Path(out)}: pass another" in outcome.err
    assert sorted(pets.rglob("*")) == before


@pytest.mark.parametrize("out", ["pets/runs/a", "pets/train/mine", "pets/train/ant/deep"])
def test_runs_may_lie_below_the_pictures_and_change_nothing(cli, pets, out):
    assert cli("train", *ONE_LEVEL, "--steps", 2, "--out", "run").status == 0
    for name in ("one", "two"):
        outcome = cli("train", *ONE_LEVEL, "--steps", 2, "--out", f"{out}/{name}")
        assert (outcome.status, outcome.err) == (0, "")
        assert "3 classes in folder:pets: ant, bee, cow." in outcome.out
        assert cli("encode", "--out", f"{out}/{name}").status == 0
        assert Path(out, name, "model.csv").read_bytes() == Path("run/model.csv").read_bytes()


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dance",), "vqvae-course: the command must be one of train, encode, .*, got 'dance'"),
        (("train", "--preset", "slow"), "vqvae-course train: preset must be one of quick, .*, got 'slow'"),
        (("train", "--model", "gan"), "vqvae-course train: model must be one of vqvae, vqvae2, got 'gan'"),
        (
            ("train", "--preset", "cifar10", "--model", "vqvae2"),
            "model must be vqvae for the preset cifar10, got 'vqvae2'",
        ),
        (
            ("train", "--device", "warp"),
            "device must be one that this machine has, got 'warp': pass cpu( or .*)?, or leave it out$",
        ),
        (("train", "--device", "vulkan"), "device must be one that this machine has, got 'vulkan': pass cpu"),
        (("train", "--device", "hpu"), "device must be one that this machine has, got 'hpu': pass cpu"),
        (("train", "--device", "cuda:99"), "device must be one that this machine has, got 'cuda:99': pass cpu"),
        (("encode", "--device", ""), "device must be one that this machine has, got '': pass cpu"),
        (("train", "--data", "paintings"), "name must be one of glyphs, scenes, .*, got 'paintings'"),
        (("train", "--data", "folder:nowhere"), "folder:nowhere must name a folder, and there is none"),
        (("train", "--batch-size", 999), r"batch_size must lie between 1 and the 26 examples, got 999"),
        (("train", "--device", "meta"), "device must be one that this machine has, got 'meta'"),
        (
            ("train", "--downsample", 8),
            "images must have sides that 8 divides, .*, got 8x12: pass another --size, or another --downsample",
        ),
        (
            ("train", "--num-codes", 999),
            "num_codes must be at most 624 for --codebook kmeans, .* of 26 images, got 999: lower --num-codes",
        ),
    ],
)
def test_what_does_not_exist_is_refused_in_a_sentence(cli, pets, arguments, message):
    outcome = cli(*arguments[:1], *(ONE_LEVEL if arguments[0] == "train" else ()), *arguments[1:], "--out", "run")
    assert outcome.status == 1
    assert re.search(message, outcome.err)
    assert len(outcome.err.splitlines()) == 1
    assert not (pets.parent / "run" / "train.json").exists()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("model", [ONE_LEVEL, TWO_LEVELS], ids=["one level", "two levels"])
def test_pictures_of_one_colour_are_refused_in_a_sentence(cli, pets, model, workers):
    for path in pets.rglob("*.png"):
        path.unlink()  # not written over: it is linked to that of other tests
        Image.new("RGB", (W, H), (9, 9, 9)).save(path)
    outcome = cli("train", *model, "--out", "run", "--workers", workers)
    assert outcome.status == 1
    assert re.fullmatch(
        r"vqvae-course train: folder:pets must hold pictures that differ, got 26 that are all of one and the same "
        r"colour, so there is nothing to learn: look whether .*\n",
        outcome.err,
    )
    assert not Path("run/train.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--tempo", 3), "Unrecognized options: --tempo"),
        (("train", "--steps", 0), "steps must be at least 1, got 0"),
        (("train", "--hidden", 0), "hidden must be at least 1, got 0"),
        (("train", "--batch-size", 0), "batch_size must be at least 1, got 0"),
        (("train", "--epochs", 0), "epochs must be positive and finite or None, got 0.0"),
        (("train", "--epochs", "inf"), "epochs must be positive and finite or None, got inf"),
        (("train", "--timeout", "nan"), "timeout must be seconds between 0 and 31,536,000, got nan"),
        (("train", "--seed", 2**63), r"seed must lie between 0 and 2\*\*63, got 9223372036854775808"),
        (("sample", "--seed", -1), r"seed must lie between 0 and 2\*\*63, got -1"),
        (("train", "--seed", -1), r"seed must lie between 0 and 2\*\*63, got -1"),
        (("train", "--workers", 2), "workers must be 0 unless data is folder:PATH, got 2 for glyphs"),
        (("train", "--workers", -1), "workers must not be negative, got -1"),
        (("train", "--data-variance", 0), "data_variance must be positive and finite or None, got 0.0"),
        (("train", "--model", "vqvae2", "--num-codes", 5), r"num_codes must have as many entries as strides \(2, 2\)"),
        (("train-prior", "--level", "attic"), "invalid choice 'attic' for argument '--level'"),
        (("train-prior", "--batch-size", 0), "batch_size must be at least 1, got 0"),
        (("sample", "--count", 0), "count must be at least 1, got 0"),
        (("sample", "--temperature", 0), "temperature must be positive and finite, got 0.0"),
        (("sample", "--codes", "bigram"), "invalid choice 'bigram'"),
        (("reconstruct", "--count", 0), "count must be at least 1, got 0"),
        (("evaluate", "--count", 0), "count must be at least 1, got 0"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_starts(cli, parsed, monkeypatch, arguments, message):
    monkeypatch.setenv("COLUMNS", "200")
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert re.search(message, one_line(outcome.err))
    assert "Traceback" not in outcome.err
    assert parsed == []


def test_an_error_that_nobody_expected_is_not_hidden(cli, monkeypatch):
    def broken(options):
        raise ZeroDivisionError

    monkeypatch.setattr(train, "train_model", broken)
    with pytest.raises(ZeroDivisionError):
        cli("train")


def test_a_traceback_can_be_had_of_an_expected_error_too(cli, monkeypatch):
    monkeypatch.setenv("VQVAE_COURSE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="preset must be one of"):
        cli("train", "--preset", "slow")


def test_too_little_memory_on_the_device_comes_with_the_cure(cli, monkeypatch):
    def too_large(options):
        raise torch.OutOfMemoryError("tried to allocate 80 GiB")

    monkeypatch.setattr(train, "train_model", too_large)
    assert cli("train") == (
        1,
        "",
        "vqvae-course train: the device has too little memory (tried to allocate 80 GiB): lower --batch-size\n",
    )


# --- small parts


@pytest.mark.parametrize(
    ("words", "value"),
    [("--out a", "a"), ("--out=a", "a"), ("--out a --out b", "b"), ("--outer a", None), ("--out", None), ("", None)],
)
def test_an_option_can_be_read_before_all_of_them_are(words, value):
    assert given(words.split(), "--out") == value


def test_without_a_name_the_device_is_one_that_is_there():
    assert torch.zeros(2, device=device_from(None)).sum() == 0
    assert device_from("cpu") == CPU


def test_a_command_that_needs_nbgrader_says_how_to_get_it():
    message = r"release must find nbgrader \(No module named 'nbgrader'\): python -m pip install nbgrader"
    with pytest.raises(ValueError, match=message), nbgrader_for("release"):
        raise ImportError("No module named 'nbgrader'")


def test_options_of_another_type_are_refused():
    with pytest.raises(ValueError, match="of the right type"):
        from_plain(TrainVQVAE, as_plain(TrainVQVAE()) | {"seed": None})


def test_options_of_another_version_are_read_with_one_warning():
    plain = as_plain(TrainVQVAE(seed=4)) | {"tempo": 3}
    del plain["size"], plain["network"]["beta"]
    with pytest.warns(
        UserWarning, match="tempo is not known here and left out; size is missing and taken as None"
    ) as told:
        assert from_plain(TrainVQVAE, plain) == TrainVQVAE(seed=4)
    assert len(told) == 1


# --- what the options do


@pytest.mark.parametrize("model", [ONE_LEVEL, TWO_LEVELS], ids=["vqvae", "vqvae2"])
def test_the_codebook_starts_where_it_is_told_to(cli, pets, monkeypatch, model):
    started = {}

    def stop(run, name, built, *rest):
        quantizers = getattr(built, "quantizers", None) or [built.quantizer]
        started[run.folder.name] = [quantizer.codebook.detach().clone() for quantizer in quantizers]
        raise RunError("seen")

    monkeypatch.setattr(train, "fit_in", stop)
    for start in ("kmeans", "normal", "uniform"):
        assert cli("train", "--out", start, "--codebook", start, *model).err.endswith("seen\n")
    for kmeans, normal, uniform in zip(started["kmeans"], started["normal"], started["uniform"], strict=True):
        assert uniform.abs().max() <= 1 / len(uniform)
        assert uniform.abs().max() > 0.5 / len(uniform)
        assert 0.4 < float(normal.std()) < 1.6
        assert normal.abs().max() > 1 / len(normal)
        assert not torch.equal(kmeans, normal)


def test_a_codebook_that_learns_by_gradient_starts_uniform_too(cli, pets, monkeypatch):
    seen = []

    def stop(run, name, built, *rest):
        seen.append(built.quantizer.codebook.detach().clone())
        raise RunError("seen")

    monkeypatch.setattr(train, "fit_in", stop)
    cli("train", "--codebook", "uniform", *ONE_LEVEL, "--quantizer", "gradient")
    assert seen[0].abs().max() <= 1 / len(seen[0])


@pytest.mark.parametrize("given_variance", [None, 0.3])
def test_the_variance_is_measured_unless_it_is_given(cli, pets, given_variance):
    options = () if given_variance is None else ("--data-variance", given_variance)
    assert cli("train", "--out", "run", "--steps", 1, *ONE_LEVEL, *options).status == 0
    config = load_checkpoint("run/model.pt").model.config
    images = load_images("folder:pets").images.double() / 255
    assert config.data_variance == pytest.approx(given_variance or float(images.var(correction=0)), rel=1e-5)
    assert config.in_channels == 3
