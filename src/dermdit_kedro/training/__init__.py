"""The training loop that every trained part shares: stateless by step, resumable, on accelerate."""
