"""Benign or malignant: the classifier that the synthetic images are meant to help."""
