"""A course on discrete representation learning: every idea once, as clean reference code.

Where to find an idea:

- nearest code, straight-through estimator, codebook and commitment losses, EMA codebook, k-means
  start, restart of dead codes: ``quantize``; the fast search for nearest codes: ``nearest``
- which indices are allowed, how often each occurs: ``indices``
- encoder, decoder, residual layers: ``encdec``; what configurations of models may hold: ``configs``
- the VQ-VAE: ``vqvae``; the continuous VAE beside it: ``vae``; several levels of codes: ``vqvae2``
- priors over codes: counting in ``prior``, PixelCNN and gated PixelCNN in ``pixelcnn``, attention in
  ``pixelsnail``, a level given those above it in ``conditional``
- drawing from them: ``sampling``; without computing anything twice: ``incremental``
- what a network over maps sees, leaks of the future and blind spots: ``causality``
- training loop: ``train``; what it measures: ``history``; that a prior knows its codes: ``known_codes``;
  checkpoints: ``checkpoint``; scores on a data set: ``evaluate``
- perplexity, normalised MSE, bits and nats: ``metrics``; how good samples are: ``fidelity``
- data sets, of images and of codes: ``data``, with the built-in ``glyphs`` and ``scenes``; downloads
  and folders: ``sources``
- device, seed, budget: ``runtime``; pictures: ``plotting``; a judge of samples: ``classifier``
- ONNX files, for programs without torch: ``export``
- checks of the exercises: ``checks``; stored runs behind the pages' comparisons: ``evidence``
"""

from vqvae_course.checks import check

__all__ = ["__version__", "check"]

__version__ = "0.1.0"
