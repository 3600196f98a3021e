"""The list of what was handed in, which collecting keeps: ``COURSE/collected/ASSIGNMENT.csv``."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class HandedIn:
    """A row of ``COURSE/collected/ASSIGNMENT.csv``: a file that was handed in.

    Attributes:
        student: The id, which is the name of the folder.
        notebook: Which one, without ``.ipynb``.
        file: Its name in the download.
        system: Whose way of naming it was.
        time: When it was handed in, as the name says, or None.
        late: Whether the name says that it was late.
        attempt: Which resubmission it was, as the name says, or None.
        sha256: Of its bytes.
    """

    student: str
    notebook: str
    file: str
    system: str
    time: datetime | None
    late: bool
    attempt: int | None
    sha256: str


def handed_in(course: Path, assignment: str) -> list[HandedIn]:
    """Return what collecting wrote down, in the order of collecting; empty if it wrote nothing.

    A student with several rows for one notebook handed it in several times; the last row is the one in ``submitted/``.

    Raises:
        ValueError: If the list has been changed and cannot be read.
    """
    path = list_of(course, assignment)
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                HandedIn(
                    **row
                    | {
                        "time": datetime.fromisoformat(row["time"]) if row["time"] else None,
                        "late": row["late"] == "yes",
                        "attempt": int(row["attempt"]) if row["attempt"] else None,
                    }
                )
                for row in csv.DictReader(file, strict=True)
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} must be as it was written, and it cannot be read ({error}): move it away") from error


def last(rows: Iterable[HandedIn]) -> dict[tuple[str, str], HandedIn]:
    """Return the row that counts for each student and notebook."""
    return {(row.student, row.notebook): row for row in rows}


def submitters(course: Path, assignment: str) -> set[str]:
    """Return the ids of those who have a folder for an assignment among what was handed in."""
    return {path.parent.name for path in (course / "submitted").glob(f"*/{assignment}") if path.is_dir()}


def list_of(course: Path, assignment: str) -> Path:
    """Return where the list is."""
    return course / "collected" / f"{assignment}.csv"


def as_csv(rows: Iterable[HandedIn]) -> bytes:
    """Return the list as the bytes of its file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in fields(HandedIn)])
    for row in rows:
        plain = asdict(row) | {"time": row.time.isoformat() if row.time else "", "late": "yes" if row.late else ""}
        writer.writerow(plain.values())
    return text.getvalue().encode()
