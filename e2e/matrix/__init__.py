"""Every fault of the fault engine, in every dialect that it is for, beside `llm-watchdog run` in real time."""
