"""What the comparisons on the pages stand on: stored runs of several seeds, and the rules that they must obey.

- ``load("collapse")`` returns the results of one experiment, as ``experiments/collapse.py`` measured them;
- ``claim("07-normalised-over-kmeans")`` shows the numbers behind a sentence of a page;
- ``page_NN.py`` holds the claims of a page, ``rules.py`` what a claim can say.

A test evaluates every claim from the stored numbers: ``tests/evidence``.
"""

from vqvae_course.evidence.claims import claim
from vqvae_course.evidence.stored import Evidence, load

__all__ = ["Evidence", "claim", "load"]
