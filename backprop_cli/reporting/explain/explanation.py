"""The content of an explanation: plain records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.graph import Jacobian, Structured, as_array

Array = NDArray[np.float64]

SHORT = 16
"""Values of at most this many numbers are written out in full."""


def norm_of(array: NDArray[Any]) -> float:
    """Return the root of the sum of the squares; infinity where that overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.linalg.norm(array))


@dataclass(frozen=True)
class Example:
    """The example that is explained.

    Attributes
    ----------
    index, n_examples
        Its index in the training split, from 0, and the size of that split.
    label
        The index of its true class.
    class_names
        C names.
    features
        d numbers as stored in the file, before standardization.
    image_shape
        (channels, height, width), or None if the features are not an image.
    """

    index: int
    n_examples: int
    label: int
    class_names: tuple[str, ...]
    features: NDArray[Any]
    image_shape: tuple[int, int, int] | None


@dataclass(frozen=True)
class Outcome:
    """The result of the forward pass.

    Attributes
    ----------
    predicted
        The index of the class with the largest score.
    scores
        C numbers; (-s/2, +s/2) for a classifier with a single score s.
    probabilities
        C numbers, or None if the loss does not compute any.
    loss, cost
        The loss of this example, and the cost: the loss with class weight and penalty.
    loss_of_equal_scores
        The loss of a classifier that gives all classes the same score.
    """

    predicted: int
    scores: Array
    probabilities: Array | None
    loss: float
    cost: float
    loss_of_equal_scores: float


@dataclass(frozen=True)
class Detail:
    """More numbers about a node, one per class or entry: an SVM's margins, which are violated."""

    title: str
    values: Array


@dataclass(frozen=True)
class ForwardStep:
    """A node gets its value. ``words`` is a sentence about the node."""

    name: str
    kind: str
    formula: str
    parents: tuple[str, ...]
    value: Array
    words: str
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True, eq=False)
class EdgeJacobian:
    """The Jacobian d(child)/d(parent) of an edge: its formula, and its numbers."""

    child: str
    parent: str
    formula: str
    numbers: Jacobian

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the Jacobian."""
        return self.numbers.shape

    @property
    def symbol(self) -> str:
        """The Jacobian's symbol, such as ``∂z/∂W``."""
        return f"∂{self.child}/∂{self.parent}"

    def array(self, max_entries: int) -> Array | None:
        """Return the numbers as an array, if there are not more than so many."""
        return as_array(self.numbers) if math.prod(self.shape) <= max_entries else None

    def norm(self) -> float:
        """Return the root of the sum of the squares; infinity where that overflows."""
        if isinstance(self.numbers, Structured):
            with np.errstate(over="ignore", invalid="ignore"):
                return self.numbers.norm()
        return norm_of(self.numbers)


@dataclass(frozen=True)
class BackwardStep:
    """A node gets its gradient from its children, then its Jacobians for its parents.

    Attributes
    ----------
    name
        The node.
    chain_rule
        The gradient by the chain rule, such as ``∂J/∂s = ∂J/∂p ∂p/∂s``.
    terms
        The Jacobian of each child with respect to this node.
    term_values
        Each term of the chain rule: gradient of the child times Jacobian.
    simplified
        The chain rule multiplied out, or "" if there is no short form.
    gradient
        (size of the result) x (size of the node): one row, where the result is a number.
    value_shape
        The shape of the node's value, and of the gradient as training uses it.
    jacobians
        The Jacobian of this node with respect to each parent.
    words
        A sentence about the step.
    """

    name: str
    chain_rule: str
    terms: tuple[EdgeJacobian, ...]
    term_values: tuple[Array, ...]
    simplified: str
    gradient: Array
    value_shape: tuple[int, ...]
    jacobians: tuple[EdgeJacobian, ...]
    words: str

    def in_shape(self, gradient: Array) -> Array:
        """Return a gradient in the shape of the value; of a result of many numbers, as it is."""
        return gradient.reshape(self.value_shape) if len(gradient) == 1 else gradient

    @property
    def term_norms(self) -> tuple[float, ...]:
        """The norm of each term."""
        return tuple(norm_of(term) for term in self.term_values)


@dataclass(frozen=True)
class ForwardModeCount:
    """The multiplications that forward mode takes for one start node.

    Attributes
    ----------
    coordinates
        The size of the node.
    measured
        The number of coordinates on which forward mode was run. All cost the same.
    products
        The multiplications for all coordinates.
    """

    coordinates: int
    measured: int
    products: int


@dataclass(frozen=True)
class Modes:
    """Forward and reverse mode along the path from one start node to the result.

    Attributes
    ----------
    start
        The start node, x.
    sizes
        d, then the size of every node on the path.
    forward, reverse
        The steps: symbol of the derivative, its numbers, and the products of this step.
    """

    start: str
    sizes: tuple[int, ...]
    forward: tuple[tuple[str, Array, int], ...]
    reverse: tuple[tuple[str, Array, int], ...]

    @property
    def products(self) -> tuple[int, int]:
        """The products of forward mode and of reverse mode."""
        forward, reverse = (sum(step[2] for step in mode) for mode in (self.forward, self.reverse))
        return forward, reverse

    @property
    def lecture(self) -> tuple[int, int]:
        """The m and d of the lecture's s = g(f(f(f(x)))): the largest vector between, and x."""
        return max(self.sizes[1:-1], default=1), self.sizes[0]


@dataclass(frozen=True)
class Visit:
    """A call of the lecture's recursion: ``outcome`` is done, too early or again."""

    node: str
    via: str | None
    outcome: str
    missing: tuple[str, ...]
    depth: int


@dataclass(frozen=True)
class Recursion:
    """The calls that ComputeBranch and BackOp make; ``ends`` if all of them are listed."""

    compute_branch: tuple[Visit, ...]
    back_op: tuple[Visit, ...]
    ends: bool


@dataclass(frozen=True)
class Classified:
    """What is known where the graph is a classifier's cost on one example.

    Attributes
    ----------
    example, outcome
        The example, and the result of the forward pass.
    loss, l2
        The name of the loss, and lambda.
    """

    example: Example
    outcome: Outcome
    loss: str
    l2: float


@dataclass(frozen=True)
class Explanation:
    """Everything that the text, the JSON object, the DOT file and the page say.

    Attributes
    ----------
    title
        Of the page.
    setting
        What is explained, in a line or two.
    meaning
        The result in words.
    classified
        The example, where there is one.
    forward, backward
        Both passes.
    reverse_mode_products
        The multiplications of the backward pass.
    forward_mode
        Those of forward mode, by start node.
    modes
        Both modes along a path; None where no start node has one.
    recursion
        The lecture's recursions.
    """

    title: str
    setting: tuple[str, ...]
    meaning: str
    classified: Classified | None
    forward: tuple[ForwardStep, ...]
    backward: tuple[BackwardStep, ...]
    reverse_mode_products: int
    forward_mode: dict[str, ForwardModeCount]
    modes: Modes | None
    recursion: Recursion

    @property
    def result(self) -> str:
        """The name of the result node."""
        return self.backward[0].name

    @property
    def forward_mode_products(self) -> int:
        """The multiplications of forward mode for all of its start nodes together."""
        return sum(count.products for count in self.forward_mode.values())

    @property
    def ratio(self) -> float:
        """How many times as many multiplications forward mode takes."""
        return self.forward_mode_products / max(self.reverse_mode_products, 1)
