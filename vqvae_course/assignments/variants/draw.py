"""Drawing a student's variant of an exercise from the secret of the class, and writing it down."""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pprint import pformat
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")
FAMILIES = ("tokenizer_numbers", "updated_codebook", "downsampling_layers", "planted_mistake")
SECRET = "secret.txt"


class Draws:
    """Whole numbers drawn from a seed, the same on every machine and with every version of Python.

    Args:
        seed: Any bytes.
    """

    def __init__(self, seed: bytes):
        self._seed = seed
        self._drawn = 0

    def below(self, bound: int) -> int:
        """Return a number in [0, bound)."""
        self._drawn += 1
        block = hashlib.sha256(self._seed + self._drawn.to_bytes(8, "big")).digest()
        return int.from_bytes(block[:16], "big") % bound

    def between(self, low: int, high: int) -> int:
        """Return a number in [low, high]."""
        return low + self.below(high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """Return the options in another order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in options]


@dataclass(frozen=True)
class Part:
    """A function that a student writes.

    Attributes:
        name: Of the function.
        points: What it is worth.
        stub: Source of the cell to be completed.
        task: Markdown before it, the same for everybody; empty if the family's task says all.
    """

    name: str
    points: int
    stub: str
    task: str = ""


@dataclass(frozen=True)
class Variant:
    """What one student is given in one family of exercises.

    Attributes:
        family: Name of the module.
        student: Name of the student's folder.
        given: The numbers, as plain Python values.
    """

    family: str
    student: str
    given: dict[str, Any]

    @property
    def text(self) -> str:
        """The task in Markdown, with this student's numbers."""
        return heading(self.family) + module_of(self.family).task(self.given).strip()

    @property
    def cell(self) -> str:
        """Source of the code cell that holds the numbers."""
        write = getattr(module_of(self.family), "source_of", _source_of)
        return f"# Yours alone: leave this cell as it is.\nGIVEN[{self.family!r}] = {write(self.given)}"


def _source_of(given: dict[str, Any]) -> str:
    return pformat(given, width=84, compact=True, sort_dicts=False)


def module_of(family: str) -> ModuleType:
    """Return the module of a family."""
    return import_module(f"{__package__}.{family}")


def family_of(part: str) -> str:
    """Return the name of the family that a part belongs to."""
    return next(family for family in FAMILIES if part in [one.name for one in module_of(family).PARTS])


def heading(family: str) -> str:
    """Return the heading of a family in Markdown, with minutes and points."""
    module = module_of(family)
    points = sum(part.points for part in module.PARTS)
    return f"## {module.TITLE[0].upper()}{module.TITLE[1:]}\n\n*{module.MINUTES} min · {points} points*\n\n"


def drawn(secret: str, assignment: str, family: str, student: str) -> Variant:
    """Return the variant of a student: the same for the same arguments, wherever and whenever it is drawn.

    Args:
        secret: Of the class.
        assignment: Its name.
        family: One of ``FAMILIES``.
        student: Name of the student's folder.
    """
    words = f"{assignment}/{family}/{student}"
    seed = hmac.new(secret.encode(), words.encode(), hashlib.sha256).digest()
    return Variant(family, student, module_of(family).draw(Draws(seed)))


def make_secret(course: Path) -> None:
    """Write the secret of a class unless there is one, for the owner's eyes only."""
    course.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(course / SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(file, "w", encoding="ascii") as out:
        out.write(secrets.token_hex(32) + "\n")


def read_secret(course: Path) -> str:
    """Return the secret of a class.

    Raises:
        ValueError: If there is none, or it is not one that ``make_secret`` has written.
    """
    place = course / SECRET
    if not place.is_file():
        raise ValueError(f"course must hold the {SECRET} from which its variants were drawn, and {course} does not")
    secret = place.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", secret):
        raise ValueError(f"{place} must hold 64 hexadecimal digits, and does not: bring back the file as it was made")
    return secret
