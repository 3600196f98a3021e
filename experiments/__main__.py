"""Run an experiment: ``python -m experiments collapse``. What is stored already is not run again."""

import argparse
import os
import pkgutil
import time

import experiments
from experiments import runner

FRAME = {"__main__", "runner", "training"}


def names() -> list[str]:
    """Return all experiments."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.__path__) if module.name not in FRAME)


def main() -> None:
    """Run what is missing, a line for each run, or list the experiments and what they lack."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names(), help="which one; without it, all are listed")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--only", default="", help="only settings whose name holds this")
    asked = parser.parse_args()
    if asked.name is None:
        for name in names():
            print(f"{name:24s}{len(runner.missing(name)):4d} runs to do")
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that are started
    left = len(runner.missing(asked.name, asked.only))
    print(f"{asked.name}: {left} runs to do")
    started = time.perf_counter()
    for done, run in enumerate(runner.finish(asked.name, asked.jobs, asked.only), 1):
        remaining = (time.perf_counter() - started) / done * (left - done) / 60
        shown = ", ".join(f"{key} {value:.4g}" for key, value in run["numbers"].items() if not isinstance(value, list))
        print(f"[{done}/{left}, {remaining:.0f} min to go] {run['setting']}, seed {run['seed']}: {shown}", flush=True)


if __name__ == "__main__":
    main()
