"""Vector quantization: nearest codes, the straight-through estimator, and two ways to learn a codebook."""

from math import frexp, ldexp
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.distributed import from_first, gathered, total, world
from vqvae_course.indices import check_map, count_indices
from vqvae_course.nearest import check_rows, fits_at_once, nearest_fast
from vqvae_course.runtime import KeptInFloat32, send, wide_dtype


class Quantized(NamedTuple):
    """What a quantizer returns.

    Attributes:
        z_q: (B, D, h, w), the value of the chosen codes, the gradient of ``z_e``.
        indices: (B, h, w) int64, which code was chosen at each position.
        loss: Scalar, ``codebook_loss + beta * commitment_loss``.
        codebook_loss: Scalar, pulls codes to latents; 0 for EMA codebooks.
        commitment_loss: Scalar, pulls latents to codes; not yet multiplied by ``beta``.
    """

    z_q: Tensor
    indices: Tensor
    loss: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor


@torch.no_grad()
def nearest_code(z: Tensor, codebook: Tensor) -> Tensor:
    """Find the nearest code of each latent vector.

    VQ-VAE (arXiv:1711.00937v2), eq. 1:

        k = argmin_j ||z - e_j||^2 = argmin_j (||e_j||^2 - 2 z.e_j)     ||z||^2 is the same for all j

    The second form is one matrix product, with no (N, K, D) tensor of differences. Subtracting the codebook's mean
    from both sides changes no distance, and keeps the squares small when everything lies far from the origin. What
    rounding is left, float64 makes harmless. With many latents and codes all scores at once would be a large
    matrix: ``nearest_fast`` then finds the same indices in bounded memory.

    Args:
        z: (N, D) float.
        codebook: (K, D) float, on the device of ``z``.

    Returns:
        (N,) int64 in [0, K). Among equally near codes, any one of them.

    Raises:
        ValueError: If the shapes do not fit together, or there is no code.

    Explained in notebook 02.
    """
    check_rows(z, codebook)
    if not fits_at_once(z, codebook):
        return nearest_fast(z, codebook)
    centre = codebook.double().mean(dim=0)
    z, codes = z - centre, codebook - centre
    return (codes.square().sum(dim=1) - 2 * z @ codes.T).argmin(dim=1)


def straight_through(z_e: Tensor, e_k: Tensor) -> Tensor:
    """Give the chosen codes the gradient of the encoder output.

    VQ-VAE (arXiv:1711.00937v2), section 3.2, with sg the stop-gradient:

        z_q = z_e + sg[e_k - z_e]        value e_k;  dz_q/dz_e = 1;  dz_q/de_k = 0

    Args:
        z_e: Encoder output, any shape.
        e_k: Chosen codes, the shape of ``z_e``.

    Returns:
        ``z_q``, the shape of ``z_e``. In floating point its value can differ from ``e_k`` in the
        last place.

    Raises:
        ValueError: If the shapes differ.

    Explained in notebook 03.
    """
    if z_e.shape != e_k.shape:
        raise ValueError(f"e_k must have the shape of z_e, {tuple(z_e.shape)}, got {tuple(e_k.shape)}")
    return z_e + (e_k - z_e).detach()


