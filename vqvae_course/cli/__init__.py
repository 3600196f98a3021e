"""The command line: what the notebooks teach, without a notebook.

A run lives in one folder. These commands, in this order, fill it:

  vqvae-course train --data glyphs --out runs/glyphs    learn a codebook: images -> codes -> images
  vqvae-course encode --out runs/glyphs                 write the index map of every image
  vqvae-course train-prior --out runs/glyphs            learn which index maps are images
  vqvae-course sample --out runs/glyphs                 draw new ones, and decode them to a PNG
  vqvae-course reconstruct --out runs/glyphs            pictures beside what their codes keep of them
  vqvae-course evaluate --out runs/glyphs               measure everything, as a table and as JSON
  vqvae-course export --out runs/glyphs                 ONNX files, which other programs run without torch

Each says what to run next. `vqvae-course COMMAND --help` shows all options of a command on one screen;
`--help-verbose` explains the many of `train` and `train-prior`. A run that was interrupted goes on with
`--resume`. Several processes:

  torchrun --nproc_per_node=2 -m vqvae_course train --data glyphs --out runs/glyphs

For those who teach, in this order: `assign` turns notebooks into nbgrader assignments, `release` makes what students
get, `collect` sorts what a learning platform gives you, `autograde` grades, `grade-report` says what grades keep
silent, `results` writes them into tables. `variants` makes an examination with other numbers for every student.
"""

import errno
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from typing import Any, TextIO

import torch

import vqvae_course
from vqvae_course.distributed import PeerLost
from vqvae_course.sources import DataUnavailable

COMMANDS = (
    *("train", "encode", "train-prior", "sample", "reconstruct", "evaluate", "export"),
    *("assign", "release", "collect", "autograde", "grade-report", "results", "variants"),
)
EXPECTED = (ValueError, FileNotFoundError, DataUnavailable, FloatingPointError, OSError, PeerLost)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What stands behind ``vqvae-course``; None takes it from the command line.

    Returns:
        The exit status: 0, 1 after an error whose message has been printed, 130 after Ctrl-C.
    """
    with any_name_printed(), readers_may_leave():
        return _run(arguments)


@contextmanager
def any_name_printed() -> Iterator[None]:
    r"""Have stdout and stderr write an escape, such as ``\u65e5``, for a character that they cannot encode.

    A redirected output takes few characters on Windows, and nowhere those that stand for bytes which are no text in
    a file's name. A run must not end for that.
    """
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            changed.append((stream, stream.errors))
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in changed:
            if not stream.closed:
                stream.reconfigure(errors=errors)


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Have a command go on when nobody reads its output any more, as after ``| head -1``: it is for what it writes."""
    with ExitStack() as stack:
        if sys.stdout is None or sys.stderr is None:  # closed by whoever started this
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(sys.stdout or nowhere))
            stack.enter_context(redirect_stderr(sys.stderr or nowhere))
        stack.enter_context(redirect_stdout(_Abandonable(sys.stdout)))
        yield


class _Abandonable:
    """An output that a reader may close.

    Args:
        stream: The output.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or lose the text if nobody reads it."""
        with self._leaving():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what is written to whoever reads it."""
        with self._leaving():
            self._stream.flush()

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # also for what Python still holds, and writes when it ends
            os.close(nowhere)
            print("Nobody reads the output any more; the command goes on.", file=sys.stderr)


def _run(arguments: Sequence[str] | None) -> int:
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(__doc__)
        return 0
    if command == "--version":
        print(vqvae_course.__version__)
        return 0
    if command not in COMMANDS:
        return complain("", f"the command must be one of {', '.join(COMMANDS)}, got {command!r}")
    warnings.formatwarning = lambda message, *_: f"vqvae-course {command}: {message}\n"  # no line of our source
    try:
        return import_module(f"vqvae_course.cli.{command.replace('-', '_')}").main(rest) or 0
    except KeyboardInterrupt as stop:
        complain(command, str(stop) or "stopped")
        return 130
    except torch.OutOfMemoryError as error:
        return complain(command, f"the device has too little memory ({error}): lower --batch-size")
    except Exception as error:
        known = disk_full(error)
        if os.environ.get("VQVAE_COURSE_TRACEBACK") or not (known or isinstance(error, EXPECTED)):
            raise
        return complain(command, known or str(error))


def disk_full(error: BaseException | None) -> str | None:
    """Return what to say if an error means that a file could not grow, else None."""
    while error is not None:  # torch.save raises a RuntimeError of its own while it handles the one of the disk
        if isinstance(error, OSError) and error.errno in FULL:
            return (
                f"the disk is full ({error}): make room and run this again. Files are written whole or not at all, so "
                "what was there is as it was; a training goes on from its last checkpoint with --resume"
            )
        error = error.__cause__ or error.__context__
    return None


def complain(command: str, message: str) -> int:
    """Print what went wrong to stderr, and return the exit status of a failure."""
    print(f"vqvae-course {command}".strip() + f": {message}", file=sys.stderr)
    return 1
