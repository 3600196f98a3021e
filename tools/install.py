"""Install ``requirements.txt`` beside the Python that runs this: with uv, and where that fails with pip.

uv fetches and unpacks many packages at once. It does not read what pip is told of mirrors and of folders of wheels, so
that is handed on. Standard library only: nothing else is here yet.
"""

import argparse
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def main() -> int:
    """Install; return 0 when everything is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", default="", help="which build of torch, for instance cpu (uv's --torch-backend)")
    options = parser.parse_args()
    try:
        if install_with_uv(options.torch):
            return 0
        if options.torch:  # pip would install the large build, which is what this reader has no room for
            print(f"TORCH={options.torch} takes uv and the address where torch keeps its own wheels, see above.")
            print("Without TORCH the build for every machine is installed, several gigabytes.")
            return 1
        print(
            "This could not be done with uv, see above: going on with pip, which takes some minutes longer.", flush=True
        )
        return subprocess.run([*PIP, "install", "-r", REQUIREMENTS]).returncode
    except KeyboardInterrupt:
        return 130


def install_with_uv(torch: str) -> bool:
    """Fetch uv and install with it; return whether both worked.

    Args:
        torch: Which build of torch, or an empty string for the one of the package index.
    """
    pin = next(line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines() if line.startswith("uv=="))
    # A wheel or nothing: building uv takes a Rust compiler, and longer than pip needs for all the rest.
    if subprocess.run([*PIP, "install", "-q", "--only-binary", ":all:", pin]).returncode:
        return False
    settings = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *uv_options(settings)]
    if torch:
        command += ["--torch-backend", torch]
    if sys.dont_write_bytecode:  # else the first import does, and only of what is imported
        command.append("--compile-bytecode")
    return not subprocess.run([*command, "-r", REQUIREMENTS]).returncode


def uv_options(settings: str) -> list[str]:
    """Return the options that make uv look where pip looks.

    Args:
        settings: What ``pip config list`` prints.
    """
    pairs = [line.partition("=") for line in settings.splitlines()]
    told = {key: literal_eval(value) for key, _, value in pairs}
    # As in pip, what is said of one command counts more, and a variable of the environment most.
    said = {
        key.rpartition(".")[2]: told[key]
        for place in ("global", "install", ":env:")
        for key in told
        if key.startswith(f"{place}.")
    }
    options = [f"--default-index={said['index-url'].strip()}"] if "index-url" in said else []
    options += [f"--index={url}" for url in said.get("extra-index-url", "").split()]
    options += [f"--find-links={place}" for place in said.get("find-links", "").split()]
    if said.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        options.append("--no-index")
    # pip takes the best of all places; uv by itself takes the first that knows the name.
    return [*options, "--index-strategy=unsafe-best-match"] if "extra-index-url" in said else options


if __name__ == "__main__":
    sys.exit(main())
