"""Under which name this package runs, and from where: `e2e.fault_engine` in the checkout, `fault_engine` in an image."""

from pathlib import Path
from typing import Final

PACKAGE_NAME: Final = __package__ or "fault_engine"
PACKAGE_ROOT: Final = Path(__file__).parents[len(PACKAGE_NAME.split("."))]
