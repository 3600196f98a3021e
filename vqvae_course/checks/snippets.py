"""Three snippets of quantizers, and the verdicts that a reader may give on them.

Explained in notebook 04.
"""

SNIPPETS = {
    "a": '''\
def quantize(z, codebook, beta):
    """z: (N, D), codebook: (K, D) -> z_q, loss"""
    z_q = codebook[torch.cdist(z, codebook).argmin(dim=1)]
    loss = ((z_q.detach() - z) ** 2).mean() + beta * ((z_q - z.detach()) ** 2).mean()
    z_q = z + (z_q - z).detach()
    return z_q, loss
''',
    "b": '''\
def quantize(inputs, codebook, beta):
    """inputs: (N, D), codebook: (K, D) -> quantized, loss"""
    scores = inputs @ codebook.T - 0.5 * (codebook**2).sum(dim=1)
    quantized = codebook[scores.argmax(dim=1)]
    e_latent_loss = ((quantized.detach() - inputs) ** 2).mean()
    q_latent_loss = ((quantized - inputs.detach()) ** 2).mean()
    loss = q_latent_loss + beta * e_latent_loss
    quantized = quantized.detach() + inputs - inputs.detach()
    return quantized, loss
''',
    "c": '''\
def quantize(z_e, codebook, beta):
    """z_e: (N, D), codebook: (K, D) -> z_q, loss"""
    index = ((z_e[:, None] - codebook) ** 2).sum(dim=2).argmin(dim=1)
    z_q = z_e + (codebook[index] - z_e).detach()
    codebook_loss = ((z_e.detach() - z_q) ** 2).mean()
    commitment_loss = ((z_e - z_q.detach()) ** 2).mean()
    return z_q, codebook_loss + beta * commitment_loss
''',
}

# What a learner may say of a snippet, and how to find out whether it is so.
VERDICTS = {
    "right": (
        "Differentiate the loss at both ends with two values of β. Both gradients should be there, and only the one at "
        "the latents should change; z_q should hold nearest codes and have the gradient of the latents."
    ),
    "beta on the codebook term": "Double β. Which gradient doubles, the one at the latents or at the codebook?",
    "no stop-gradients": "Set β to 0, so that one term is left. With a stop-gradient it pulls at one end only.",
    "losses after straight-through": (
        "Differentiate the loss with respect to the codebook. Computed from z_q after straight-through, there "
        "is nothing to find."
    ),
    "no straight-through": "Differentiate z_q.sum() with respect to the latents: straight-through makes it 1.",
    "reconstruction trains the codebook": "Differentiate z_q.sum() with respect to the codebook. Is there anything?",
    "not the nearest code": "Compare the value of z_q with codebook[nearest_code(z_e, codebook)] on random latents.",
}
