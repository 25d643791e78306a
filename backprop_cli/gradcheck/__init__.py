"""Second opinions on the gradient that training uses."""

from backprop_cli.gradcheck.compare import TOLERANCE, Comparison, compare

__all__ = ["TOLERANCE", "Comparison", "compare"]
