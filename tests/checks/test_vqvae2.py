"""Right and wrong answers to the exercises of notebook 12."""

import math
from itertools import accumulate
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers
from vqvae_course import check, metrics
from vqvae_course.checks import chapter_12_vqvae2

answers = Answers()


# encode_two_levels


@answers.accept("encode_two_levels")
def straight(parts, x):
    features = parts.features_bottom(x)
    z_q_top, indices_top = parts.quantize_top(parts.features_top(features))
    _, indices_bottom = parts.quantize_bottom(parts.join(features, parts.expand(z_q_top)))
    return indices_top, indices_bottom


@answers.accept("encode_two_levels")
def nested_in_a_list(parts, x):
    f = parts.features_bottom(x)
    top = parts.quantize_top(parts.features_top(f))
    return [top[1], parts.quantize_bottom(parts.join(f, parts.expand(top[0])))[1]]


@answers.accept("encode_two_levels")
@torch.no_grad()
def image_by_image(parts, x):
    tops, bottoms = [], []
    for one in x.split(1):
        first, second = straight(parts, one)
        tops.append(first)
        bottoms.append(second)
    return torch.cat(tops), torch.cat(bottoms)


@answers.accept("encode_two_levels")
def with_a_look_at_the_shapes(parts, x):
    assert x.ndim == 4
    features = parts.features_bottom(x)
    z = parts.features_top(features)
    z_q, indices = parts.quantize_top(z)
    assert z_q.shape == z.shape
    expanded = parts.expand(z_q.detach())
    z_bottom = parts.join(features, expanded)
    return indices.to(torch.int64), parts.quantize_bottom(z_bottom)[1].clone()


@answers.accept("encode_two_levels")
def straight_through_on_the_way(parts, x):
    features = parts.features_bottom(x)
    z = parts.features_top(features)
    z_q, indices = parts.quantize_top(z)
    z_q = z + (z_q - z).detach()  # differs in the last digits
    return indices, parts.quantize_bottom(parts.join(features, parts.expand(z_q)))[1]


@answers.accept("encode_two_levels")
def by_name(parts, x):
    features = parts.features_bottom(x=x)
    z_q, indices_top = parts.quantize_top(z=parts.features_top(f=features))
    bottom = parts.join(expanded=parts.expand(z_q=z_q), features=features)
    return indices_top, parts.quantize_bottom(z=bottom)[1]


@answers.accept("encode_two_levels")
def half_by_name(parts, x):
    features = parts.features_bottom(x)
    z_q, indices_top = parts.quantize_top(parts.features_top(features))
    return indices_top, parts.quantize_bottom(parts.join(features, expanded=parts.expand(z_q=z_q)))[1]


def encoded(expanded=None, joined=None, top=None, result=None):
    """Build an answer that departs at one point."""

    def answer(parts, x):
        s = SimpleNamespace(parts=parts, x=x, f=parts.features_bottom(x))
        s.z = top(s) if top else parts.features_top(s.f)
        s.z_q, s.i = parts.quantize_top(s.z)
        s.e = expanded(s) if expanded else parts.expand(s.z_q)
        s.j = joined(s) if joined else parts.join(s.f, s.e)
        s.low, s.k = parts.quantize_bottom(s.j)
        return result(s) if result else (s.i, s.k)

    return answer


def again(s):
    """Choose the top once more, from what the bottom has become."""
    return s.parts.quantize_top(s.parts.features_top(s.j))[1]


def refuse_encoders(fragment, **departures):
    """Register one such answer, under the name of what it does."""
    for name, departure in departures.items():
        where, function = departure
        answer = encoded(**{where: function})
        answer.__name__ = name
        answers.reject("encode_two_levels", fragment)(answer)


