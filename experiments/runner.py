"""Run what is missing of an experiment and store every seed's numbers."""

import ast
import inspect
import json
import platform
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import date
from hashlib import sha256
from importlib import import_module
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import torch

import vqvae_course
from vqvae_course.evidence.stored import FOLDER


def code_sha256(script: ModuleType) -> str:
    """Hash what a script computes: its functions, its classes and the constants that these use.

    Docstrings and comments do not count, nor do settings and seeds, which are compared one by one.
    """
    tree = ast.parse(inspect.getsource(script))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    defined = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    used = {node.id for each in defined for node in ast.walk(each) if isinstance(node, ast.Name)}
    constants = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and used & {getattr(target, "id", "") for target in node.targets}
    ]
    return sha256("\n".join(ast.unparse(node) for node in [*constants, *defined]).encode()).hexdigest()


def processor() -> str:
    """Return the name of this machine's processor and the instructions that torch uses of it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.is_file() else None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def one_run(name: str, setting: str, seed: int) -> dict:
    """Run one setting with one seed, in this process."""
    script = import_module(f"experiments.{name}")
    torch.set_num_threads(1)
    started = time.perf_counter()
    numbers = script.run(seed, script.SETTINGS[setting])
    return {
        "setting": setting,
        "seed": seed,
        "numbers": {key: rounded(value) for key, value in numbers.items()},
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"vqvae_course": vqvae_course.__version__, "torch": torch.__version__.split("+")[0]},
        "processor": processor(),
        "date": date.today().isoformat(),
        "code_sha256": code_sha256(script),
    }


def rounded(value: float | Sequence) -> float | list:
    """Keep six significant digits: more is noise, and takes space."""
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value if isinstance(value, bool | int) else float(f"{float(value):.6g}")


def read(name: str, folder: Path = FOLDER) -> list[dict]:
    """Return the stored runs that still belong to the script: same code, same setting.

    A run of a setting that has changed, or of another version of the code, is no evidence for what the script says
    now, and is left out.
    """
    script, path = import_module(f"experiments.{name}"), folder / f"{name}.json"
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    now = {key: json.loads(json.dumps(asdict(each))) for key, each in script.SETTINGS.items()}
    code = code_sha256(script)
    return [
        run
        for run in content["runs"]
        if run["code_sha256"] == code and now.get(run["setting"]) == content["settings"].get(run["setting"])
    ]


def write(name: str, runs: Sequence[dict], folder: Path = FOLDER) -> None:
    """Store runs, so that under the name there is always a whole file."""
    script = import_module(f"experiments.{name}")
    order = list(script.SETTINGS)
    content = {
        "question": inspect.getdoc(script).split("\n\n")[0].replace("\n", " "),
        "settings": {key: asdict(each) for key, each in script.SETTINGS.items()},
        "runs": sorted(runs, key=lambda run: (order.index(run["setting"]), run["seed"])),
    }
    path = folder / f"{name}.json"
    half_done = path.with_suffix(".tmp")
    half_done.write_text(_lines(content), encoding="utf-8")
    half_done.replace(path)


def _lines(content: dict) -> str:
    """Write JSON with one setting and one run a line."""
    settings = ",\n".join(f"  {json.dumps(key)}: {json.dumps(each)}" for key, each in content["settings"].items())
    runs = ",\n".join(f"  {json.dumps(run, ensure_ascii=False)}" for run in content["runs"])
    question = json.dumps(content["question"], ensure_ascii=False)
    return f'{{\n "question": {question},\n "settings": {{\n{settings}\n }},\n "runs": [\n{runs}\n ]\n}}\n'


def missing(name: str, only: str = "", folder: Path = FOLDER) -> list[tuple[str, int]]:
    """Return settings and seeds without a stored run, all settings of the first seed first.

    Args:
        name: Of the experiment.
        only: A part of the names of the settings wanted; empty for all.
        folder: Where results are stored.
    """
    script = import_module(f"experiments.{name}")
    done = {(run["setting"], run["seed"]) for run in read(name, folder)}
    wanted = product(script.SEEDS, (key for key in script.SETTINGS if only in key))
    return [(setting, seed) for seed, setting in wanted if (setting, seed) not in done]


def finish(name: str, jobs: int = 1, only: str = "", folder: Path = FOLDER) -> Iterator[dict]:
    """Run what is missing and store each result as soon as it is there; an interrupted run loses what was under way.

    Args:
        name: Of the experiment, a module of ``experiments``.
        jobs: Processes, each of one thread.
        only: A part of the names of the settings wanted; empty for all.
        folder: Where results are stored.

    Yields:
        Each run when it is stored.
    """
    todo = missing(name, only, folder)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(one_run, name, setting, seed) for setting, seed in todo]
        try:
            for finished in as_completed(waiting):
                run = finished.result()
                write(name, [*read(name, folder), run], folder)
                yield run
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
