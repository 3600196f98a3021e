"""``python -m vqvae_course``: the command line, as ``vqvae-course`` and as what ``torchrun -m`` starts."""

import sys

from vqvae_course.cli import main

if __name__ == "__main__":
    sys.exit(main())
