"""Mutants of the published solutions that are right as well, each with the reason. ``make mutants`` reads it."""

SQUARED = "a difference is squared: its sign does not matter"
FREE = "which of equally good numbers an experiment uses is free"
SAME_ENTRY = "positions counted from the end name the same entry"
SIGN_OF_A_WEIGHT = "the sign of a learned layer is free: the same functions can be learned"
SYMMETRIC = "the function is symmetric in these arguments"
STRICT = "the lengths agree: strict=True only says so"
PARTS_OF_A_LOSS = "the loss is judged; a repair may leave the names of its two parts as they are"

# From an exercise and a reason to changes
EQUIVALENT: dict[str, dict[str, tuple[str, ...]]] = {
    "kl_categorical": {
        "where q is 0 the logarithm is multiplied by 0": (
            "1.0 -> 2.0",
            "1.0 -> 0.5",
            "1.0 -> 2.0 (2)",
            "1.0 -> 0.5 (2)",
        ),
    },
    "kmeans_step": {
        "where the count is 0 the quotient is not used": ("count.clamp(min=1) -> count", "1 -> 0"),
    },
    "ste_bias": {FREE: ("4 -> 5", "4 -> 3")},
    "vq_losses": {
        SQUARED: (
            "z_e.detach() - e_k -> e_k - z_e.detach()",
            "z_e - e_k.detach() -> e_k.detach() - z_e",
        ),
    },
    "who_feels_beta": {
        SYMMETRIC: (
            "zip(('encoder', 'codebook'), gradients(0.25), gradients(0.75), strict= -> "
            "zip(('encoder', 'codebook'), gradients(0.75), gradients(0.25), strict=",
            "torch.allclose(a, b) -> torch.allclose(b, a)",
        ),
        STRICT: (
            "zip(('encoder', 'codebook'), gradients(0.25), gradients(0.75), strict= -> "
            "zip(('encoder', 'codebook'), gradients(0.25), gradients(0.75))",
            "True -> False (3)",
        ),
        FREE: (
            *("20 -> 21", "20 -> 19", "5 -> 6", "5 -> 4", "0.25 -> 0.5", "0.25 -> 0.125", "0.25 -> -0.25"),
            *("0.75 -> 1.5", "0.75 -> 0.375", "0.75 -> -0.75"),
        ),
        "it stands for a gradient that is missing both times, so it is the same both times": (
            "torch.zeros(1) -> torch.ones(1)",
            "1 -> 2 (2)",
            "1 -> 0 (2)",
        ),
    },
    "data_variance": {
        "dividing integers by 255 gives floats": ("images.double() -> images",),
        SQUARED: ("pixels - pixels.mean() -> pixels.mean() - pixels",),
    },
    "normalized_mse": {SQUARED: ("x_hat - x -> x - x_hat",)},
    "ema_update": {
        "whole numbers become floats in the product": (
            "torch.bincount(indices, minlength=len(count)).to(count) -> torch.bincount(indices, minlength=len(count))",
        ),
    },
    "debiased_ema": {
        "a count of updates may be a float": ("torch.zeros((), dtype=torch.int64) -> torch.zeros(())",),
        "whether the 0 before the first update is a copy is left open": ("self.hidden.clone() -> self.hidden",),
    },
    "codebook_after_first_step": {"a sum of 0 stays 0, whatever it is divided by": ("0 -> 1", "0 -> -1")},
    "EMAQuantizer": {
        SYMMETRIC: ("F.mse_loss(z_e, e_k) -> F.mse_loss(e_k, z_e)",),
        "the codebook loss is 0 either way": ("0 * loss -> 0 / loss", "0 * loss -> 0"),
        "only the shape of this channel is used": ("0 -> 1 (3)", "0 -> -1 (3)"),
    },
    "handicap_ratio": {
        SQUARED: ("z - mean -> mean - z",),
        "a standard deviation has no sign": (
            "codebook @ mean - codebook.square().sum(dim=1) / 2 -> codebook.square().sum(dim=1) / 2 - codebook @ mean",
        ),
    },
    "perplexity": {
        "dividing whole numbers gives floats": (
            "torch.bincount(indices.flatten(), minlength=num_codes).double() -> "
            "torch.bincount(indices.flatten(), minlength=num_codes)",
        ),
        "counts of 0 are left out in the end": (
            "torch.bincount(indices.flatten(), minlength=num_codes) -> torch.bincount(indices.flatten())",
        ),
    },
    "codebook_usage": {
        "ones can be added up in floats, too": ("torch.zeros(num_codes, dtype=torch.bool) -> torch.zeros(num_codes)",)
    },
    "seed_probabilities": {
        "a factor cancels in the shares": (
            "(z[:, None] - seeds).square().sum(dim=2) -> (z[:, None] - seeds).square().mean(dim=2)",
        ),
        SQUARED: ("z[:, None] - seeds -> seeds - z[:, None]",),
    },
    "kmeans_init": {
        "a factor cancels in the shares": (
            "(z - z[chosen[0]]).square().sum(dim=1) -> (z - z[chosen[0]]).square().mean(dim=1)",
            "(z - z[chosen[-1]]).square().sum(dim=1) -> (z - z[chosen[-1]]).square().mean(dim=1)",
        ),
        SQUARED: ("z - z[chosen[0]] -> z[chosen[0]] - z", "z - z[chosen[-1]] -> z[chosen[-1]] - z"),
        SYMMETRIC: ("torch.minimum(squared, newest) -> torch.minimum(newest, squared)",),
        "there is one seed yet": ("chosen[0] -> chosen", "0 -> -1"),
    },
    "restart_dead_codes": {SYMMETRIC: ("max(1.0, min_count) -> max(min_count, 1.0)",)},
    "position_nats": {
        "cross-entropy of logarithms normalises them itself": (
            "count / count.sum(dim=-1, keepdim=True) -> count * count.sum(dim=-1, keepdim=True)",
            "count / count.sum(dim=-1, keepdim=True) -> count",
            "count.sum(dim=-1, keepdim=True) -> count.mean(dim=-1, keepdim=True)",
        ),
    },
    "is_causal": {
        FREE: (
            *("(1.0, 3.0) -> (3.0, 1.0)", "1.0 -> 2.0", "1.0 -> 0.5", "1.0 -> -1.0", "3.0 -> 6.0", "3.0 -> 1.5"),
            *("3.0 -> -3.0", "16 -> 17", "16 -> 15"),
            "scale * torch.randn(16, 1, H, W) -> scale / torch.randn(16, 1, H, W)",
            "scale * torch.randn(16, 1, H, W) -> torch.randn(16, 1, H, W)",
        ),
    },
    "blind_spot": {
        FREE: ("4 -> 5", "4 -> 3"),
        "only whether a gradient is 0 matters": (
            "(out @ torch.randn(out.shape[1])).sum() -> (out @ torch.randn(out.shape[1])).mean()",
        ),
        "without a ReLU the gradient is the same for every input, and there is one channel": (
            *("(gradient != 0).any(dim=0) -> (gradient != 0).all(dim=0)", "0 -> -1", "0 -> 1 (2)"),
        ),
    },
    "shift_and_pad": {"the kernel is square": ("1 -> 2",)},
    "layers_to_see": {SYMMETRIC: ("max(up, abs(right)) -> max(abs(right), up)",)},
    "GatedLayer": {
        SIGN_OF_A_WEIGHT: ("left + self.link(above) -> left - self.link(above)", "h + step -> h - step"),
    },
    "nll": {
        "an axis of one entry changes no mean": (
            "logits.gather(1, indices[:, None])[:, 0] -> logits.gather(1, indices[:, None])",
            "0 -> -1",
        ),
    },
    "sample": {
        "no place sees what is written there before it is drawn": (
            "torch.zeros(shape, dtype=torch.int64) -> torch.ones(shape, dtype=torch.int64)",
        ),
        "the first of two draws has the same probabilities": ("1 -> 2 (3)",),
        "there is one draw": ("0 -> -1",),
    },
    "temperature_entropy": {
        "a probability of 0 is 0 with any of these": (
            *("log_p.clamp(min=-10000.0) -> log_p", "10000.0 -> 20000.0", "10000.0 -> 5000.0"),
        ),
    },
    "which_level": {
        "the two extents differ": ("extent[0] > extent[1] -> extent[0] >= extent[1]",),
        "any other code will do": (
            "(one[:, i, j] + 1) % num_codes -> (one[:, i, j] + 1) // num_codes",
            "(one[:, i, j] + 1) % num_codes -> num_codes % (one[:, i, j] + 1)",
            *("one[:, i, j] + 1 -> one[:, i, j] - 1", "one[:, i, j] + 1 -> 1", "1 -> 2 (4)"),
        ),
        "no pixel lies that close to the threshold": (
            "(decode(changed) - before).abs() > 0.0001 -> (decode(changed) - before).abs() >= 0.0001",
            "0.0001 -> 0.0002",
        ),
        "all pictures have as many pixels": ("moved.double().mean() -> moved.double().sum()",),
        "the absolute value is taken": ("decode(changed) - before -> before - decode(changed)",),
    },
    "flat_codes": {
        "a plain ceiling is accepted: where 2 to the bits is whole, rounding decides": (
            *("2 ** each - 1e-09 -> 2 ** each", "1e-09 -> 2e-09", "1e-09 -> 5e-10"),
        ),
    },
    "joint_nats": {
        "0 and -0 are equal": ("0.0 -> -0.0",),
        STRICT: ("zip(logits, indices, strict=True) -> zip(logits, indices)", "True -> False"),
        "every level has as many images": ("0 -> -1",),
    },
    "reject": {
        "nonzero() of one axis has one column": ("0 -> -1",),
        SYMMETRIC: ("max(1, round(keep * len(own))) -> max(round(keep * len(own)), 1)",),
    },
    "frechet_distance": {
        SQUARED: (
            "a - a.mean(dim=0) -> a.mean(dim=0) - a",
            "b - b.mean(dim=0) -> b.mean(dim=0) - b",
            "a.mean(dim=0) - b.mean(dim=0) -> b.mean(dim=0) - a.mean(dim=0)",
        ),
        "the products AB and BA have the same eigenvalues": ("cov_a @ cov_b -> cov_b @ cov_a",),
    },
    "patient_1": {
        "what it makes is replaced in the next line": (
            "super().__init__(channels, hidden, layers) -> super().__init__(hidden, channels, layers)",
            "super().__init__(channels, hidden, layers) -> super().__init__(channels, layers, hidden)",
        ),
        "of several layers that are one, any is taken": ("1 -> 2", "0 -> -1"),
    },
    "patient_2": {
        SYMMETRIC: (
            "F.mse_loss(e_k, z_e.detach()) -> F.mse_loss(z_e.detach(), e_k)",
            "F.mse_loss(z_e, e_k.detach()) -> F.mse_loss(e_k.detach(), z_e)",
        ),
        PARTS_OF_A_LOSS: (
            "Quantized(z_q, indices, loss, codebook_loss, commitment_loss) -> "
            "Quantized(z_q, indices, loss, commitment_loss, codebook_loss)",
        ),
    },
    "patient_7": {
        SAME_ENTRY: ("-2 -> 2",),
        SIGN_OF_A_WEIGHT: ("left + self.link(above) -> left - self.link(above)", "h + step -> h - step"),
    },
    "patient_8": {
        SYMMETRIC: (
            "F.mse_loss(e_k, z_e.detach()) -> F.mse_loss(z_e.detach(), e_k)",
            "F.mse_loss(z_e, e_k.detach()) -> F.mse_loss(e_k.detach(), z_e)",
        ),
        PARTS_OF_A_LOSS: (
            "Quantized(z_q, indices, loss, codebook_loss, commitment_loss) -> "
            "Quantized(z_q, indices, loss, commitment_loss, codebook_loss)",
        ),
    },
    "patient_9": {
        "on a CPU, where the check judges": (
            "torch.randint(len(z), dead.shape, device=z.device) -> torch.randint(len(z), dead.shape)",
        ),
        "a running count is hardly ever equal to the threshold": (
            "self.ema_count < self.min_count -> self.ema_count <= self.min_count",
        ),
    },
}


def equivalent(exercise: str) -> set[str]:
    """Return the changes of a published solution that are right as well."""
    return {change for changes in EQUIVALENT.get(exercise, {}).values() for change in changes}
