import copy

import pytest
import torch
import torch.nn.functional as F

from vqvae_course.causality import blind_spot, is_causal
from vqvae_course.causality import influence as influence_of
from vqvae_course.pixelcnn import (
    GatedLayer,
    GatedPixelCNN,
    GatedPixelCNNConfig,
    MaskedConv2d,
    MaskedResidual,
    PixelCNN,
    PixelCNNConfig,
    causal_mask,
    gate,
)

B, H, W, K, HIDDEN = 2, 5, 7, 4, 6
CLASSES, CONDITION = 3, 2
CONDITIONING = pytest.mark.parametrize(
    ("with_labels", "with_condition"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "classes", "condition", "both"],
)


def build(with_labels=False, with_condition=False, **arguments) -> GatedPixelCNN:
    prior = GatedPixelCNN(
        GatedPixelCNNConfig(
            K,
            **{"hidden": HIDDEN, "layers": 2, **arguments},
            num_classes=CLASSES if with_labels else None,
            condition_channels=CONDITION if with_condition else None,
        )
    )
    return prior.double()  # so that far influences do not underflow


def inputs(batch=B, with_labels=False, with_condition=False, height=H, width=W):
    return (
        torch.randint(K, (batch, height, width)),
        torch.arange(batch) % CLASSES if with_labels else None,
        torch.randn(batch, CONDITION, height, width).double() if with_condition else None,
    )


def influence(prior: GatedPixelCNN, indices, labels=None, condition=None) -> torch.Tensor:
    """Return (B, P, P), how strongly the logits at a position (first P) feel the code at another (second P)."""
    embedded = []

    def keep(_module, _inputs, output):
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    hook = prior.embed.register_forward_hook(keep)
    logits = prior(indices, labels, condition)
    hook.remove()
    weight = torch.randn(K, dtype=torch.float64)  # so that effects on several logits do not cancel
    heard = torch.einsum("bkij,k->bij", logits, weight)
    felt = []
    for i in range(logits.shape[2]):
        for j in range(logits.shape[3]):
            (gradient,) = torch.autograd.grad(heard[:, i, j].sum(), embedded[0], retain_graph=True)
            felt.append(gradient.abs().sum(dim=-1).flatten(1))
    return torch.stack(felt, dim=1)


# --- causality


@CONDITIONING
@pytest.mark.parametrize("layers", [1, 2, 3, 6])
@pytest.mark.parametrize("first_kernel_size", [3, 7])
def test_no_position_sees_itself_or_the_future(layers, first_kernel_size, with_labels, with_condition):
    prior = build(with_labels, with_condition, layers=layers, first_kernel_size=first_kernel_size)
    felt = influence(prior, *inputs(CLASSES, with_labels, with_condition))  # every class once
    assert torch.equal(felt.triu(), torch.zeros_like(felt))
    assert felt.any()


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("arguments", [{"layers": 5}, {"layers": 6, "first_kernel_size": 3}], ids=["default", "deep"])
def test_every_position_sees_all_of_the_past(kernel_size, arguments):
    felt = influence(build(hidden=16, kernel_size=kernel_size, **arguments), inputs()[0])
    past = torch.ones(H * W, H * W).tril(-1).bool()
    assert (felt[:, past] > 0).all()


def test_the_default_prior_is_causal_and_has_no_blind_spot():
    felt = influence(GatedPixelCNN(GatedPixelCNNConfig(K)).double(), inputs()[0])
    past = torch.ones(H * W, H * W).tril(-1).bool()
    assert (felt[:, past] > 0).all()
    assert not felt[:, ~past].any()


def test_the_first_layer_reaches_as_far_as_its_kernel():
    felt = influence(build(layers=1, hidden=16, first_kernel_size=3), inputs()[0]).view(B, H, W, H, W)
    assert felt[:, 2, 3, 1, 2:5].min() > 0  # the row above, one to each side
    assert felt[:, 2, 3, 2, 2].min() > 0  # the left neighbour
    felt[:, 2, 3, 1, 2:5] = felt[:, 2, 3, 2, 2] = 0
    assert not felt[:, 2, 3].any()


def test_changing_a_code_changes_only_later_logits():
    prior, (indices, _, _) = build(), inputs()
    before = prior(indices)
    other = indices.clone()
    other[:, 2, 3] = (other[:, 2, 3] + 1) % K
    changed = (prior(other) != before).any(dim=1).flatten(1)
    assert not changed[:, : 2 * W + 4].any()
    assert changed[:, 2 * W + 4].all()