refuse_encoders("zeros where the expanded top belongs", without_condition=("expanded", lambda s: torch.zeros_like(s.f)))
refuse_encoders("its features are quantized as they are", features_alone=("joined", lambda s: s.f))
refuse_encoders("the bottom's own features are lost", top_alone=("joined", lambda s: s.e))
refuse_encoders("before it is quantized", unquantized=("expanded", lambda s: s.parts.expand(s.z)))
refuse_encoders(
    "two encoders that know nothing of each other", independent=("top", lambda s: s.parts.features_top(s.x))
)
refuse_encoders("enlarged by something other", repeated=("expanded", lambda s: F.interpolate(s.z_q, scale_factor=2)))
refuse_encoders(
    "enlarged by something other",
    smoothed=("expanded", lambda s: F.interpolate(s.z_q, scale_factor=2, mode="bilinear")),
    tiled=("expanded", lambda s: s.z_q.repeat(1, 1, 2, 2)),
)
refuse_encoders("small grid", not_enlarged=("expanded", lambda s: s.z_q))
refuse_encoders("wrong order", join_swapped=("joined", lambda s: s.parts.join(s.e, s.f)))
refuse_encoders("features twice", twice=("joined", lambda s: s.parts.join(s.f, s.f)))
refuse_encoders("parts.expand is handed indices", expands_indices=("expanded", lambda s: s.parts.expand(s.i)))
refuse_encoders(
    "parts.quantize_bottom is handed", added=("joined", lambda s: s.f + s.e), other=("joined", lambda s: -s.j)
)
refuse_encoders(
    "parts.join is handed a tensor",
    ones=("expanded", lambda s: torch.ones_like(s.parts.expand(s.z_q))),
    other_images=("expanded", lambda s: s.parts.expand(s.z_q).roll(1, 0)),
)
refuse_encoders("parts.expand is handed a tensor", halfway=("expanded", lambda s: s.parts.expand(s.z + s.z_q)))
refuse_encoders("handed the bottom's encoder output", again=("result", lambda s: (again(s), s.k)))
refuse_encoders("are not those", from_one=("result", lambda s: (s.i + 1, s.k + 1)))
refuse_encoders("have shape (1,", first_image=("result", lambda s: (s.i[:1], s.k[:1])))
refuse_encoders("parts.join is handed a tensor", residual=("joined", lambda s: s.parts.join(s.f - s.e, s.e)))
refuse_encoders("vectors instead of indices", vectors=("result", lambda s: (s.z_q, s.low)))
refuse_encoders("has the dtype torch.float32", floats=("result", lambda s: (s.i.float(), s.k.float())))
refuse_encoders("for the bottom has the dtype torch.float64", one_float=("result", lambda s: (s.i, s.k.double())))
refuse_encoders(
    "its arguments are called features, expanded",
    other_names=("joined", lambda s: s.parts.join(features=s.f, top=s.e)),
)
refuse_encoders("an argument twice", named_twice=("joined", lambda s: s.parts.join(s.f, features=s.e)))
refuse_encoders("called with 1 argument; it takes 2", one_argument=("joined", lambda s: s.parts.join(expanded=s.e)))
refuse_encoders("wrong order", names_swapped=("joined", lambda s: s.parts.join(expanded=s.f, features=s.e)))
refuse_encoders("the bottom first", bottom_first=("result", lambda s: (s.k, s.i)))
refuse_encoders("a map a picture", flat=("result", lambda s: (s.i.flatten(1), s.k.flatten(1))))
refuse_encoders("a map a picture", all_flat=("result", lambda s: (s.i.flatten(), s.k.flatten())))
refuse_encoders("pairs of z_q and indices", pairs=("result", lambda s: ((s.z_q, s.i), (s.low, s.k))))
refuse_encoders("you return a dict", a_dict=("result", lambda s: {"top": s.i, "bottom": s.k}))
refuse_encoders("you return a Tensor", only_the_bottom=("result", lambda s: s.k))
refuse_encoders("are not those", transposed=("result", lambda s: (s.i, s.k.flip(0))))
refuse_encoders("The bottom's indices have shape", enlarged_top=("result", lambda s: (s.i, s.i)))
refuse_encoders("parts.features_top is handed", pixels=("top", lambda s: s.parts.features_top(F.avg_pool2d(s.x, 2))))


@answers.reject("encode_two_levels", "The top is computed from the quantized bottom")
def bottom_chosen_first(parts, x):
    features = parts.features_bottom(x)
    z_q_bottom, indices_bottom = parts.quantize_bottom(features)
    return parts.quantize_top(parts.features_top(z_q_bottom))[1], indices_bottom


@answers.reject("encode_two_levels", "The top is computed from the quantized bottom")
def bottom_first_with_zeros(parts, x):
    features = parts.features_bottom(x)
    low, indices_bottom = parts.quantize_bottom(parts.join(features, torch.zeros_like(features)))
    return parts.quantize_top(parts.features_top(low))[1], indices_bottom


@answers.reject("encode_two_levels", "Levels have codebooks of their own")
def one_quantizer_for_both(parts, x):
    features = parts.features_bottom(x)
    z_q, indices_top = parts.quantize_bottom(parts.features_top(features))
    return indices_top, parts.quantize_bottom(parts.join(features, parts.expand(z_q)))[1]


@answers.reject("encode_two_levels", "Levels have codebooks of their own")
def top_quantizer_for_the_bottom(parts, x):
    features = parts.features_bottom(x)
    z_q, indices_top = parts.quantize_top(parts.features_top(features))
    return indices_top, parts.quantize_top(parts.join(features, parts.expand(z_q)))[1]


@answers.reject("encode_two_levels", "quantized more than once")
def quantized_twice(parts, x):
    features = parts.features_bottom(x)
    z = parts.features_top(features)
    bottom = parts.join(features, parts.expand(parts.quantize_top(z)[0]))
    return parts.quantize_top(z)[1], parts.quantize_bottom(bottom)[1]


