"""Checks of the exercises: one module a chapter, named like its notebook without the number."""

from typing import Any

from vqvae_course.checks import (
    bug_clinic,
    codebook_collapse,
    codes_and_why_a_prior,
    ema_codebooks,
    gated_pixelcnn,
    hierarchical_priors,
    pixelcnn,
    rate_and_distortion,
    report,
    straight_through,
    three_losses,
    training_a_vqvae,
    vector_quantization,
    vqvae2,
    why_discrete,
)
from vqvae_course.checks.report import EXERCISES, CheckFailed, Exercise, Report

__all__ = [
    "EXERCISES",
    "CheckFailed",
    "Exercise",
    "Report",
    "bug_clinic",
    "check",
    "codebook_collapse",
    "codes_and_why_a_prior",
    "ema_codebooks",
    "gated_pixelcnn",
    "hierarchical_priors",
    "pixelcnn",
    "rate_and_distortion",
    "report",
    "straight_through",
    "three_losses",
    "training_a_vqvae",
    "vector_quantization",
    "vqvae2",
    "why_discrete",
]


def check(*answer: Any, strict: bool = False) -> Report:
    """Say whether an answer to an exercise is right, and if not, what is wrong.

    ``check(straight_through)`` finds the exercise by the function's name;
    ``check("straight_through", any_function)`` names it. The answer is tried on fresh random inputs.
    Nothing it does stops the notebook.

    Args:
        *answer: The function, or the exercise's name and the function.
        strict: Raise if the answer is not correct; the environment variable
            ``VQVAE_COURSE_STRICT=1`` does the same.

    Returns:
        A ``Report``, which has also been shown.

    Raises:
        CheckFailed: If the check is strict and the answer not correct.

    Explained in notebook 05.
    """
    return report.run(*answer, strict=strict)
