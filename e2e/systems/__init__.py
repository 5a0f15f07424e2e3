"""The model servers of real failure reports, run as processes on loopback, and the faults caused in them."""