@answers.reject("encode_two_levels", "quantized more than once")
def indices_first_and_then_vectors(parts, x):
    features = parts.features_bottom(x)
    z = parts.features_top(features)
    indices_top = parts.quantize_top(z)[1]
    return indices_top, parts.quantize_bottom(parts.join(features, parts.expand(parts.quantize_top(z)[0])))[1]


@answers.reject("encode_two_levels", "parts.expand is handed indices")
def unpacks_the_wrong_way_round(parts, x):
    features = parts.features_bottom(x)
    indices, z_q = parts.quantize_top(parts.features_top(features))
    return indices, parts.quantize_bottom(parts.join(features, parts.expand(z_q)))[0]


@answers.reject("encode_two_levels", "handed a tuple")
def keeps_the_pair(parts, x):
    features = parts.features_bottom(x)
    top = parts.quantize_top(parts.features_top(features))
    return top[1], parts.quantize_bottom(parts.join(features, parts.expand(top)))[1]


@answers.reject("encode_two_levels", "the top's latent has not been computed")
def quantizes_the_features(parts, x):
    features = parts.features_bottom(x)
    z_q, indices = parts.quantize_top(features)
    return indices, parts.quantize_bottom(parts.join(features, parts.expand(z_q)))[1]


@answers.reject("encode_two_levels", "zeros where the expanded top belongs")
def conditioned_on_itself(parts, x):
    features = parts.features_bottom(x)
    _, indices_top = parts.quantize_top(parts.features_top(features))
    low, _ = parts.quantize_bottom(parts.join(features, torch.zeros_like(features)))
    return indices_top, parts.quantize_bottom(parts.join(features, low))[1]


@answers.reject("encode_two_levels", "raised")
def wrong_name(parts, x):
    return parts.encoder(x)


# decode_levels


@answers.accept("decode_levels")
def by_movedim(parts, indices_top, indices_bottom):
    top = parts.expand(parts.codebook_top[indices_top].movedim(-1, 1))
    return parts.decoder(torch.cat([top, parts.codebook_bottom[indices_bottom].movedim(-1, 1)], dim=1))


@answers.accept("decode_levels")
def by_embedding(parts, indices_top, indices_bottom):
    z_top = F.embedding(indices_top, parts.codebook_top).permute(0, 3, 1, 2)
    z_bottom = F.embedding(indices_bottom, parts.codebook_bottom).permute(0, 3, 1, 2)
    expanded = parts.expand(z_top)
    return parts.decoder(torch.cat((expanded, z_bottom.to(expanded.dtype)), 1))


@answers.accept("decode_levels")
def by_one_hot(parts, indices_top, indices_bottom):
    def look_up(indices, book):
        return torch.einsum("bhwk,kd->bdhw", F.one_hot(indices, len(book)).float(), book)

    top = parts.expand(look_up(indices_top, parts.codebook_top)).float()
    return parts.decoder(torch.cat([top, look_up(indices_bottom, parts.codebook_bottom)], dim=1))


@answers.accept("decode_levels")
def picture_by_picture(parts, indices_top, indices_bottom):
    pictures = []
    for top, bottom in zip(indices_top, indices_bottom, strict=True):
        z_top = parts.codebook_top[top].permute(2, 0, 1)[None]
        z_bottom = parts.codebook_bottom.index_select(0, bottom.flatten()).T.reshape(1, -1, *bottom.shape)
        pictures.append(parts.decoder(torch.cat([parts.expand(z_top), z_bottom.double()], 1)))
    return torch.cat(pictures)


@answers.accept("decode_levels")
def by_name_too(parts, indices_top, indices_bottom):
    top = parts.expand(z_q=parts.codebook_top[indices_top].permute(0, 3, 1, 2))
    bottom = parts.codebook_bottom[indices_bottom].permute(0, 3, 1, 2)
    return parts.decoder(z=torch.cat([top, bottom.to(top)], dim=1))


def decoded(join=None, after=None, top=None, books=None):
    """Build an answer that departs at one point."""

    def answer(parts, indices_top, indices_bottom):
        first, second = books(parts) if books else (parts.codebook_top, parts.codebook_bottom)
        s = SimpleNamespace(parts=parts, rows=first[indices_top], low_rows=second[indices_bottom])
        s.z, s.low = s.rows.movedim(-1, 1), s.low_rows.movedim(-1, 1).double()
        s.up = top(s) if top else parts.expand(s.z)
        image = parts.decoder(join(s) if join else torch.cat([s.up, s.low], dim=1))
        return after(image) if after else image

    return answer


def refuse_decoders(fragment, **departures):
    """Register one such answer, under the name of what it does."""
    for name, (where, function) in departures.items():
        answer = decoded(**{where: function})
        answer.__name__ = name
        answers.reject("decode_levels", fragment)(answer)


def cat(*maps):
    return torch.cat([one.double() for one in maps], dim=1)


