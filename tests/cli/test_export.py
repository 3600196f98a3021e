import json
import re
from hashlib import sha256

import pytest
import torch

from tests.cli.runs import CLASSES, K_TOP, PRIOR, Cli, H, K, W, content
from vqvae_course.checkpoint import load_checkpoint
from vqvae_course.cli import export as command
from vqvae_course.data import fingerprint
from vqvae_course.export import ExportError


@pytest.fixture
def _real() -> None:
    """Skip where files cannot be exported and run."""
    if not hasattr(torch.compiler, "is_exporting"):
        pytest.skip("this torch is too old to export")
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)


@pytest.fixture
def _fake(monkeypatch) -> None:
    """Leave out the exporter, which takes seconds a file, and onnxruntime."""
    monkeypatch.setattr(command, "need_exporter", lambda: None)
    monkeypatch.setattr(command, "to_onnx", lambda graph: graph.outputs[0].name.encode())
    monkeypatch.setattr(command, "largest_difference", lambda graph, content: 3e-7)


def run_file(path, **inputs):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return session.run(None, {name: values.numpy() for name, values in inputs.items()})[0]


@pytest.mark.usefixtures("_real")
def test_the_files_of_a_run_compute_what_its_checkpoints_do(cli: Cli, whole):
    outcome = cli("export", "--out", "run")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "Exporting the VQVAE of run/model.pt, trained for 6 updates."
    for line, name, ports in zip(
        lines[1:4],
        ("encoder", "decoder", "prior"),
        ("image -> indices", "indices -> image", "indices, labels -> logits"),
        strict=True,
    ):
        assert re.fullmatch(rf"run/onnx/{name}\.onnx: {ports}; largest difference from torch [0-9.e-]+", line)
    assert lines[4:] == ["Wrote run/onnx/export.json."]
    assert sorted(path.name for path in (whole / "onnx").iterdir()) == [
        "decoder.onnx",
        "encoder.onnx",
        "export.json",
        "prior.onnx",
    ]

    model = load_checkpoint("run/model.pt").model
    prior = load_checkpoint("run/prior.pt").model
    indices, labels = torch.randint(K, (5, H // 2, W // 2)), torch.randint(CLASSES, (5,))
    with torch.no_grad():
        image, logits = model.decode(indices), prior(indices, labels)
    torch.testing.assert_close(
        torch.from_numpy(run_file("run/onnx/decoder.onnx", indices=indices)), image, atol=1e-4, rtol=0
    )
    found = torch.from_numpy(run_file("run/onnx/prior.onnx", indices=indices, labels=labels))
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=0)
    assert run_file("run/onnx/encoder.onnx", image=torch.rand(5, 3, H, W)).shape == (5, H // 2, W // 2)

    about = json.loads((whole / "onnx" / "export.json").read_text())
    assert about["model"]["fingerprint"] == fingerprint(model)
    assert (about["model"]["kind"], about["model"]["checkpoint"], about["model"]["updates"]) == ("VQVAE", "model.pt", 6)
    assert (about["image"]["shape"], about["image"]["range"]) == ([3, H, W], [0, 1])
    assert about["classes"] == ["ant", "bee", "cow"]
    assert about["levels"] == [{"name": "indices", "map": [H // 2, W // 2], "K": K, "D": 3, "downsample": 2}]
    assert about["files"]["prior.onnx"]["inputs"] == [
        {"name": "indices", "type": "int64", "shape": ["batch", H // 2, W // 2], "below": K},
        {"name": "labels", "type": "int64", "shape": ["batch"], "below": CLASSES},
    ]
    for name, file in about["files"].items():
        assert file["sha256"] == sha256((whole / "onnx" / name).read_bytes()).hexdigest()
        assert 0 <= file["largest_difference_from_torch"] <= 1e-4
    assert about["environment"]["torch"] == torch.__version__
    assert about["environment"]["onnx"]


@pytest.mark.usefixtures("_fake")
def test_each_level_has_a_prior_of_its_own_and_a_missing_one_is_named(cli: Cli, hierarchy):
    assert cli("train-prior", "--out", "run", "--level", "bottom", "--steps", "2", *PRIOR).status == 0
    outcome = cli("export", "--out", "run")
    assert (outcome.status, outcome.err) == (0, "")
    assert "run/onnx/encoder.onnx: image -> indices_top, indices_bottom; largest difference" in outcome.out
    assert "run/onnx/prior_bottom.onnx: indices_bottom, labels, indices_top -> logits; largest" in outcome.out
    assert "No prior_top.onnx: there is no run/prior_top.pt yet." in outcome.out
    about = json.loads((hierarchy / "onnx" / "export.json").read_text())
    assert [(level["name"], level["K"], level["downsample"]) for level in about["levels"]] == [
        ("indices_top", K_TOP, 4),
        ("indices_bottom", K, 2),
    ]
    assert list(about["files"]) == ["encoder.onnx", "decoder.onnx", "prior_bottom.onnx"]


@pytest.mark.usefixtures("_fake")
def test_a_run_without_a_prior_exports_stage_1_and_says_so(cli: Cli, trained):
    outcome = cli("export", "--out", "run")
    assert (outcome.status, outcome.err) == (0, "")
    assert "No prior.onnx: there is no run/prior.pt yet." in outcome.out
    assert (trained / "onnx" / "encoder.onnx").read_bytes() == b"indices"
    assert (trained / "onnx" / "decoder.onnx").read_bytes() == b"image"
    assert not (trained / "onnx" / "prior.onnx").exists()


@pytest.mark.usefixtures("_fake")
def test_a_file_of_an_earlier_export_is_kept_and_named(cli: Cli, trained):
    (trained / "onnx").mkdir()
    (trained / "onnx" / "prior.onnx").write_bytes(b"old")
    outcome = cli("export", "--out", "run")
    assert "run/onnx/prior.onnx is of an earlier export and does not belong to these files." in outcome.out
    assert (trained / "onnx" / "prior.onnx").read_bytes() == b"old"


@pytest.mark.usefixtures("_fake")
def test_without_onnxruntime_nothing_is_compared_and_the_way_to_do_it_is_named(cli: Cli, trained, monkeypatch):
    def missing(graph, content):
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setattr(command, "largest_difference", missing)
    outcome = cli("export", "--out", "run")
    assert outcome.status == 0
    assert "run/onnx/encoder.onnx: image -> indices; not compared with torch" in outcome.out
    assert "python -m pip install onnxruntime, then run this again" in outcome.out
    about = json.loads((trained / "onnx" / "export.json").read_text())
    assert about["files"]["encoder.onnx"]["largest_difference_from_torch"] is None


@pytest.mark.usefixtures("_fake")
def test_a_failure_is_one_sentence_and_leaves_the_files_of_before(cli: Cli, trained, monkeypatch):
    assert cli("export", "--out", "run").status == 0
    before = content("run")

    def fail_at_the_second(graph):
        if graph.outputs[0].name == "image":
            raise ExportError("VQVAE must be a program that torch can export")
        return b"new"

    monkeypatch.setattr(command, "to_onnx", fail_at_the_second)
    outcome = cli("export", "--out", "run")
    assert outcome.status == 1
    assert outcome.err == "vqvae-course export: VQVAE must be a program that torch can export\n"
    assert content("run") == before


@pytest.mark.usefixtures("_fake")
def test_a_prior_of_another_model_is_refused(cli: Cli, whole):
    about = json.loads((whole / "prior.json").read_text())
    (whole / "prior.json").write_text(json.dumps(about | {"model": "another"}))
    outcome = cli("export", "--out", "run")
    assert outcome.status == 1
    assert "got a prior for the codes of another model" in outcome.err
    assert not (whole / "onnx").exists()


@pytest.mark.usefixtures("_fake")
def test_without_a_trained_model_the_first_command_is_named(cli: Cli, pets):
    outcome = cli("export", "--out", "run")
    assert outcome.status == 1
    assert "run/train.json is missing: run `vqvae-course train --out run` first" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_torch_that_is_too_old_is_one_sentence(cli: Cli, trained, monkeypatch):
    monkeypatch.delattr(torch.compiler, "is_exporting", raising=False)
    outcome = cli("export", "--out", "run")
    assert outcome.status == 1
    assert re.fullmatch(r"vqvae-course export: torch must be 2\.7 or newer [^\n]*\n", outcome.err)
    assert not (trained / "onnx").exists()
