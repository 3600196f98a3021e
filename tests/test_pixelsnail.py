import math
import re

import pytest
import torch
import torch.nn.functional as F

from vqvae_course.causality import blind_spot, influence, is_causal
from vqvae_course.incremental import IncrementalLogits
from vqvae_course.pixelsnail import PERIODS, CausalAttention, PixelSNAIL, PixelSNAILConfig, positional_encoding
from vqvae_course.sampling import sample
from vqvae_course.train import load_checkpoint, save_checkpoint

B, H, W, K = 3, 4, 6, 5
HIDDEN, HEADS = 8, 2
CLASSES, CONDITION = 3, 2
CONDITIONING = pytest.mark.parametrize(
    ("with_labels", "with_condition"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "classes", "condition", "both"],
)


def build(with_labels=False, with_condition=False, **arguments) -> PixelSNAIL:
    prior = PixelSNAIL(
        PixelSNAILConfig(
            **{"num_codes": K, "hidden": HIDDEN, "blocks": 2, "layers": 2, "heads": HEADS, **arguments},
            num_classes=CLASSES if with_labels else None,
            condition_channels=CONDITION if with_condition else None,
        )
    )
    with torch.no_grad():
        prior.head[-1].weight *= 30  # an untrained prior is nearly uniform, and would hide mistakes
    return prior


def given(with_labels=False, with_condition=False, height=H, width=W, dtype=torch.float32) -> dict:
    return {
        "labels": torch.arange(B) % CLASSES if with_labels else None,
        "condition": torch.randn(B, CONDITION, height, width, dtype=dtype) if with_condition else None,
    }


def attention_alone(attention: CausalAttention, codes_follow: bool):
    """Return the attention as a net of one input: what is felt through h, or through the codes."""

    class Alone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            still = torch.linspace(-1, 1, x.shape[1] * H * W, dtype=x.dtype).view(1, -1, H, W).expand_as(x)
            return self.attention(still, x) if codes_follow else self.attention(x, still)

    return Alone()


# --- attention