refuse_decoders(
    "something other than parts.expand",
    repeats=("top", lambda s: F.interpolate(s.z, scale_factor=2)),
    smooths=("top", lambda s: F.interpolate(s.z, scale_factor=2, mode="bilinear")),
    tiles=("top", lambda s: s.z.repeat(1, 1, 2, 2)),
    repeats_and_swaps=("join", lambda s: cat(s.low, F.interpolate(s.z, scale_factor=2))),
)
refuse_decoders("wrong order", swaps=("join", lambda s: cat(s.low, s.up)))
refuse_decoders(
    "channels of a level are not moved",
    views=("join", lambda s: cat(s.parts.expand(s.rows.reshape(s.z.shape)), s.low_rows.reshape(s.low.shape))),
    views_the_top=("top", lambda s: s.parts.expand(s.rows.reshape(s.z.shape))),
    views_the_bottom=("join", lambda s: cat(s.up, s.low_rows.reshape(s.low.shape))),
)
refuse_decoders("codebook of the other level", books_swapped=("books", lambda p: (p.codebook_bottom, p.codebook_top)))
refuse_decoders("codebook of the other level", one_book=("books", lambda p: (p.codebook_top, p.codebook_top)))
refuse_decoders("codebook of the other level", the_other_book=("books", lambda p: (p.codebook_bottom,) * 2))
refuse_decoders(
    "The top's codes do not come in",
    bottom_twice=("join", lambda s: cat(s.low, s.low)),
    no_top=("top", lambda s: torch.zeros_like(s.low)),
)
refuse_decoders(
    "The bottom's codes do not come in",
    top_twice=("join", lambda s: cat(s.up, s.up)),
    no_bottom=("join", lambda s: cat(s.up, torch.zeros_like(s.up))),
)
refuse_decoders("handed of the bottom is wrong", adds_the_top_to_the_bottom=("join", lambda s: cat(s.up, s.low + s.up)))
refuse_decoders("handed of the top is wrong", mixes_the_batch=("join", lambda s: cat(s.up.roll(1, 0), s.low)))
refuse_decoders("2D channels", adds=("join", lambda s: s.up + s.low), bottom_alone=("join", lambda s: s.low))
refuse_decoders("channels are still the last axis", not_moved=("top", lambda s: s.parts.expand(s.rows)))
refuse_decoders("rows and columns are swapped", turned=("top", lambda s: s.parts.expand(s.rows.permute(0, 3, 2, 1))))
refuse_decoders("on the bottom's grid", expands_the_bottom=("top", lambda s: s.parts.expand(s.low)))
refuse_decoders(
    "on the bottom's grid", repeats_first=("top", lambda s: s.parts.expand(F.interpolate(s.z, scale_factor=2)))
)
refuse_decoders("You clip the image", clips=("after", lambda image: image.clamp(0, 1)))
refuse_decoders("another image than it made", squashes=("after", torch.sigmoid), doubles=("after", lambda x: 2 * x))
refuse_decoders("handed of the bottom is wrong", scaled=("join", lambda s: cat(s.up, 2 * s.low)))
refuse_decoders("handed of the top is wrong", negative=("join", lambda s: cat(-s.up, s.low)))
refuse_decoders("not the expanded top followed", interleaved=("join", lambda s: cat(s.up, s.low).flip(1)))
refuse_decoders("joined along the batch", along_the_batch=("join", lambda s: torch.cat([s.up, s.low], 0)))
refuse_decoders("one above the other", stacked=("join", lambda s: torch.cat([s.up, s.low], 2)))
refuse_decoders("one beside the other", in_a_row=("join", lambda s: torch.cat([s.up, s.low], 3)))
refuse_decoders("raised RuntimeError", not_enlarged=("top", lambda s: s.z))


@answers.reject("decode_levels", "part of the encoder")
def through_the_encoder(parts, indices_top, indices_bottom):
    noise = torch.randn(len(indices_top), 3, 4 * indices_top.shape[1], 4 * indices_top.shape[2])
    features = parts.features_bottom(noise)
    return parts.decoder(parts.join(features, parts.expand(parts.quantize_top(parts.features_top(features))[0])))


@answers.reject("decode_levels", "part of the encoder")
def joins_before_decoding(parts, indices_top, indices_bottom):
    up = parts.expand(parts.codebook_top[indices_top].movedim(-1, 1))
    return parts.decoder(parts.join(parts.codebook_bottom[indices_bottom].movedim(-1, 1), up))


@answers.reject("decode_levels", "handed indices")
def expands_indices(parts, indices_top, indices_bottom):
    return by_movedim(parts, parts.expand(indices_top), indices_bottom)


@answers.reject("decode_levels", "takes one map of floats")
def two_arguments(parts, indices_top, indices_bottom):
    up = parts.expand(parts.codebook_top[indices_top].movedim(-1, 1))
    return parts.decoder(up, parts.codebook_bottom[indices_bottom].movedim(-1, 1))


