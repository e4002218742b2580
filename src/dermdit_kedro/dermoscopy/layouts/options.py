"""Options that several layouts share."""

from pathlib import Path

from dermdit_kedro.dermoscopy.layouts.source import Expect
from dermdit_kedro.parameters import Parameters


class FolderOptions(Parameters):
    """Options of every layout of a folder.

    Attributes:
        path: The folder.
        expect: Counts the source must have.
    """

    path: Path
    expect: Expect | None = None


class AkiecOptions(FolderOptions):
    """Options of a layout with a class for actinic keratosis.

    Attributes:
        akiec_is_malignant: Whether actinic keratosis (with Bowen's disease) counts as malignant.
    """

    akiec_is_malignant: bool = True
