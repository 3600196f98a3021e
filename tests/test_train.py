import dataclasses
import math
import re
from itertools import chain, repeat

import pytest
import torch
from torch import nn

from vqvae_course import train
from vqvae_course.checkpoint import load_checkpoint, save_checkpoint
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import Batch, Batches, CodeSet, ImageSet
from vqvae_course.history import History
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.train import (
    StepResult,
    TrainConfig,
    classifier_step,
    fit,
    learning_rate,
    prior_step,
    vae_step,
    vqvae_step,
)
from vqvae_course.vae import VAE, VAEConfig
from vqvae_course.vqvae import VQVAE, VQVAEConfig

N, H, W, K = 20, 8, 12, 7


def quiet(**arguments) -> TrainConfig:
    return TrainConfig(**{"steps": 10, "progress": False, **arguments})


def build_vqvae(**changes) -> VQVAE:
    small = {"in_channels": 1, "hidden": 8, "residual_layers": 1, "residual_hidden": 4, "num_codes": K, "code_dim": 3}
    torch.manual_seed(1)
    return VQVAE(
        VQVAEConfig(**{**small, "downsample": 2, "normalize_latents": True, "restart_below": 0.999, **changes})
    )


def build_prior(hidden: int = 6) -> GatedPixelCNN:
    torch.manual_seed(1)
    return GatedPixelCNN(GatedPixelCNNConfig(K, hidden=hidden, layers=2, num_classes=3))


def image_batches() -> Batches:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (N, 1, H, W), dtype=torch.uint8, generator=generator)
    return Batches(ImageSet(images, torch.arange(N) % 3, "noise"), 6, torch.Generator().manual_seed(3))


def code_batches() -> Batches:
    """Index maps in which each code is its left neighbour's successor: easy to predict but for the first column."""
    generator = torch.Generator().manual_seed(2)
    first = torch.randint(K, (N, 4, 1), generator=generator)
    maps = (first + torch.arange(6)) % K
    return Batches(CodeSet(maps, torch.arange(N) % 3, "stairs"), 6, torch.Generator().manual_seed(3))


