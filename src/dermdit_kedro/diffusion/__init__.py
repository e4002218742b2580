"""Latent diffusion of dermoscopic images: autoencoder, DermDiT, objective, training, sampling."""
