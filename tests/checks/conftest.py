"""The same inputs at every run: among a million draws, two different mistakes do give the same number."""

import pytest
import torch

from vqvae_course.checks import answer

SEED = 1711_00937  # none that an answer might choose
reseed = answer.reseed


@pytest.fixture(autouse=True)
def _same_inputs(monkeypatch):
    """Let checks draw the same inputs at every run of a test."""
    monkeypatch.setattr(answer, "reseed", lambda: torch.manual_seed(SEED))


@pytest.fixture
def fresh_inputs(_same_inputs, monkeypatch):
    """Let checks draw other inputs each time, as they do for learners."""
    monkeypatch.setattr(answer, "reseed", reseed)
