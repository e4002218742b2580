"""Parameters of the figures and of the report."""

from pydantic import Field

from dermdit_kedro.parameters import Parameters


class ReportConfig(Parameters):
    """How the figures are drawn and which arm the others are compared with.

    Attributes:
        baseline_arm: The arm every other arm is compared with.
        samples_per_cell: Images per block, label and tone group in the sample grid.
        thumbnail_px: Longest side of an embedded image, in pixels; larger images are shrunk.
        variant_labels: What Table 1 calls a variant, in its column `label`; by default its name.
        table2_rows: Rows of Table 2 that come first, in this order: their label in the column `label`, and
            `<test set>` or `<test set>, <tone group>`. All other rows follow them without a label.
        max_points: Most images of one kind in the density and PCA plots (section 3.2 of the paper: 1,000).
    """

    baseline_arm: str = "real"
    samples_per_cell: int = Field(default=4, ge=1, le=16)
    thumbnail_px: int = Field(default=128, ge=16, le=512)
    variant_labels: dict[str, str] = Field(default_factory=dict)
    table2_rows: dict[str, str] = Field(default_factory=dict)
    max_points: int = Field(default=1000, ge=10)
