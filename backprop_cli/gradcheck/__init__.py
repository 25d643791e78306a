"""Second opinions on the engine that trains.

Read `compare` first: it runs the engine that a config trains with (`measured`) and holds its
numbers against derivations that share no line with it: the lecture's loop (`by_example`), the
computational graph (`by_graph`), differences (`numeric`) and the complex step. A gradient of
the user's (`own`) is held against the same (`against`); `diagnosis` names typical mistakes.
"""

from backprop_cli.gradcheck.against import OwnCheck, compare_own
from backprop_cli.gradcheck.compare import DERIVATIONS, Checked, compare, reference
from backprop_cli.gradcheck.comparison import Comparison
from backprop_cli.gradcheck.engines import EngineCheck, compare_engines
from backprop_cli.gradcheck.own import OwnGradient
from backprop_cli.gradcheck.point import move_to_generic_point
from backprop_cli.gradcheck.problem import Problem, make_problem
from backprop_cli.gradcheck.template import TEMPLATE

__all__ = [
    "DERIVATIONS",
    "TEMPLATE",
    "Checked",
    "Comparison",
    "EngineCheck",
    "OwnCheck",
    "OwnGradient",
    "Problem",
    "compare",
    "compare_engines",
    "compare_own",
    "make_problem",
    "move_to_generic_point",
    "reference",
]
