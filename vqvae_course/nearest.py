"""A fast search for nearest codes: equation 1, ``quantize.nearest_code``, in chunks and in float32 where it can."""

import torch
from torch import Tensor

from vqvae_course.runtime import wide_dtype

SCORES_AT_ONCE = 2**20  # latents are compared in chunks of so many scores: memory stays, whatever N is
FEW_SCORES = 2**15  # of so few, all at once in float64 are found sooner than in chunks with second looks


def check_rows(z: Tensor, codebook: Tensor) -> None:
    """Raise ``ValueError`` unless latents (N, D) can be compared with codes (K, D), of which there is at least one."""
    if z.ndim != 2 or codebook.ndim != 2 or z.shape[1] != codebook.shape[1]:
        raise ValueError(
            "z and codebook must have shapes (N, D) and (K, D) with the same D, "
            f"got {tuple(z.shape)} and {tuple(codebook.shape)}"
        )
    if len(codebook) == 0:
        raise ValueError("codebook must hold at least one code, got none")


def fits_at_once(z: Tensor, codebook: Tensor) -> bool:
    """Say whether all scores may be computed at once and in float64, as ``quantize.nearest_code`` shows it.

    Not where they are many, nor on MPS, which has no float64, nor while a graph is exported, whose N is not known.

    Args:
        z: (N, D) float.
        codebook: (K, D) float.
    """
    return not _is_exporting() and z.device.type != "mps" and len(z) * len(codebook) <= FEW_SCORES


@torch.no_grad()
def nearest_fast(z: Tensor, codebook: Tensor) -> Tensor:
    """Find the nearest code of each latent vector, as ``quantize.nearest_code`` does, fast and in bounded memory.

    Chunks of rows keep the scores small: no (N, K) tensor. The codebook's mean is subtracted from both sides, which
    changes no distance and keeps the squares small when everything lies far from the origin. The few rows whose
    distance is still within reach of float32's rounding are compared once more in float64. To learn whether there
    are any, a program would have to wait for its GPU: there, all rows are compared in float64 from the start.

    Args:
        z: (N, D) float.
        codebook: (K, D) float, on the device of ``z``.

    Returns:
        (N,) int64 in [0, K). Among equally near codes, any one of them.

    Raises:
        ValueError: If the shapes do not fit together, or there is no code.

    Measured in notebook 02.
    """
    check_rows(z, codebook)
    with torch.autocast(z.device.type, enabled=False):
        dtype = _compared_in(z, codebook)
        z, codebook = z.to(dtype), codebook.to(dtype)
        if _is_exporting():
            return _nearest_in_float64(z, codebook)  # a graph has neither chunks nor rows to look at once more
        centre = codebook.mean(dim=0)
        codes = codebook - centre
        code_norms = codes.square().sum(dim=1)  # (K,)
        longest = code_norms.max()
        numbers = torch.arange(len(codes), dtype=dtype, device=z.device)
        size = max(1, SCORES_AT_ONCE // len(codes))
        scores = z.new_empty(min(size, len(z)), len(codes))  # one buffer serves every chunk
        indices = torch.empty(len(z), dtype=torch.int64, device=z.device)
        for part, found in zip(z.split(size), indices.split(size), strict=True):
            rows = part - centre
            torch.addmm(code_norms, rows, codes.T, alpha=-2, out=scores[: len(part)])
            best, chosen = _least(scores[: len(part)], numbers)
            if dtype == torch.float32:
                row_norms = torch.linalg.vector_norm(rows, dim=1).square()
                # A score is off by a few units in the last place of the squares it is made of.
                rounding = 4 * torch.finfo(dtype).eps * (row_norms + longest)
                unsure = rounding > 1e-4 * (best + row_norms)
                if unsure.any():
                    chosen[unsure] = _nearest_in_float64(part[unsure], codebook)
            found.copy_(chosen)
    return indices


def _is_exporting() -> bool:
    return getattr(torch.compiler, "is_exporting", bool)()  # newer releases tell


def _compared_in(z: Tensor, codebook: Tensor) -> torch.dtype:
    if z.device.type == "cuda":
        return torch.float64
    return wide_dtype(z.dtype, codebook.dtype)


def _least(scores: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least score of each row and its column, as ``scores.min(dim=1)`` does; ``scores`` are lost.

    On a CPU that function looks at one number at a time, while ``amin`` takes many at once. So first the least
    value; then the number of every column is written down, plus a vast one (or infinity) unless the score there is
    the least; and of these again the least.
    """
    if scores.device.type != "cpu":
        return scores.min(dim=1)
    best = scores.amin(dim=1)
    above = scores.sub_(best[:, None])
    chosen = torch.add(numbers, above, alpha=torch.finfo(above.dtype).max, out=above).amin(dim=1)
    return best, chosen.long().clamp(0, len(numbers) - 1)  # NaN has no column


def _nearest_in_float64(z: Tensor, codebook: Tensor) -> Tensor:
    device = "cpu" if z.device.type == "mps" else z.device  # MPS has no float64
    exact, codes = z.to(device).double(), codebook.to(device).double()
    scores = torch.addmm(codes.square().sum(dim=1), exact, codes.T, alpha=-2)
    return scores.argmin(dim=1).to(z.device)
