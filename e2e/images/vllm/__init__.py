"""The real vLLM for tests: an environment in a folder, and how a pod gets and runs it."""

from e2e.images.vllm.environment import vllm_environment
from e2e.images.vllm.serving import SERVED_MODEL, vllm_arguments, vllm_volume_manifests, vllm_volumes

__all__ = ["SERVED_MODEL", "vllm_arguments", "vllm_environment", "vllm_volume_manifests", "vllm_volumes"]
