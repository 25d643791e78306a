"""Figures of a classifier on examples that it is shown."""
