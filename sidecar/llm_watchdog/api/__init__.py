"""The contract that watchdog and operator share: names, closed vocabularies, policy and incident documents.

Pure. This package is the only part of the watchdog that the operator may import.
"""
