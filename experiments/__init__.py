"""The runs behind the comparisons on the pages, one script each: ``make experiment NAME=collapse``.

A script is named after its question and holds

- a docstring that asks it,
- ``Setting``, a frozen dataclass of all that is varied or held,
- ``SETTINGS``, from the name of a setting to its ``Setting``; ``SEEDS``, five or more
  (a reproduction beside its source may be a single run, which carries no claim),
- ``SMOKE``, a ``Setting`` so small that a test can run it in a second, on built-in data,
- ``run(seed, setting) -> numbers``: trains and measures; a number or a list of numbers by name; no plots.

``runner`` runs what is missing and stores every seed's numbers in ``vqvae_course/evidence``, ``training`` holds what
the scripts share.
"""
