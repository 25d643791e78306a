"""Second opinions on the gradient that training uses."""

from backprop_cli.gradcheck.compare import DERIVATIONS, Comparison, compare

__all__ = ["DERIVATIONS", "Comparison", "compare"]
