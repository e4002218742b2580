"""Frozen references to large data on disk; the only thing heavy nodes pass to one another.

A handle names a finished folder and a fingerprint of what made it. The fingerprint, never the path,
enters the key of the jobs that read it, so a project can be moved without redoing work.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermdit_kedro.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

COMPLETE = "_complete.json"
"""Name of the completion marker inside a finished folder: a JSON object with `fingerprint`."""


def fingerprint_weights(place: str | None) -> str | None:
    """Tell the weights that lie at a place from others that lay there before, by names, sizes and times.

    Args:
        place: A model file or folder, the name of a model on a hub, or null.

    Returns:
        A hash, or null where nothing lies on this machine's disk under that name.
    """
    if place is None or not Path(place).exists():
        return None
    root = Path(place)
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(root)} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Folder:
    """A finished folder.

    Attributes:
        path: Where it is.
        fingerprint: Hash of everything that made its content.
    """

    path: Path
    fingerprint: str


@dataclass(frozen=True)
class ModelFolder(Folder):
    """A folder of weights and configuration (safetensors and JSON) that `from_pretrained` reads."""

    def num_parameters(self) -> int:
        """Count the weights of all safetensors files, from their headers alone."""
        from safetensors import safe_open

        count = 0
        for file in sorted(self.path.rglob("*.safetensors")):
            with safe_open(file, framework="numpy") as weights:
                count += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
        return count


@dataclass(frozen=True)
class ImageFolder(Folder):
    """A folder of images with `index.parquet`: image_id, file (relative), width, height, sha256."""

    def index(self) -> "pd.DataFrame":
        """Return the index, one row an image, in the order of writing."""
        import pandas as pd

        return pd.read_parquet(self.path / "index.parquet")

    def refuse_other_size(self, image_size: int) -> None:
        """Refuse images that were prepared at another size than the parameter `image_size` now says.

        Args:
            image_size: Side in pixels.

        Raises:
            UserError: If an image is of another size.
        """
        index = self.index()
        other = index[(index["width"] != image_size) | (index["height"] != image_size)]
        if len(other):
            width, height = other.iloc[0][["width", "height"]]
            raise UserError(
                f"image_size is {image_size}, but {len(other)} of {len(index)} images in {self.path} are not of that "
                f"size; the first has {width} x {height} pixels. Give the same image_size to every pipeline"
            )


@dataclass(frozen=True)
class Latents(Folder):
    """Cached autoencoder posteriors.

    Files: `moments.npy`, float16 (n, 2 flips, 2, C, h, w), where axis 1 is (as is, mirrored) and axis 2 is
    (mean, log-variance); `index.parquet` with image_id and row; `latents.json` with the scaling factor.
    """

    def index(self) -> "pd.DataFrame":
        """Return image_id and row, one line an image."""
        import pandas as pd

        return pd.read_parquet(self.path / "index.parquet")


@dataclass(frozen=True)
class TextEmbeddings(Folder):
    """Encoded prompts, each unique prompt once.

    Files: `embeddings.safetensors` with `embeddings` (p, l, d) and `mask` (p, l), True where a token is
    real; row 0 is the null prompt ""; `index.parquet` with image_id and row.
    """

    def tensors(self) -> "tuple[Tensor, Tensor]":
        """Return (embeddings float (p, l, d), memory-mapped; mask bool (p, l))."""
        from safetensors.torch import load_file

        tensors = load_file(self.path / "embeddings.safetensors")
        return tensors["embeddings"], tensors["mask"].bool()

    def index(self) -> "pd.DataFrame":
        """Return image_id and row, one line an image."""
        import pandas as pd

        return pd.read_parquet(self.path / "index.parquet")


@dataclass(frozen=True)
class Features(Folder):
    """Image features: `features.npy`, float32 (n, d); `index.parquet` with image_id; `features.json`."""

    @property
    def name(self) -> str:
        """What these features are called; distances are named after it."""
        return self.about()["name"]

    def about(self) -> dict[str, str]:
        """Return their name and, where they were extracted here, library, resizing and types."""
        found = json.loads((self.path / "features.json").read_text())
        return {key: value for key, value in found.items() if isinstance(value, str)}

    def array(self) -> "np.ndarray[Any, Any]":
        """Open the features.

        Returns:
            float32 (n, d), memory-mapped.

        Raises:
            UserError: If the file is not whole; names what to delete.
        """
        import numpy as np

        try:
            array: np.ndarray[Any, Any] = np.load(self.path / "features.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(str(error)) from error
        if (self.path / "index.parquet").is_file() and len(array) != len(self.index()):
            raise self._damaged(f"{len(array)} rows of {len(self.index())} images")
        return array

    def _damaged(self, what: str) -> UserError:
        return UserError(
            f"the features in {self.path} must be whole. They are not: {what}. Delete that folder and those of its "
            "name in the work folder (02_intermediate/work), then run the same command without tags again"
        )

    def index(self) -> "pd.DataFrame":
        """Return image_id, one line a row of the features."""
        import pandas as pd

        return pd.read_parquet(self.path / "index.parquet")