def test_attention_by_hand():
    torch.manual_seed(0)
    attention = CausalAttention(HIDDEN, HEADS).double()
    h, codes = torch.randn(2, B, HIDDEN, H, W, dtype=torch.float64).unbind()
    got = attention(h, codes)
    place = positional_encoding(H, W).double()
    rows, read = (x.flatten(2).transpose(1, 2) for x in (h, codes))
    normed = F.layer_norm(rows, (HIDDEN,), attention.norm.weight, attention.norm.bias)
    size = HIDDEN // HEADS
    for b in range(B):
        for i in range(H * W):
            query = attention.query(torch.cat([normed[b, i], place[i]]))
            seen = [attention.nothing]
            seen += [attention.key_value(torch.cat([normed[b, j], read[b, j], place[j]])) for j in range(i)]
            found = []
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                keys = torch.stack([pair[:HIDDEN][part] for pair in seen])
                values = torch.stack([pair[HIDDEN:][part] for pair in seen])
                weight = (keys @ query[part] / math.sqrt(size)).softmax(dim=0)
                found.append(weight @ values)
            expected = rows[b, i] + attention.out(torch.cat(found))
            torch.testing.assert_close(got[b, :, i // W, i % W], expected)


def test_attention_sees_codes_strictly_before_and_all_of_them():
    torch.manual_seed(0)
    attention = CausalAttention(HIDDEN, HEADS)
    felt = influence(attention_alone(attention, codes_follow=True), torch.randn(2, HIDDEN, H, W)) != 0
    assert torch.equal(felt, torch.ones(H * W, H * W).tril(-1).bool())


def test_attention_sees_its_own_h_and_all_earlier_ones():
    torch.manual_seed(0)
    attention = CausalAttention(HIDDEN, HEADS)
    felt = influence(attention_alone(attention, codes_follow=False), torch.randn(2, HIDDEN, H, W)) != 0
    assert torch.equal(felt, torch.ones(H * W, H * W).tril().bool())


def test_the_first_position_has_nothing_to_look_at_and_gets_a_number_all_the_same():
    attention = CausalAttention(HIDDEN, HEADS)
    h, codes = torch.randn(2, B, HIDDEN, H, W).unbind()
    got = attention(h, codes)
    _, value = attention.nothing.chunk(2)
    expected = h[:, :, 0, 0] + attention.out(value)
    torch.testing.assert_close(got[:, :, 0, 0], expected)
    got.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


def test_a_map_of_one_position_is_all_first_position():
    prior = build()
    assert prior(torch.zeros(B, 1, 1, dtype=torch.int64)).isfinite().all()
    assert sample(prior, (B, 1, 1)).shape == (B, 1, 1)


def test_the_wave_code_tells_all_places_apart_and_turns_alike_everywhere():
    code = positional_encoding(9, 14)
    assert code.shape == (9 * 14, 4 * len(PERIODS))
    assert torch.pdist(code).min() > 0.1
    product = (code @ code.T).view(9, 14, 9, 14)
    torch.testing.assert_close(product[1, 2, 3, 7], product[5, 8, 7, 13])  # two rows down and five columns right
    assert product[1, 2, 3, 7] < product[1, 2, 1, 2]


@pytest.mark.parametrize("heads", [0, 3, -1])
def test_heads_that_do_not_divide_the_channels_are_refused(heads):
    with pytest.raises(ValueError, match=f"heads must be at least 1 and divide hidden = 8, got {heads}"):
        CausalAttention(HIDDEN, heads)


# --- the prior


@CONDITIONING
def test_no_position_sees_itself_or_the_future(with_labels, with_condition):
    prior = build(with_labels, with_condition).eval()
    indices, arguments = torch.randint(K, (B, H, W)), given(with_labels, with_condition)
    with torch.no_grad():
        before = prior(indices, **arguments).flatten(2)
        for place in range(H * W):
            changed = indices.clone()
            changed.view(B, -1)[:, place] = (changed.view(B, -1)[:, place] + 1) % K
            after = prior(changed, **arguments).flatten(2)
            torch.testing.assert_close(after[:, :, : place + 1], before[:, :, : place + 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (6, 3), (1, 9), (7, 1)])
def test_it_is_causal_by_gradient_on_any_grid(height, width):
    torch.manual_seed(0)
    assert is_causal(build().logits_from, HIDDEN, height, width)


def test_attention_leaves_no_blind_spot_however_far_away():
    torch.manual_seed(0)
    near = build(kernel_size=3, first_kernel_size=3, blocks=1, layers=1)
    assert not blind_spot(near.logits_from, HIDDEN, 3, 17).any()


def test_images_of_a_batch_do_not_influence_one_another():
    prior, indices = build(with_labels=True).eval(), torch.randint(K, (B, H, W))
    labels = given(True)["labels"]
    together = prior(indices, labels)
    for row in range(B):
        torch.testing.assert_close(prior(indices[row : row + 1], labels[row : row + 1]), together[row : row + 1])


def test_labels_and_condition_are_felt_at_every_position():
    for name in ("labels", "condition"):
        prior = build(with_labels=name == "labels", with_condition=name == "condition").double()
        first = given(name == "labels", name == "condition", dtype=torch.float64)
        second = {**first, name: (first[name] + 1) % CLASSES}
        indices = torch.randint(K, (B, H, W))
        changed = (prior(indices, **first) != prior(indices, **second)).any(dim=1)
        assert changed.all()


def test_the_same_network_serves_maps_of_any_size():
    prior = build()
    for height, width in [(2, 9), (9, 2), (5, 5)]:
        assert prior(torch.randint(K, (1, height, width))).shape == (1, K, height, width)


def test_it_learns_to_copy_a_code_from_far_away_where_convolutions_are_blind():
    torch.manual_seed(0)
    prior = PixelSNAIL(PixelSNAILConfig(4, hidden=16, blocks=1, layers=1, heads=2, first_kernel_size=3))
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(150):
        maps = torch.randint(4, (32, 3, 7))
        maps[:, 2, 6] = maps[:, 0, 0]
        loss = F.cross_entropy(prior(maps)[:, :, 2, 6], maps[:, 2, 6])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * math.log(4)


def test_under_autocast_and_in_bfloat16_logits_stay_close():
    torch.manual_seed(0)
    prior, indices = build(hidden=32).eval(), torch.randint(K, (B, H, W))
    with torch.no_grad():
        expected = prior(indices)
        with torch.autocast("cpu", torch.bfloat16):
            cast = prior(indices).float()
        half = prior.bfloat16()(indices)
    assert half.dtype == torch.bfloat16
    for got in (cast, half.float()):
        assert got.isfinite().all()
        assert (got - expected).square().mean().sqrt() / expected.std() < 0.03


# --- sampling


@CONDITIONING
@pytest.mark.parametrize(("blocks", "layers"), [(1, 1), (2, 2), (3, 1)])
def test_incremental_logits_equal_those_of_the_whole_network(with_labels, with_condition, blocks, layers):
    prior = build(with_labels, with_condition, blocks=blocks, layers=layers).eval()
    arguments, indices = given(with_labels, with_condition), torch.randint(K, (B, H, W))
    with torch.no_grad():
        expected = prior(indices, **arguments)
        logits_at = IncrementalLogits(prior, indices, **arguments)
        for i in range(H):
            for j in range(W):
                torch.testing.assert_close(logits_at(i, j), expected[:, :, i, j], rtol=1e-4, atol=1e-4)


@CONDITIONING
@pytest.mark.parametrize("shape", [(B, H, W), (B, 7, 2), (B, 1, 9)])
def test_both_ways_draw_the_same_codes(with_labels, with_condition, shape):
    prior = build(with_labels, with_condition).double()  # in float32 a draw may fall on either side of a border
    arguments = given(with_labels, with_condition, *shape[1:], dtype=torch.float64)
    one, other = (
        sample(prior, shape, **arguments, generator=torch.Generator().manual_seed(3), incremental=incremental)
        for incremental in (True, False)
    )
    assert torch.equal(one, other)


def test_both_ways_complete_alike():
    prior, codes = build().double(), torch.randint(K, (B, H, W))
    codes[:, 2:] = -1
    codes[0, 1, 3] = -1
    one, other = (
        sample(prior, (B, H, W), generator=torch.Generator().manual_seed(3), incremental=incremental, given=codes)
        for incremental in (True, False)
    )
    assert torch.equal(one, other)
    assert torch.equal(one[codes >= 0], codes[codes >= 0])


def test_in_bfloat16_both_ways_see_nearly_the_same_logits():
    torch.manual_seed(0)
    prior, indices = build(hidden=32).bfloat16().eval(), torch.randint(K, (B, H, W))
    with torch.no_grad():
        expected = prior(indices).float()
        logits_at = IncrementalLogits(prior, indices, None, None)
        logits = torch.stack([torch.stack([logits_at(i, j) for j in range(W)], dim=-1) for i in range(H)], dim=-2)
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).square().mean().sqrt() / expected.std() < 0.03


# --- arguments and checkpoints


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"heads": 3}, "heads must be at least 1 and divide hidden = 8, got 3"),
        ({"kernel_size": 4}, "kernel_size must be odd and at least 3, got 4"),
        ({"first_kernel_size": 1}, "first_kernel_size must be odd and at least 3, got 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(**arguments)


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="labels must be given exactly when num_classes is"):
        build(with_labels=True)(torch.zeros(B, H, W, dtype=torch.int64))
    with pytest.raises(ValueError, match=re.escape(f"indices must lie in [0, {K})")):
        build()(torch.full((B, H, W), K))


def test_a_checkpoint_rebuilds_it(tmp_path):
    prior = build(with_labels=True).eval()
    save_checkpoint(tmp_path / "prior.pt", prior)
    again = load_checkpoint(tmp_path / "prior.pt").model
    indices, arguments = torch.randint(K, (B, H, W)), given(True)
    assert torch.equal(prior(indices, **arguments), again(indices, **arguments))