class _Quantizer(KeptInFloat32):
    """What both quantizers share: the arguments, the way from a feature map to vectors and back.

    Codes and statistics stay float32 when the model around them goes to half precision; what comes out has the
    type of ``z_e``.
    """

    codebook: Tensor  # (K, D): a parameter or a buffer, the subclass says which

    def __init__(self, num_codes: int, code_dim: int, beta: float = 0.25):
        super().__init__()
        if num_codes < 1:
            raise ValueError(f"num_codes must be at least 1, got {num_codes}")
        if code_dim < 1:
            raise ValueError(f"code_dim must be at least 1, got {code_dim}")
        if beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        self.num_codes = num_codes
        self.code_dim = code_dim
        self.beta = beta

    def extra_repr(self) -> str:
        return f"num_codes={self.num_codes}, code_dim={self.code_dim}, beta={self.beta}"

    def to_rows(self, z_e: Tensor) -> Tensor:
        """Lay out a feature map (B, D, h, w) as rows (B*h*w, D), one latent vector a row."""
        if z_e.ndim != 4 or z_e.shape[1] != self.code_dim:
            raise ValueError(f"z_e must have shape (B, {self.code_dim}, h, w), got {tuple(z_e.shape)}")
        return z_e.movedim(1, -1).reshape(-1, self.code_dim)  # (B, h, w, D) first: view alone would mix channels

    def choose(self, z_e: Tensor) -> Tensor:
        """Return the index of the nearest code at each position: (B, D, h, w) -> (B, h, w) int64."""
        rows = self.to_rows(z_e)
        return nearest_fast(rows, self.codebook).view(z_e.shape[0], *z_e.shape[2:])  # len() would fix an exported batch

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes with these indices.

        Args:
            indices: (B, h, w) int64 in [0, K).

        Returns:
            (B, D, h, w), connected to the codebook's gradient.

        Raises:
            ValueError: If the indices are not whole numbers in [0, K), or not three-dimensional.

        Explained in notebook 02.
        """
        check_map(indices, self.num_codes)
        return self.codes_of(indices)

    def codes_of(self, indices: Tensor) -> Tensor:
        """Return the codes with these indices, as ``lookup`` does, without a look at the indices.

        For those that this quantizer chose: to check them, a program would have to wait for its GPU.

        Args:
            indices: (B, h, w) int64 in [0, K).

        Returns:
            (B, D, h, w), connected to the codebook's gradient.
        """
        rows = self.codebook.index_select(0, indices.reshape(-1).long())
        # Laid out in memory as z_e is, or each of the losses would have to jump about in one of the two.
        return rows.view(*indices.shape, self.code_dim).movedim(-1, 1).contiguous()  # (B, D, h, w)

    @torch.no_grad()
    def reset_codes(self, which: Tensor | slice, codes: Tensor) -> None:
        """Replace some codes, or with ``slice(None)`` all of them.

        Args:
            which: (M,) int64, the codes to replace, or a slice of them.
            codes: (M, D), what to put there.
        """
        self.codebook[which] = codes.to(self.codebook)


class VectorQuantizer(_Quantizer):
    """Replace each latent vector by its nearest code; the codebook learns by gradient.

    VQ-VAE (arXiv:1711.00937v2), eq. 1 and the last two terms of eq. 3:

        k    = argmin_j ||z_e - e_j||
        loss = ||sg[z_e] - e_k||^2 + beta ||z_e - sg[e_k]||^2

    Departure from the paper: means over all elements instead of a sum over D, so that ``beta``
    keeps its meaning for every code length and image size.

    Args:
        num_codes: K, the number of codes.
        code_dim: D, the length of a code.
        beta: Weight of the commitment loss; it reaches the encoder only.

    Raises:
        ValueError: If K or D is below 1, or ``beta`` is negative.

    Explained in notebooks 02 to 04.
    """

    def __init__(self, num_codes: int, code_dim: int, beta: float = 0.25):
        super().__init__(num_codes, code_dim, beta)
        self.codebook = nn.Parameter(torch.randn(num_codes, code_dim, dtype=wide_dtype(torch.get_default_dtype())))

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize a feature map.

        Args:
            z_e: (B, D, h, w) float. Under autocast the comparison still runs in float32.

        Returns:
            A ``Quantized``; ``z_q`` has the dtype of ``z_e``.

        Raises:
            ValueError: If ``z_e`` is not (B, D, h, w) with this quantizer's D.
        """
        indices = self.choose(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            e_k = self.codes_of(indices)
            latents = z_e.to(e_k.dtype)  # in float16 even the difference of a latent and its code can overflow
            codebook_loss = F.mse_loss(e_k, latents.detach())
            # beta belongs to the encoder's term. With the two detach() calls swapped training
            # still converges, so only a gradient test notices.
            commitment_loss = F.mse_loss(latents, e_k.detach())
            z_q = straight_through(latents, e_k).to(z_e.dtype)
        return Quantized(z_q, indices, codebook_loss + self.beta * commitment_loss, codebook_loss, commitment_loss)


class EMAVectorQuantizer(_Quantizer):
    """Replace each latent vector by its nearest code; the codebook follows a running mean.

    VQ-VAE (arXiv:1711.00937v2), appendix A.1, eqs. 6 to 8, after each batch seen in train mode:

        N_i <- decay N_i + (1 - decay) n_i              n_i: how many latents chose code i
        m_i <- decay m_i + (1 - decay) sum_j z_ij       their sum
        e_i  = m_i / N_i

    Departures: N starts at 1 and m at the codebook, which is a consistent pair (m / N is the
    codebook), so a code nobody uses stays where it is instead of being divided by almost nothing.
    N is Laplace-smoothed as (N_i + eps) / (n + K eps) n with n = sum N, which keeps the total and
    keeps e_i finite; a code unused for so long that N_i nears eps is drawn to the origin. And the
    commitment loss is a mean over all elements, as in ``VectorQuantizer``.

    Args:
        num_codes: K, the number of codes.
        code_dim: D, the length of a code.
        beta: Weight of the commitment loss.
        decay: gamma in the paper, in [0, 1); about 1 / (1 - decay) batches are remembered.
        eps: Laplace smoothing, positive.

    Raises:
        ValueError: If an argument is out of its range.

    Explained in notebook 06.
    """

    def __init__(self, num_codes: int, code_dim: int, beta: float = 0.25, decay: float = 0.99, eps: float = 1e-5):
        super().__init__(num_codes, code_dim, beta)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        if eps <= 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.decay = decay
        self.eps = eps
        codebook = torch.randn(num_codes, code_dim, dtype=wide_dtype(torch.get_default_dtype()))
        self.register_buffer("codebook", codebook)
        self.register_buffer("ema_count", torch.ones_like(codebook[:, 0]))
        self.register_buffer("ema_sum", codebook.clone())

    def extra_repr(self) -> str:  # noqa: D102 - torch documents it
        return f"{super().extra_repr()}, decay={self.decay}, eps={self.eps}"

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize a feature map; in train mode, move the codebook afterwards.

        Args:
            z_e: (B, D, h, w) float. Under autocast the comparison still runs in float32.

        Returns:
            A ``Quantized`` made with the codebook as it was before this batch; its
            ``codebook_loss`` is 0 and ``z_q`` has the dtype of ``z_e``.

        Raises:
            ValueError: If ``z_e`` is not (B, D, h, w) with this quantizer's D.
        """
        indices = self.choose(z_e)
        with torch.autocast(z_e.device.type, enabled=False):
            e_k = self.codes_of(indices)
            latents = z_e.to(e_k.dtype)  # in float16 even the difference of a latent and its code can overflow
            commitment_loss = F.mse_loss(latents, e_k)
            z_q = straight_through(latents, e_k).to(z_e.dtype)
            if self.training:
                self.update(self.to_rows(z_e.detach()), indices.view(-1))
        return Quantized(z_q, indices, self.beta * commitment_loss, torch.zeros_like(commitment_loss), commitment_loss)

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor) -> None:
        """Move counts, sums and codebook towards one batch of latents.

        Args:
            z: (N, D), the latents.
            indices: (N,) int64, the code each of them chose.

        Raises:
            ValueError: If the statistics have been brought to half precision by force.

        Explained in notebook 06.
        """
        if wide_dtype(self.ema_count.dtype) != self.ema_count.dtype:
            raise ValueError(
                f"ema_count must be float32 or wider, got {self.ema_count.dtype}, in which counts overflow and running "
                "means stand still: build a new quantizer and load the state into it with assign=False"
            )
        count = count_indices(indices, self.num_codes).to(self.ema_count)
        latents = torch.zeros_like(self.ema_sum).index_add_(0, indices, z.to(self.ema_sum))
        # Over all processes of the run, or each of them would end with a codebook of its own.
        count, latents = total(count), total(latents)
        # A latent that is not finite would spoil its code for good, also after a step that a gradient scaler skips.
        latents = torch.where(latents.isfinite(), latents, count[:, None] * self.codebook)
        self.ema_count.mul_(self.decay).add_(count, alpha=1 - self.decay)
        self.ema_sum.mul_(self.decay).add_(latents, alpha=1 - self.decay)
        self.codebook.copy_(self.ema_sum / laplace_smooth(self.ema_count, self.eps)[:, None])

    @torch.no_grad()
    def reset_codes(self, which: Tensor | slice, codes: Tensor, count: float = 1.0) -> None:
        """Replace some codes, or with ``slice(None)`` all of them, together with the statistics behind them.

        Args:
            which: (M,) int64, the codes to replace, or a slice of them.
            codes: (M, D), what to put there.
            count: The running count they start with.
        """
        super().reset_codes(which, codes)
        self.ema_count[which] = count  # with the statistics left as they were, the next update undoes the reset
        self.ema_sum[which] = count * codes.to(self.ema_sum)


def laplace_smooth(count: Tensor, eps: float) -> Tensor:
    """Lift small counts a little, so that nothing is divided by 0, without changing their total.

        (N_i + eps) / (n + K eps) n       n = sum_i N_i

    Args:
        count: (K,) running counts, not all 0.
        eps: What each code is given on top.

    Returns:
        (K,) with the same sum, float32 or wider.

    Explained in notebook 06.
    """
    count = count.to(torch.promote_types(count.dtype, torch.float32))  # a total soon passes the end of float16
    n = count.sum()
    return (count + eps) / (n + len(count) * eps) * n


@torch.no_grad()
def kmeans_step(z: Tensor, codebook: Tensor) -> Tensor:
    """Take one step of k-means (Lloyd's iteration): assign each latent to its nearest code, then average.

        e_k <- mean of the z whose nearest code is e_k

    Args:
        z: (N, D) float latents.
        codebook: (K, D).

    Returns:
        (K, D), the new codebook, of the same type; a code that nothing chose stays where it is.

    Explained in notebook 02.
    """
    indices = nearest_fast(z, codebook)
    count = count_indices(indices, len(codebook))[:, None]
    dtype = wide_dtype(z.dtype, codebook.dtype)  # the sum over a cell can pass the end of float16
    total = torch.zeros_like(codebook, dtype=dtype).index_add_(0, indices, z.to(dtype))
    return torch.where(count > 0, (total / count.clamp(min=1)).to(codebook.dtype), codebook)


@torch.no_grad()
def kmeans_init(z: Tensor, num_codes: int, generator: torch.Generator | None = None, iterations: int = 10) -> Tensor:
    """Choose a first codebook among the latents: k-means++ seeds, then Lloyd's iterations.

    k-means++ (Arthur and Vassilvitskii, 2007) draws each next seed with probability proportional
    to its squared distance from the seeds so far, so no two seeds coincide. Several processes put their
    latents together and take the codes that the first of them finds.

    Args:
        z: (N, D) float latents of one batch, N >= ``num_codes``.
        num_codes: K.
        generator: Where random numbers come from, on the CPU; the global one if None.
        iterations: Lloyd's iterations; an empty cell keeps its code.

    Returns:
        (K, D) codebook with the dtype and device of ``z``; it is computed in float32 or wider.

    Raises:
        ValueError: If there are fewer distinct latents than codes, or some are not finite.

    Explained in notebook 07.
    """
    if z.ndim != 2:
        raise ValueError(f"z must have shape (N, D), got {tuple(z.shape)}")
    if num_codes < 1:
        raise ValueError(f"num_codes must be at least 1, got {num_codes}")
    z = gathered(z)
    if len(z) < num_codes:
        raise ValueError(f"z must hold at least num_codes = {num_codes} latents, got {len(z)}: use a larger batch")
    check_finite(
        "z",
        z,
        "latents",
        "look for such values in the images and the encoder's weights, and where layers "
        "compute in float16, use bfloat16 or float32",
    )
    # Scaled by a power of two, which rounds nothing: squares of the largest and the smallest floats have no place.
    scale = ldexp(1.0, frexp(float(z.abs().max()))[1] - 1) if z.numel() else 1.0
    codebook = _kmeans(z.to(wide_dtype(z.dtype)) / scale, num_codes, generator, iterations) * scale
    return from_first(codebook.to(z.dtype))


def check_finite(name: str, values: Tensor, what: str, advice: str) -> None:
    """Raise ``ValueError`` where numbers are NaN or infinite, with how many of the rows hold some, and what to do.

    Args:
        name: What the message calls the tensor.
        values: (N, ...).
        what: What it holds N of.
        advice: How the message ends.
    """
    spoilt = int((~values.isfinite()).flatten(1).any(dim=1).sum())
    if spoilt:
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {spoilt:,} of {len(values):,} {what}: {advice}"
        )


def _kmeans(z: Tensor, num_codes: int, generator: torch.Generator | None, iterations: int) -> Tensor:
    first = int(torch.randint(len(z), (1,), generator=generator))
    codebook = z[first].repeat(num_codes, 1)
    distance = (z - codebook[0]).square().sum(dim=1)
    for k in range(1, num_codes):
        if not distance.any():
            raise ValueError(
                f"z must hold at least num_codes = {num_codes} distinct latents, got {k}: use fewer codes, a larger "
                "batch, or images that differ more"
            )
        reach = distance.cpu().double().cumsum(dim=0)  # on the CPU, where the generator is; MPS has no float64
        drawn = torch.rand(1, generator=generator, dtype=torch.float64) * reach[-1]
        chosen = torch.searchsorted(reach, drawn, right=True).clamp(max=len(z) - 1)
        codebook[k] = z[int(chosen)]
        distance = torch.minimum(distance, (z - codebook[k]).square().sum(dim=1))
    for _ in range(iterations):
        codebook = kmeans_step(z, codebook)
    return codebook


@torch.no_grad()
def restart_dead_codes(
    quantizer: VectorQuantizer | EMAVectorQuantizer,
    z_e: Tensor,
    usage: Tensor | None = None,
    min_usage: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Move the codes that hardly anything uses onto latents of this batch; one that is not finite moves no code.

    Jukebox (arXiv:2005.00341), section 3.1, calls it random restart. Call it after the forward
    pass, so that the restarted codes are what the next batch sees. For an EMA codebook the counts
    and sums restart too.

    Several processes put their latents together, and the first of them draws for all.

    Args:
        quantizer: The quantizer whose codebook to change in place.
        z_e: (B, D, h, w), latents to restart from.
        usage: (K,) how often each code was used lately, by this process; None means ``quantizer.ema_count``.
        min_usage: Codes used less than this are dead.
        generator: Where random numbers come from, on the CPU; the global one if None.

    Returns:
        (K,) bool, True for each restarted code. A list of them would have a length that only the GPU knows,
        and the program would have to wait for it.

    Raises:
        ValueError: If ``usage`` is missing for a quantizer that keeps no counts, or has a wrong shape.

    Explained in notebook 07.
    """
    if usage is None and not isinstance(quantizer, EMAVectorQuantizer):
        raise ValueError("usage must be given for a quantizer that keeps no counts, got None")
    if usage is not None and usage.shape != (quantizer.num_codes,):
        raise ValueError(f"usage must have shape ({quantizer.num_codes},), got {tuple(usage.shape)}")
    usage = quantizer.ema_count if usage is None else total(usage)  # running counts are those of all processes
    rows = quantizer.to_rows(z_e.detach())
    drawn = torch.randperm(len(rows) * world().size, generator=generator)[: quantizer.num_codes]
    dead = usage < min_usage
    turn = dead.cumsum(dim=0) - 1  # the first dead code takes the first latent drawn, and so on
    dead = dead & (turn < len(drawn))
    if not len(drawn) or (dead.device.type == "cpu" and not dead.any()):
        return dead
    # One draw for all processes, among the latents of all: else each would mend its codebook in its own way.
    codes = from_first(gathered(rows)[send(drawn, rows.device)[turn.clamp(0, len(drawn) - 1)]])
    dead_and_sound = (dead & codes.isfinite().all(dim=1))[:, None]
    quantizer.codebook.copy_(codes.to(quantizer.codebook).where(dead_and_sound, quantizer.codebook))
    if isinstance(quantizer, EMAVectorQuantizer):  # with the old statistics, the next update would undo the restart
        count = max(1.0, min_usage)
        quantizer.ema_count.masked_fill_(dead, count)
        quantizer.ema_sum.copy_((count * quantizer.codebook).where(dead[:, None], quantizer.ema_sum))
    return dead
