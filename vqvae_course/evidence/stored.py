"""Read the stored results of an experiment."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Evidence:
    """The stored runs of one experiment.

    Attributes:
        name: Of the experiment, ``experiments/NAME.py``.
        question: What was asked.
        settings: From the name of a setting to the fields that define it.
        runs: One dictionary a run: ``setting``, ``seed``, ``numbers`` (a number or a list of numbers by name),
            ``seconds``, and where it ran: ``versions``, ``processor``, ``date``.
    """

    name: str
    question: str
    settings: dict[str, dict]
    runs: tuple[dict, ...]

    def seeds(self, setting: str) -> list[int]:
        """Return the seeds that a setting was run with, in order.

        Raises:
            KeyError: If there is no such setting.
        """
        return [run["seed"] for run in self._of(setting)]

    def values(self, setting: str, number: str) -> list:
        """Return one number of every run of a setting, in the order of the seeds.

        Args:
            setting: Name of a setting.
            number: Name of what was measured.

        Raises:
            KeyError: If there is no such setting, or it did not measure that; the message lists what there is.
        """
        runs = self._of(setting)
        if number not in runs[0]["numbers"]:
            raise KeyError(f"number must be one of {sorted(runs[0]['numbers'])}, got {number!r}")
        return [run["numbers"][number] for run in runs]

    def table(self, number: str) -> dict[str, list]:
        """Return, for every setting that measured it, one number of every run: what ``plotting.dots`` draws."""
        measured = [name for name in self.settings if number in self._of(name)[0]["numbers"]]
        return {name: self.values(name, number) for name in measured}

    def _of(self, setting: str) -> list[dict]:
        runs = [run for run in self.runs if run["setting"] == setting]
        if not runs:
            raise KeyError(f"setting must be one of {list(self.settings)}, got {setting!r}")
        return sorted(runs, key=lambda run: run["seed"])


@cache
def load(name: str) -> Evidence:
    """Return the stored results of an experiment.

    Args:
        name: Of the experiment, such as ``"collapse"``.

    Raises:
        ValueError: If none of that name is stored; the message lists those that are.

    Explained in notebook 07.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"name must be one of {available()}, got {name!r}")
    content = json.loads(path.read_text(encoding="utf-8"))
    return Evidence(name, content["question"], content["settings"], tuple(content["runs"]))


def available() -> list[str]:
    """Return the names of all stored experiments."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))
