"""Exercises for classes that grade: one a notebook, with a check and without a published solution.

The course's own exercises have their solutions beside them. These do not, in the notebooks or
elsewhere in the package. Importing this package registers them, so that ``check("name", f)`` knows
them; ``vqvae_course.checks`` alone does not.

Each module is named like its notebook without the number, and holds

- ``TITLE``, ``TASK`` (markdown) and ``STUB`` (source of the cell that is handed out),
- the judge, which has the name of the function that the learner writes,
- ``QUESTION`` and ``RUBRIC`` (markdown): a question to be answered in writing, and what a grader
  looks for, worth ``WRITTEN_POINTS`` in all.

A judge has to know what is right, and whoever reads it learns something. So most of them test
properties of an answer and do not compute one.
"""

from types import ModuleType

from vqvae_course.checks.bank import (
    bug_clinic,
    codebook_collapse,
    codes_and_why_a_prior,
    ema_codebooks,
    gated_pixelcnn,
    hierarchical_priors,
    pixelcnn,
    rate_and_distortion,
    straight_through,
    three_losses,
    training_a_vqvae,
    vector_quantization,
    vqvae2,
    why_discrete,
)

# In the order of the notebooks, from 01
BANK: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        why_discrete,
        vector_quantization,
        straight_through,
        three_losses,
        training_a_vqvae,
        ema_codebooks,
        codebook_collapse,
        rate_and_distortion,
        codes_and_why_a_prior,
        pixelcnn,
        gated_pixelcnn,
        vqvae2,
        hierarchical_priors,
        bug_clinic,
    )
}
