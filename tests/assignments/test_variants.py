"""Exercises of which every student has a variant: drawing, handing out, and judging by one's own numbers."""

import hashlib
import itertools
import json
import math
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("nbgrader")

import nbformat
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

from vqvae_course.assignments import gradebook, hidden, looks
from vqvae_course.assignments.variants import (
    check_form,
    check_value,
    draw,
    grading,
    pages,
    planted_mistake,
    tokenizer_numbers,
    updated_codebook,
)
from vqvae_course.checks import report
from vqvae_course.checks.answer import Answer, Mistake, sheltered
from vqvae_course.checks.report import CheckFailed
from vqvae_course.cli import variants as command
from vqvae_course.quantize import VectorQuantizer

SECRET = "0" * 64
STUDENTS = ("alice", "bob", "jan_de_vries")
PINNED_NUMBERS = [228, 348, 358, 86, 983]
PINNED_ORDER = list("caefbd")
PINNED = {
    "tokenizer_numbers": "79d994654b7f",
    "updated_codebook": "250883d777d7",
    "downsampling_layers": "0d03b694ed26",
    "planted_mistake": "a728d3d10c65",
}  # changes with any change of a draw, and then what was handed out cannot be graded
PARTS = [(family, part) for family in draw.FAMILIES for part in draw.module_of(family).PARTS]


def given_to(student: str, family: str) -> dict:
    return draw.drawn(SECRET, "exam", family, student).given


def said(name: str, function, given: dict) -> str:
    """Return what a judge says of an answer, empty if it is right."""
    module = draw.module_of(draw.family_of(name))
    with sheltered():
        try:
            getattr(module, f"form_{name}")(Answer(function), given)
            getattr(module, f"judge_{name}")(Answer(function), given)
        except Mistake as mistake:
            return mistake.message
    return ""


# --- drawing


def test_a_draw_is_the_same_on_every_machine_and_with_every_python():
    draws = draw.Draws(b"seed")
    assert [draws.below(1000) for _ in range(5)] == PINNED_NUMBERS
    assert draws.shuffled("abcdef") == PINNED_ORDER
    for family, digest in PINNED.items():
        given = repr(given_to("alice", family))
        assert hashlib.sha256(given.encode()).hexdigest()[:12] == digest, family


def test_draws_stay_in_their_bounds_and_reach_them():
    draws = draw.Draws(b"")
    assert {draws.between(-2, 2) for _ in range(200)} == {-2, -1, 0, 1, 2}
    assert {draws.choice("xyz") for _ in range(100)} == set("xyz")


@pytest.mark.parametrize("family", draw.FAMILIES)
def test_no_two_of_500_students_share_a_variant(family):
    assert draw.module_of(family).SPACE >= 10**6
    seen = Counter(repr(given_to(f"student{number}", family)) for number in range(500))
    assert len(seen) == 500


@pytest.mark.parametrize("family", draw.FAMILIES)
def test_secret_assignment_and_student_each_make_another_variant(family):
    arguments = [(SECRET, "exam", "alice"), ("1" * 64, "exam", "alice"), (SECRET, "exam2", "alice")]
    drawn = [draw.drawn(secret, name, family, student).given for secret, name, student in arguments]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_a_secret_is_made_once_for_its_owner_alone_and_must_be_whole(tmp_path):
    with pytest.raises(ValueError, match=r"must hold the secret\.txt"):
        draw.read_secret(tmp_path)
    draw.make_secret(tmp_path)
    first = draw.read_secret(tmp_path)
    draw.make_secret(tmp_path)
    assert draw.read_secret(tmp_path) == first
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "secret.txt").stat().st_mode) == 0o600
    (tmp_path / "secret.txt").write_text(first[:20], encoding="ascii")
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        draw.read_secret(tmp_path)


# --- the numbers of a tokenizer


