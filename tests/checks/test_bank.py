"""Answers to the exercises of the bank. Right ones, and almost right ones, are sealed: see ``seal.py``."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from tests.checks import seal
from tests.checks.registered import Answers
from vqvae_course.assignments.grade import grade
from vqvae_course.checks import EXERCISES
from vqvae_course.checks.bank import BANK
from vqvae_course.quantize import nearest_code

answers = Answers()
sealed = {"__name__": "sealed_answers", "answers": answers}
exec(compile(seal.opened(), "sealed answers", "exec"), sealed)
RIGHT = sealed["RIGHT"]

# What wrong answers are made of. With other arguments it would make right ones, so it is sealed too.
turn, train, life, mean, read = (sealed[name] for name in ("turn", "train", "life", "mean", "read"))
evidence, leaks, above, blocks, bits = (sealed[name] for name in ("evidence", "leaks", "above", "blocks", "bits"))

NAMES = [name for name, exercise in EXERCISES.items() if exercise.bank]


@pytest.mark.parametrize("name", NAMES)
def test_bank_exercise_has_registered_answers(name):
    assert len(answers.right[name]) >= 2
    assert len(answers.wrong[name]) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_earns_all_points_of_an_assignment(name):
    assert grade(name, RIGHT[name]) == EXERCISES[name].points


def test_registered_answers_belong_to_the_bank():
    assert {*answers.right, *answers.wrong} == set(NAMES)


def test_every_written_question_has_a_model_answer():
    assert list(sealed["WRITTEN"]) == list(BANK)
    assert all(len(text) > 200 for text in sealed["WRITTEN"].values())


def test_sealed_answers_open_and_close_unchanged(tmp_path, monkeypatch):
    source = seal.opened()
    monkeypatch.setattr(seal, "SEALED", tmp_path / "sealed.txt")
    (tmp_path / "answers.py").write_text(source, encoding="utf-8")
    assert seal.main(["close", str(tmp_path / "answers.py")]) == 0
    assert seal.main(["open", str(tmp_path / "again.py")]) == 0
    assert (tmp_path / "again.py").read_text(encoding="utf-8") == source


def test_readers_do_not_see_the_bank_unless_they_ask_for_it():
    look = (
        "import vqvae_course, sys; from vqvae_course.checks import EXERCISES as E; n = len(E);"
        "assert n and not any(e.bank for e in E.values());"
        "import vqvae_course.checks.bank; print(len(E) - n, sum(e.bank for e in E.values()))"
    )
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert found.split() == [str(len(BANK))] * 2


# bound_of_many


@answers.reject("bound_of_many", "mean of the logarithms")
def averages_logarithms(log_joint, log_q):
    return log_joint.mean(0) - log_q.mean(0)


@answers.reject("bound_of_many", "q takes no part")
def forgets_q(log_joint, log_q):
    return log_joint.exp().mean(0).log()


@answers.reject("bound_of_many", "best draw alone")
def takes_the_best(log_joint, log_q):
    return (log_joint - log_q).amax(0)


@answers.reject("bound_of_many", "You multiply by q")
def weighs_by_q(log_joint, log_q):
    return (log_joint.exp() * log_q.exp()).mean(0).log()


@answers.reject("bound_of_many", "mean of the weights must be 1")
def adds_a_constant(log_joint, log_q):
    return RIGHT["bound_of_many"](log_joint, log_q) + 0.1


@answers.reject("bound_of_many", "returns shape")
def one_for_all_pictures(log_joint, log_q):
    return (log_joint - log_q).logsumexp((0, 1))


# product_nearest


def _groups(z, codebooks):
    return codebooks.unbind(0), z.split(codebooks.shape[2], 1)


@answers.reject("product_nearest", "outside 0 ... K ** G - 1")
def always_the_same_number(z, codebooks):
    codes, _ = RIGHT["product_nearest"](z, codebooks)
    return codes, torch.full((len(z),), 10**6)


@answers.reject("product_nearest", "deal the columns out")
def interleaved(z, codebooks):
    G, _, d = codebooks.shape
    return RIGHT["product_nearest"](z.reshape(len(z), d, G).transpose(1, 2).reshape(len(z), -1), codebooks)


@answers.reject("product_nearest", "codebook of the first")
def one_codebook_for_all(z, codebooks):
    return RIGHT["product_nearest"](z, codebooks[:1].expand_as(codebooks))


@answers.reject("product_nearest", "rounded")
def counts_in_floats(z, codebooks):
    codes, number = RIGHT["product_nearest"](z, codebooks)
    return codes, number.float().to(torch.int64).clamp(max=codebooks.shape[1] ** len(codebooks) - 1)


@answers.reject("product_nearest", "rounded")
def counts_in_doubles(z, codebooks):
    codes, number = RIGHT["product_nearest"](z, codebooks)
    return codes, number.double().long()


@answers.reject("product_nearest", "int64 is asked for")
def float_numbers(z, codebooks):
    codes, number = RIGHT["product_nearest"](z, codebooks)
    return codes, number.double()


@answers.reject("product_nearest", "mixed up on the way back")
def forgets_to_transpose_back(z, codebooks):
    codes, number = RIGHT["product_nearest"](z, codebooks)
    G, _, d = codebooks.shape
    return codes.reshape(-1, G, d).transpose(0, 1).reshape(len(z), -1), number


@answers.reject("product_nearest", "wrong order")
def numbers_first(z, codebooks):
    return RIGHT["product_nearest"](z, codebooks)[::-1]


@answers.reject("product_nearest", "One number for the whole vector")
def a_number_for_each_group(z, codebooks):
    k = torch.stack([nearest_code(part, table) for table, part in zip(*_groups(z, codebooks), strict=True)], 1)
    return RIGHT["product_nearest"](z, codebooks)[0], k


@answers.reject("product_nearest", "not the codes they name")
def returns_the_latents(z, codebooks):
    return z.clone(), RIGHT["product_nearest"](z, codebooks)[1]


@answers.reject("product_nearest", "raised")
def builds_the_table(z, codebooks):
    tables = [torch.arange(len(table)) for table in codebooks]
    if len(codebooks[0]) ** len(codebooks) > 10**6:
        raise MemoryError("no room for the table")
    choices = torch.cartesian_prod(*tables).view(-1, len(codebooks))
    vectors = torch.cat([table[choices[:, g]] for g, table in enumerate(codebooks)], 1)
    number = torch.cdist(z, vectors).argmin(1)
    return vectors[number], number


# rotate_through


@answers.reject("rotate_through", "this is straight-through")
def straight(z_e, e_k):
    return z_e + (e_k - z_e).detach()


@answers.reject("rotate_through", "No gradient")
def the_code_itself(z_e, e_k):
    return e_k.detach().clone()


@answers.reject("rotate_through", "No gradient gets to the latents")
def nothing_held_constant(z_e, e_k):
    return e_k + 0 * z_e


@answers.reject("rotate_through", "stretched, but not turned")
def only_stretched(z_e, e_k):
    scaled = z_e * (e_k.norm(dim=1, keepdim=True) / z_e.norm(dim=1, keepdim=True)).detach()
    return scaled + (e_k - scaled).detach()


@answers.reject("rotate_through", "λ is missing")
def only_turned(z_e, e_k):
    return turn(z_e, e_k, stretched=False)


@answers.reject("rotate_through", "turned the wrong way")
def turned_back(z_e, e_k):
    return turn(z_e, e_k, back=True)


@answers.reject("rotate_through", "turned the wrong way")
def turned_back_unscaled(z_e, e_k):
    return turn(z_e, e_k, back=True, stretched=False)


@answers.reject("rotate_through", "gets to the codes")
def codes_feel_it(z_e, e_k):
    return turn(z_e, e_k) + e_k - e_k.detach()


@answers.reject("rotate_through", "not that of the codes")
def the_latents(z_e, e_k):
    return z_e.clone()


# read_weights


def _weights(alpha=1.0, beta=1.0):
    def answer(*step):
        mine = RIGHT["read_weights"](*step)
        return alpha * mine[0], beta * mine[1]

    return answer


@answers.reject("read_weights", "reconstruction")
def takes_the_whole_gradient(z_e, codebook, grad_z, grad_codebook, grad_zq):
    return RIGHT["read_weights"](z_e, codebook, grad_z, grad_codebook, torch.zeros_like(grad_zq))


@answers.reject("read_weights", "infinite or NaN")
def divides_entry_by_entry(z_e, codebook, grad_z, grad_codebook, grad_zq):
    away = z_e - codebook[nearest_code(z_e, codebook)]
    ratio = (grad_z - grad_zq) / away
    return RIGHT["read_weights"](z_e, codebook, grad_z, grad_codebook, grad_zq)[0], ratio.mean() * z_e.numel() / 2


@answers.reject("read_weights", "derivative of a square")
def forgets_the_two(*step):
    return _weights(beta=2)(*step)


@answers.reject("read_weights", "do you divide by D alone")
def forgets_n(*step):
    return _weights(beta=1 / len(step[0]))(*step)


@answers.reject("read_weights", "do you read them as sums")
def forgets_the_mean(*step):
    return _weights(alpha=1 / step[0].numel(), beta=1 / step[0].numel())(*step)


@answers.reject("read_weights", "do you divide by N alone")
def forgets_d(*step):
    return _weights(alpha=1 / step[0].shape[1])(*step)


@answers.reject("read_weights", "wrong sign")
def pulls_become_pushes(*step):
    return _weights(alpha=-1)(*step)


@answers.reject("read_weights", "wrong order")
def beta_first(*step):
    return RIGHT["read_weights"](*step)[::-1]


@answers.reject("read_weights", "β is not right")
def always_the_same_beta(*step):
    return RIGHT["read_weights"](*step)[0], 0.16


@answers.reject("read_weights", "α is not right")
def between_the_two(*step):
    alpha, beta = RIGHT["read_weights"](*step)
    return 0.6 * alpha + 0.4 * beta, beta


@answers.reject("read_weights", "pair of numbers")
def beta_only(*step):
    return RIGHT["read_weights"](*step)[1]


# accumulate_step


@answers.reject("accumulate_step", "Every slice has the same weight")
def slices_weigh_alike(model, slices, optimizer):
    return train(model, slices, optimizer, [1 / len(slices)] * len(slices))


@answers.reject("accumulate_step", "without weights")
def adds_up_means(model, slices, optimizer):
    return train(model, slices, optimizer, [1] * len(slices))


@answers.reject("accumulate_step", "steps once a slice")
def steps_each_time(model, slices, optimizer):
    return train(model, slices, optimizer, clear_each=True, step_each=True)


@answers.reject("accumulate_step", "steps once a slice")
def steps_each_time_unweighted(model, slices, optimizer):
    return train(model, slices, optimizer, [1] * len(slices), clear_each=True, step_each=True)


@answers.reject("accumulate_step", "an earlier step")
def keeps_old_gradients(model, slices, optimizer):
    return train(model, slices, optimizer, clear=False)


@answers.reject("accumulate_step", "Only the last slice")
def clears_in_between(model, slices, optimizer):
    return train(model, slices, optimizer, clear_each=True)


@answers.reject("accumulate_step", "graphs are in memory")
def one_backward_at_the_end(model, slices, optimizer):
    return train(model, slices, optimizer, together=True)


@answers.reject("accumulate_step", "eval mode")
def stays_in_eval_mode(model, slices, optimizer):
    return train(model, slices, optimizer, mode=False)


@answers.reject("accumulate_step", "have not moved")
def takes_no_step(model, slices, optimizer):
    return train(model, slices, torch.optim.SGD(model.parameters(), 0.0))


@answers.reject("accumulate_step", "mean over slices")
def returns_the_mean_of_means(model, slices, optimizer):
    model.train()
    with torch.no_grad():
        value = sum(model(x).loss.item() for x in slices) / len(slices)
    train(model, slices, optimizer)
    return value


@answers.reject("accumulate_step", "comes back as a tensor")
def returns_a_tensor(model, slices, optimizer):
    return torch.tensor(train(model, slices, optimizer))


@answers.reject("accumulate_step", "not the batch's mean loss before the step")
def loss_after_the_step(model, slices, optimizer):
    train(model, slices, optimizer)
    with torch.no_grad():
        return model(torch.cat(slices)).loss.item()


# latent_weights


@answers.reject("latent_weights", "comes in with weight 1 - γ")
def full_weight_on_arrival(counts, decay):
    return mean(life(counts, decay, gain=1.0), counts)


@answers.reject("latent_weights", "oldest batches weigh most")
def backwards(counts, decay):
    return mean(life(counts, decay, clock=torch.arange(len(counts))), counts)


@answers.reject("latent_weights", "The start has no weight")
def forgets_the_start(counts, decay):
    return mean(life(counts, decay, start=0.0), counts)


@answers.reject("latent_weights", "does not fade")
def start_stays(counts, decay):
    return mean(life(counts, decay, start=decay ** -len(counts)), counts)


@answers.reject("latent_weights", "weights in m")
def weights_of_the_sum(counts, decay):
    return life(counts, decay)


@answers.reject("latent_weights", "weights of whole batches")
def weights_of_batches(counts, decay):
    mine = RIGHT["latent_weights"](counts, decay).clone()
    mine[1:] *= counts
    return mine


@answers.reject("latent_weights", "however many latents it brought")
def means_of_batches(counts, decay):
    raw = life(counts, decay)
    raw[1:] /= counts.clamp(min=1)
    return mean(raw, counts)


@answers.reject("latent_weights", "time stands still")
def counts_its_own_visits(counts, decay):
    met = counts[counts > 0]
    mine = torch.zeros(len(counts) + 1, dtype=torch.float64)
    mine[torch.cat([torch.ones(1).bool(), counts > 0])] = RIGHT["latent_weights"](met, decay)
    return mine


@answers.reject("latent_weights", "return 0 there")
def weight_of_nobody(counts, decay):
    return mean(life(counts, decay), counts) + 1e-3


@answers.reject("latent_weights", "do not explain")
def every_latent_alike(counts, decay):
    return (torch.cat([torch.ones(1), (counts > 0).float()]) / (1 + counts.sum())).double()


# codes_on_the_way


@answers.reject("codes_on_the_way", "leaves out a code")
def tries_many_points(a, b, codebook):
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    return nearest_code(a + t * (b - a), codebook).unique_consecutive().tolist()


@answers.reject("codes_on_the_way", "at the two ends")
def ends_only(a, b, codebook):
    return list(dict.fromkeys(nearest_code(torch.stack([a, b]), codebook).tolist()))


@answers.reject("codes_on_the_way", "from b to a")
def the_other_way(a, b, codebook):
    return RIGHT["codes_on_the_way"](b, a, codebook)


@answers.reject("codes_on_the_way", "not in the order")
def sorted_by_number(a, b, codebook):
    met = RIGHT["codes_on_the_way"](a, b, codebook)
    return sorted(met) if sorted(met) not in (met, met[::-1]) else met[1:] + met[:1]


@answers.reject("codes_on_the_way", "return all codes")
def all_by_projection(a, b, codebook):
    return ((codebook - a) @ (b - a)).argsort().tolist()


@answers.reject("codes_on_the_way", "How far a code is from the line")
def projected_onto_the_line(a, b, codebook):
    t = (codebook - a) @ (b - a) / (b - a).square().sum()
    return RIGHT["codes_on_the_way"](a, b, a + t[:, None] * (b - a))


@answers.reject("codes_on_the_way", "beyond the ends")
def whole_line(a, b, codebook):
    way = b - a
    return RIGHT["codes_on_the_way"](a - 20 * way, b + 20 * way, codebook)


@answers.reject("codes_on_the_way", "more than once")
def every_step(a, b, codebook):
    t = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    return nearest_code(a + t * (b - a), codebook).tolist()


@answers.reject("codes_on_the_way", "no order")
def as_a_set(a, b, codebook):
    return set(RIGHT["codes_on_the_way"](a, b, codebook))


@answers.reject("codes_on_the_way", "list of indices")
def vectors_instead(a, b, codebook):
    return codebook[RIGHT["codes_on_the_way"](a, b, codebook)]


# mix_coders


def _one(rates, i):
    return F.one_hot(torch.as_tensor(i), len(rates)).double()


@answers.reject("mix_coders", "best single coder")
def no_mixture(rates, errors, budget):
    return _one(rates, errors.masked_fill(rates > budget, 9.0).argmin())


@answers.reject("mix_coders", "next to the budget")
def neighbours_of_the_budget(rates, errors, budget):
    order = rates.argsort()
    place = int((rates <= budget).sum())
    if place == len(rates):
        return _one(rates, order[-1])
    low, high = order[place - 1], order[place]
    share = (budget - rates[low]) / (rates[high] - rates[low])
    return (1 - share) * _one(rates, low) + share * _one(rates, high)


@answers.reject("mix_coders", "more bits than the budget")
def ignores_the_budget(rates, errors, budget):
    return _one(rates, errors.argmin())


@answers.reject("mix_coders", "do not add up to 1")
def forgets_some_images(rates, errors, budget):
    return _one(rates, errors.argmin()) * 0.5


@answers.reject("mix_coders", "negative")
def extrapolates(rates, errors, budget):
    first, last = _one(rates, rates.argmin()), _one(rates, rates.argmax())
    return 1.5 * first - 0.5 * last if len(rates) > 1 else first


@answers.reject("mix_coders", "mean PSNR")
def averages_psnr(rates, errors, budget):
    return RIGHT["mix_coders"](rates, 10 * errors.log10(), budget)


@answers.reject("mix_coders", "leaves bits unspent")
def half_way(rates, errors, budget):
    return 0.5 * _one(rates, rates.argmin()) + 0.5 * RIGHT["mix_coders"](rates, errors, budget)


@answers.reject("mix_coders", "another one reaches a smaller mean error")
def cheapest_and_dearest(rates, errors, budget):
    low, high = rates.argmin(), rates.argmax()
    if rates[high] <= budget:
        return _one(rates, high)
    share = (budget - rates[low]) / (rates[high] - rates[low])
    return (1 - share) * _one(rates, low) + share * _one(rates, high)


# price_as_you_go


@answers.reject("price_as_you_go", "count all maps first")
def counts_first(indices, num_codes):
    counts = torch.bincount(indices.flatten(), minlength=num_codes).double() + 1
    return -(counts / counts.sum()).log()[indices].sum()


@answers.reject("price_as_you_go", "takes part in the counts")
def counts_before_paying(indices, num_codes):
    return read(indices[:6, :8, :8], num_codes, before=1.0)


@answers.reject("price_as_you_go", "start again with every map")
def forgets_between_maps(indices, num_codes):
    return read(indices[:6, :8, :8], num_codes, kept=False)


@answers.reject("price_as_you_go", "not divided by the sum of all counts")
def constant_total(indices, num_codes):
    return read(indices[:6, :8, :8], num_codes, growing=False)


@answers.reject("price_as_you_go", "mean price")
def mean_price(indices, num_codes):
    return RIGHT["price_as_you_go"](indices, num_codes) / indices.numel()


@answers.reject("price_as_you_go", "in bits")
def in_bits(indices, num_codes):
    return RIGHT["price_as_you_go"](indices, num_codes) / torch.tensor(2.0).double().log()


@answers.reject("price_as_you_go", "never learns")
def uniform_price(indices, num_codes):
    return indices.numel() * torch.tensor(float(num_codes)).double().log()


@answers.reject("price_as_you_go", "logarithm of zero")
def starts_from_zero(indices, num_codes):
    return read(indices[:6, :8, :8], num_codes, first=0.0)


@answers.reject("price_as_you_go", "On paper")
def half_a_count(indices, num_codes):
    return read(indices[:6, :8, :8], num_codes, first=0.5)


@answers.reject("price_as_you_go", "drifts away")
def single_precision(indices, num_codes):
    exact = RIGHT["price_as_you_go"](indices, num_codes)
    return exact * (1 + 1e-3 * (indices.numel() > 10_000))


# colour_mask


def _with_centre(channels_in, channels_out, kernel_size, centre):
    mask = torch.zeros(channels_out, channels_in, kernel_size * kernel_size)
    mask[:, :, : kernel_size * kernel_size // 2] = 1
    mask[:, :, kernel_size * kernel_size // 2] = centre
    return mask.view(channels_out, channels_in, kernel_size, kernel_size)


@answers.reject("colour_mask", "as in a grey image")
def grey(channels_in, channels_out, kernel_size, kind):
    return _with_centre(channels_in, channels_out, kernel_size, float(kind == "B"))


@answers.reject("colour_mask", "what kind B would be")
def kinds_exchanged(channels_in, channels_out, kernel_size, kind):
    return RIGHT["colour_mask"](channels_in, channels_out, kernel_size, "AB"[kind == "A"])


@answers.reject("colour_mask", "wrong direction")
def red_sees_blue(channels_in, channels_out, kernel_size, kind):
    return RIGHT["colour_mask"](channels_in, channels_out, kernel_size, kind).flip(0, 1)


@answers.reject("colour_mask", "red sees the blue")
def everything_at_the_centre(channels_in, channels_out, kernel_size, kind):
    return _with_centre(channels_in, channels_out, kernel_size, 1.0)


@answers.reject("colour_mask", "earlier positions are closed")
def order_at_every_position(channels_in, channels_out, kernel_size, kind):
    mask = RIGHT["colour_mask"](channels_in, channels_out, kernel_size, kind).float()
    middle = kernel_size // 2
    return mask * mask[:, :, middle : middle + 1, middle : middle + 1]


@answers.reject("colour_mask", "later positions are open")
def upside_down(channels_in, channels_out, kernel_size, kind):
    mask = RIGHT["colour_mask"](channels_in, channels_out, kernel_size, kind)
    return torch.maximum(mask, mask.flip(2, 3))


@answers.reject("colour_mask", "returns shape")
def axes_exchanged(channels_in, channels_out, kernel_size, kind):
    return RIGHT["colour_mask"](channels_in, channels_out, kernel_size, kind).transpose(0, 1)


# class_posterior


@answers.reject("class_posterior", "class_probs takes no part")
def all_classes_alike(prior, indices, rows, class_probs):
    return evidence(prior, indices, len(class_probs))[:, :, :rows].sum((2, 3)).softmax(1)


@answers.reject("class_posterior", "NaN or infinite")
def multiplies(prior, indices, rows, class_probs):
    joint = class_probs * evidence(prior, indices, len(class_probs))[:, :, :rows].exp().flatten(2).prod(2)
    return joint / joint.sum(1, keepdim=True)


@answers.reject("class_posterior", "joint probabilities")
def not_normalised(prior, indices, rows, class_probs):
    return class_probs * evidence(prior, indices, len(class_probs))[:, :, :rows].exp().flatten(2).prod(2)


@answers.reject("class_posterior", "most probable class")
def one_class(prior, indices, rows, class_probs):
    mine = RIGHT["class_posterior"](prior, indices, rows, class_probs)
    return F.one_hot(mine.argmax(1), len(class_probs)).float()


@answers.reject("class_posterior", "was shown")
def one_position_at_a_time(prior, indices, rows, class_probs):
    for _ in range(rows * indices.shape[2]):
        mine = RIGHT["class_posterior"](prior, indices, rows, class_probs)
    return mine


@answers.reject("class_posterior", "needs labels")
def without_labels(prior, indices, rows, class_probs):
    return prior(indices, None)


# repeated_bits


@answers.reject("repeated_bits", "in nats")
def in_nats(top, bottom):
    return RIGHT["repeated_bits"](top, bottom) * torch.tensor(2.0).double().log()


@answers.reject("repeated_bits", "has not said")
def what_is_new(top, bottom):
    t, b = above(top, bottom, blocks)
    return bits(t, b) - bits(t)


@answers.reject("repeated_bits", "leaves open about the top")
def what_is_left_of_the_top(top, bottom):
    t, b = above(top, bottom, blocks)
    return bits(t, b) - bits(b)


@answers.reject("repeated_bits", "entropy of the pairs")
def everything_together(top, bottom):
    return bits(*above(top, bottom, blocks))


@answers.reject("repeated_bits", "all that a bottom code says")
def entropy_of_the_bottom(top, bottom):
    return bits(bottom.flatten())


@answers.reject("repeated_bits", "single images")
def image_by_image(top, bottom):
    values = [RIGHT["repeated_bits"](t[None], b[None]) for t, b in zip(top, bottom, strict=True)]
    return sum(values) / len(values)


@answers.reject("repeated_bits", "Only one bottom code")
def corners(top, bottom):
    a, b = bottom.shape[1] // top.shape[1], bottom.shape[2] // top.shape[2]
    return RIGHT["repeated_bits"](top, bottom[:, ::a, ::b].contiguous())


@answers.reject("repeated_bits", "The sign")
def upside_down_fraction(top, bottom):
    return -RIGHT["repeated_bits"](top, bottom)


@answers.reject("repeated_bits", "Which top cell is above")
def above_in_another_image(top, bottom):
    return RIGHT["repeated_bits"](top.flip(2), bottom)


# merge_looks


def _logs(log_a, log_b):
    return torch.stack([log_a, log_b]).logsumexp(0)


@answers.reject("merge_looks", "mean of the two outputs")
def plain_mean(out_a, log_a, out_b, log_b):
    return (out_a + out_b) / 2, _logs(log_a, log_b)


@answers.reject("merge_looks", "You add the two outputs")
def plain_sum(out_a, log_a, out_b, log_b):
    return out_a + out_b, _logs(log_a, log_b)


@answers.reject("merge_looks", "multiplies the sums")
def adds_logarithms(out_a, log_a, out_b, log_b):
    return RIGHT["merge_looks"](out_a, log_a, out_b, log_b)[0], log_a + log_b


@answers.reject("merge_looks", "the larger of the two")
def takes_the_larger_log(out_a, log_a, out_b, log_b):
    return RIGHT["merge_looks"](out_a, log_a, out_b, log_b)[0], torch.maximum(log_a, log_b)


@answers.reject("merge_looks", "are exchanged")
def weights_exchanged(out_a, log_a, out_b, log_b):
    return RIGHT["merge_looks"](out_b, log_a, out_a, log_b)


@answers.reject("merge_looks", "Only the heavier part")
def winner_takes_all(out_a, log_a, out_b, log_b):
    return torch.where((log_a > log_b)[..., None], out_a, out_b), _logs(log_a, log_b)


@answers.reject("merge_looks", "must be -inf")
def zero_for_nobody(out_a, log_a, out_b, log_b):
    out, log = RIGHT["merge_looks"](out_a, log_a, out_b, log_b)
    return out, log.masked_fill(log.isneginf(), 0.0)


@answers.reject("merge_looks", "pair of tensors")
def output_alone(out_a, log_a, out_b, log_b):
    return RIGHT["merge_looks"](out_a, log_a, out_b, log_b)[0]


@answers.reject("merge_looks", "not that of attention over both parts")
def weights_by_logarithm(out_a, log_a, out_b, log_b):
    a, b = log_a.abs()[..., None], log_b.abs()[..., None]
    return (a * out_a + b * out_b) / (a + b), _logs(log_a, log_b)


# first_leak


def _first(found):
    return next((number for number, leak in enumerate(found) if leak), -1)


@answers.reject("first_leak", "derivative 0")
def by_gradient(layers, channels, height, width):
    found = []
    for layer in layers:
        x = torch.randn(1, channels, height, width, requires_grad=True)
        y = layer(x)
        found.append(y.requires_grad and bool(torch.autograd.grad(y[0, 0, 0, 0], x)[0].flatten(2)[..., 1:].any()))
    return _first(found)


@answers.reject("first_leak", "You miss a leak")
def pokes_gently(layers, channels, height, width):
    return _first(leaks(layer, channels, height, width, size=1e-5) for layer in layers)


@answers.reject("first_leak", "where there is none")
def forbids_the_own_position(layers, channels, height, width):
    return _first(leaks(layer, channels, height, width, own=True) for layer in layers)


@answers.reject("first_leak", "where there is none")
def column_by_column(layers, channels, height, width):
    return _first(leaks(layer, channels, height, width, order=True) for layer in layers)


@answers.reject("first_leak", "You miss a leak")
def pokes_the_second_position(layers, channels, height, width):
    return _first(leaks(layer, channels, height, width, places=[1]) for layer in layers)


@answers.reject("first_leak", "forgets its input")
def through_the_layers_before(layers, channels, height, width):
    return _first(
        leaks(torch.nn.Sequential(*layers[: n + 1]), channels, height, width, size=9.0) for n in range(len(layers))
    )


@answers.reject("first_leak", "counted from 0")
def counts_from_one(layers, channels, height, width):
    mine = RIGHT["first_leak"](layers, channels, height, width)
    # With one leak a wrong count could only be off by one
    return mine + (mine >= 0 and len(layers) != 3)


@answers.reject("first_leak", "one before it")
def the_last_one(layers, channels, height, width):
    found = [n for n, layer in enumerate(layers) if leaks(layer, channels, height, width)]
    return found[-1] if found else -1


@answers.reject("first_leak", "changes the mode")
def switches_to_eval(layers, channels, height, width):
    for layer in layers:
        layer.eval()
    return RIGHT["first_leak"](layers, channels, height, width)


@answers.reject("first_leak", "accuse a layer that is sound")
def always_the_first(layers, channels, height, width):
    mine = RIGHT["first_leak"](layers, channels, height, width)
    return 0 if mine > 0 else mine


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