@answers.reject("decode_levels", "joined along the batch")
def along_the_batch_picture_by_picture(parts, indices_top, indices_bottom):
    pictures = []
    for top, bottom in zip(indices_top, indices_bottom, strict=True):
        up = parts.expand(parts.codebook_top[top].movedim(-1, 0)[None])
        pictures.append(parts.decoder(torch.cat([up, parts.codebook_bottom[bottom].movedim(-1, 0)[None].double()])))
    return torch.cat(pictures)


@answers.reject("decode_levels", "its arguments are called z_q")
def other_name(parts, indices_top, indices_bottom):
    return parts.decoder(parts.expand(z=parts.codebook_top[indices_top].movedim(-1, 1)))


@answers.reject("decode_levels", "never called")
def without_decoder(parts, indices_top, indices_bottom):
    return F.interpolate(parts.expand(parts.codebook_top[indices_top].movedim(-1, 1)), scale_factor=2)[:, :3]


@answers.reject("decode_levels", "is asked for")
def returns_the_quantized_top(parts, indices_top, indices_bottom):
    return parts.codebook_top[indices_top].movedim(-1, 1)


# hierarchy_ratio


@answers.accept("hierarchy_ratio")
def summed(shape, levels, bits=8):
    return math.prod(shape) * bits / sum(h * w * math.log2(k) for h, w, k in levels)


@answers.accept("hierarchy_ratio")
def in_a_loop(shape, levels, bits=8):
    channels, height, width = shape
    total = 0.0
    for h, w, k in levels:
        total += h * w * math.log(k) / math.log(2)
    return channels * height * width * bits / total


@answers.accept("hierarchy_ratio")
def with_tensors(shape, levels, bits=8):
    h, w, k = torch.tensor(levels, dtype=torch.float64).T
    return np.prod(shape) * bits / (h * w * k.log2()).sum()


@answers.accept("hierarchy_ratio")
def by_harmonic_sum(shape, levels, bits=8):
    raw = math.prod(shape) * bits
    return 1 / sum(1 / (raw / (h * w * math.log2(k))) for h, w, k in levels)


def bits_of(levels, log=math.log2):
    return [h * w * log(k) for h, w, k in levels]


@answers.reject("hierarchy_ratio", "near the right number")
def rounded_ratio(shape, levels, bits=8):
    return round(summed(shape, levels, bits))


@answers.reject("hierarchy_ratio", "you find")
def roots_for_logarithms(shape, levels, bits=8):
    return math.prod(shape) * bits / sum(h * w * math.sqrt(k) for h, w, k in levels)


@answers.reject("hierarchy_ratio", "changes the length of the list")
def pops(shape, levels, bits=8):
    total = 0
    while levels:
        h, w, k = levels.pop()
        total += h * w * math.log2(k)
    return math.prod(shape) * bits / total


@answers.reject("hierarchy_ratio", "raised ValueError")
def two_levels_at_most(shape, levels, bits=8):
    (a, b, k), (c, d, m) = levels
    return math.prod(shape) * bits / (a * b * math.log2(k) + c * d * math.log2(m))


@answers.reject("hierarchy_ratio", "an array of shape")
def one_ratio_a_level(shape, levels, bits=8):
    return math.prod(shape) * bits / np.array(list(accumulate(bits_of(levels))))


# which_level


def experiments(decode, maps, num_codes, places=None, images=slice(None)):
    """Yield the level and how far each pixel moved, for one changed code an image."""
    before = decode(maps)
    for level, one in enumerate(maps):
        for i in range(one.shape[1]):
            for j in range(one.shape[2]):
                if places and (i, j) not in places:
                    continue
                changed = one.clone()
                changed[images, i, j] = (changed[images, i, j] + 1) % num_codes
                given = list(maps)
                given[level] = changed
                yield level, (decode(given) - before).abs()


def reach(decode, maps, num_codes, measure, gather=np.mean, **options):
    """Return one number a level."""
    found = {0: [], 1: []}
    for level, moved in experiments(decode, maps, num_codes, **options):
        found[level].append(float(measure(moved)))
    return [gather(found[level]) for level in (0, 1)]


def extent(moved):
    return (moved > 1e-4).double().mean()


@answers.accept("which_level")
def counts_pixels(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, extent)))


@answers.accept("which_level")
def takes_the_largest_reach(decode, maps, num_codes):
    first, second = reach(decode, maps, num_codes, extent, max)
    return 0 if first > second else 1


@answers.accept("which_level")
def takes_the_median_reach(decode, maps, num_codes):
    measure = lambda moved: (moved > 2e-4).any(dim=1).sum()  # noqa: E731
    return torch.tensor(reach(decode, maps, num_codes, measure, np.median)).argmax()


