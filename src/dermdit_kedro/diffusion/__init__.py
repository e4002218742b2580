"""Latent diffusion of dermoscopic images: autoencoder, DermDiT, objective, training, sampling."""

SAMPLES = "samples"
"""Folder of a training job with the sheets of pictures drawn on the way."""
