"""What the tests of assignments share."""

import pytest


@pytest.fixture
def course(tmp_path):
    """Return a small course that has been released, and to which nobody has handed in anything."""
    from tests.assignments import courses  # here, since it needs what not everybody has installed

    return courses.make(tmp_path / "course")
