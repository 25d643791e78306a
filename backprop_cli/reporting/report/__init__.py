"""The report of a run: curves, templates, confusion, calibration, mistakes; as text or a page."""
