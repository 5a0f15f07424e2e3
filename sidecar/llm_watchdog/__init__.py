"""The watchdog: a sidecar that finds out whether a model server still produces tokens, and acts when it does not."""
