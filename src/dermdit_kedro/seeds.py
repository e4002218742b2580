"""Seeds by identity: the same on every machine, in every process, whatever ran before."""

import hashlib


def stable_seed(*identity: int | str) -> int:
    """Digest an identity into a seed below 2**63 that is the same on every machine and in every process.

    Args:
        *identity: What the randomness belongs to, such as (seed, step).

    Returns:
        A non-negative 63-bit integer.
    """
    digest = hashlib.sha256("/".join(str(part) for part in identity).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
