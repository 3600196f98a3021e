"""The claims of all pages, and the line that shows one."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

from vqvae_course import evidence
from vqvae_course.evidence.rules import Rule


class Claim(NamedTuple):
    """A sentence of a page and the rules that stored runs must obey for it to stand.

    Attributes:
        sentence: What the page says, in one sentence.
        rules: All of them must hold.
    """

    sentence: str
    rules: tuple[Rule, ...]

    @property
    def holds(self) -> bool:
        """Whether the stored runs carry the sentence."""
        return all(rule.judge().holds for rule in self.rules)

    def __str__(self) -> str:
        """Return the sentence and its numbers."""
        verdict = "Measured" if self.holds else "Not carried by the stored runs"
        return f"{verdict}: {self.sentence} {'; '.join(rule.judge().numbers for rule in self.rules)}."

    def _repr_markdown_(self) -> str:
        verdict, rest = str(self).split(":", 1)
        return f"> **{verdict}:**{rest}"


@cache
def all_claims() -> dict[str, Claim]:
    """Return every claim of every page by its id, which begins with the page's number.

    Raises:
        ValueError: If two claims have one id, or an id does not begin with its page's number.
    """
    found: dict[str, Claim] = {}
    for module in iter_modules(evidence.__path__):
        if module.name.startswith("page_"):
            page = module.name.removeprefix("page_")
            for name, each in import_module(f"{evidence.__name__}.{module.name}").CLAIMS.items():
                if name in found or not name.startswith(f"{page}-"):
                    raise ValueError(f"the id of a claim must be new and begin with {page}-, got {name!r}")
                found[name] = each
    return found


def claim(id: str) -> Claim:
    """Return a claim; as the last line of a cell it shows its sentence and the numbers of the stored runs.

    Args:
        id: Of the claim, such as ``"07-normalised-over-kmeans"``.

    Raises:
        ValueError: If there is none of that id; the message lists those of the same page.

    Explained in notebook 07.
    """
    every = all_claims()
    if id not in every:
        near = [name for name in every if name[:3] == id[:3]] or sorted(every)
        raise ValueError(f"id must be one of {near}, got {id!r}")
    return every[id]
