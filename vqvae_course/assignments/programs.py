"""nbgrader's programs and its gradebook, found also where the environment of this Python is not activated."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nbgrader.api import Gradebook


def run_nbgrader(course: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess:
    """Run an nbgrader command in the folder of a course, and return how it ended with what it said."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    environment = os.environ | {"PATH": _path()}
    return subprocess.run(
        command, cwd=course, env=environment, capture_output=True, text=True, errors="replace", check=False
    )


def reason(said: str) -> str:
    """Return the line of nbgrader's output that says why it failed: the last that names an exception."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (named or [line for line in lines if "ERROR" in line] or lines or ["it said nothing"])[-1][:300]


def open_gradebook(place: Path, course_id: str = "default_course") -> Gradebook:
    """Open a gradebook, a new one if there is none. nbgrader starts ``alembic`` for a new one, by its name."""
    before = os.environ.get("PATH")
    os.environ["PATH"] = _path()
    try:
        return Gradebook(f"sqlite:///{place}", course_id)
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), *filter(None, [os.environ.get("PATH")])])
