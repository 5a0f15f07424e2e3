"""What demo and end-to-end tests share: install on a cluster, break an engine, watch what happens, count requests."""
