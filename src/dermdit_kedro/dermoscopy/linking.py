"""Which images belong together: one patient, one lesion, one picture."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import BallTree


def near_duplicates(phash: pd.Series, max_distance: int) -> Iterator[tuple[int, int]]:
    """Find pairs of images whose perceptual hashes differ in few bits.

    Args:
        phash: Hexadecimal hashes of one length.
        max_distance: Hamming distance up to which two images are near-duplicates.

    Yields:
        Positions of pairs that connect each group; with distance 0, those of equal hashes.
    """
    if max_distance == 0:
        for positions in phash.reset_index(drop=True).groupby(phash.to_numpy()).groups.values():
            yield from ((int(positions[0]), int(other)) for other in positions[1:])
        return
    raw = np.array([list(bytes.fromhex(value)) for value in phash], dtype=np.uint8)
    bits = np.unpackbits(raw, axis=1)
    tree = BallTree(bits, metric="hamming")
    radius = (max_distance + 0.5) / bits.shape[1]
    for i, neighbours in enumerate(tree.query_radius(bits, radius)):
        yield from ((i, int(j)) for j in neighbours if j > i)


def link_images(images: pd.DataFrame, max_distance: int) -> pd.Series:
    """Join images that share patient, lesion (within a source), bytes or perceptual hash.

    Args:
        images: source, patient_id, lesion_id, sha256, phash, image_id.
        max_distance: See `near_duplicates`.

    Returns:
        A cluster name for each row; it depends on the members alone, not on the order of the rows.
    """
    pairs = list(near_duplicates(images["phash"], max_distance)) if len(images) else []
    for columns in (["source", "patient_id"], ["source", "lesion_id"], ["sha256"]):
        known = images.reset_index(drop=True).dropna(subset=columns)
        for members in known.groupby(columns, sort=False).groups.values():
            pairs += [(int(members[0]), int(other)) for other in members[1:]]
    size = len(images)
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    smallest = images["image_id"].reset_index(drop=True).groupby(labels).transform("min")
    names = smallest.map(lambda name: "c" + hashlib.sha256(name.encode()).hexdigest()[:12])
    return pd.Series(names.to_numpy(), index=images.index, name="duplicate_cluster", dtype="str")
