"""Pictures side by side in one file, where matplotlib is installed (group `benchmarks`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def figure(path: Path, inches: tuple[float, float], *panels: Callable[[Any], None]) -> bool:
    """Each panel draws on its own axes, from the left. False where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional group

        mpl.use("Agg")
        import matplotlib.pyplot as plt  # noqa: PLC0415
    except ImportError:
        print(">> no plot: matplotlib is not installed (uv sync --group benchmarks)", file=sys.stderr)
        return False
    drawing, axes = plt.subplots(1, len(panels), figsize=inches)
    for each, panel in zip(axes, panels, strict=True):
        panel(each)
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)
    plt.close(drawing)
    return True