def test_the_first_position_knows_nothing():
    prior = build()
    logits = prior(inputs(3)[0])[:, :, 0, 0]
    assert torch.equal(logits, logits[:1].expand_as(logits))


def test_no_image_of_a_batch_sees_another():
    prior, (indices, labels, condition) = build(True, True), inputs(B, True, True)
    together = prior(indices, labels, condition)
    alone = torch.cat([prior(indices[b : b + 1], labels[b : b + 1], condition[b : b + 1]) for b in range(B)])
    torch.testing.assert_close(together, alone)


def test_causality_survives_an_optimizer_step():
    prior, (indices, _, _) = build(layers=3), inputs()
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.1, weight_decay=0.1)
    F.cross_entropy(prior(indices), indices).backward()
    optimizer.step()
    felt = influence(prior, indices)
    assert torch.equal(felt.triu(), torch.zeros_like(felt))


# --- the equations


def test_the_gate_is_tanh_of_one_half_times_sigmoid_of_the_other():
    x = torch.randn(B, 2 * HIDDEN, H, W)
    expected = torch.tanh(x[:, :HIDDEN]) / (1 + torch.exp(-x[:, HIDDEN:]))
    torch.testing.assert_close(gate(x), expected)


def masked(weight: torch.Tensor, size: int, rows: slice, columns: slice) -> torch.Tensor:
    """Return a (size, size) kernel that is zero except for the part that the layer holds."""
    kernel = torch.zeros(*weight.shape[:2], size, size)
    kernel[:, :, rows, columns] = weight
    return kernel


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("size", [3, 5])
def test_a_layer_equals_the_masked_convolutions_of_the_paper(first, size):
    layer = GatedLayer(HIDDEN, size, first, CLASSES, CONDITION)
    v, h = torch.randn(B, HIDDEN, H, W), torch.randn(B, HIDDEN, H, W)
    labels, condition = torch.tensor([2, 0]), torch.randn(B, CONDITION, H, W)
    reach = size // 2
    seen = reach if first else reach + 1
    rows_above = masked(layer.vertical.weight, size, slice(0, seen), slice(0, size))
    columns_left = masked(layer.horizontal.weight, size, slice(reach, reach + 1), slice(0, seen))

    above = F.conv2d(v, rows_above, layer.vertical.bias, padding=reach)
    left = F.conv2d(h, columns_left, layer.horizontal.bias, padding=reach)
    bias = layer.class_bias(labels)[:, :, None, None] + layer.condition(condition)
    bias_v, bias_h = bias[:, : 2 * HIDDEN], bias[:, 2 * HIDDEN :]
    step = layer.out(gate(left + layer.link(above) + bias_h))

    got_v, got_h = layer(v, h, labels, condition)
    torch.testing.assert_close(got_v, gate(above + bias_v))
    torch.testing.assert_close(got_h, step if first else h + step)


def test_without_labels_and_condition_nothing_is_added():
    assert GatedLayer(HIDDEN, 3).bias(None, None) == (0.0, 0.0)


# --- conditioning


@pytest.mark.parametrize("layers", [1, 3])
def test_labels_change_every_position(layers):
    prior, (indices, _, _) = build(with_labels=True, layers=layers, hidden=32), inputs()
    with torch.no_grad():
        for layer in prior.layers:
            layer.class_bias.weight.mul_(10)  # and with 32 channels, some ReLU of the head is open at every position
    one, other = (prior(indices, torch.full((B,), label)) for label in (0, 1))
    assert ((one - other).abs().amax(dim=1) > 1e-6).all()  # the first position too


@pytest.mark.parametrize("layers", [1, 3])
def test_a_condition_is_felt_where_it_stands_also_at_the_first_position(layers):
    prior, (indices, _, condition) = build(with_condition=True, layers=layers, hidden=32), inputs(with_condition=True)
    with torch.no_grad():
        for layer in prior.layers:
            layer.condition.weight.mul_(10)
    before = prior(indices, None, condition)
    for i, j in [(0, 0), (2, 3), (H - 1, W - 1)]:
        other = condition.clone()
        other[:, :, i, j] += 1
        change = (prior(indices, None, other) - before).abs().amax(dim=1)
        assert (change[:, i, j] > 1e-6).all()


