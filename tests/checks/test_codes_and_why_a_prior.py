"""Right and wrong answers to the exercises of notebook 09."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers
from vqvae_course.data import CodeSet
from vqvae_course.prior import FrequencyPrior
from vqvae_course.runtime import eval_mode

answers = Answers()


# encode_dataset


@answers.accept("encode_dataset")
def by_the_book(model, batches):
    maps, labels = [], []
    with eval_mode(model), torch.no_grad():
        for batch in batches:
            maps.append(model.encode(batch.x))
            labels.append(batch.labels)
    return torch.cat(maps), torch.cat(labels)


@answers.accept("encode_dataset")
@torch.no_grad()
def by_flag(model, batches):
    was_training = model.training
    model.eval()
    pairs = [(model(x).indices, labels) for x, labels in batches]
    model.train(was_training)
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.accept("encode_dataset")
def through_the_quantizer(model, batches):
    mode = model.training
    model.eval()
    maps = labels = None
    for x, label in batches:
        part = model.quantizer.choose(model.latents(x).detach())
        maps = part if maps is None else torch.cat([maps, part])
        labels = label if labels is None else torch.cat([labels, label])
    return [maps, labels] if not model.train(mode) else (maps, labels)


@answers.accept("encode_dataset")
def on_a_copy(model, batches):
    frozen = copy.deepcopy(model).eval()
    numbers, labels = [], []
    for batch in batches:
        model.largest = max(model.largest, len(batch.x))
        for image, label in zip(batch.x, batch.labels, strict=True):
            numbers.append(frozen.encode(image[None])[0].tolist())
            labels.append(int(label))
    return torch.tensor(numbers), torch.tensor(labels)


def _encode(model, batches, mode=False, restore=True):
    """Return lists of maps and labels."""
    was = model.training
    model.train(mode)
    pairs = [(model.encode(x), labels) for x, labels in batches]
    if restore:
        model.train(was)
    return [list(parts) for parts in zip(*pairs, strict=True)]


@answers.reject("encode_dataset", "the model is not what it was")
def in_train_mode(model, batches):
    maps, labels = _encode(model, batches, mode=True)
    return torch.cat(maps), torch.cat(labels)


@answers.reject("encode_dataset", "the model is not what it was")
def in_whatever_mode(model, batches):
    maps, labels = _encode(model, batches, mode=model.training)
    return torch.cat(maps), torch.cat(labels)


@answers.reject("encode_dataset", "the maps that train mode gives")
def in_train_mode_on_a_copy(model, batches):
    return in_train_mode(copy.deepcopy(model), batches)


@answers.reject("encode_dataset", "comes back in eval mode")
def leaves_eval_mode(model, batches):
    maps, labels = _encode(model, batches, restore=False)
    return torch.cat(maps), torch.cat(labels)


@answers.reject("encode_dataset", "comes back in train mode")
def always_ends_in_train_mode(model, batches):
    maps, labels = _encode(model, batches, restore=False)
    model.train()
    return torch.cat(maps), torch.cat(labels)


@answers.reject("encode_dataset", "another order")
def shuffles(model, batches):
    maps, labels = by_the_book(model, batches)
    order = torch.arange(len(maps)).flip(0)
    return maps[order], labels[order]


@answers.reject("encode_dataset", "out of step")
def shuffles_labels(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps, labels.roll(1)


@answers.reject("encode_dataset", "out of step")
def sorts_labels(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps, labels.sort().values


@answers.reject("encode_dataset", "one long list")
def one_column(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.reshape(-1, 1), labels


@answers.reject("encode_dataset", "one long list")
def flattens_everything(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.flatten(), labels


@answers.reject("encode_dataset", "came back as one row")
def flattens_each_map(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.flatten(1), labels


@answers.reject("encode_dataset", "axis of length 1")
def keeps_a_channel(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps[:, None], labels


@answers.reject("encode_dataset", "Rows and columns are swapped")
def transposes(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.mT, labels


@answers.reject("encode_dataset", "read column by column")
def scrambles(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.mT.reshape(maps.shape), labels


@answers.reject("encode_dataset", "come back as torch.float32")
def as_floats(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.float(), labels


@answers.reject("encode_dataset", "come back as torch.int32")
def as_small_integers(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.int(), labels


@answers.reject("encode_dataset", "last batch alone")
def only_the_last(model, batches):
    maps, labels = _encode(model, batches)
    return maps[-1], labels[-1]


@answers.reject("encode_dataset", "first batch alone")
def returns_inside_the_loop(model, batches):
    with eval_mode(model):
        for batch in batches:
            return model.encode(batch.x), batch.labels


@answers.reject("encode_dataset", "labels of the last batch")
def labels_of_the_last(model, batches):
    maps, labels = _encode(model, batches)
    return torch.cat(maps), labels[-1]


@answers.reject("encode_dataset", "shorter than the others is left out")
def drops_the_short_one(model, batches):
    maps, labels = _encode(model, batches)
    full = [i for i, part in enumerate(maps) if len(part) == len(maps[0])]
    return torch.cat([maps[i] for i in full]), torch.cat([labels[i] for i in full])


@answers.reject("encode_dataset", "the last batch is shorter")
def stacks(model, batches):
    maps, labels = _encode(model, batches)
    return torch.stack(maps), torch.stack(labels)


@answers.reject("encode_dataset", "went through the model at once")
def all_at_once(model, batches):
    batches = list(batches)
    with eval_mode(model):
        maps = model.encode(torch.cat([batch.x for batch in batches]))
    return maps, torch.cat([batch.labels for batch in batches])


@answers.reject("encode_dataset", "batches twice")
def goes_through_twice(model, batches):
    with eval_mode(model):
        maps = torch.cat([model.encode(batch.x) for batch in batches])
    return maps, torch.cat([batch.labels for batch in batches])


@answers.reject("encode_dataset", "may be a stream")
def asks_for_the_length(model, batches):
    with eval_mode(model):
        pairs = [(model.encode(batches[i].x), batches[i].labels) for i in range(len(batches))]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "maps alone")
def forgets_the_labels(model, batches):
    return by_the_book(model, batches)[0]


@answers.reject("encode_dataset", "wrong order: the maps come first")
def labels_first(model, batches):
    return by_the_book(model, batches)[::-1]


@answers.reject("encode_dataset", "an entry a batch")
def lists_of_batches(model, batches):
    return tuple(_encode(model, batches))


@answers.reject("encode_dataset", "a ndarray; a torch tensor")
def as_numpy(model, batches):
    return tuple(part.numpy() for part in by_the_book(model, batches))


@answers.reject("encode_dataset", "2 are asked for, (indices, labels)")
def as_a_code_set(model, batches):
    return CodeSet(*by_the_book(model, batches), "name")


@answers.reject("encode_dataset", "vectors of the latent space")
def latents_instead(model, batches):
    with eval_mode(model):
        pairs = [(model.latents(x), labels) for x, labels in batches]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "These are pictures")
def pictures_instead(model, batches):
    with eval_mode(model):
        pairs = [(model(x).x_hat, labels) for x, labels in batches]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "count from 1")
def counts_from_one(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps + 1, labels


@answers.reject("encode_dataset", "number the images")
def numbers_the_images(model, batches):
    maps, _ = by_the_book(model, batches)
    return maps, torch.arange(len(maps))


@answers.reject("encode_dataset", "One code stands everywhere")
def constant_maps(model, batches):
    maps, labels = by_the_book(model, batches)
    return torch.zeros_like(maps), labels


@answers.reject("encode_dataset", "not the index maps")
def random_maps(model, batches):
    maps, labels = by_the_book(model, batches)
    return torch.randint_like(maps, model.config.num_codes), labels


@answers.reject("encode_dataset", "images of the batches in place")
def inverts_the_images(model, batches):
    with eval_mode(model):
        pairs = [(model.encode(x), x.neg_().add_(1), labels) for x, labels in batches]
    return torch.cat([m for m, _, _ in pairs]), torch.cat([labels for _, _, labels in pairs])


@answers.accept("encode_dataset")
@torch.inference_mode()
def compared_with_every_code(model, batches):
    modes = {part: part.training for part in model.modules()}
    maps, labels = [], []
    for batch in batches:
        z = model.eval().latents(batch.x).movedim(1, -1)  # (B, h, w, D)
        maps.append(torch.cdist(z.flatten(0, 2), model.quantizer.codebook).argmin(dim=1).view(z.shape[:3]))
        labels += batch.labels.tolist()
    for part, mode in modes.items():
        part.training = mode
    return torch.vstack(maps), torch.tensor(labels)


@answers.reject("encode_dataset", "frozen weights learn nothing")
def freezes_the_weights(model, batches):
    model.requires_grad_(False)
    return by_the_book(model, batches)


@answers.reject("encode_dataset", "leaves them off")
def turns_gradients_off(model, batches):
    torch.set_grad_enabled(False)
    maps, labels = _encode(model, batches)
    return torch.cat(maps), torch.cat(labels)


@answers.reject("encode_dataset", "the maps that train mode gives")
def puts_the_weights_back(model, batches):
    state = copy.deepcopy(model.state_dict())
    maps, labels = _encode(model, batches, mode=True)
    model.load_state_dict(state)
    return torch.cat(maps), torch.cat(labels)


@answers.reject("encode_dataset", "the model is not what it was")
def puts_only_the_encoder_in_eval_mode(model, batches):
    model.encoder.eval()
    pairs = [(model.encode(x), labels) for x, labels in batches]
    model.encoder.train(model.training)
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "first batch are missing")
def looks_at_the_first(model, batches):
    next(iter(batches))
    return by_the_book(model, batches)


@answers.reject("encode_dataset", "room was made for batches of equal size")
def makes_room_first(model, batches):
    maps, labels = _encode(model, list(batches))
    room = torch.zeros(len(maps), *maps[0].shape, dtype=torch.int64)
    for place, part in zip(room, maps, strict=True):
        place[: len(part)] = part
    return room.flatten(0, 1), torch.cat(labels)


@answers.reject("encode_dataset", "one entry an image")
def pairs_for_each_image(model, batches):
    return list(zip(*by_the_book(model, batches), strict=True))


def _from_latents(model, batches, choose):
    """Return maps that ``choose`` makes of the latents of each batch."""
    with eval_mode(model), torch.no_grad():
        pairs = [(choose(model.latents(x), model.quantizer.codebook), labels) for x, labels in batches]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "channels of the latents")
def largest_channel(model, batches):
    return _from_latents(model, batches, lambda z, _: z.argmax(dim=1))


@answers.reject("encode_dataset", "cut into vectors in the wrong order")
def reshapes_the_latents(model, batches):
    def choose(z, codebook):
        n, d, h, w = z.shape
        return torch.cdist(z.reshape(-1, d), codebook).argmin(dim=1).view(n, h, w)

    return _from_latents(model, batches, choose)


@answers.reject("encode_dataset", "largest scalar product")
def by_scalar_product(model, batches):
    return _from_latents(model, batches, lambda z, codebook: (z.movedim(1, -1) @ codebook.T).argmax(dim=-1))


@answers.reject("encode_dataset", "not normalised")
def forgets_to_normalise(model, batches):
    with eval_mode(model), torch.no_grad():
        pairs = [(model.quantizer.choose(model.to_code_dim(model.encoder(x))), labels) for x, labels in batches]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "you rescale the images")
def scales_the_images(model, batches):
    with eval_mode(model), torch.no_grad():
        pairs = [(model.encode(2 * x - 1), labels) for x, labels in batches]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@answers.reject("encode_dataset", "leaves a hook")
def watches_the_encoder(model, batches):
    model.encoder.register_forward_hook(lambda *_: None)
    return by_the_book(model, batches)


@answers.reject("encode_dataset", "not the index maps")
def takes_the_last_code_for_padding(model, batches):
    maps, labels = by_the_book(model, batches)
    return maps.clamp(max=model.config.num_codes - 2), labels


# decode_codes


@answers.accept("decode_codes")
def decode_and_clip(model, indices):
    with torch.no_grad(), eval_mode(model):
        return model.decode(indices).clamp(0, 1)


@answers.accept("decode_codes")
def decode_by_hand(model, indices):
    mode = model.training
    model.eval()
    rows = F.embedding(indices, model.quantizer.codebook)  # (N, h, w, D)
    pictures = model.decoder(rows.permute(0, 3, 1, 2)).detach()
    model.train(mode)
    return torch.where(pictures < 0, 0.0, torch.where(pictures > 1, 1.0, pictures))


@answers.accept("decode_codes")
@torch.inference_mode()
def decode_one_by_one(model, indices):
    mode = model.training
    model.train(False)
    try:
        return torch.stack([model.decode(each[None])[0].clip(min=0, max=1) for each in indices])
    finally:
        model.train(mode)


def _decode(model, indices, **changes):
    with torch.no_grad(), eval_mode(model):
        return model.decode(indices)


@answers.reject("decode_codes", "reach the lookup as floats")
def decodes_floats(model, indices):
    return _decode(model, indices.float()).clamp(0, 1)


@answers.reject("decode_codes", "reach the encoder")
def encodes_first(model, indices):
    with torch.no_grad(), eval_mode(model):
        return model(indices.float()).x_hat.clamp(0, 1)


@answers.reject("decode_codes", "as small as the index maps")
def encodes_as_pictures(model, indices):
    with torch.no_grad(), eval_mode(model):
        return model(indices[:, None].float() / model.config.num_codes).x_hat.clamp(0, 1)


@answers.reject("decode_codes", "the model is not what it was")
def decodes_in_whatever_mode(model, indices):
    with torch.no_grad():
        return model.decode(indices).clamp(0, 1)


@answers.reject("decode_codes", "comes back in eval mode")
def decodes_and_leaves_eval_mode(model, indices):
    with torch.no_grad():
        return model.eval().decode(indices).clamp(0, 1)


@answers.reject("decode_codes", "carry a graph")
def keeps_the_graph(model, indices):
    with eval_mode(model):
        return model.decode(indices).clamp(0, 1)


@answers.reject("decode_codes", "the codes that the indices stand for")
def returns_the_codes(model, indices):
    return model.quantizer.lookup(indices)


@answers.reject("decode_codes", "Index maps came back")
def returns_the_maps(model, indices):
    return indices.clone()


@answers.reject("decode_codes", "torch.uint8")
def returns_bytes(model, indices):
    return (255 * _decode(model, indices).clamp(0, 1)).byte()


@answers.reject("decode_codes", "channels come last")
def channels_last(model, indices):
    return _decode(model, indices).clamp(0, 1).movedim(1, -1)


@answers.reject("decode_codes", "a torch tensor is asked for")
def decodes_to_numpy(model, indices):
    return _decode(model, indices).clamp(0, 1).numpy()


@answers.reject("decode_codes", "not the pictures that the model makes")
def decodes_other_maps(model, indices):
    return _decode(model, indices.flip(0)).clamp(0, 1)


@answers.reject("decode_codes", "in place")
def clears_the_maps(model, indices):
    pictures = _decode(model, indices).clamp(0, 1)
    indices.zero_()
    return pictures


@answers.accept("decode_codes")
def decode_and_clip_in_double(model, indices):
    return F.hardtanh(_decode(model, indices).double(), 0.0, 1.0)


@answers.accept("decode_codes")
def decoder_alone_in_eval_mode(model, indices):
    with eval_mode(model.decoder):
        return 1 - (1 - model.decode(indices).data.relu()).relu()


@answers.reject("decode_codes", "frozen weights learn nothing")
def freezes_before_decoding(model, indices):
    return _decode(model.requires_grad_(False), indices).clamp(0, 1)


@answers.reject("decode_codes", "leaves them off")
def turns_gradients_off_before_decoding(model, indices):
    torch.set_grad_enabled(False)
    with eval_mode(model):
        return model.decode(indices).clamp(0, 1)


@answers.reject("decode_codes", "rounded to torch.float16")
def halves_the_precision(model, indices):
    return _decode(model, indices).clamp(0, 1).half()


@answers.reject("decode_codes", "along axis 1")
def forgets_to_permute(model, indices):
    with torch.no_grad(), eval_mode(model):
        return model.decoder(model.quantizer.codebook[indices]).clamp(0, 1)


@answers.reject("decode_codes", "along axis 1")
def gives_the_decoder_indices(model, indices):
    with torch.no_grad(), eval_mode(model):
        return model.decoder(indices).clamp(0, 1)


# unigram_nats


@answers.accept("unigram_nats")
def counted_with_bincount(train_indices, test_indices, num_codes):
    count = torch.bincount(train_indices.flatten(), minlength=num_codes) + 1.0
    return -(count / count.sum()).log()[test_indices].mean()


@answers.accept("unigram_nats")
def counted_in_a_loop(train_indices, test_indices, num_codes):
    count = [1] * num_codes
    for k in train_indices.flatten().tolist():
        count[k] += 1
    nats = [-math.log(count[k] / sum(count)) for k in test_indices.flatten().tolist()]
    return sum(nats) / len(nats)


@answers.accept("unigram_nats")
def counted_with_numpy(train_indices, test_indices, num_codes):
    train = np.bincount(train_indices.numpy().ravel(), minlength=num_codes) + 1
    test = np.bincount(test_indices.numpy().ravel(), minlength=num_codes)
    return -(test / test.sum() * np.log(train / train.sum())).sum()


@answers.accept("unigram_nats")
def counted_by_the_package(train_indices, test_indices, num_codes):
    prior = FrequencyPrior(train_indices, num_codes)
    return F.cross_entropy(prior(test_indices), test_indices).item()


def _counts(maps, num_codes):
    return torch.bincount(maps.flatten(), minlength=num_codes).double()


def _score(share, maps):
    return -share.log()[maps].mean()


@answers.reject("unigram_nats", "-log 0 is infinite")
def does_not_smooth(train_indices, test_indices, num_codes):
    count = _counts(train_indices, num_codes)
    return _score(count / count.sum(), test_indices)


@answers.reject("unigram_nats", "-log 0 is infinite")
def makes_nan(train_indices, test_indices, num_codes):
    p, q = _counts(train_indices, num_codes), _counts(test_indices, num_codes)
    return -(q / q.sum() * (p / p.sum()).log()).sum()


@answers.reject("unigram_nats", "one number is asked for")
def a_price_for_each(train_indices, test_indices, num_codes):
    count = _counts(train_indices, num_codes) + 1
    return -(count / count.sum()).log()[test_indices]


@answers.reject("unigram_nats", "not the mean of -log p")
def a_constant(train_indices, test_indices, num_codes):
    return 1.234


@answers.reject("unigram_nats", "beyond its end")
def forgets_minlength(train_indices, test_indices, num_codes):
    count = torch.bincount(train_indices.flatten()) + 1.0
    return -(count / count.sum()).log()[test_indices].mean()


@answers.accept("unigram_nats")
def each_code_prepended_once(train_indices, test_indices, num_codes):
    count = torch.cat([train_indices.flatten(), torch.arange(num_codes)]).bincount().float()
    return -torch.distributions.Categorical(probs=count).log_prob(test_indices).mean()[None]


@answers.accept("unigram_nats")
def with_a_histogram(train_indices, test_indices, num_codes):
    count = torch.histc(train_indices.float(), bins=num_codes, min=0, max=num_codes - 1) + 1
    return _score(count / count.sum(), test_indices)


@answers.reject("unigram_nats", "default dtype")
def sets_the_default_dtype(train_indices, test_indices, num_codes):
    torch.set_default_dtype(torch.float64)
    return counted_with_bincount(train_indices, test_indices, num_codes)


# position_nats


@answers.accept("position_nats")
def one_hot_counts(train_indices, test_indices, num_codes):
    count = F.one_hot(train_indices, num_codes).sum(dim=0) + 1.0  # (h, w, K)
    log_p = (count / count.sum(dim=-1, keepdim=True)).log()
    return F.cross_entropy(log_p.movedim(-1, 0).expand(len(test_indices), -1, -1, -1), test_indices)


@answers.accept("position_nats")
def place_by_place(train_indices, test_indices, num_codes):
    _, h, w = train_indices.shape
    nats = [
        counted_with_bincount(train_indices[:, i, j], test_indices[:, i, j], num_codes)
        for i in range(h)
        for j in range(w)
    ]
    return float(torch.stack(nats).mean())


@answers.accept("position_nats")
def code_by_code(train_indices, test_indices, num_codes):
    train, test = train_indices.numpy(), test_indices.numpy()
    total = 0.0
    for k in range(num_codes):
        p = ((train == k).sum(axis=0) + 1) / (len(train) + num_codes)
        total -= ((test == k).sum(axis=0) * np.log(p)).sum()
    return total / test.size


@answers.accept("position_nats")
def by_the_package(train_indices, test_indices, num_codes):
    prior = FrequencyPrior(train_indices, num_codes, per_position=True)
    return F.cross_entropy(prior(test_indices), test_indices).item()


def _place_counts(maps, num_codes):
    return F.one_hot(maps, num_codes).sum(dim=0).double()


def _cost(share, maps):
    return -share.log().expand(len(maps), *share.shape).gather(3, maps[..., None]).mean()


@answers.reject("position_nats", "-log 0 is infinite")
def does_not_smooth_places(train_indices, test_indices, num_codes):
    count = _place_counts(train_indices, num_codes)
    return _cost(count / count.sum(dim=-1, keepdim=True), test_indices)


@answers.reject("position_nats", "With no training maps")
def asks_for_a_first_map(train_indices, test_indices, num_codes):
    return by_the_package(train_indices, test_indices, num_codes) if len(train_indices) else 0.0


@answers.accept("position_nats")
def places_compared_with_places(train_indices, test_indices, num_codes):
    count = (test_indices[:, None] == train_indices[None]).sum(dim=1)
    return -((count + 1) / (len(train_indices) + num_codes)).log().mean()


@answers.accept("position_nats")
def one_long_histogram(train_indices, test_indices, num_codes):
    n, h, w = train_indices.shape
    start = num_codes * torch.arange(h * w).view(h, w)
    count = torch.bincount((train_indices + start).flatten(), minlength=h * w * num_codes) + 1
    return -(count / (n + num_codes)).log()[test_indices + start].mean()


@answers.reject("position_nats", "which need not be square")
def reads_columns_as_rows(train_indices, test_indices, num_codes):
    p = (_place_counts(train_indices, num_codes) + 1) / (len(train_indices) + num_codes)
    _, h, w = test_indices.shape
    return -sum(p[j, i, each[i, j]].log() for each in test_indices for i in range(h) for j in range(w)) / (h * w)


# conditional_entropy


@answers.accept("conditional_entropy")
def by_difference(joint):
    x = joint.sum(dim=1)
    return torch.special.entr(joint).sum() - torch.special.entr(x).sum()


@answers.accept("conditional_entropy")
def cell_by_cell(joint):
    total = 0.0
    for row in joint.tolist():
        for p in row:
            if p > 0:
                total -= p * math.log(p / sum(row))
    return total


@answers.accept("conditional_entropy")
def row_by_row(joint):
    table = joint.double().numpy()
    weights = table.sum(axis=1)
    rows = [row / weight for row, weight in zip(table, weights, strict=True) if weight > 0]
    entropies = [-sum(p * np.log(p) for p in row if p > 0) for row in rows]
    return np.dot(weights[weights > 0], entropies)


@answers.accept("conditional_entropy")
def with_xlogy(joint):
    x = joint.sum(dim=1, keepdim=True).clamp(min=1e-30)
    return -torch.special.xlogy(joint, joint / x).sum()


def _h(p):
    return torch.special.entr(p.double()).sum()


@answers.reject("conditional_entropy", "NaN or infinity")
def multiplies_zero_by_log_zero(joint):
    return -(joint * (joint / joint.sum(dim=1, keepdim=True)).log()).sum()


@answers.reject("conditional_entropy", "one number is asked for, the mean over contexts")
def one_for_each_context(joint):
    return torch.stack([_h(row / row.sum()) for row in joint])


@answers.reject("conditional_entropy", "not the mean, over contexts")
def adds_eps_everywhere(joint):
    return by_difference((joint + 0.01) / (joint + 0.01).sum())


@answers.reject("conditional_entropy", "in place")
def normalises_in_place(joint):
    joint /= joint.sum(dim=1, keepdim=True)
    return _h(joint)


@answers.accept("conditional_entropy")
def nan_to_zero(joint):
    return -(joint * (joint / joint.sum(dim=1, keepdim=True)).log()).nan_to_num(0).sum()


@answers.accept("conditional_entropy")
def marginal_minus_mutual_information(joint):
    x, y = joint.sum(dim=1), joint.sum(dim=0)
    together = torch.special.xlogy(joint, joint / torch.outer(x, y).clamp(min=1e-30)).sum()
    return torch.special.entr(y).sum() - together


@answers.reject("conditional_entropy", "nearly right")
def a_small_number_inside_the_logarithm(joint):
    return -(joint * (joint / joint.sum(dim=1, keepdim=True) + 3e-6).log()).nansum()


# explain_random_samples


@answers.accept("explain_random_samples")
def explained():
    return 3, "c", "s"


@answers.accept("explain_random_samples")
def explained_as_a_list():
    return ["3", " C", "S"]


@answers.accept("explain_random_samples")
def explained_in_steps():
    line = sum((1, 2))
    return (line, *"cs")


@answers.accept("explain_random_samples")
def explained_with_brackets():
    return "line 3", "(c)", "s."


@answers.accept("explain_random_samples")
def explained_by_numpy():
    return np.int64(3), "c", "s"


@answers.reject("explain_random_samples", "Line 1 is right")
def blames_eval_mode():
    return 1, "b", "p"


@answers.reject("explain_random_samples", "Line 2 makes numbers")
def blames_the_noise():
    return 2, "a", "p"


@answers.reject("explain_random_samples", "Line 4 is right")
def blames_the_decoder():
    return 4, "e", "q"


@answers.reject("explain_random_samples", "only shows")
def blames_the_picture():
    return 5, "c", "s"


@answers.reject("explain_random_samples", "in whatever range")
def blames_the_range():
    return 3, "a", "s"


@answers.reject("explain_random_samples", "nothing in a VQ-VAE is drawn at random")
def blames_the_mode():
    return 3, "b", "s"


@answers.reject("explain_random_samples", "That is how a VAE samples")
def wants_gaussian_latents():
    return 3, "d", "s"


@answers.reject("explain_random_samples", "More training would not help")
def blames_training():
    return 3, "e", "s"


@answers.reject("explain_random_samples", "another range")
def clips_the_noise():
    return 3, "c", "p"


@answers.reject("explain_random_samples", "uniform one")
def draws_uniformly():
    return 3, "c", "q"


@answers.reject("explain_random_samples", "reconstructions. Nothing")
def encodes_real_digits():
    return 3, "c", "r"


@answers.reject("explain_random_samples", "without a draw")
def takes_the_likeliest():
    return 3, "c", "t"


@answers.reject("explain_random_samples", "Three things")
def names_the_line_only():
    return 3


@answers.reject("explain_random_samples", "number of a line")
def counts_from_nowhere():
    return 6, "c", "s"


@answers.reject("explain_random_samples", "one of the letters a to e")
def swaps_the_letters():
    return 3, "s", "c"


@answers.reject("explain_random_samples", "one of the letters p to t")
def writes_the_line_itself():
    return 3, "c", "indices = sample(prior, (64, 7, 7))"


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
