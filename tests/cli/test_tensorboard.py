import sys
from pathlib import Path

import pytest

from tests.cli.runs import ONE_LEVEL, PRIOR, TWO_LEVELS, H, W
from tests.cli.test_resume import Crash, at_update, crash
from vqvae_course.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # within tensorboard


def events(folder: str):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(folder, size_guidance=dict.fromkeys(("scalars", "images", "histograms"), 0))
    return read.Reload()


def assert_holds_the_history(read, checkpoint: str) -> None:
    history = load_checkpoint(checkpoint).history
    assert set(read.Tags()["scalars"]) == set(history["values"])
    for name, values in history["values"].items():
        assert [scalar.step for scalar in read.Scalars(name)] == history["steps"]
        assert [scalar.value for scalar in read.Scalars(name)] == pytest.approx(values)


@pytest.mark.parametrize(
    ("options", "histograms"),
    [(ONE_LEVEL, ["usage"]), (TWO_LEVELS, ["usage_bottom", "usage_top"])],
    ids=["vqvae", "vqvae2"],
)
def test_the_board_shows_losses_reconstructions_and_the_usage_of_codes(cli, pets, options, histograms):
    assert cli("train", "--out", "run", "--steps", 6, *options, "--tensorboard").status == 0
    read = events("run/tensorboard")
    assert_holds_the_history(read, "run/model.pt")
    assert sorted(read.Tags()["histograms"]) == histograms
    assert all(read.Histograms(name)[0].histogram_value.num > 0 for name in histograms)
    pictures = [tag for tag in read.Tags()["images"] if tag.startswith("reconstructions")]
    assert pictures
    shown = read.Images(pictures[0])[0]
    assert (shown.width, shown.height) == (8 * W, 2 * H)  # eight images above their reconstructions


def test_a_prior_shows_samples(cli, trained):
    cli("encode", "--out", "run")
    assert cli("train-prior", "--out", "run", "--steps", 4, *PRIOR, "--tensorboard").status == 0
    read = events("run/tensorboard/prior")
    assert_holds_the_history(read, "run/prior.pt")
    assert any(tag.startswith("samples") for tag in read.Tags()["images"])


def test_each_level_has_a_board_of_its_own(cli, hierarchy):
    assert cli("train-prior", "--out", "run", "--steps", 4, *PRIOR, "--tensorboard").status == 0
    for level in ("prior_top", "prior_bottom"):
        read = events(f"run/tensorboard/{level}")
        assert_holds_the_history(read, f"run/{level}.pt")
        drawn = any(tag.startswith("samples") for tag in read.Tags()["images"])
        assert drawn is (level == "prior_bottom")  # given the maps above; a top map alone is no image


def test_a_resumed_run_shows_each_entry_once(cli, pets):
    command = ("train", "--out", "run", *ONE_LEVEL, "--steps", 14, "--checkpoint-every", 4, "--tensorboard")
    with at_update(8, crash), pytest.raises(Crash):
        cli(*command)  # up to the entry of update 6, of which the checkpoint knows only the first two
    for _ in range(2):  # the second time there is nothing left to do
        assert cli("train", "--out", "run", "--resume").status == 0
        read = events("run/tensorboard")
        assert_holds_the_history(read, "run/model.pt")
        assert read.Scalars("loss")[-1].step == 14
        for tag in read.Tags()["images"]:
            assert len({image.step for image in read.Images(tag)}) == len(read.Images(tag))


def test_no_board_is_kept_unless_it_is_asked_for(trained):
    assert not (trained / "tensorboard").exists()


def test_without_the_package_the_message_says_what_to_install(cli, pets, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    outcome = cli("train", "--out", "run", *ONE_LEVEL, "--tensorboard")
    assert outcome.status == 1
    assert outcome.err == (
        "vqvae-course train: --tensorboard must find the package tensorboard, which is not installed here: "
        "python -m pip install tensorboard\n"
    )
    assert not Path("run/model.pt").exists()