class Slope(nn.Module):
    """A model of one weight, for tests of the loop itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))


def constant_batches(size: int = 2):
    return repeat(Batch(torch.zeros(size, 1), torch.zeros(size, dtype=torch.int64)))


def pull(model, batch) -> StepResult:
    return StepResult(100 * model.weight, {})


# --- learning rate


@pytest.mark.parametrize("steps", [1, 5, 10, 99, 1000])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_the_learning_rate_is_always_positive_and_never_above_lr(steps, schedule):
    rates = [learning_rate(update, quiet(steps=steps, lr=0.3, schedule=schedule)) for update in range(steps)]
    assert all(0 < rate <= 0.3 * (1 + 1e-12) for rate in rates)


def test_one_cycle_rises_over_the_first_fifth_and_falls_to_zero():
    rates = [learning_rate(update, quiet(steps=100, lr=0.3)) for update in range(101)]
    assert rates[20] == pytest.approx(0.3)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[0] < 0.02
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates[60] == pytest.approx(0.15)  # halfway down the cosine


def test_cosine_falls_from_the_start():
    rates = [learning_rate(update, quiet(steps=100, lr=0.3, schedule="cosine")) for update in range(101)]
    assert rates[0] == pytest.approx(0.3)
    assert rates == sorted(rates, reverse=True)
    assert rates[50] == pytest.approx(0.15)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)


def test_constant_stays():
    rates = {learning_rate(update, quiet(steps=100, lr=0.3, schedule="constant")) for update in range(100)}
    assert rates == {0.3}


class Spy(torch.optim.AdamW):
    """AdamW that remembers its settings at every step."""

    seen: list[dict]

    def step(self, closure=None):
        self.seen.append({name: self.param_groups[0][name] for name in ("lr", "betas", "weight_decay")})
        return super().step(closure)


def test_fit_follows_the_schedule_and_hands_on_betas_and_weight_decay(monkeypatch):
    Spy.seen = []
    monkeypatch.setattr(torch.optim, "AdamW", Spy)
    config = quiet(steps=10, lr=0.02, betas=(0.8, 0.95), weight_decay=0.3)
    fit(Slope(), constant_batches(), pull, config)
    assert [seen["lr"] for seen in Spy.seen] == [learning_rate(update, config) for update in range(10)]
    assert all(seen["betas"] == (0.8, 0.95) and seen["weight_decay"] == 0.3 for seen in Spy.seen)


# --- the loop


@pytest.mark.parametrize(("clip", "norm"), [(None, 100.0), (0.5, 0.5), (1000.0, 100.0)])
def test_clipping_bounds_the_gradient_and_nothing_else(clip, norm):
    model = Slope()
    fit(model, constant_batches(), pull, quiet(clip=clip))
    assert float(model.weight.grad) == pytest.approx(norm, rel=1e-4)  # that of the last update


def test_gradients_do_not_pile_up_over_updates():
    model = Slope()
    fit(model, constant_batches(), lambda model, batch: StepResult(3 * model.weight, {}), quiet(steps=5))
    assert float(model.weight.grad) == 3.0


@pytest.mark.parametrize("mode", [True, False])
def test_a_model_trains_in_train_mode_and_ends_in_eval_mode(mode):
    model, seen = Slope().train(mode), []

    def step(model, batch):
        seen.append(model.training)
        return pull(model, batch)

    fit(model, constant_batches(), step, quiet(steps=3))
    assert seen == [True] * 3
    assert not model.training


def test_the_history_holds_means_over_the_updates_since_the_entry_before():
    count = iter(range(7))

    def step(model, batch):
        number = float(next(count))
        return StepResult(0 * model.weight + number, {"double": torch.tensor(2 * number)})

    history = fit(Slope(), constant_batches(size=4), step, quiet(steps=7, log_every=3))
    assert history.steps == [3, 6, 7]
    assert history["loss"] == [1.0, 4.0, 6.0]
    assert history["double"] == [2.0, 8.0, 12.0]
    assert history.images == 28
    assert history.seconds > 0
    assert history.images_per_second == pytest.approx(28 / history.seconds)


def test_an_empty_history_has_no_speed():
    assert History().images_per_second == 0.0


@pytest.mark.parametrize("progress", [True, False])
def test_progress_goes_to_stdout_and_only_when_asked(capsys, progress):
    fit(Slope(), constant_batches(), pull, quiet(progress=progress))
    printed = capsys.readouterr()
    assert bool(printed.out) is progress
    assert printed.err == ""


def test_a_stream_that_ends_is_an_error_with_the_cure():
    batches = [next(constant_batches())] * 3
    with pytest.raises(ValueError, match="batches must last for 5 steps, ended after 3: use Batches"):
        fit(Slope(), batches, pull, quiet(steps=5))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(value):
    count = iter(range(10))

    def step(model, batch):
        return StepResult(model.weight * (value if next(count) == 4 else 1.0), {})

    with pytest.raises(FloatingPointError, match=r"the loss must stay finite, got .* by update 6: lower lr, set clip"):
        fit(Slope(), constant_batches(), step, quiet(log_every=3))


def test_weights_that_an_update_has_spoilt_are_not_saved(tmp_path):
    path, model = tmp_path / "run.pt", build_vqvae()
    fit(model, image_batches(), vqvae_step, quiet(steps=2, checkpoint=str(path)))

    def spoil(model, batch):
        result = vqvae_step(model, batch)
        next(model.parameters()).register_hook(lambda gradient: gradient * math.nan)
        return result

    with pytest.raises(FloatingPointError, match="the weights must stay finite, but update 3 spoilt them: lower lr"):
        fit(model, image_batches(), spoil, quiet(steps=3, checkpoint=str(path), resume=True))
    assert load_checkpoint(path).step == 2


def test_a_run_gone_wrong_does_not_spoil_its_checkpoint(tmp_path):
    path, count = tmp_path / "run.pt", iter(range(10))

    def step(model, batch):
        loss, logs = vqvae_step(model, batch)
        return StepResult(loss * (math.nan if next(count) >= 3 else 1.0), logs)

    with pytest.raises(FloatingPointError):
        fit(build_vqvae(), image_batches(), step, quiet(log_every=5, checkpoint=str(path), checkpoint_every=2))
    weights = load_checkpoint(path).model.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_quantity_that_is_no_number_is_not_saved_although_all_weights_are_finite(tmp_path):
    path, count = tmp_path / "run.pt", iter(range(10))

    def step(model, batch):
        loss, logs = vqvae_step(model, batch)
        return StepResult(loss, logs | {"measured": torch.tensor(math.nan if next(count) == 4 else 1.0)})

    config = quiet(steps=8, log_every=8, checkpoint=str(path), checkpoint_every=2)
    with pytest.raises(FloatingPointError, match=r"the loss must stay finite, got .*'measured': nan.* by update 6"):
        fit(build_vqvae(), image_batches(), step, config)
    assert load_checkpoint(path).step == 4


# --- step functions and learning


def test_the_vqvae_step_reports_every_term_and_the_perplexity():
    model, batch = build_vqvae().eval(), next(image_batches())
    result, output = vqvae_step(model, batch), model(batch.x)
    assert torch.equal(result.loss, output.loss)
    assert result.logs.keys() == {"recon_loss", "codebook_loss", "commitment_loss", "perplexity"}
    assert torch.equal(result.logs["recon_loss"], output.recon_loss)
    assert torch.equal(result.logs["commitment_loss"], output.commitment_loss)
    assert 1 <= float(result.logs["perplexity"]) <= K


def test_the_vae_step_reports_both_halves_of_the_elbo():
    model = VAE(VAEConfig(height=H, width=W, hidden=4, latent_dim=3)).eval()
    batch = Batch(torch.rand(5, 1, H, W), torch.zeros(5, dtype=torch.int64))
    loss, logs = vae_step(model, batch)
    output = model(batch.x)
    assert loss == output.loss
    assert logs == {"recon_nats": output.recon_nats, "kl_nats": output.kl_nats}


def test_the_prior_step_scores_each_map_given_its_label():
    prior, batch = build_prior().eval(), next(code_batches())
    expected = nn.functional.cross_entropy(prior(batch.x, batch.labels), batch.x)
    torch.testing.assert_close(prior_step(prior, batch).loss, expected)


def test_the_prior_step_leaves_labels_out_for_a_prior_without_classes():
    prior, batch = GatedPixelCNN(GatedPixelCNNConfig(K, hidden=6, layers=2)).eval(), next(code_batches())
    torch.testing.assert_close(prior_step(prior, batch).loss, nn.functional.cross_entropy(prior(batch.x), batch.x))


def test_the_classifier_step_is_the_cross_entropy_of_the_labels():
    model, batch = nn.Sequential(nn.Flatten(), nn.Linear(H * W, 3)), next(image_batches())
    expected = nn.functional.cross_entropy(model(batch.x), batch.labels)
    torch.testing.assert_close(classifier_step(model, batch).loss, expected)


def test_fit_teaches_a_vqvae():
    history = fit(build_vqvae(), image_batches(), vqvae_step, quiet(steps=60, lr=3e-3, log_every=10))
    assert history["loss"][-1] < 0.7 * history["loss"][0]


def test_fit_teaches_a_prior_what_can_be_known():
    history = fit(build_prior(hidden=16), code_batches(), prior_step, quiet(steps=80, lr=1e-2, log_every=10))
    assert history["nats_per_code"][0] > 0.8 * math.log(K)
    # One code in six, that of the first column, stays open.
    assert history["nats_per_code"][-1] < 0.35 * math.log(K)


# --- the door: data are looked at before the first update


def never(model, batch) -> StepResult:
    raise AssertionError("no step may run")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda codes: codes.indices[-1, 2].fill_(K), "indices must lie in [0, 7), got 0 to 7"),
        (lambda codes: codes.indices[-1, 2].fill_(-1), "indices must lie in [0, 7), got -1 to 6"),
        (lambda codes: codes.labels[-1:].fill_(3), "labels must lie in [0, 3), got 0 to 3"),
        (lambda codes: codes.above[0][-1].fill_(9), "condition[0] must lie in [0, 9), got 0 to 9"),
    ],
    ids=["code", "negative", "label", "above"],
)
def test_codes_that_a_prior_does_not_know_are_refused_before_the_first_update(spoil, message, monkeypatch):
    maps = (torch.arange(N)[:, None, None] + torch.arange(4)[:, None] + torch.arange(6)) % K
    codes = CodeSet(maps.clone(), torch.arange(N) % 3, "stairs", (maps[:, ::2, ::2].clone(),))
    prior = ConditionalPrior(ConditionalPriorConfig(K, [(K + 2, 2)], hidden=6, layers=2, num_classes=3, stack_layers=1))
    batches = Batches(codes, 6)
    spoil(codes)
    monkeypatch.setattr(train, "prior_step", never)
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(prior, batches, never, quiet(steps=1))


def test_other_batches_of_a_prior_are_looked_at_one_by_one():
    good, bad = (Batch(torch.full((2, 4, 6), code), torch.zeros(2, dtype=torch.int64)) for code in (3, K))
    seen = []
    with pytest.raises(ValueError, match=re.escape("indices must lie in [0, 7), got 7 to 7")):
        fit(build_prior(), chain([good, good], repeat(bad)), prior_step, quiet(log_every=1), seen.append)
    assert seen[-1].steps == [1, 2]


def test_a_step_of_ones_own_may_feed_a_prior_anything():
    def step(model, batch):
        maps = torch.zeros(len(batch.x), 4, 6, dtype=torch.int64)
        return StepResult(model(maps, batch.labels).square().mean(), {})

    assert fit(build_prior(), image_batches(), step, quiet(steps=2)).steps == [2]


def test_the_history_takes_logs_of_any_number_type_and_of_one_element():
    def step(model, batch):
        logs = {"double": torch.tensor(0.1, dtype=torch.float64), "whole": torch.tensor(3), "row": torch.tensor([0.5])}
        return StepResult(model.weight, logs)

    history = fit(Slope(), constant_batches(), step, quiet(steps=4, log_every=2))
    assert history["double"] == [0.1, 0.1]
    assert history["whole"] == [3.0, 3.0]
    assert history["row"] == [0.5, 0.5]


# --- stop and resume


class Crash(Exception):
    """What a power cut looks like from inside."""


def crashing(step, after: int):
    count = iter(range(after))

    def crash_later(model, batch):
        if next(count, None) is None:
            raise Crash
        return step(model, batch)

    return crash_later


def build_restless() -> VQVAE:
    """A VQ-VAE all of whose codes restart at every update: with 144 latents a batch, no running count stays at 200."""
    return build_vqvae(restart_below=200.0)


RUNS = pytest.mark.parametrize(
    ("build", "batches", "step"),
    [(build_restless, image_batches, vqvae_step), (build_prior, code_batches, prior_step)],
    ids=["vqvae", "prior"],
)


@RUNS
@pytest.mark.parametrize("lost", [0, 3], ids=["at a checkpoint", "after a checkpoint"])
@pytest.mark.parametrize("log_every", [5, 7], ids=["between entries", "within an entry"])
def test_a_resumed_run_equals_one_that_never_stopped_bit_for_bit(tmp_path, build, batches, step, lost, log_every):
    config = quiet(steps=20, lr=1e-2, log_every=log_every, checkpoint_every=10, weight_decay=0.01, clip=1.0)
    straight, crashed = build(), build()
    torch.manual_seed(5)
    expected = fit(straight, batches(), step, config)

    saved = dataclasses.replace(config, checkpoint=str(tmp_path / "run.pt"), resume=True)
    torch.manual_seed(5)
    with pytest.raises(Crash):
        fit(crashed, batches(), crashing(step, 10 + lost), saved)
    assert load_checkpoint(saved.checkpoint).step == 10

    torch.manual_seed(99)  # another process, with another state
    resumed = type(straight)(straight.config)
    history = fit(resumed, batches(), step, saved)
    assert all(torch.equal(value, straight.state_dict()[name]) for name, value in resumed.state_dict().items())
    assert history.steps == expected.steps
    assert history.values == expected.values
    assert history.images == expected.images


def test_restarts_draw_from_the_generator_that_fit_is_given_and_a_resumed_run_goes_on_with_it(tmp_path):
    config = quiet(steps=8, lr=1e-2)
    straight, again, halted = build_restless(), build_restless(), build_restless()
    state = torch.get_rng_state()
    fit(straight, image_batches(), vqvae_step, config, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)  # the global one plays no part
    fit(again, image_batches(), vqvae_step, config, generator=torch.Generator().manual_seed(4))
    assert not torch.equal(again.quantizer.codebook, straight.quantizer.codebook)

    saved = dataclasses.replace(config, checkpoint=str(tmp_path / "run.pt"), resume=True)
    asked, generator = iter([False, False, True]), torch.Generator().manual_seed(3)
    fit(halted, image_batches(), vqvae_step, saved, should_stop=lambda: next(asked), generator=generator)
    resumed = build_restless()
    fit(resumed, image_batches(), vqvae_step, saved, generator=torch.Generator().manual_seed(99))
    assert all(torch.equal(value, straight.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_restarted_codes_take_part_in_the_comparison_above():
    model = build_restless()
    torch.manual_seed(5)
    fit(model, image_batches(), vqvae_step, quiet(steps=20, lr=1e-2))
    assert torch.equal(model.quantizer.ema_count, torch.full((K,), 200.0))  # each of them in the last update too
    other = build_restless()
    torch.manual_seed(6)
    fit(other, image_batches(), vqvae_step, quiet(steps=20, lr=1e-2))
    assert not torch.equal(model.quantizer.codebook, other.quantizer.codebook)


@RUNS
def test_saving_does_not_change_the_run(tmp_path, build, batches, step):
    one, other = build(), build()
    torch.manual_seed(5)
    fit(one, batches(), step, quiet(steps=6))
    torch.manual_seed(5)
    fit(other, batches(), step, quiet(steps=6, checkpoint=str(tmp_path / "run.pt"), checkpoint_every=2))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_the_end_is_saved_whatever_the_interval(tmp_path):
    model, path = build_vqvae(), tmp_path / "run.pt"
    history = fit(model, image_batches(), vqvae_step, quiet(steps=5, checkpoint=str(path), checkpoint_every=3))
    checkpoint = load_checkpoint(path)
    assert checkpoint.step == 5
    assert History(**checkpoint.history).values == history.values
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in checkpoint.model.state_dict().items())


def test_a_checkpoint_without_a_history_can_be_continued_and_one_with_a_foreign_history_not(tmp_path):
    model, path = build_vqvae(), tmp_path / "run.pt"
    config = quiet(steps=5, checkpoint=str(path), resume=True)
    optimizer, batches = torch.optim.AdamW(model.parameters()), image_batches()
    save_checkpoint(path, model, 3, None, optimizer, batches)
    assert fit(model, image_batches(), vqvae_step, config).steps == [5]
    for history in ({"tempo": 1}, {"recent": {"count": 3}}):
        save_checkpoint(path, model, 3, history, optimizer, batches)
        with pytest.raises(ValueError, match="checkpoint must hold the history of a run to continue, got another"):
            fit(model, image_batches(), vqvae_step, config)


def test_a_run_of_an_optimizer_that_was_fused_in_channels_last_layout_goes_on(tmp_path):
    path = tmp_path / "run.pt"
    model = build_vqvae().to(memory_format=torch.channels_last)
    optimizer, batches = torch.optim.AdamW(model.parameters(), fused=True), image_batches()
    vqvae_step(model, next(batches)).loss.backward()
    optimizer.step()
    save_checkpoint(path, model, 1, None, optimizer, batches)
    history = fit(build_vqvae(), image_batches(), vqvae_step, quiet(steps=5, checkpoint=str(path), resume=True))
    assert history.steps == [5]
    assert load_checkpoint(path).step == 5


def test_a_finished_run_is_not_trained_further(tmp_path):
    config = quiet(steps=5, checkpoint=str(tmp_path / "run.pt"), resume=True)
    model = build_vqvae()
    expected = fit(model, image_batches(), vqvae_step, config)
    again = build_vqvae()
    history = fit(again, image_batches(), crashing(vqvae_step, 0), config)
    assert history.values == expected.values
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    assert not again.training


def test_without_resume_a_run_starts_afresh(tmp_path):
    config = quiet(steps=5, checkpoint=str(tmp_path / "run.pt"))
    first = fit(build_vqvae(), image_batches(), vqvae_step, config)
    second = fit(build_vqvae(), image_batches(), vqvae_step, config)
    assert second.steps == first.steps == [5]
    assert second.images == first.images


def test_fewer_steps_than_the_checkpoint_has_done_are_refused(tmp_path):
    config = quiet(steps=5, checkpoint=str(tmp_path / "run.pt"), resume=True)
    fit(build_vqvae(), image_batches(), vqvae_step, config)
    with pytest.raises(ValueError, match="steps must be at least the 5 that the checkpoint has done, got 4"):
        fit(build_vqvae(), image_batches(), vqvae_step, dataclasses.replace(config, steps=4))


def test_a_checkpoint_of_another_model_is_not_resumed(tmp_path):
    config = quiet(steps=5, checkpoint=str(tmp_path / "run.pt"), resume=True)
    fit(build_vqvae(), image_batches(), vqvae_step, config)
    with pytest.raises(ValueError, match="checkpoint must belong to this model"):
        fit(build_vqvae(num_codes=K + 1), image_batches(), vqvae_step, config)


# --- configuration


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"log_every": 0}, "log_every must be at least 1, got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, got 0"),
        ({"lr": 0.0}, "lr must be positive and finite, got 0.0"),
        ({"lr": math.nan}, "lr must be positive and finite, got nan"),
        ({"schedule": "linear"}, 'schedule must be "one-cycle", "cosine" or "constant", got \'linear\''),
        ({"weight_decay": -0.1}, "weight_decay must be finite and not negative, got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay must be finite and not negative, got nan"),
        ({"betas": (2.0, 0.9)}, r"betas must lie in \[0, 1\), got \(2.0, 0.9\)"),
        ({"lr": math.inf}, "lr must be positive and finite, got inf"),
        ({"clip": 0.0}, "clip must be positive or None, got 0.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_config_refuses_values_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        quiet(**arguments)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        quiet().lr = 1.0


def test_every_public_name_is_there():
    assert all(hasattr(train, name) for name in train.__all__)


# --- watched and stopped from outside


def test_who_watches_sees_every_entry_and_first_what_is_resumed(tmp_path):
    config = quiet(steps=7, log_every=3, checkpoint=str(tmp_path / "run.pt"), checkpoint_every=6, resume=True)
    seen = []
    with pytest.raises(Crash):
        fit(
            build_vqvae(),
            image_batches(),
            crashing(vqvae_step, 6),
            config,
            on_entry=lambda history: seen.append(list(history.steps)),
        )
    assert seen == [[3], [3, 6]]
    seen.clear()
    again = fit(
        build_vqvae(), image_batches(), vqvae_step, config, on_entry=lambda history: seen.append(list(history.steps))
    )
    assert seen == [[3, 6], [3, 6, 7]]
    assert again.steps == [3, 6, 7]


def test_nothing_is_shown_before_it_is_certain_that_the_checkpoint_fits(tmp_path):
    config = quiet(steps=5, checkpoint=str(tmp_path / "run.pt"), resume=True)
    fit(build_vqvae(), image_batches(), vqvae_step, config)
    seen = []
    with pytest.raises(ValueError, match="checkpoint must belong to this model"):
        fit(build_vqvae(num_codes=K + 1), image_batches(), vqvae_step, config, on_entry=seen.append)
    assert seen == []


@RUNS
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_bit_for_bit(tmp_path, build, batches, step):
    config = quiet(steps=20, lr=1e-2, log_every=5, checkpoint_every=10, weight_decay=0.01)
    straight, stopped, resumed = build(), build(), build()
    torch.manual_seed(5)
    fit(straight, batches(), step, config)

    saved = dataclasses.replace(config, checkpoint=str(tmp_path / "run.pt"), resume=True)
    torch.manual_seed(5)
    asked = iter([False] * 6 + [True])
    history = fit(stopped, batches(), step, saved, should_stop=lambda: next(asked))
    assert history.steps == [5, 7]
    assert load_checkpoint(saved.checkpoint).step == 7
    assert not stopped.training

    torch.manual_seed(99)
    fit(resumed, batches(), step, saved, should_stop=lambda: False)
    assert all(torch.equal(value, straight.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_who_asks_to_stop_in_the_last_update_gets_the_whole_run():
    history = fit(build_vqvae(), image_batches(), vqvae_step, quiet(steps=4), should_stop=lambda: True)
    assert history.steps == [1]
    asked = iter([False] * 3 + [True])
    history = fit(build_vqvae(), image_batches(), vqvae_step, quiet(steps=4), should_stop=lambda: next(asked))
    assert history.steps == [4]


# --- faster, and nearly the same


@pytest.mark.parametrize(
    ("build", "batches", "step"), [(build_vqvae, image_batches, vqvae_step), (build_prior, code_batches, prior_step)]
)
def test_bfloat16_is_near_float32_and_keeps_the_weights_in_float32(build, batches, step):
    histories = {}
    for precision in ("float32", "bfloat16"):
        model = build()
        histories[precision] = fit(model, batches(), step, quiet(steps=6, log_every=2, precision=precision))["loss"]
        assert all(value.dtype == torch.float32 for value in model.parameters())
    assert all(map(math.isfinite, histories["bfloat16"]))
    assert histories["bfloat16"] == pytest.approx(histories["float32"], rel=0.1)
    assert histories["bfloat16"] != histories["float32"]


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match='precision must be "float32" or "bfloat16", got \'float16\''):
        quiet(precision="float16")
