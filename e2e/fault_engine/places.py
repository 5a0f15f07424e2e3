"""Under which name this package runs, and from where: in the checkout it lies below `e2e`, in an image it does not."""

from pathlib import Path
from typing import Final

PACKAGE_NAME: Final = __package__ or "fault_engine"
PACKAGE_ROOT: Final = Path(__file__).parents[len(PACKAGE_NAME.split("."))]
