"""Active checks: one file per check. Each asks through `Streams` and tells what came; `core` judges."""
