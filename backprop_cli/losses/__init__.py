"""The losses, one record each."""
