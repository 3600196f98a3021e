"""Run a notebook from top to bottom and store its outputs, or say why they must not be stored.

In place (``make execute``) the outputs must keep the rules of ``tools/outputs.py`` and get a stamp;
with ``--to`` (``make book``) the notebook stays as it is and the outputs go into a copy.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from time import perf_counter

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools.outputs import faults, heading, tidy
from tools.stamp import KEY, code_sha256, modules_sha256

# Asked of the notebook's own kernel when all is done. A notebook whose data set could not be had may
# have gone on with another, so the names of the sets in memory count, not only what it asked for.
PROBE = """
import json, sys
import vqvae_course, vqvae_course.data, vqvae_course.runtime
print(json.dumps({
    "dataset": globals().get("DATASET"),
    "loaded": sorted({each.name for each in globals().values() if isinstance(each, vqvae_course.data.ImageSet)}),
    "budget": vqvae_course.runtime.budget_name(),
    "device": vqvae_course.runtime.pick_device().type,
    "version": vqvae_course.__version__,
    "modules": [name for name in sys.modules if name.startswith("vqvae_course")],
}))
"""


def execute(nb: NotebookNode, folder: Path) -> dict:
    """Run every code cell in ``folder``, printing a line for each.

    Returns:
        Answers of the kernel after the last cell: data set, budget, device, version, imported modules.
    """
    client = NotebookClient(nb, timeout=None, kernel_name="python3", extra_arguments=["--log-level=40"])
    client.resources["metadata"] = {"path": str(folder)}
    indices = [index for index, cell in enumerate(nb.cells) if cell.cell_type == "code" and cell.source.strip()]
    with client.setup_kernel():
        for count, index in enumerate(indices, 1):
            print(f"[{count:2}/{len(indices)}] {heading(nb, index)} ... ", end="", flush=True)
            started = perf_counter()
            client.execute_cell(nb.cells[index], index, execution_count=count)
            print(f"{perf_counter() - started:.1f} s", flush=True)
        nb.cells.append(new_code_cell(PROBE))
        client.execute_cell(nb.cells[-1], len(nb.cells) - 1)
    return json.loads(nb.cells.pop().outputs[0].text)


def stamp(nb: NotebookNode, ran: dict) -> list[str]:
    """Write the stamp; return what forbids storing these outputs."""
    problems = faults(nb)
    loaded, modules = ran.pop("loaded"), ran.pop("modules")
    if ran["dataset"] is None:
        problems.append("its settings cell must name the data set: DATASET = ...")
    elif loaded and ran["dataset"] not in loaded:
        problems.append(f"DATASET is {ran['dataset']!r}, but it ran on {loaded}: set VQVAE_COURSE_DATA")
    nb.metadata[KEY] = {"code_sha256": code_sha256(nb), **ran, "modules_sha256": modules_sha256(modules)}
    return problems


def write(nb: NotebookNode, path: Path) -> None:
    """Write a notebook so that under its name there is always a whole one."""
    nbformat.validate(nb)
    path.parent.mkdir(parents=True, exist_ok=True)
    half_done = path.with_suffix(".tmp")
    nbformat.write(nb, half_done)
    half_done.replace(path)


def main() -> None:
    """Run the notebook that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--to", type=Path, help="leave the notebook alone and write a copy with its outputs here")
    options = parser.parse_args()
    os.environ["VQVAE_COURSE_STORED"] = "1"  # small multiples instead of sliders
    if data := os.environ.get("VQVAE_COURSE_DATA"):
        os.environ["VQVAE_COURSE_DATA"] = str(Path(data).expanduser().resolve())  # the kernel runs elsewhere

    started = perf_counter()
    nb = nbformat.read(options.notebook, as_version=4)
    print(f"Running {options.notebook}")
    try:
        ran = execute(nb, options.notebook.parent)
    except (CellExecutionError, DeadKernelError) as error:
        sys.exit(f"\n{options.notebook} stopped here; nothing was written.\n{error}")
    tidy(nb)
    if options.to is None and (problems := stamp(nb, ran)):
        sys.exit("\n".join(["The outputs are not fit to be stored; nothing was written.", *problems]))
    write(nb, options.to or options.notebook)
    print(f"Wrote {options.to or options.notebook} after {perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