def test_every_layer_hears_of_labels_and_condition():
    prior, (indices, labels, condition) = build(True, True, layers=3), inputs(B, True, True)
    F.cross_entropy(prior(indices, labels, condition), indices).backward()
    for depth, layer in enumerate(prior.layers):
        last = depth == len(prior.layers) - 1
        for halves in (layer.class_bias.weight.grad[labels].T, layer.condition.weight.grad):
            vertical, horizontal = halves.chunk(2, dim=0)
            assert horizontal.any()
            assert vertical.any() != last  # nobody reads the last layer's vertical stack


# --- contract


@CONDITIONING
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (4, 6)])
def test_there_is_one_logit_per_code_and_position(with_labels, with_condition, height, width):
    prior = build(with_labels, with_condition)
    logits = prior(*inputs(B, with_labels, with_condition, height, width))
    assert logits.shape == (B, K, height, width)


def test_a_prior_rebuilds_from_its_config():
    prior = build(True, True, layers=3, kernel_size=5, first_kernel_size=3)
    again = GatedPixelCNN(prior.config).double()
    again.load_state_dict(prior.state_dict())
    args = inputs(B, True, True)
    assert torch.equal(again(*args), prior(*args))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"kernel_size": 4}, "kernel_size must be odd and at least 3, got 4"),
        ({"kernel_size": 1}, "kernel_size must be odd and at least 3, got 1"),
        ({"first_kernel_size": 6}, "first_kernel_size must be odd and at least 3, got 6"),
        ({"first_kernel_size": 1}, "first_kernel_size must be odd and at least 3, got 1"),
    ],
    ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else "",
)
def test_a_prior_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        GatedPixelCNN(GatedPixelCNNConfig(**{"num_codes": K, **arguments}))


@pytest.mark.parametrize("indices", [torch.zeros(H, W, dtype=torch.int64), torch.zeros(B, H, W)], ids=["rank", "float"])
def test_indices_must_be_a_batch_of_integer_maps(indices):
    with pytest.raises(ValueError, match=r"indices must be \(B, h, w\) integers, got"):
        build()(indices)


@pytest.mark.parametrize("value", [-1, K])
def test_indices_must_name_codes(value):
    indices = inputs()[0]
    indices[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 4\), got"):
        build()(indices)


@pytest.mark.parametrize("with_labels", [True, False])
def test_labels_must_be_given_exactly_when_there_are_classes(with_labels):
    indices, labels, _ = inputs(with_labels=not with_labels)
    with pytest.raises(ValueError, match="labels must be given exactly when num_classes is; num_classes is"):
        build(with_labels)(indices, labels)


@pytest.mark.parametrize("labels", [torch.zeros(B + 1, dtype=torch.int64), torch.zeros(B)], ids=["length", "float"])
def test_labels_must_be_one_integer_per_map(labels):
    with pytest.raises(ValueError, match=r"labels must be \(2,\) integers, got"):
        build(with_labels=True)(inputs()[0], labels)


@pytest.mark.parametrize("value", [-1, CLASSES])
def test_labels_must_name_classes(value):
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 3\), got"):
        build(with_labels=True)(inputs()[0], torch.tensor([1, value]))


@pytest.mark.parametrize("with_condition", [True, False])
def test_a_condition_must_be_given_exactly_when_the_prior_has_one(with_condition):
    indices, _, condition = inputs(with_condition=not with_condition)
    with pytest.raises(ValueError, match="condition must be given exactly when condition_channels is"):
        build(with_condition=with_condition)(indices, None, condition)


@pytest.mark.parametrize("shape", [(B, CONDITION + 1, H, W), (B, CONDITION, W, H), (1, CONDITION, H, W)])
def test_a_condition_must_have_the_size_of_the_map(shape):
    with pytest.raises(ValueError, match=r"condition must have shape \(2, 2, 5, 7\), got"):
        build(with_condition=True)(inputs()[0], None, torch.randn(shape).double())


# --- masks


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_a_mask_shows_what_comes_before_the_centre_in_raster_order(size):
    hidden, shown = causal_mask(size, "A"), causal_mask(size, "B")
    centre = size // 2
    for i in range(size):
        for j in range(size):
            assert hidden[i, j] == ((i, j) < (centre, centre))
            assert shown[i, j] == ((i, j) <= (centre, centre))
    assert hidden.dtype == shown.dtype == torch.bool


