"""Reports for a reader: pages, text and pictures of runs and of computations."""
