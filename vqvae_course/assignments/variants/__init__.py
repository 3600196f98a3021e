"""Exercises of which every student has a variant: other numbers, other shapes, another planted mistake.

For an examination at home with an open computer. What a student gets is drawn from a secret of the class and the
student's name, so a neighbour's answers are of no use; when the work is graded, the same draw says what is right.

This is no wall. Whoever opens the package sees how each family is judged, and that a judge computes what it asks for:
with it a student can read answers off their own numbers, as they could with any program that knows the field. What
is asked for is therefore what one must understand before a computer helps. And a notebook that is graded runs beside
the secret: when grades are out, the next examination takes a folder of its own, with a secret of its own. Where more
is at stake, ask for the reasoning too.

The modules:

- ``draw``: the secret, the draw, a ``Variant`` and how it is written down.
- ``pages``: the notebook that is released, and the one that is handed out to a student.
- ``grading``: what runs in the cells that check, at home and when answers are graded.
- one module a family: ``TITLE``, ``MINUTES``, ``SPACE`` (a lower bound on the number of variants), ``draw`` and
  ``task``; and for each part NAME of it ``form_NAME`` (what can be said without the secret) and ``judge_NAME``.
"""

from vqvae_course.assignments.variants.grading import check_form, check_value

__all__ = ["check_form", "check_value"]