@pytest.mark.parametrize("kind", ["a", "C", "", None, 0])
def test_a_mask_is_of_kind_a_or_b(kind):
    with pytest.raises(ValueError, match='kind must be "A" or "B", got'):
        causal_mask(3, kind)


@pytest.mark.parametrize("size", [0, -1, 2, 4])
def test_a_mask_has_a_centre(size):
    with pytest.raises(ValueError, match=f"kernel_size must be odd and at least 1, got {size}"):
        causal_mask(size, "A")


# --- a masked convolution


def sees_only_the_past(layer, strict, channels=3):
    for height, width in ((4, 6), (6, 4), (1, 5), (5, 1)):
        x = torch.randn(B, channels, height, width)
        felt = influence_of(layer, x).triu(0 if strict else 1)
        if felt.any():
            return False
    return True


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", ["A", "B"])
def test_a_masked_convolution_is_one_with_zeros_in_its_kernel(size, kind):
    layer, x = MaskedConv2d(3, 4, size, kind), torch.randn(B, 3, H, W)
    expected = F.conv2d(x, layer.weight * causal_mask(size, kind), layer.bias, padding=size // 2)
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).shape == (B, 4, H, W)


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_mask_a_hides_the_position_itself_and_mask_b_shows_it(size):
    assert sees_only_the_past(MaskedConv2d(3, 4, size, "A"), strict=True)
    shows_itself = MaskedConv2d(3, 4, size, "B")
    assert sees_only_the_past(shows_itself, strict=False)
    assert (influence_of(shows_itself, torch.randn(B, 3, H, W)).diagonal() > 0).all()


@pytest.mark.parametrize("layers", [2, 5])
def test_only_the_first_layer_may_and_must_have_mask_a(layers):
    def stack(kinds):
        return torch.nn.Sequential(*(MaskedConv2d(3, 3, 3, kind) for kind in kinds))

    assert is_causal(stack("A" + "B" * (layers - 1)), 3, 4, 6)
    assert not is_causal(stack("B" * layers), 3, 4, 6)
    blind = blind_spot(stack("A" * layers), 3, 4, 6)
    assert blind[1, 0]  # with mask A twice, the left neighbour is jumped over
    assert not blind_spot(stack("A" + "B" * (layers - 1)), 3, 4, 6)[1, 0]


def adam_step(layer):
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.randn(B, 3, H, W)).square().sum().backward()
    optimizer.step()


def heavy_decay(layer):
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    layer(torch.randn(B, 3, H, W)).square().sum().backward()
    optimizer.step()


