"""Stand in for ``google.colab`` in an ordinary kernel, as an extension: what of Colab a notebook's first cell meets."""

import shlex
import sys

from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Replace ``%pip``: Colab's hands its line to the shell and, unlike IPython's, adds no words of its own."""

    def pip(line: str) -> None:
        shell.system(f"{shlex.quote(sys.executable)} -m pip {line}")

    shell.register_magic_function(pip, "line", "pip")
