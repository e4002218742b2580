"""One module a layout: what an archive hands out, behind one signature.

A layout is a function (name, role, options) -> `Source`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from dermdit_kedro.dermoscopy.layouts import (
    asan,
    ddi,
    derm7pt,
    fitzpatrick17k,
    ham10000,
    imagefolder,
    isic_2016,
    isic_2017,
    isic_2018,
    isic_2019,
    isic_2020,
    isic_archive,
    mclass,
    phantom,
    table,
)
from dermdit_kedro.dermoscopy.layouts.source import Source
from dermdit_kedro.errors import UserError

__all__ = ["LAYOUTS", "Source", "open_source"]

LAYOUTS: Final[dict[str, Callable[[str, str, Mapping[str, Any]], Source]]] = {
    "phantom": phantom.open_source,
    "ham10000": ham10000.open_source,
    "isic_2016": isic_2016.open_source,
    "isic_2017": isic_2017.open_source,
    "isic_2018": isic_2018.open_source,
    "isic_2019": isic_2019.open_source,
    "isic_2020": isic_2020.open_source,
    "isic_archive": isic_archive.open_source,
    "ddi": ddi.open_source,
    "fitzpatrick17k": fitzpatrick17k.open_source,
    "derm7pt": derm7pt.open_source,
    "asan": asan.open_source,
    "mclass": mclass.open_source,
    "imagefolder": imagefolder.open_source,
    "table": table.open_source,
}
"""The layouts by the name that `sources` in the catalog gives them."""


def open_source(name: str, entry: Mapping[str, Any]) -> Source:
    """Open one entry of `sources`.

    Args:
        name: The source's name.
        entry: `layout`, `role` (train or test) and the layout's own options.

    Returns:
        The source.

    Raises:
        UserError: If the layout or the role is unknown, the layout refuses its options, or what it reads is missing.
    """
    options = dict(entry)
    layout, role = options.pop("layout", None), options.pop("role", None)
    if layout not in LAYOUTS:
        raise UserError(f"sources.{name}.layout must be one of {', '.join(LAYOUTS)}. Got {layout!r}")
    if role not in ("train", "test"):
        raise UserError(f"sources.{name}.role must be train or test. Got {role!r}")
    return LAYOUTS[layout](name, role, options)
