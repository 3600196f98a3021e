"""Exercises for classes that grade: one a notebook, with a check and without a published solution.

The course's own exercises have their solutions beside them. These do not, in the notebooks or
elsewhere in the package. Importing this package registers them, so that ``check("name", f)`` knows
them; ``vqvae_course.checks`` alone does not.

Each module is named ``chapter_NN_`` and like its notebook, and holds

- ``TITLE``, ``TASK`` (markdown) and ``STUB`` (source of the cell that is handed out),
- the judge, which has the name of the function that the learner writes,
- ``QUESTION`` and ``RUBRIC`` (markdown): a question to be answered in writing, and what a grader
  looks for, worth ``WRITTEN_POINTS`` in all.

A judge has to know what is right, and whoever reads it learns something. So most of them test
properties of an answer and do not compute one.
"""

import importlib
import pkgutil
from types import ModuleType

from vqvae_course.checks.report import chapter_of

# In the order of the notebooks, from 01
BANK: dict[str, ModuleType] = {
    chapter_of(found.name): importlib.import_module(found.name)
    for found in pkgutil.iter_modules(__path__, f"{__name__}.")
}