@answers.accept("which_level")
def draws_changes(decode, maps, num_codes):
    before, scores = decode(maps), torch.zeros(2)
    rows = torch.arange(len(maps[0]))
    for _ in range(60):
        for level in range(2):
            changed = [one.clone() for one in maps]
            _, h, w = changed[level].shape
            i, j = torch.randint(h, rows.shape), torch.randint(w, rows.shape)
            changed[level][rows, i, j] = torch.randint(num_codes, rows.shape)
            scores[level] += ((decode(changed) - before).abs() > 1e-4).sum()
    return int(scores.argmax())


@answers.accept("which_level")
def measures_the_box(decode, maps, num_codes):
    def box(moved):
        rows = (moved > 1e-4).any(dim=3).sum(dim=2)
        columns = (moved > 1e-4).any(dim=2).sum(dim=2)
        return (rows * columns).double().mean()

    return int(np.argmax(reach(decode, maps, num_codes, box)))


@answers.accept("which_level")
def every_code_every_image(decode, maps, num_codes):
    before, best = decode(maps), [0, 0]
    for level in (0, 1):
        for image in range(len(maps[0])):
            for code in range(num_codes):
                changed = [one.clone() for one in maps]
                middle = changed[level].shape[1] // 2
                changed[level][image, middle, 1] = code
                best[level] = max(best[level], int(((decode(changed) - before).abs() > 1e-4).sum()))
    return best.index(max(best))


@answers.accept("which_level")
def changes_and_restores(decode, maps, num_codes):
    before, scores = decode(maps), [0, 0]
    for level in (0, 1):
        for place in range(maps[level][0].numel()):
            for image in range(len(maps[level])):
                flat = maps[level][image].view(-1)
                kept = int(flat[place])
                flat[place] = (kept + 2) % num_codes
                scores[level] += int(((decode(maps) - before).abs() > 1e-4).sum())
                flat[place] = kept
    return int(scores[1] * maps[0][0].numel() > scores[0] * maps[1][0].numel())


@answers.accept("which_level")
def image_by_image_alone(decode, maps, num_codes):
    scores = torch.zeros(2)
    for level in (0, 1):
        for image in range(len(maps[0])):
            scores[level] += reach(decode, [one[image : image + 1] for one in maps], num_codes, extent)[level]
    return int(scores.argmax())


@answers.reject("which_level", "Your tolerance is too large")
def tolerance_too_large(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 1e-3).double().mean())))


@answers.reject("which_level", "replace all codes of a level at once")
def all_at_once_image_by_image(decode, maps, num_codes):
    scores = [0.0, 0.0]
    for image in range(len(maps[0])):
        own = [one[image : image + 1] for one in maps]
        for level in (0, 1):
            changed = list(own)
            changed[level] = (own[level] + 1) % num_codes
            scores[level] += float(extent((decode(changed) - decode(own)).abs()))
    return int(np.argmax(scores))


@answers.reject("which_level", "never call decode")
def smaller_map(decode, maps, num_codes):
    return 0 if maps[0].numel() <= maps[1].numel() else 1


@answers.reject("which_level", "never call decode")
def zero(decode, maps, num_codes):
    return 0


@answers.reject("which_level", "never call decode")
def fewer_codes_in_use(decode, maps, num_codes):
    return int(len(maps[1].unique()) < len(maps[0].unique()))


@answers.reject("which_level", "in every case, whichever map")
def one_after_looking(decode, maps, num_codes):
    reach(decode, maps, num_codes, extent)
    return 1


@answers.reject("which_level", "how strongly the picture changes")
def mean_change(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, torch.mean)))


@answers.reject("which_level", "how strongly the picture changes")
def squared_change(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: moved.square().sum())))


@answers.reject("which_level", "how strongly the picture changes")
def largest_change(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, torch.max)))


@answers.reject("which_level", "how strongly the picture changes")
def threshold_far_too_high(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 0.3).sum())))


@answers.reject("which_level", "replace all codes of a level at once")
def all_at_once(decode, maps, num_codes):
    before, scores = decode(maps), []
    for level in (0, 1):
        changed = list(maps)
        changed[level] = (maps[level] + 1) % num_codes
        scores.append(float(extent((decode(changed) - before).abs())))
    return int(np.argmax(scores))


@answers.reject("which_level", "replace all codes of a level at once")
def a_constant_map(decode, maps, num_codes):
    before, scores = decode(maps), []
    for level in (0, 1):
        changed = list(maps)
        changed[level] = torch.zeros_like(maps[level])
        scores.append(float(extent((decode(changed) - before).abs())))
    return int(scores[1] > scores[0])


@answers.reject("which_level", "replaced by itself")
def by_itself(decode, maps, num_codes):
    before, scores = decode(maps), []
    for level in (0, 1):
        changed = [one.clone() for one in maps]
        changed[level][:, 0, 0] = maps[level][:, 0, 0]
        scores.append(float(extent((decode(changed) - before).abs())))
    return int(np.argmax(scores))