def stale_momentum(layer):
    """A step with an optimizer whose momentum is not zero where the mask is."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    for parameter in layer.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def foreign_checkpoint(layer):
    layer.load_state_dict({name: torch.randn_like(value) for name, value in layer.state_dict().items()})


def in_place_edit(layer):
    layer.weight.data.fill_(1)


def replaced_data(layer):
    layer.weight.data = torch.randn_like(layer.weight)


def not_a_number(layer):
    """Where the mask hides a weight, not even NaN gets through; a product with 0 would let it."""
    layer.weight.data.masked_fill_(~layer.mask, float("nan"))


@pytest.mark.parametrize(
    "change",
    [adam_step, heavy_decay, stale_momentum, foreign_checkpoint, in_place_edit, replaced_data, not_a_number],
    ids=lambda change: change.__name__,
)
@pytest.mark.parametrize("kind", ["A", "B"])
def test_a_mask_survives(change, kind):
    layer = MaskedConv2d(3, 4, 3, kind)
    change(layer)
    assert sees_only_the_past(layer, strict=kind == "A")
    assert layer(torch.randn(B, 3, H, W)).isfinite().all()


@pytest.mark.parametrize("kind", ["A", "B"])
def test_copies_and_conversions_keep_the_mask(kind):
    layer = MaskedConv2d(3, 4, 3, kind)
    in_place_edit(layer)
    assert sees_only_the_past(copy.deepcopy(layer), strict=kind == "A")
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        converted = copy.deepcopy(layer).to(dtype)
        out = converted(torch.ones(1, 3, H, W, dtype=dtype))
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), layer(torch.ones(1, 3, H, W)), rtol=0.02, atol=0.02)
        assert converted.mask.dtype == torch.bool


def test_hidden_weights_get_no_gradient():
    layer = MaskedConv2d(3, 4, 3, "A")
    layer(torch.randn(B, 3, H, W)).square().sum().backward()
    assert not layer.weight.grad[:, :, ~layer.mask].any()
    assert (layer.weight.grad[:, :, layer.mask] != 0).all()


def test_a_checkpoint_holds_weight_and_bias_and_no_mask():
    assert set(MaskedConv2d(3, 4, 3, "A").state_dict()) == {"weight", "bias"}


def test_a_masked_convolution_says_what_it_is():
    assert "kind='B'" in repr(MaskedConv2d(3, 4, 3, "B"))


@pytest.mark.parametrize(
    ("size", "kind", "message"), [(4, "A", "kernel_size must be odd"), (3, "X", 'kind must be "A" or "B"')]
)
def test_a_masked_convolution_refuses_what_is_no_mask(size, kind, message):
    with pytest.raises(ValueError, match=message):
        MaskedConv2d(3, 4, size, kind)


# --- a masked residual layer


@pytest.mark.parametrize("hidden", [1, 5, 6])
def test_a_residual_layer_sees_itself_and_the_past(hidden):
    layer = MaskedResidual(hidden, 3)
    assert layer(torch.randn(B, hidden, H, W)).shape == (B, hidden, H, W)
    assert sees_only_the_past(layer, strict=False, channels=hidden)


def test_a_residual_layer_adds_to_what_comes_and_leaves_that_as_it_is():
    layer, x = MaskedResidual(6, 3), torch.randn(B, 6, H, W)
    before = x.clone()
    down, masked_conv, up = layer[1], layer[3], layer[5]
    assert torch.equal(layer(x), x + up(masked_conv(down(x.relu()).relu()).relu()))
    assert torch.equal(x, before)  # a ReLU in place would cut the sum's first term
    for parameter in up.parameters():
        parameter.data.zero_()
    assert torch.equal(layer(x), x)


def test_the_residual_layers_of_a_prior_share_no_weights():
    one, other = PixelCNN(PixelCNNConfig(K, HIDDEN, layers=3)).residual
    assert not {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}


# --- the PixelCNN


def seen_by_geometry(height, width, layers, kernel_size, first_kernel_size):
    """Return (P, P) bool: reach r_1 of the first kernel and r of the others, rows up, columns to the right.

    Up to r_1 + r (layers - 1) rows up and columns to the left; to the right at most r_1 columns in
    the first row up, and r more in each further one; to the left only in its own row.
    """
    r_1, r = first_kernel_size // 2, kernel_size // 2
    reach, seen = r_1 + r * (layers - 1), torch.zeros(height, width, height, width, dtype=torch.bool)
    for i in range(height):
        for j in range(width):
            for up in range(min(i, reach) + 1):
                right = r_1 + r * min(up - 1, layers - 1) if up else -1
                seen[i, j, i - up, max(0, j - reach) : max(0, j + right + 1)] = True
    return seen.flatten(2).flatten(0, 1)


@pytest.mark.parametrize(
    ("layers", "kernel_size", "first_kernel_size"),
    [(1, 3, 3), (1, 3, 7), (3, 3, 3), (4, 3, 7), (2, 5, 5), (2, 5, 7), (6, 3, 3)],
)
@pytest.mark.parametrize(("height", "width"), [(6, 9), (9, 5)])
def test_what_a_pixelcnn_sees_is_what_geometry_says(layers, kernel_size, first_kernel_size, height, width):
    prior = PixelCNN(PixelCNNConfig(K, 16, layers, kernel_size, first_kernel_size))
    blind = blind_spot(prior.logits_from, 16, height, width)
    past = torch.ones_like(blind).tril(-1)
    seen = seen_by_geometry(height, width, layers, kernel_size, first_kernel_size)
    assert not (seen & ~past).any()
    assert torch.equal(blind, past & ~seen)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (6, 4), (1, 7), (7, 1)])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_pixelcnn_sees_neither_itself_nor_the_future(height, width, layers):
    assert is_causal(PixelCNN(PixelCNNConfig(K, 8, layers)).logits_from, 8, height, width)


def test_depth_does_not_cure_the_blind_spot():
    shallow, deep = (blind_spot(PixelCNN(PixelCNNConfig(K, 16, n, 3, 3)).logits_from, 16, 4, 7) for n in (6, 10))
    assert torch.equal(shallow, deep)
    assert deep[1 * 7 + 2, 4]  # one row up, two to the right
    assert not blind_spot(GatedPixelCNN(GatedPixelCNNConfig(K, 16, 9, first_kernel_size=3)).logits_from, 16, 4, 7).any()


def test_a_pixelcnn_is_causal_after_training_and_after_loading_any_state():
    prior, indices = PixelCNN(PixelCNNConfig(K, 8, 3)), inputs()[0]
    optimizer = torch.optim.AdamW(prior.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        loss = F.cross_entropy(prior(indices), indices)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert is_causal(prior.logits_from, 8, 4, 6)
    prior.load_state_dict({name: torch.randn_like(value) for name, value in prior.state_dict().items()})
    assert is_causal(prior.logits_from, 8, 4, 6)


def test_changing_an_index_changes_no_logit_of_the_masked_prior_up_to_there():
    prior, (indices, _, _) = PixelCNN(PixelCNNConfig(K, HIDDEN, 3)), inputs()
    other = indices.clone()
    other[:, 2, 3] = (other[:, 2, 3] + 1) % K
    changed = (prior(other) != prior(indices)).any(dim=1).flatten(1)
    assert not changed[:, : 2 * W + 4].any()
    assert changed[:, 2 * W + 4].all()


def test_a_pixelcnn_learns_to_copy_from_where_it_sees_and_not_from_its_blind_spot(generator):
    def nats(right):
        maps = torch.randint(2, (256, 3, 6), generator=generator)
        maps[:, 1, : 6 - right] = maps[:, 0, right:]
        prior = PixelCNN(PixelCNNConfig(2, 16, layers=3, first_kernel_size=3))
        optimizer = torch.optim.Adam(prior.parameters(), lr=0.01)
        for _ in range(60):
            loss = F.cross_entropy(prior(maps)[:, :, 1, : 6 - right], maps[:, 1, : 6 - right])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    assert nats(right=1) < 0.1
    assert nats(right=2) > 0.6  # log 2 = 0.693


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (4, 6)])
def test_a_pixelcnn_has_one_logit_per_code_and_position(height, width):
    assert PixelCNN(PixelCNNConfig(K, HIDDEN))(torch.randint(K, (B, height, width))).shape == (B, K, height, width)


@pytest.mark.parametrize(
    ("kind", "config"), [(PixelCNN, PixelCNNConfig(K, HIDDEN)), (GatedPixelCNN, GatedPixelCNNConfig(K, HIDDEN))]
)
def test_logits_from_embedded_codes_are_those_of_the_indices(kind, config):
    prior, indices = kind(config), inputs()[0]
    assert torch.equal(prior.logits_from(prior.embed(indices).movedim(-1, 1)), prior(indices))


def test_a_pixelcnn_rebuilds_from_its_config():
    prior = PixelCNN(PixelCNNConfig(K, HIDDEN, layers=3, kernel_size=5, first_kernel_size=9))
    again = PixelCNN(prior.config)
    again.load_state_dict(prior.state_dict())
    indices = inputs()[0]
    assert torch.equal(again(indices), prior(indices))
    assert prior.config == again.config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"kernel_size": 4}, "kernel_size must be odd and at least 3, got 4"),
        ({"first_kernel_size": 1}, "first_kernel_size must be odd and at least 3, got 1"),
    ],
    ids=str,
)
def test_a_pixelcnn_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN(PixelCNNConfig(**{"num_codes": K, **arguments}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(B, H, W),), r"indices must be \(B, h, w\) integers"),
        ((torch.full((B, H, W), K),), r"indices must lie in \[0, 4\)"),
        ((torch.zeros(B, H, W, dtype=torch.int64), torch.zeros(B, dtype=torch.int64)), "labels must be given exactly"),
        ((torch.zeros(B, H, W, dtype=torch.int64), None, torch.zeros(B, 2, H, W)), "condition must be given exactly"),
    ],
    ids=["float", "range", "labels", "condition"],
)
def test_a_pixelcnn_refuses_inputs_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN(PixelCNNConfig(K, HIDDEN))(*arguments)
