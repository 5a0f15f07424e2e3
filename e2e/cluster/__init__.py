"""A real Kubernetes behind one command: a given cluster, kind, or one local node from plain programs."""