@answers.reject("which_level", "or the change is lost")
def change_is_lost(decode, maps, num_codes):
    before, scores = decode(maps), []
    for level in (0, 1):
        changed = [one.clone() for one in maps]
        changed[level][:, 1, 1].add(1)
        scores.append(float(extent((decode(changed) - before).abs())))
    return int(np.argmax(scores))


@answers.reject("which_level", "bottom")
def reversed_answer(decode, maps, num_codes):
    return int(np.argmin(reach(decode, maps, num_codes, extent)))


@answers.reject("which_level", "changes its argument number 2 in place")
def in_place(decode, maps, num_codes):
    before, scores = decode(maps), []
    for level in (0, 1):
        maps[level][:, 1, 1] = (maps[level][:, 1, 1] + 1) % num_codes
        scores.append(float(extent((decode(maps) - before).abs())))
    return int(np.argmax(scores))


@answers.reject("which_level", "did anything move")
def first_image_alone(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, extent, images=0)))


@answers.reject("which_level", "did anything move")
def one_place_alone(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, extent, places=[(0, 0)])))


@answers.reject("which_level", "indices from")
def past_the_last_code(decode, maps, num_codes):
    changed = [one.clone() for one in maps]
    changed[0][:, 1, 1] = num_codes
    return int(extent((decode(changed) - decode(maps)).abs()) < 0.2)


@answers.reject("which_level", "By rounding")
def any_difference(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 1e-7).double().mean() > 0.5)))


@answers.reject("which_level", "move by a rounding error")
def without_tolerance(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 0).double().mean())))


@answers.reject("which_level", "move by a rounding error")
def without_tolerance_second_at_a_tie(decode, maps, num_codes):
    first, second = reach(decode, maps, num_codes, lambda moved: (moved != 0).sum())
    return 0 if first > second else 1


@answers.reject("which_level", "move by a rounding error")
def tolerance_too_small(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 1e-7).double().mean())))


@answers.reject("which_level", "you name the wrong map")
def brighter_pixels_only(decode, maps, num_codes):
    before, scores = decode(maps), [[], []]
    for level, one in enumerate(maps):
        for place in range(one[0].numel()):
            changed = [m.clone() for m in maps]
            changed[level].flatten(1)[:, place] = (one.flatten(1)[:, place] + 1) % num_codes
            scores[level].append(float((decode(changed) - before > 1e-4).double().mean()))
    return int(np.mean(scores[1]) > np.mean(scores[0]))


@answers.reject("which_level", "move by a rounding error")
def a_tenth_of_the_tolerance(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 1e-5).double().mean())))


@answers.reject("which_level", "add up over all places")
def sums_over_places(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, extent, sum)))


@answers.reject("which_level", "share of the largest change")
def share_of_the_largest(decode, maps, num_codes):
    measure = lambda moved: (moved > 0.1 * moved.max()).double().mean()  # noqa: E731
    return int(np.argmax(reach(decode, maps, num_codes, measure, places=[(1, 1)])))


@answers.reject("which_level", "share of the largest change")
def half_of_the_largest(decode, maps, num_codes):
    return int(np.argmax(reach(decode, maps, num_codes, lambda moved: (moved > 0.5 * moved.max()).double().mean())))


@answers.reject("which_level", "share of the largest change")
def share_of_the_level_s_largest(decode, maps, num_codes):
    tests, scores = list(experiments(decode, maps, num_codes, places=[(1, 1)])), []
    for level in (0, 1):
        mine = [moved for one, moved in tests if one == level]
        high = 0.1 * max(moved.max() for moved in mine)
        scores.append(np.mean([float((moved > high).double().mean()) for moved in mine]))
    return int(np.argmax(scores))


@answers.reject("which_level", "alone; how far a code of the other")
def looks_at_one_level(decode, maps, num_codes):
    before = decode(maps)
    changed = [one.clone() for one in maps]
    changed[0][:, 1, 1] = (changed[0][:, 1, 1] + 1) % num_codes
    return int(extent((decode(changed) - before).abs()) > 0.9)


@answers.reject("which_level", "both maps at the same time")
def both_at_once(decode, maps, num_codes):
    before = decode(maps)
    changed = [one.clone() for one in maps]
    for one in changed:
        one[:, 1, 1] = (one[:, 1, 1] + 1) % num_codes
    return int(extent((decode(changed) - before).abs()) < 0.1)


@answers.reject("which_level", "still changed from before")
def does_not_start_afresh(decode, maps, num_codes):
    before, changed, scores = decode(maps), [one.clone() for one in maps], []
    for level in (0, 1):
        changed[level][:, 1, 1] = (changed[level][:, 1, 1] + 1) % num_codes
        scores.append(float(extent((decode(changed) - before).abs())))
    return int(np.argmax(scores))


