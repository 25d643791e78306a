"""Property tests draw the same examples everywhere, and a slow machine is no failure."""

from hypothesis import settings

settings.register_profile("here", deadline=None, derandomize=True)
settings.load_profile("here")
