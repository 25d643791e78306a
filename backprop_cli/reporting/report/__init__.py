"""A run shown: curves, templates, confusion, calibration, mistakes; as text, pictures, a page."""
