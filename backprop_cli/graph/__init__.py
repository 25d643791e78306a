"""The computational graph of the lecture: values forward, gradients backward.

Read the modules in this order: `nodes` and `graph` (what a graph is), `operations` (the functions
and their Jacobians), `forward` and `backward` (the two passes), `forward_mode` and `path` (the
chain rule in the other order, and what each order costs), `classifier` (the cost of a linear
classifier as a graph), `expression` (a function that a user writes, as one), `along_path` (both
modes step by step) and `recursion` (the lecture's recursions, replayed).

Values are scalars (), vectors (m,) and matrices (C, d). vec(W) stacks the rows of W. Jacobians are
in numerator layout: the gradient of a scalar is a row vector.
"""

from backprop_cli.graph.along_path import BothModes, both_modes, path_from
from backprop_cli.graph.backward import BackwardPass, backward_pass
from backprop_cli.graph.classifier import LossSteps, classifier_graph
from backprop_cli.graph.description import graph_from_description
from backprop_cli.graph.expression import graph_from_expression
from backprop_cli.graph.forward import forward_pass
from backprop_cli.graph.forward_mode import ForwardMode, forward_mode
from backprop_cli.graph.graph import Graph
from backprop_cli.graph.jacobians import CountedProduct, Jacobian, Kronecker, Structured, as_array
from backprop_cli.graph.nodes import Edge, Node
from backprop_cli.graph.operation import Derivative, Operation
from backprop_cli.graph.operations import OPERATIONS
from backprop_cli.graph.path import (
    PathDerivative,
    PathFunction,
    path_forward_mode,
    path_reverse_mode,
)
from backprop_cli.graph.recursion import Call, back_op_calls, compute_branch_calls

__all__ = [
    "OPERATIONS",
    "BackwardPass",
    "BothModes",
    "Call",
    "CountedProduct",
    "Derivative",
    "Edge",
    "ForwardMode",
    "Graph",
    "Jacobian",
    "Kronecker",
    "LossSteps",
    "Node",
    "Operation",
    "PathDerivative",
    "PathFunction",
    "Structured",
    "as_array",
    "back_op_calls",
    "backward_pass",
    "both_modes",
    "classifier_graph",
    "compute_branch_calls",
    "forward_mode",
    "forward_pass",
    "graph_from_description",
    "graph_from_expression",
    "path_forward_mode",
    "path_from",
    "path_reverse_mode",
]
