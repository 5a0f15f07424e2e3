"""Fixtures and options that every folder's tests may use."""

pytest_plugins = ["e2e.fixtures", "e2e.lab.comparison"]
