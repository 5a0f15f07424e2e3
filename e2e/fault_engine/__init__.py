"""A small model server with vLLM's endpoints, metrics and two processes, that can be told to be faulty.

Run `python -m e2e.fault_engine` in the checkout, or `python -m fault_engine` where this folder lies on PYTHONPATH.
"""
