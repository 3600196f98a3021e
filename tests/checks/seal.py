"""The right answers to the exercises of the bank, sealed.

They are a test's business, but they are solutions as well, and this repository is public. So they
are kept as text that nobody reads by accident: compressed, in base64. This keeps them out of search
engines, and out of sight of somebody who looks around. It keeps nothing from determined hands:
anybody who can run these two commands can read them.

    python -m tests.checks.seal open answers.py     # to edit them, outside of the repository
    python -m tests.checks.seal close answers.py    # to put them back
"""

import base64
import sys
import textwrap
import zlib
from pathlib import Path

SEALED = Path(__file__).with_name("sealed_answers.txt")


def opened() -> str:
    """Return the source of the right answers."""
    return zlib.decompress(base64.b64decode(SEALED.read_text(encoding="ascii"))).decode()


def close(source: str) -> None:
    """Seal a source in place of the old one."""
    text = base64.b64encode(zlib.compress(source.encode(), 9)).decode()
    SEALED.write_text("\n".join(textwrap.wrap(text, 100)) + "\n", encoding="ascii")


def main(arguments: list[str]) -> int:
    """Open the answers into a file, or close them from a file."""
    if len(arguments) != 2 or arguments[0] not in ("open", "close"):
        print(__doc__)
        return 2
    path = Path(arguments[1])
    if arguments[0] == "open":
        path.write_text(opened(), encoding="utf-8")
    else:
        close(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
