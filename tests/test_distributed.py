import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from tests import distributed_worker as worker
from vqvae_course import distributed
from vqvae_course.distributed import (
    SharedBatchNorm2d,
    World,
    agreed,
    anywhere,
    from_first,
    gathered,
    local_device,
    together,
    total,
    world,
)

SIZES = (2, pytest.param(3, marks=pytest.mark.slow))
PATIENCE = 600  # seconds: a busy machine takes its time, and nothing here is a claim about speed


def launch(command: list[str], size: int, **settings) -> list[subprocess.Popen]:
    """Start ``size`` processes as a launcher would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    shared |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return [
        subprocess.Popen([sys.executable, *command], env=shared | {"RANK": str(rank)}, text=True, **settings)
        for rank in range(size)
    ]


@pytest.fixture(scope="module", params=SIZES)
def seen(request, tmp_path_factory):
    """Return what two or three processes have seen: scenario -> one result a process."""
    folder = tmp_path_factory.mktemp(f"processes_{request.param}")
    processes = launch(["-m", "tests.distributed_worker", str(folder)], request.param, stderr=subprocess.PIPE)
    try:
        errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * request.param, "\n".join(errors)
    names = [*(scenario.__name__ for scenario in worker.SCENARIOS), "stopping"]
    ranks = range(request.param)
    return {name: [torch.load(folder / f"{name}_{rank}.pt", weights_only=False) for rank in ranks] for name in names}


def differences(first: dict, second: dict) -> dict[str, float]:
    assert first.keys() == second.keys()
    return {name: float((first[name].double() - second[name].double()).abs().max()) for name in first}


# --- alone


def test_alone_everything_is_returned_as_it_is():
    x = torch.rand(2, 3)
    assert world() == World(0, 1)
    assert total(x) is gathered(x) is from_first(x) is x
    assert agreed("a") == "a"
    assert anywhere(True)
    assert not anywhere(False)


def test_without_a_launcher_there_is_nothing_to_join(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with together() as here:
        assert here == world() == World(0, 1)
    assert local_device() is None


def test_an_error_of_the_work_itself_is_passed_on(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(RuntimeError, match="of the work"), together():
        raise RuntimeError("of the work")


def test_on_gpus_plain_values_go_from_processor_to_processor(monkeypatch):
    asked = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("vqvae_course.distributed.local_device", lambda: torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: asked.append(backend))
    with together():
        pass
    assert asked == ["cpu:gloo,cuda:nccl"]


# --- several


def test_all_processes_agree(seen):
    size = len(seen["talk"])
    for rank, found in enumerate(seen["talk"]):
        assert found["world"] == (rank, size)
        assert found["total"].tolist() == [[size, sum(range(size))]]
        assert found["kept"].tolist() == [[1.0, rank]]  # not changed in place
        assert found["gathered"].tolist() == [[1.0, other] for other in range(size)]
        assert found["from_first"].tolist() == [[1.0, 0.0]]
        assert found["agreed"] == {"rank": 0}
        assert found["anywhere"] == (True, False)


@pytest.mark.trained  # in other processes, which nobody sees
@pytest.mark.parametrize("scenario", ["ema", "gradient", "hierarchy", "prior", "conditional"])
def test_several_processes_learn_what_one_learns_from_the_whole_batch(seen, scenario):
    alone = getattr(worker, scenario)()
    for found in seen[scenario]:
        # Adding up in another order rounds by up to 1e-5 here; one gradient that is not shared moves weights by 1e-1.
        torch.testing.assert_close(found["weights"], alone["weights"], rtol=1e-4, atol=1e-4)
        assert found["images"] == alone["images"] == 20 * worker.BATCH
        assert found["steps"] == alone["steps"]
        for name, values in alone["history"].items():
            assert found["history"][name] == pytest.approx(values, rel=1e-4), name


@pytest.mark.parametrize("scenario", ["ema", "gradient", "hierarchy", "prior", "conditional", "different_weights"])
def test_all_processes_end_with_the_same_weights_bit_for_bit(seen, scenario):
    first, *others = (found["weights"] for found in seen[scenario])
    for other in others:
        assert set(differences(first, other).values()) == {0.0}


def test_the_normalisation_is_over_the_batch_of_all_processes_and_so_is_its_gradient(seen):
    alone = worker.normalized()
    x_hat = torch.cat([found["x_hat"] for found in seen["normalized"]])
    torch.testing.assert_close(x_hat, alone["x_hat"], atol=1e-5, rtol=1e-4)
    for found in seen["normalized"]:
        for name, gradient in alone["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], gradient, atol=1e-6, rtol=1e-3)
        for name, buffer in alone["buffers"].items():
            torch.testing.assert_close(found["buffers"][name], buffer, atol=1e-5, rtol=1e-4)


def test_codes_start_and_restart_at_the_same_latents_although_each_process_draws_otherwise(seen):
    first, *others = seen["restarts"]
    for name in ("started", "restarted", "codebook", "sums", "by_usage", "gradient_codebook"):
        assert all(torch.equal(first[name], other[name]) for other in others), name
    assert first["restarted"].nonzero().flatten().tolist() == [1, 4]
    rows = torch.cat([found["latents"] for found in seen["restarts"]]).movedim(1, -1).reshape(-1, 3)
    for code in first["codebook"][[1, 4]]:
        assert (rows == code).all(dim=1).any()
    assert torch.equal(first["sums"][[1, 4]], first["codebook"][[1, 4]])


def test_a_code_that_any_process_used_is_not_dead(seen):
    assert seen["restarts"][0]["by_usage"].nonzero().flatten().tolist() == [2, 6]


def test_the_shards_of_a_batch_are_disjoint_and_together_the_batch_of_one_process(seen):
    alone = worker.stream()["rows"]
    for number, whole in enumerate(alone):
        parts = [found["rows"][number] for found in seen["stream"]]
        assert torch.equal(torch.cat(parts), whole)
        assert len(set(whole.tolist())) == worker.BATCH


def test_one_process_that_is_asked_to_stop_stops_all_and_only_the_first_writes(seen):
    assert [found["steps"] for found in seen["stopping"]] == [[5, 7]] * len(seen["stopping"])
    assert [found["wrote"] for found in seen["stopping"]] == [True] + [False] * (len(seen["stopping"]) - 1)


def test_the_running_variance_is_the_unbiased_one_of_the_batch_of_all_processes(monkeypatch):
    # Two processes with the same batch: together they have each row twice. So few rows that n and n - 1 differ much.
    monkeypatch.setattr(distributed, "world", lambda: World(0, 2))
    monkeypatch.setattr(distributed, "total", lambda x: 2 * x)
    x = torch.randn(1, 3, 1, 2)
    shared, alone = SharedBatchNorm2d(3), torch.nn.BatchNorm2d(3, affine=False)
    torch.testing.assert_close(shared(x), alone(torch.cat([x, x]))[:1])
    torch.testing.assert_close(shared.running_mean, alone.running_mean)
    torch.testing.assert_close(shared.running_var, alone.running_var)
    assert shared.num_batches_tracked == 1


# --- processes that get lost

LONG = "import sys; from vqvae_course.cli import main; sys.exit(main(sys.argv[1:]))"


def long_run(out, timeout: float) -> list[str]:
    endless = ["--no-progress", "--steps", "1000000", "--checkpoint-every", "20"]
    return ["-c", LONG, "train", "--out", str(out), *endless, "--timeout", str(timeout)]


def wait_for(path, processes: list[subprocess.Popen]) -> None:
    """Wait until there is such a file, or fail at once when nobody is left who could write it."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        ended = [process.communicate()[1] for process in processes if process.poll() is not None]
        assert not ended, f"{path} did not appear: {ended}"
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.1)


# Seconds after which a process that stands still is given up; on a busy machine one may start later than the other.
@pytest.mark.parametrize(("number", "timeout"), [(signal.SIGKILL, 10 * PATIENCE), (signal.SIGSTOP, 15)])
def test_a_process_that_dies_or_hangs_ends_the_others_with_a_clear_message(tmp_path, number, timeout):
    first, second = launch(long_run(tmp_path, timeout), 2, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(tmp_path / "model.pt", [first, second])
        second.send_signal(number)
        _, error = first.communicate(timeout=PATIENCE)
    finally:
        first.kill()
        second.kill()
        second.communicate()
    assert first.returncode == 1
    assert "another of the 2 processes ended, did not answer within" in error
    assert "Traceback" not in error
    assert torch.load(tmp_path / "model.pt", weights_only=True)["step"] >= 20


def test_a_process_that_never_comes_is_given_up(tmp_path):
    first, second = launch(long_run(tmp_path, 8), 2, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    second.kill()
    second.communicate()
    _, error = first.communicate(timeout=PATIENCE)
    assert first.returncode == 1
    assert "or never came" in error
