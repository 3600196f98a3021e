"""What is printed where the output takes few characters, and names of files that are no text."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.cli.runs import ONE_LEVEL, PRIOR
from vqvae_course.cli import main

PROGRESS = [word for word in ONE_LEVEL if word != "--no-progress"]
NO_TEXT = os.fsdecode(b"caf\xe9")  # in latin-1; in UTF-8 these bytes are no text


@pytest.fixture(params=["ascii:surrogateescape", "cp1252", "utf-8"])
def narrow(request):
    """Run a command whose output takes few characters; return its status and all that it wrote."""
    encoding, _, errors = request.param.partition(":")

    def run(*words: str) -> tuple[int, str]:
        written = io.BytesIO()
        stream = io.TextIOWrapper(written, encoding=encoding, errors=errors or "strict", write_through=True)
        with redirect_stdout(stream), redirect_stderr(stream):
            try:
                status = main(words)
            except SystemExit as ended:
                status = ended.code or 0
        assert stream.errors == (errors or "strict")  # what belongs to others is as it was
        return status, written.getvalue().decode(encoding)

    return run


def escaped(text: str, output: str) -> bool:
    """Say whether a text was printed, whatever of it by an escape."""
    return text.encode("ascii", "backslashreplace") in output.encode("ascii", "backslashreplace")


def test_a_name_that_cannot_be_printed_ends_no_command(narrow, pets):
    pets.rename("日本")
    run = f"run 日 {NO_TEXT}"
    train = ("train", "--out", run, *PROGRESS, "--data", "folder:日本")
    status, output = narrow(*train, "--steps", "4", "--workers", "1")
    assert status == 0
    assert escaped("Reading folder:日本.", output)
    assert escaped(f"Next: vqvae-course encode --out '{run}'", output)
    for command in (
        ("train", "--out", run, "--resume", "--steps", "6"),
        ("encode", "--out", run),
        ("train-prior", "--out", run, "--steps", "4", *PRIOR),
        ("sample", "--out", run, "--count", "2"),
        ("reconstruct", "--out", run, "--pictures", "日本/test/ant"),
        ("evaluate", "--out", run),
    ):
        assert narrow(*command)[0] == 0, command
    assert {path.name for path in Path(run).iterdir()} >= {"model.pt", "codes", "prior.pt", "evaluation.json"}
    status, output = narrow(*train)  # the message of an error too
    assert status == 1
    assert escaped(f"vqvae-course train: {run}/model.pt is there already: go on with --resume", output)


@pytest.mark.parametrize(
    "words", [("--help",), ("train", "--help"), ("reconstruct", "--help"), ("日",), ("train", "日")]
)
def test_help_and_refusals_are_printed_everywhere(narrow, words):
    status, output = narrow(*words)
    assert (status == 0) == ("--help" in words)
    assert escaped("日", output) or "--help" in words
    assert len(output) > 40


def test_files_whose_names_are_no_text_are_read_or_left_out_by_name(narrow, trained):
    shutil.copy("pets/train/ant/1.png", f"pets/train/ant/{NO_TEXT}.png")
    broken = Path("pets/train/ant", f"0{NO_TEXT}.png")
    broken.write_bytes(b"junk")
    status, output = narrow("reconstruct", "--out", "run", "--pictures", "pets/train/ant", "--count", "50")
    assert status == 0
    assert escaped(f"Left out: {broken} is not a picture that can be read", output)
    assert "12 images, PSNR" in output  # the 11 there were, and the copy
    status, output = narrow("encode", "--out", "run")  # in memory all must be whole
    assert status == 1
    assert escaped(f"{broken} is not a picture that can be read", output)
    with pytest.warns(UserWarning, match="0caf.* is not a picture that can be read.*The next picture takes its place"):
        status, _ = narrow("train", "--out", "other", *PROGRESS, "--steps", "4", "--workers", "1")
    assert status == 0
    with pytest.warns(UserWarning, match=r"0caf.* is not a picture that can be read.*It is left out\."):
        status, output = narrow("encode", "--out", "other")
    assert status == 0
    assert "other/codes/train.npz: 27 maps" in output


def test_a_stream_that_cannot_be_told_is_left_alone():
    class Plain:
        def write(self, text):
            """Take anything."""

        def flush(self):
            """Have nothing to do."""

    with redirect_stdout(Plain()), redirect_stderr(None):
        assert main(["--version"]) == 0


def test_a_command_ends_as_it_should_when_nobody_reads_its_output_any_more(pets):
    """It ends when its last file is written, as ``vqvae-course train | head -1`` is of no use otherwise."""
    command = [sys.executable, "-m", "vqvae_course", "train", "--out", "run", *PROGRESS, "--steps", "6"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        child.stdout.close()
        said = child.stderr.read()
        assert child.wait(60) == 0
    assert said == "Nobody reads the output any more; the command goes on.\n"
    assert Path("run/pictures/reconstructions.png").exists()


@pytest.mark.parametrize("closed", [(redirect_stdout,), (redirect_stdout, redirect_stderr)], ids=len)
def test_a_command_whose_output_is_closed_from_the_start_does_its_work(pets, closed):
    with ExitStack() as stack:
        for redirect in closed:
            stack.enter_context(redirect(None))
        assert main(["train", "--out", "run", *PROGRESS, "--steps", "4"]) == 0
    assert Path("run/pictures/reconstructions.png").exists()


def test_someone_s_own_way_to_write_what_cannot_be_encoded_is_kept():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, "ascii", "replace", write_through=True)
    with redirect_stderr(stream):
        assert main(["日"]) == 1
    assert stream.errors == "replace"
    assert b"got '?'" in written.getvalue()