@answers.reject("which_level", "how strongly the picture changes")
def threshold_relative_to_the_largest(decode, maps, num_codes):
    tests = list(experiments(decode, maps, num_codes))
    high = 0.1 * max(moved.max() for _, moved in tests)
    scores = [np.mean([float((m > high).double().mean()) for one, m in tests if one == level]) for level in (0, 1)]
    return int(np.argmax(scores))


@answers.reject("which_level", "takes a list of two index maps")
def one_map(decode, maps, num_codes):
    return int(decode(maps[0]).sum() > 0)


@answers.reject("which_level", "0 or 1")
def counts_from_one(decode, maps, num_codes):
    return counts_pixels(decode, maps, num_codes) + 1


@answers.reject("which_level", "one number is asked for")
def the_map_itself(decode, maps, num_codes):
    return maps[counts_pixels(decode, maps, num_codes)]


@answers.reject("which_level", "one number is asked for")
def its_name(decode, maps, num_codes):
    return "top" if counts_pixels(decode, maps, num_codes) else "bottom"


# flat_codes


@answers.accept("flat_codes")
def from_bits(levels, grid):
    bits = sum(h * w * math.log2(k) for h, w, k in levels)
    return math.ceil(2 ** (bits / math.prod(grid)) - 1e-9)


@answers.accept("flat_codes")
def plain_ceiling(levels, grid):
    return math.ceil(math.exp(sum(h * w * math.log(k) for h, w, k in levels) / (grid[0] * grid[1])))


@answers.accept("flat_codes")
def as_the_page_prints_it(levels, grid):
    bits = sum(metrics.latent_bits(*level) for level in levels)
    return math.ceil(2 ** (bits / math.prod(grid)))


@answers.accept("flat_codes")
def by_trial(levels, grid):
    wanted, codes = math.prod(k ** (h * w) for h, w, k in levels), 1
    while codes ** (grid[0] * grid[1]) < wanted:
        codes += 1
    return codes


@answers.accept("flat_codes")
def from_the_product(levels, grid):
    codes = math.prod(k ** (h * w / math.prod(grid)) for h, w, k in levels)
    whole = round(codes)
    return whole if math.isclose(codes, whole, rel_tol=1e-12) else math.floor(codes) + 1


@answers.accept("flat_codes")
def with_tensors_of_levels(levels, grid):
    h, w, k = torch.tensor(levels, dtype=torch.float64).T
    return torch.ceil(2 ** ((h * w * k.log2()).sum() / math.prod(grid))).int()


@answers.accept("flat_codes")
def with_arrays(levels, grid):
    h, w, k = np.array(levels).T
    return np.ceil(np.exp(np.sum(h * w * np.log(k)) / np.prod(grid)) * (1 - 1e-12))


@answers.accept("flat_codes")
def minus_floor_of_minus(levels, grid):
    return int(-(-(2 ** (sum(bits_of(levels)) / (grid[0] * grid[1]))) // 1))


@answers.reject("flat_codes", "exactly as many bits")
def floor_and_one(levels, grid):
    return math.floor(2 ** (flat_bits(levels) / math.prod(grid))) + 1


@answers.reject("flat_codes", "exactly as many bits")
def floor_and_one_by_nats(levels, grid):
    return int(math.exp(sum(bits_of(levels, math.log)) / math.prod(grid))) + 1


@answers.reject("flat_codes", "exactly as many bits")
def by_trial_and_one_more(levels, grid):
    wanted, codes = math.prod(k ** (h * w) for h, w, k in levels), 1
    while codes ** math.prod(grid) <= wanted:
        codes += 1
    return codes


@answers.reject("flat_codes", "holds fewer bits")
def absolute_tolerance(levels, grid):
    return math.ceil(2 ** (flat_bits(levels) / math.prod(grid)) - 1e-4)


@answers.reject("flat_codes", "holds fewer bits")
def always_one_less(levels, grid):
    return by_trial(levels, grid) - 1


def flat_bits(levels):
    return sum(bits_of(levels))


@answers.reject("flat_codes", "one code fewer would do")
def two_too_many(levels, grid):
    return math.floor(2 ** (flat_bits(levels) / math.prod(grid))) + 2


@answers.reject("flat_codes", "you find")
def twice_the_largest(levels, grid):
    return 2 * max(k for *_, k in levels)


def test_an_endless_experiment_is_ended_by_the_number_of_its_calls(monkeypatch):
    monkeypatch.setattr(chapter_12_vqvae2, "MOST_CALLS", 50)

    def which_level(decode, maps, num_codes):
        while True:
            decode(maps)

    assert "more than 50 times" in str(check("which_level", which_level))


test_right_answers_are_accepted, test_wrong_answers_are_rejected_with_the_reason = answers.tests()