def tokenizer_by_hand(given: dict) -> dict:
    places = -(-given["height"] // given["factor"]) * -(-given["width"] // given["factor"])
    total, entropy = sum(given["counts"]), 0.0
    for count in given["counts"]:
        if count > 0:
            entropy += count / total * math.log2(total / count)
    bits = places * math.ceil(math.log2(given["codes"]))
    raw = given["height"] * given["width"] * given["channels"] * given["depth"]
    return {
        "index_bits": bits,
        "entropy_bits": places * entropy,
        "perplexity": 2**entropy,
        "compression": raw / bits,
    }


def tokenizer_with_tensors(given: dict) -> dict:
    counts = torch.tensor(given["counts"]).double()
    p = counts / counts.sum()
    nats = -torch.xlogy(p, p).sum()
    sides = torch.tensor([given["height"], given["width"]])
    places = torch.ceil(sides / given["factor"]).prod()
    bits = places * len(bin(given["codes"] - 1)[2:])
    return {
        "perplexity": torch.exp(nats),
        "compression": sides.prod() * given["channels"] * given["depth"] / bits,
        "entropy_bits": torch.round(places * nats / math.log(2), decimals=2),
        "index_bits": bits,
    }


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("right", [tokenizer_by_hand, tokenizer_with_tensors])
def test_right_numbers_of_a_tokenizer_are_taken(student, right):
    given = given_to(student, "tokenizer_numbers")
    assert said("tokenizer_numbers", lambda: right(given), given) == ""


TOKENIZER_WRONG = {
    "count of numbers": ("index_bits", lambda g, r: r["index_bits"] * g["dim"], "one index stands for all D"),
    "count of pixels": (
        "index_bits",
        lambda g, r: g["height"] * g["width"] * (g["codes"] - 1).bit_length(),
        "you count pixels",
    ),
    "no whole bits": (
        "index_bits",
        lambda g, r: r["index_bits"] / (g["codes"] - 1).bit_length() * math.log2(g["codes"]),
        "whole number of bits",
    ),
    "cut": (
        "index_bits",
        lambda g, r: (g["height"] // g["factor"]) * (g["width"] // g["factor"]) * (g["codes"] - 1).bit_length(),
        "rounded up",
    ),
    "nats": ("entropy_bits", lambda g, r: r["entropy_bits"] * math.log(2), "in nats"),
    "sample": ("entropy_bits", lambda g, r: math.log2(r["perplexity"]) * sum(g["counts"]), "whole sample"),
    "0 log 0": ("entropy_bits", lambda g, r: math.nan, "entropy_bits is nan"),
    "2 to nats": ("perplexity", lambda g, r: 2 ** math.log(r["perplexity"]), "base and logarithm"),
    "e to bits": ("perplexity", lambda g, r: math.exp(math.log2(r["perplexity"])), "base and logarithm"),
    "used": ("perplexity", lambda g, r: sum(count > 0 for count in g["counts"]), "counts used codes"),
    "upside down": ("compression", lambda g, r: 1 / r["compression"], "upside down"),
    "channels": ("compression", lambda g, r: r["compression"] / g["channels"], "leave out the channels"),
    "something": ("compression", lambda g, r: r["compression"] * 1.01, "not what the numbers of this student"),
    "text": ("compression", lambda g, r: "12:1", "compression is a str"),
}


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("wrong", TOKENIZER_WRONG)
def test_wrong_numbers_of_a_tokenizer_are_refused_by_their_misconception(student, wrong):
    key, changed, fragment = TOKENIZER_WRONG[wrong]
    given = given_to(student, "tokenizer_numbers")
    numbers = tokenizer_by_hand(given)
    message = said("tokenizer_numbers", lambda: numbers | {key: changed(given, numbers)}, given)
    assert message.startswith(key)
    assert fragment in message


@pytest.mark.parametrize(("value", "fragment"), [([1, 2, 3, 4], "a dict is asked for"), ({"bits": 3}, "has the keys")])
def test_what_is_no_dict_of_four_numbers_is_refused(value, fragment):
    assert fragment in said("tokenizer_numbers", lambda: value, given_to("alice", "tokenizer_numbers"))


def test_known_mistakes_in_the_numbers_of_a_tokenizer_are_wrong_for_everybody():
    for number in range(100):
        for key, (right, known) in tokenizer_numbers.expected(
            given_to(f"student{number}", "tokenizer_numbers")
        ).items():
            for value, message, _ in known:
                assert not math.isclose(value, right, rel_tol=2e-3), (key, message)


# --- one EMA update


def codebook_in_loops(given: dict, **changed) -> list[list[float]]:
    """Return the codebook after the update, or after one with a mistake."""
    gamma, epsilon, codes = given["gamma"], given["epsilon"], changed.get("codes", given["codes"])
    past, fresh = changed.get("past", gamma), changed.get("fresh", 1 - gamma)
    counts, sums = [0.0] * 4, [[0.0, 0.0] for _ in range(4)]
    for latent in given["latents"]:
        k = min(range(4), key=lambda i: math.dist(latent, codes[i]))
        counts[k] += 1
        for axis in (0, 1):
            sums[k][axis] += latent[axis]
    new = [past * old + fresh * n for old, n in zip(given["counts"], counts, strict=True)]
    if changed.get("kept"):
        new = [a if n else old for a, old, n in zip(new, given["counts"], counts, strict=True)]
    total = sum(new)
    smooth = [(n + epsilon) / (total + 4 * epsilon) * total for n in new] if changed.get("smooth", True) else new
    out = []
    for i in range(4):
        row = [past * given["sums"][i][axis] + fresh * sums[i][axis] for axis in (0, 1)]
        if changed.get("kept") and not counts[i]:
            row = given["sums"][i]
        out.append([value / smooth[i] for value in row])
    return out


def codebook_with_tensors(given: dict) -> torch.Tensor:
    codes, latents, n, m = (torch.tensor(given[key]) for key in ("codes", "latents", "counts", "sums"))
    chosen = torch.cdist(latents, codes).argmin(1)
    n = n.lerp(chosen.bincount(minlength=4).float(), 1 - given["gamma"])
    m = m.lerp(torch.zeros(4, 2).index_add_(0, chosen, latents), 1 - given["gamma"])
    eps = given["epsilon"]
    return m / ((n + eps) / (n.sum() + 4 * eps) * n.sum())[:, None]


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("right", [codebook_in_loops, codebook_with_tensors])
def test_right_codebooks_are_taken(student, right):
    given = given_to(student, "updated_codebook")
    assert said("updated_codebook", lambda: right(given), given) == ""


CODEBOOK_WRONG = {
    "swapped": (lambda g: codebook_in_loops(g, past=1 - g["gamma"], fresh=g["gamma"]), "γ and 1 - γ are swapped"),
    "not smoothed": (lambda g: codebook_in_loops(g, smooth=False), "not smoothed"),
    "new codebook": (lambda g: codebook_in_loops(g, codes=codebook_in_loops(g)), "chosen among the new codes"),
    "not decayed": (lambda g: codebook_in_loops(g, kept=True), "have not decayed"),
    "no past": (lambda g: codebook_in_loops(g, fresh=1), "The batch comes in with weight 1"),
    "unchanged": (lambda g: g["codes"], "before the update"),
    "gradient": (
        lambda g: [
            [
                e - 2 / 14 * sum(e - z[axis] for z in g["latents"] if nearest(g["codes"], z) == i)
                for axis, e in enumerate(code)
            ]
            for i, code in enumerate(g["codes"])
        ],
        "moved the codes by a gradient",
    ),
    "something": (lambda g: [[a + 1, b] for a, b in codebook_in_loops(g)], "Not where the update puts them"),
    "turned": (lambda g: torch.tensor(codebook_in_loops(g)).T, "shape (2, 4)"),
    "NaN": (lambda g: [[math.nan, 0.0]] * 4, "infinite numbers or NaN"),
    "text": (lambda g: "codes", "no table of numbers"),
}


def nearest(codes, latent) -> int:
    return min(range(len(codes)), key=lambda i: math.dist(latent, codes[i]))


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("wrong", CODEBOOK_WRONG)
def test_wrong_codebooks_are_refused_by_their_misconception(student, wrong):
    answer, fragment = CODEBOOK_WRONG[wrong]
    given = given_to(student, "updated_codebook")
    assert fragment in said("updated_codebook", lambda: answer(given), given)


def test_a_list_of_tensors_is_a_table_too():
    given = given_to("alice", "updated_codebook")
    assert said("updated_codebook", lambda: list(codebook_with_tensors(given)), given) == ""


def test_every_known_mistake_of_an_update_is_far_from_right_for_everybody():
    for number in range(50):
        given = given_to(f"student{number}", "updated_codebook")
        right = updated_codebook.updated(given)
        for value, message in updated_codebook.mistakes(given):
            assert float((value - right).abs().max()) > 5 * updated_codebook.TOLERANCE, message


# --- designing an encoder


def designs(given: dict):
    """Yield every design that is right, found in another way than the judge's: with convolutions."""
    menu = [tuple(layer) for layer in given["menu"]]
    for layers in itertools.chain(*(itertools.product(menu, repeat=n) for n in range(1, given["layers"] + 1))):
        side = list(given["image"])
        for kernel, stride, padding in layers:
            side = [(n + 2 * padding - kernel) // stride + 1 for n in side]
        seen = 1
        for kernel, stride, _ in reversed(layers):
            seen = (seen - 1) * stride + kernel
        if side == given["latent"] and seen >= given["field"]:
            yield list(layers)


def test_everybody_can_solve_the_design_and_not_with_any_design():
    for number in range(100):
        given = given_to(f"student{number}", "downsampling_layers")
        assert given["field"] <= min(given["image"])
        right = list(designs(given))
        assert 1 <= len(right) <= 100
        for layers in right:
            assert said("downsampling_layers", lambda layers=layers: layers, given) == ""


def test_sizes_are_those_of_torch():
    given = given_to("alice", "downsampling_layers")
    layers = next(designs(given))
    network = torch.nn.Sequential(*(torch.nn.Conv2d(1, 1, k, s, p) for k, s, p in layers))
    assert list(network(torch.zeros(1, 1, *given["image"])).shape[2:]) == given["latent"]
    assert said("downsampling_layers", lambda: tuple(map(list, layers)), given) == ""


BY_HAND = {
    "image": [64, 48],
    "latent": [16, 12],
    "field": 16,
    "layers": 3,
    "menu": [[3, 1, 1], [4, 2, 1], [5, 2, 2], [5, 2, 0], [7, 1, 3], [3, 2, 1]],
}
DESIGNS_WRONG = {
    "too many": ([(3, 1, 1)] * 4, {}, "at most 3"),
    "not on the menu": ([(4, 2, 1), (4, 2, 0)], {}, "(4, 2, 0) is not on your menu"),
    "pairs": ([(4, 2), (4, 2)], {}, "three whole numbers"),
    "nothing": ([], {}, "a list of (kernel, stride, padding)"),
    "too large": ([(4, 2, 1)], {}, "32×24 positions"),
    "turned": ([(4, 2, 1), (4, 2, 1)], {"latent": [12, 16]}, "16×12 positions"),
    "another size": ([(5, 2, 2), (5, 2, 2)], {"latent": [15, 11]}, "16×12 positions"),
    "one-sided": ([(4, 2, 1), (3, 1, 1)], {"latent": [30, 22]}, "padding went on one side"),
    "rounded up": ([(4, 2, 1), (5, 2, 0)], {"latent": [15, 11]}, "rounded up"),
    "strides alone": ([(5, 2, 0), (5, 2, 0)], {}, "divided by the strides alone"),
    "too near": ([(3, 2, 1), (3, 2, 1)], {}, "sees 7 pixels"),
    "own stride": ([(4, 2, 1), (4, 2, 1)], {}, "own stride does not widen"),
    "order": ([(7, 1, 3), (4, 2, 1), (3, 2, 1)], {"field": 25}, "opposite order"),
}


@pytest.mark.parametrize("wrong", DESIGNS_WRONG)
def test_wrong_designs_are_refused_by_their_misconception(wrong):
    layers, changed, fragment = DESIGNS_WRONG[wrong]
    assert fragment in said("downsampling_layers", lambda: layers, BY_HAND | changed)


@pytest.mark.parametrize("right", [[(4, 2, 1), (4, 2, 1), (3, 1, 1)], [[5, 2, 2], [5, 2, 2], [7, 1, 3]]])
def test_different_right_designs_are_taken(right):
    assert said("downsampling_layers", lambda: right, BY_HAND) == ""


# --- the planted mistake


def quantizer_of_the_package(z_e, codebook, beta):
    quantizer = VectorQuantizer(*codebook.shape, beta)
    del quantizer.codebook
    quantizer.codebook = codebook
    found = quantizer(z_e)
    return found.z_q, found.loss, found.indices


def quantizer_by_hand(z_e, codebook, beta):
    distances = (z_e[:, None] - codebook[None, :, :, None, None]).square().sum(2)
    indices = distances.argmin(1)
    codes = F.one_hot(indices, len(codebook)).to(codebook.dtype) @ codebook
    codes = codes.permute(0, 3, 1, 2)
    loss = F.mse_loss(codes, z_e.detach()) + beta * F.mse_loss(z_e, codes.detach())
    return [z_e + (codes - z_e).detach(), loss, indices]


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("right", [quantizer_of_the_package, quantizer_by_hand])
def test_mended_quantizers_are_taken(student, right):
    assert said("mended_quantizer", right, given_to(student, "planted_mistake")) == ""


@pytest.mark.parametrize("place", range(len(planted_mistake.MISTAKES)))
def test_each_planted_mistake_is_refused_by_its_misconception_with_or_without_being_the_given_one(place):
    function, message = planted_mistake.broken()[place]
    for student in STUDENTS:
        assert said("mended_quantizer", function, given_to(student, "planted_mistake")).endswith(message)


def test_the_given_code_handed_in_is_called_that():
    given = given_to("alice", "planted_mistake")
    assert said("mended_quantizer", planted_mistake.run(given["code"]), given).startswith("Your function does what the")


def right_texts():
    """Yield quantizers without a mistake in many names, styles and orders."""
    draws = draw.Draws(b"texts")
    for _ in range(60):
        slots = {slot: draws.choice(texts) for slot, texts in planted_mistake.STYLES.items()}
        names = {role: draws.choice(options) for role, options in planted_mistake.NAMES.items()}
        yield planted_mistake.written(slots, names, bool(draws.below(2)), bool(draws.below(2)))


def test_names_styles_and_orders_change_nothing_but_the_text():
    texts = list(right_texts())
    assert len(set(texts)) == len(texts)
    given = given_to("alice", "planted_mistake")
    for text in texts:
        assert said("mended_quantizer", planted_mistake.run(text), given) == "", text


def test_all_mistakes_are_planted_and_each_text_has_one_that_shows():
    found = Counter()
    for number in range(120):
        given = given_to(f"student{number}", "planted_mistake")
        message = said("mended_quantizer", planted_mistake.run(given["code"]), given)
        found[message] += 1
        assert len(given["code"].strip().splitlines()) <= 22
    assert len(found) == len(planted_mistake.MISTAKES)


MENDED_WRONG = {
    "two": (lambda z_e, codebook, beta: (z_e, z_e.mean()), "three things are asked for"),
    "rows": (lambda z_e, codebook, beta: (z_e, z_e.mean(), z_e[:, 0].flatten()), "indices has shape"),
    "sum": (
        lambda z_e, codebook, beta: (z_e, (z_e - 1).square(), z_e[:, 0].long()),
        "loss has shape",
    ),
    "float": (lambda z_e, codebook, beta: (z_e, 0.0, z_e[:, 0].long()), "loss is a float"),
    "nothing": (lambda z_e, codebook, beta: (z_e, z_e.mean(), z_e[:, 0].long()), "Not what it should be: z_q, indices"),
}


@pytest.mark.parametrize("wrong", MENDED_WRONG)
def test_what_is_no_quantizer_is_refused(wrong):
    function, fragment = MENDED_WRONG[wrong]
    assert fragment in said("mended_quantizer", function, given_to("alice", "planted_mistake"))


def witness_found(given: dict) -> tuple:
    """Return a witness in the way of a student who compares two programs."""
    for _ in range(200):
        inputs = torch.randn(1, 2, 2, 3), torch.randn(3, 2) * torch.tensor([[1.0], [2.0], [3.0]])
        seen = [
            planted_mistake.observed(one, *inputs, given["beta"])
            for one in (planted_mistake.run(given["code"]), quantizer_by_hand)
        ]
        if places := planted_mistake.differing(*seen):
            return (*inputs, places[-1])
    raise AssertionError(given["code"])


def test_everybody_has_a_small_witness():
    for number in range(60):
        given = given_to(f"student{number}", "planted_mistake")
        found = witness_found(given)
        assert said("witness", lambda found=found: list(found), given) == ""


def with_mistake(slot: str) -> dict:
    changes = next(changes for changes, _ in planted_mistake.MISTAKES if slot in changes)
    return {"beta": 0.25, "code": planted_mistake._plain(changes)}


def test_a_witness_by_hand_is_taken():
    given = with_mistake("k")  # the farthest code
    assert said("witness", lambda: (torch.zeros(1, 1, 1, 1), torch.tensor([[1.0], [5.0]]), "z_q"), given) == ""


Z, E = torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1), torch.tensor([[1.0, 0.0], [4.0, 3.0]])
WITNESS_WRONG = {
    "pair": ((Z, E), "k", "three things"),
    "list": (([[1.0]], E, "z_q"), "k", "z_e must be a tensor of floats with 4 axes"),
    "integers": ((Z.long(), E, "z_q"), "k", "tensor of floats"),
    "NaN": ((Z * math.nan, E, "z_q"), "k", "finite numbers"),
    "lengths": ((Z, torch.ones(2, 3), "z_q"), "k", "codes are 3 long"),
    "large": ((torch.ones(5, 2, 2, 2), E, "z_q"), "k", "at most 24"),
    "many codes": ((Z, torch.arange(10.0).reshape(5, 2), "z_q"), "k", "at most 24 and 4"),
    "place": ((Z, E, "everywhere"), "k", "is no place"),
    "between": ((Z, torch.stack([E[0], E[0]]), "z_q"), "k", "equally near"),
    "one position": ((Z, E, "z_q"), "rows", "does all that it should"),
    "one code": ((Z, E[:1], "indices"), "k", "does all that it should"),
    "another place": ((Z, E, "loss"), "codes", "but not in 'loss'"),
}


@pytest.mark.parametrize("wrong", WITNESS_WRONG)
def test_what_is_no_witness_is_refused(wrong):
    value, slot, fragment = WITNESS_WRONG[wrong]
    assert fragment in said("witness", lambda: value, with_mistake(slot))


# --- the notebooks


def released(families=draw.FAMILIES):
    """Return what nbgrader releases, by its own steps, in this process."""
    made = pages.source("exam", families)
    for step in (ClearSolutions, ClearHiddenTests):
        made, _ = step().preprocess(made, {})
    return made


def handed_out(student: str):
    own = [draw.drawn(SECRET, "exam", family, student) for family in draw.FAMILIES]
    return pages.handout(released(), student, own)


def test_the_source_is_one_for_all_and_worth_the_points_of_its_parts():
    made = pages.source("exam", draw.FAMILIES)
    nbformat.validate(made)
    marks = [cell.metadata.nbgrader for cell in made.cells if "nbgrader" in cell.metadata]
    assert sum(mark.get("points", 0) for mark in marks) == sum(part.points for _, part in PARTS) == 11
    assert {"setup", *(part.name for _, part in PARTS), *(f"{part.name}-check" for _, part in PARTS)} == {
        mark.grade_id for mark in marks
    }
    assert len({cell.id for cell in made.cells}) == len(made.cells)


def test_a_handout_differs_from_the_release_in_unmarked_cells_alone():
    common, own = released(), handed_out("alice")
    nbformat.validate(own)
    changed = [new.id for old, new in zip(common.cells, own.cells, strict=True) if old.source != new.source]
    assert changed == ["whose", *(f"{family}-{what}" for family in draw.FAMILIES for what in ("task", "given"))]
    assert not any("nbgrader" in cell.metadata for cell in own.cells if cell.id in changed)
    assert [cell.metadata for cell in common.cells] == [cell.metadata for cell in own.cells]
    assert pages.PLACEHOLDER not in str(own)


@pytest.mark.parametrize("student", STUDENTS)
def test_no_answer_stands_in_a_handout_or_its_metadata(student):
    text = json.dumps(handed_out(student), ensure_ascii=False)
    numbers = tokenizer_by_hand(given_to(student, "tokenizer_numbers"))
    codebook = itertools.chain(*codebook_in_loops(given_to(student, "updated_codebook")))
    answers = [f"{value:.4g}" for value in numbers.values() if value != int(value)] + [f"{v:.3f}" for v in codebook]
    answers += [str(layers) for layers in designs(given_to(student, "downsampling_layers"))]
    answers += [message for _, message in planted_mistake.MISTAKES]
    assert [answer for answer in answers if answer in text] == []
    assert not any(word in text for word in ("HIDDEN", "check_value", SECRET, "SOLUTION"))


def test_the_cells_of_a_handout_hold_what_was_drawn_and_its_code_runs():
    names: dict = {}
    for cell in handed_out("alice").cells:
        if cell.id == "whose" or cell.id.endswith("-given"):
            exec(cell.source, names)
    assert names["STUDENT"] == "alice"
    assert names["GIVEN"] == {family: given_to("alice", family) for family in draw.FAMILIES}
    assert len(names["given"](torch.randn(1, 2, 3, 4), torch.randn(5, 2), 0.5)) == 3


def test_only_what_nbgrader_released_is_handed_out():
    with pytest.raises(ValueError, match="must be what nbgrader made"):
        pages.handout(pages.source("exam", draw.FAMILIES), "alice", [])
    variant = draw.drawn(SECRET, "exam", "planted_mistake", "alice")
    with pytest.raises(ValueError, match="must be what nbgrader made"):
        pages.handout(released(draw.FAMILIES[:1]), "alice", [variant])


def test_what_was_handed_out_is_not_reported_as_meddling(tmp_path):
    for place in ("source", "release"):
        (tmp_path / place / "exam").mkdir(parents=True)
        nbformat.write(released(), tmp_path / place / "exam" / "exam.ipynb")
    for student in ("alice", "bob"):
        for place in (tmp_path / "handout" / "exam" / student, tmp_path / "submitted" / student / "exam"):
            place.mkdir(parents=True)
            nbformat.write(handed_out(student), place / "exam.ipynb")
    assert looks.before_grading(tmp_path, "exam") == []
    nbformat.write(handed_out("alice"), tmp_path / "submitted" / "bob" / "exam" / "exam.ipynb")
    found = looks.before_grading(tmp_path, "exam")
    assert {one.student for one in found} == {"bob"}
    assert "handed out to alice and not to bob" in found[0].text
    assert not any("exec" in one.text for one in found)


# --- grading


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Return a course whose secret is ``SECRET``, with the kernel where nbgrader grades alice."""
    (tmp_path / "secret.txt").write_text(SECRET, encoding="ascii")
    for student in STUDENTS:
        (tmp_path / "handout" / "exam" / student).mkdir(parents=True)
    monkeypatch.setattr(grading, "STARTED_IN", tmp_path / "autograded" / "alice" / "exam")
    return tmp_path


def answer_of(student: str):
    return lambda: tokenizer_by_hand(given_to(student, "tokenizer_numbers"))


def given_of(student: str) -> dict:
    return {family: given_to(student, family) for family in draw.FAMILIES}


def test_at_home_the_form_alone_is_judged_without_a_secret(capsys):
    numbers = dict.fromkeys(tokenizer_numbers.KEYS, 1.0)
    check_form("tokenizer_numbers", lambda: numbers, given_of("alice"))
    assert "form of tokenizer_numbers (its content is judged when it is graded): correct" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="a dict is asked for"):
        check_form("tokenizer_numbers", lambda: 3, given_of("alice"))
    assert not any(name.startswith("form of") for name in report.EXERCISES)


@pytest.mark.parametrize(("family", "part"), PARTS, ids=lambda one: getattr(one, "name", one))
def test_stubs_are_not_attempted_and_the_release_holds_no_numbers(family, part):
    names: dict = {}
    exec(part.stub, names)
    with pytest.raises(CheckFailed, match="not attempted yet"):
        check_form(part.name, names[part.name], given_of("alice"))
    with pytest.raises(CheckFailed, match="holds no numbers"):
        check_form(part.name, names[part.name], {family: None})


@pytest.mark.parametrize(("family", "part"), PARTS, ids=lambda one: getattr(one, "name", one))
def test_right_answers_of_the_student_in_whose_folder_they_are_graded_are_taken(course, family, part):
    given = given_to("alice", family)
    answers = {
        "tokenizer_numbers": answer_of("alice"),
        "updated_codebook": lambda: codebook_in_loops(given),
        "downsampling_layers": lambda: next(designs(given)),
        "mended_quantizer": quantizer_by_hand,
        "witness": lambda: witness_found(given),
    }
    check_value(part.name, answers[part.name], "alice", given_of("alice"))


def test_another_students_notebook_numbers_or_answers_get_nothing_and_nobody_is_named(course):
    name = "tokenizer_numbers"
    with pytest.raises(CheckFailed, match="handed out to somebody else, and handed in by alice"):
        check_value(name, answer_of("bob"), "bob", given_of("bob"))
    with pytest.raises(CheckFailed, match=r"not those handed out to alice\."):
        check_value(name, answer_of("bob"), "alice", given_of("bob"))
    changed = given_of("alice") | {name: given_to("alice", name) | {"factor": 2}}
    with pytest.raises(CheckFailed, match=r"not those handed out to alice\."):
        check_value(name, answer_of("alice"), "alice", changed)
    with pytest.raises(CheckFailed, match="not what the numbers of this student lead to"):
        check_value(name, answer_of("bob"), "alice", given_of("alice"))


def test_where_nothing_is_graded_it_says_so(course, monkeypatch):
    (course / "secret.txt").unlink()
    with pytest.raises(grading.NotGradedHere, match=r"must hold the secret\.txt"):
        check_value("tokenizer_numbers", answer_of("alice"), "alice", given_of("alice"))
    monkeypatch.setattr(grading, "STARTED_IN", course / "source" / "exam")
    with pytest.raises(grading.NotGradedHere, match="COURSE/autograded/STUDENT/ASSIGNMENT"):
        check_value("tokenizer_numbers", answer_of("alice"), "alice", given_of("alice"))


@pytest.mark.parametrize(
    ("place", "name"), [(draw, "drawn"), (tokenizer_numbers, "expected"), (grading, "_graded_here"), (report, "run")]
)
def test_replaced_parts_of_the_judge_are_seen(course, monkeypatch, place, name):
    given = given_of("alice")
    monkeypatch.setattr(place, name, lambda *arguments, **options: {})
    with pytest.raises(hidden.Tampered, match=name):
        check_value("tokenizer_numbers", dict, "alice", given)


# --- the command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "students must be a table, or ids names"),
        (["--ids", "alice,alice"], "ids must differ, and alice comes more than once"),
        (["--ids", "../alice"], "ids must be made of letters"),
        (["--ids", "alice", "--assignment", "a/b"], "assignment must be made of letters"),
        (["--ids", "alice", "--exercises", "sudoku"], "exercises must be all, or of tokenizer_numbers"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        command.main(["--course", str(tmp_path / "course"), *arguments])
    assert not (tmp_path / "course").exists()


@pytest.fixture
def without_nbgrader(monkeypatch):
    """Let the release be made in this process."""

    def generate(course: Path, assignment: str) -> None:
        command.write_if_missing(
            course / "release" / assignment / f"{assignment}.ipynb", nbformat.writes(released(draw.FAMILIES[:1]))
        )

    monkeypatch.setattr(command, "generate", generate)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_who_joins_later_gets_a_notebook_and_nothing_else_changes(tmp_path, without_nbgrader, capsys):
    arguments = ["--course", str(tmp_path), "--exercises", "tokenizer_numbers"]
    command.main([*arguments, "--ids", "alice,bob"])
    before = files(tmp_path)
    assert [name for name in before if "secret" in name] == ["secret.txt"]
    command.main([*arguments, "--ids", "alice,bob,jan_de_vries"])
    after = files(tmp_path)
    assert after.keys() - before.keys() == {"handout/exam/jan_de_vries/exam.ipynb"}
    assert {name: after[name] for name in before} == before
    printed = capsys.readouterr().out
    assert "tokenizer_numbers: 3 points, 15 minutes, at least 5e+11 variants" in printed
    assert "1 new notebooks, 2 that were there" in printed


def test_what_was_handed_out_is_never_replaced(tmp_path, without_nbgrader):
    arguments = ["--course", str(tmp_path), "--exercises", "tokenizer_numbers", "--ids"]
    command.main([*arguments, "alice"])
    with pytest.raises(ValueError, match="must hold the same exercises as before"):
        command.main(["--course", str(tmp_path), "--ids", "alice"])
    (tmp_path / "secret.txt").write_text("1" * 64, encoding="ascii")
    before = files(tmp_path)
    with pytest.raises(ValueError, match="1 notebooks were handed out that differ"):
        command.main([*arguments, "alice,bob"])
    assert files(tmp_path) == before


def nbgrader(course: Path, *words: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "HOME": str(course.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words], cwd=course, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_with_nbgrader_alice_gets_her_points_and_bob_with_her_notebook_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "course"
    command.main(["--course", str(folder), "--ids", "alice,bob", "--exercises", "tokenizer_numbers"])
    notebook = nbformat.read(folder / "handout" / "exam" / "alice" / "exam.ipynb", as_version=4)
    given = draw.drawn(draw.read_secret(folder), "exam", "tokenizer_numbers", "alice").given
    stub = next(cell for cell in notebook.cells if cell.id == "tokenizer_numbers-stub")
    stub.source = f"def tokenizer_numbers():\n    return {tokenizer_by_hand(given)!r}"
    for student in ("alice", "bob"):
        (folder / "submitted" / student / "exam").mkdir(parents=True)
        nbformat.write(notebook, folder / "submitted" / student / "exam" / "exam.ipynb")
    nbgrader(folder, "autograde", "exam")
    scores = {one.student: (one.points, one.possible) for one in gradebook.scores(folder, "exam")}
    assert scores == {"alice": (3, 3), "bob": (0, 3)}
    graded = (folder / "autograded" / "bob" / "exam" / "exam.ipynb").read_text(encoding="utf-8")
    assert "This notebook was handed out to somebody else, and handed in by bob." in graded
    found = looks.findings(folder, "exam")
    assert {one.student for one in found} == {"bob"}
    assert "handed out to alice and not to bob" in found[0].text
    assert "failed in tokenizer_numbers-check" in found[1].text
    assert not list((folder / "release").rglob("secret*"))
