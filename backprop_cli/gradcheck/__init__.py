"""Second opinions on the gradient that training uses."""

from backprop_cli.gradcheck.compare import TOLERANCE, Comparison, compare
from backprop_cli.gradcheck.problem import Problem, make_problem

__all__ = ["TOLERANCE", "Comparison", "Problem", "compare", "make_problem"]
