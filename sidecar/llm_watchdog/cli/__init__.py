"""The commands, one file each. Each is imported only when it is named, so that `--help` answers at once."""
