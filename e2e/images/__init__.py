"""Container images without a container engine, and the Dockerfiles of the same contents."""

from e2e.images.building import BuiltImage, build

__all__ = ["BuiltImage", "build"]
