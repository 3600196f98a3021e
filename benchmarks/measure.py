"""How the benchmarks measure: interleaved medians, and the peak memory of one call."""

import random
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter


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
            started = perf_counter()
            methods[name]()
            if turn >= 2:
                seconds[name].append(perf_counter() - started)
    return {name: median(seconds[name]) for name in methods}


def peak_mib(call: Callable[[], object]) -> float | None:
    """Return by how many MiB a call raises the memory of this process at its highest, or None outside of Linux."""
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    try:
        clear.write_text("5")  # the highest mark starts again from what is in use now
    except OSError:
        return None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
