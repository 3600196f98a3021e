"""How the benchmarks measure and report: interleaved medians, the peak memory of one call, tables."""

import ctypes
import platform
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

import torch


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long a call takes, until a GPU has finished too."""
    started = perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - started


def interleaved(methods: Mapping[str, Callable[[], object]], rounds: int = 15) -> dict[str, float]:
    """Return the median seconds of each method, all of them called once a round in a random order.

    Whatever else the machine does meanwhile then slows all of them alike, and their ratios stay.

    Args:
        methods: Name to what to call.
        rounds: Calls that count; two more go before, for caches and allocators to settle.
    """
    order = random.Random(0)
    names = list(methods)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 2):
        order.shuffle(names)
        for name in names:
            taken = seconds_of(methods[name])
            if turn >= 2:
                seconds[name].append(taken)
    return {name: median(seconds[name]) for name in methods}


def peak_mib(call: Callable[[], object]) -> float:
    """Return by how many MiB a call raises the memory of this process at its highest; on Linux only, else NaN."""
    status, highest = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not highest.exists():
        return float("nan")

    def peak() -> int:
        """Return the highest mark in KiB; the one of getrusage remembers threads that have ended."""
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1])

    call()  # what is made once and kept does not count
    raised = []
    for _ in range(3):  # the least of three: how an allocator cuts its blocks varies a little
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, or it would be used again unseen
        highest.write_text("5")  # the mark starts again from what is in use now
        before = peak()
        call()
        raised.append(peak() - before)
    return min(raised) / 1024


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def with_section(page: str, heading: str, text: str) -> str:
    """Return a Markdown page in which this section says this; a new section goes to the end.

    Args:
        page: The page so far.
        heading: Without the signs.
        text: What the section says; it holds no heading of its own.
    """
    before, found, rest = page.partition(f"## {heading}\n")
    if not found:
        return f"{page.rstrip()}\n\n## {heading}\n\n{text}\n"
    _, next_heading, after = rest.partition("\n## ")
    return f"{before}## {heading}\n\n{text}\n{next_heading}{after}"
