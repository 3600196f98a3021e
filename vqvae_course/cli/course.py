"""What the commands for those who teach share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OfAssignment:
    """Options of a command on one assignment.

    Attributes:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.
    """

    course: Path = Path("course")
    assignment: str = "ps1"


@contextmanager
def nbgrader_for(command: str) -> Iterator[None]:
    """Say how to install nbgrader if what a command imports needs it and it is missing.

    Raises:
        ValueError: If it is.
    """
    try:
        yield
    except ImportError as error:
        raise ValueError(f"{command} must find nbgrader ({error}): python -m pip install nbgrader") from error
