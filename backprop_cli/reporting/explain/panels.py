"""The steps of the page. Each is a section with formula, sentence, and value or gradient."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from backprop_cli.reporting.explain import pictures
from backprop_cli.reporting.explain.explanation import (
    Array,
    BackwardStep,
    EdgeJacobian,
    Explanation,
    ForwardStep,
    norm_of,
)
from backprop_cli.reporting.explain.matrices import (
    fits_table,
    legend,
    number_text,
    numbers_of,
    table,
)
from backprop_cli.reporting.explain.notation import plain, shape_text, typeset

_MAX_BARS = 20
_MAX_LARGE_PICTURES = 20  # more pictures than this are shown small
_MAX_PICTURES = 100
# The share of an image's pixels within the range of colours. If the range reached the few largest
# ones, all others would be pale.
_WITHIN_COLOURS = 0.98


class Panels:
    """Writes the sections of one explanation.

    Parameters
    ----------
    explanation
        The explanation.
    vectors
        The names of its vectors, for typesetting.
    """

    def __init__(self, explanation: Explanation, vectors: frozenset[str]) -> None:
        self._explanation = explanation
        classified = explanation.classified
        self._example = None if classified is None else classified.example
        self._names = () if classified is None else classified.example.class_names
        self._marks = (
            {}
            if classified is None
            else {"true": classified.example.label, "predicted": classified.outcome.predicted}
        )
        self._vectors = vectors
        self._total = len(explanation.forward) + len(explanation.backward)

    def sections(self) -> str:
        """Return the sections of all steps, in order."""
        forward, backward = self._explanation.forward, self._explanation.backward
        return "\n".join(
            [self._forward(number, step) for number, step in enumerate(forward, 1)]
            + [
                self._backward(number, step)
                for number, step in enumerate(backward, len(forward) + 1)
            ]
        )

    def _forward(self, number: int, step: ForwardStep) -> str:
        edges = " ".join(f"{step.name}-{parent}" for parent in step.parents)
        attributes = f'data-phase="forward" data-edges="{escape(edges)}"'
        content = [
            f"<p>{_sentence(step.words)}</p>",
            f"<h3>Value <small>{step.kind}, {_shape(step.value.shape)}</small></h3>",
            self._value(step.name, step.value, "value"),
        ]
        for detail in step.details:
            content.append(f"<h3>{_sentence(detail.title)}</h3>")
            content.append(self._value("", detail.values, "value"))
        return self._section(number, step, step.formula, attributes, content)

    def _backward(self, number: int, step: BackwardStep) -> str:
        attributes = (
            f'data-phase="backward" data-edges="{_edge_names(step.terms)}" '
            f'data-jacobians="{_edge_names(step.jacobians)}"'
        )
        content = []
        if step.simplified:
            content.append(f'<p class="simplified">= {self._math(step.simplified)}</p>')
        content.append(f"<p>{_sentence(step.words)}</p>")
        content += [
            f"<h3>Gradient <small>{_shape(step.gradient.shape)}</small></h3>",
            self._value(step.name, step.in_shape(step.gradient), "gradient"),
        ]
        if step.terms:
            title = "Jacobian of its child" if len(step.terms) == 1 else "Jacobians of its children"
            content.append(self._jacobians(title, step.terms))
        if len(step.terms) > 1:
            content.append(f'<p class="note">{_norms(step)}</p>')
            content.append(self._terms(step))
        if step.jacobians:
            content.append(self._jacobians("Next, its own Jacobians", step.jacobians))
        return self._section(number, step, step.chain_rule, attributes, content)

    def _section(
        self,
        number: int,
        step: ForwardStep | BackwardStep,
        formula: str,
        attributes: str,
        content: list[str],
    ) -> str:
        phase = "forward" if isinstance(step, ForwardStep) else "backward"
        spoken = f"Step {number} of {self._total}, {phase} pass: {plain(formula)}. {step.words}"
        return "\n".join(
            [
                f'<section class="step {phase}" id="step-{number}" {attributes} '
                f'data-node="{escape(step.name)}" data-spoken="{_sentence(spoken)}" '
                f'aria-labelledby="title-{number}">',
                f'<p class="phase">{phase.capitalize()} pass '
                f"<span>step {number} of {self._total}</span></p>",
                f'<h2 id="title-{number}">{typeset(formula, self._vectors, display=True)}</h2>',
                *content,
                "</section>",
            ]
        )

    def _math(self, formula: str) -> str:
        return typeset(formula, self._vectors)

    def _terms(self, step: BackwardStep) -> str:
        """Return each term of the chain rule: for W, that of the loss and that of the penalty."""
        of_result = f"∂{self._explanation.result}/∂"
        parts = "".join(
            f"<div><h3>{self._math(f'{of_result}{term.child} {term.symbol}')}</h3>"
            + self._value(step.name, step.in_shape(value), f"term from {term.child}")
            + "</div>"
            for term, value in zip(step.terms, step.term_values, strict=True)
        )
        return f'<div class="terms">{parts}</div>'

    def _jacobians(self, title: str, edges: Sequence[EdgeJacobian]) -> str:
        rows = [
            f'<tr><th scope="row">{self._math(edge.symbol)}</th>'
            f"<td>= {self._math(edge.formula)}</td><td>{_shape(edge.shape)}</td></tr>"
            f'<tr class="numbers"><td colspan="3">{numbers_of(edge)}</td></tr>'
            for edge in edges
        ]
        return f'<h3>{title}</h3>\n<table class="jacobians">{"".join(rows)}</table>'

    def _value(self, name: str, values: Array, what: str) -> str:
        """Return the value or the gradient of a node, in the shape of the value."""
        if values.size == 1:
            return f'<p class="number">{number_text(float(values.item()))}</p>'
        if values.ndim == 2 and fits_table(values):
            return table(values)
        if values.ndim == 2:
            return self._rows(name, values, what)
        if name == "x" and self._example is not None:
            return self._features(values, what)
        return self._bars(values)

    def _bars(self, values: Array) -> str:
        """Return one bar per class or, for another vector, per entry. Of many, the main ones."""
        names, marks = self._names, self._marks
        what = "classes: the true one, the predicted one, the largest"
        if len(values) != len(names):
            names, marks = tuple(f"entry {k}" for k in range(len(values))), {}
            what = "entries: the largest"
        shown = np.arange(len(values))
        if len(shown) > _MAX_BARS:
            largest = np.argsort(-np.abs(values), kind="stable")[: _MAX_BARS - 2]
            shown = np.unique([*largest, *marks.values()])
        finite = np.abs(values[np.isfinite(values)])
        limit = float(finite.max(initial=0.0)) or 1.0
        has_negative = bool((values < 0).any())
        rows = []
        for k in shown:
            tags = "".join(f" <em>{mark}</em>" for mark, marked in marks.items() if k == marked)
            rows.append(
                f'<tr><th scope="row"><span>{escape(names[k])}</span>{tags}</th>'
                f"<td>{number_text(float(values[k]))}</td>"
                f'<td class="track">{_bar(float(values[k]), limit, has_negative)}</td></tr>'
            )
        note = (
            f'<p class="note">{len(shown)} of {len(values)} {what}. All: {_summary(values)}</p>'
            if len(shown) < len(values)
            else ""
        )
        return f'<table class="bars">{"".join(rows)}</table>{note}'

    def _features(self, values: Array, what: str) -> str:
        """Return one number per feature, as a picture or a strip."""
        example = self._example
        if what == "value" and example is not None and example.image_shape is not None:
            uri = pictures.photograph(example.features, example.image_shape)
            name = escape(example.class_names[example.label])
            return (
                f'<div class="pair"><figure><img src="{uri}" alt="The example, {name}">'
                "<figcaption>Before standardization</figcaption></figure>\n"
                f"<div>{self._rows('x', values[None], what)}</div></div>"
            )
        return self._rows("x", values[None], what)

    def _rows(self, name: str, matrix: Array, what: str) -> str:
        """Return the rows of a matrix as strips, or as pictures if they have the size of one."""
        image_shape, names = self._image_shape(matrix), self._names
        per_class = len(matrix) == len(names)
        shown = np.arange(len(matrix))
        if len(shown) > _MAX_PICTURES:
            norms = np.linalg.norm(matrix, axis=1)
            largest = np.argsort(-norms, kind="stable")[: _MAX_PICTURES - 1]
            shown = np.unique([*largest, self._marks["true"]] if per_class else largest)
        images = matrix[shown].reshape(len(shown), *(image_shape or (1, 1, -1))).mean(axis=1)
        limit = _common_limit(images)
        figures = []
        for k, image in zip(shown, images, strict=True):
            caption = names[k] if per_class else ""
            alt = f"{what} of {plain(name)}" + (f", {caption}" if caption else "")
            figures.append(
                f'<figure><img src="{pictures.signed(image, limit)}" alt="{escape(alt)}">'
                + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
                + "</figure>"
            )
        kind = "pictures" if image_shape else "strips"
        many = " many" if len(shown) > _MAX_LARGE_PICTURES else ""
        return (
            f"{legend(limit)}\n"
            f'<div class="{kind}{many}">{"".join(figures)}</div>\n'
            f'<p class="note">{self._about_rows(matrix, len(shown))}</p>'
        )

    def _image_shape(self, matrix: Array) -> tuple[int, int, int] | None:
        """Return the shape of the image that each row is, or None if it is not one."""
        if self._example is None or matrix.shape[1] != self._example.features.size:
            return None
        return self._example.image_shape

    def _about_rows(self, matrix: Array, n_shown: int) -> str:
        image_shape = self._image_shape(matrix)
        per_class = len(matrix) == len(self._names)
        about = []
        if len(matrix) > 1:
            picture, row = "picture" if image_shape else "strip", "class" if per_class else "row"
            about.append(f"One {picture} per {row}, with the same scale for all.")
        about.append(f"One colour per {'pixel' if image_shape else 'number'}.")
        if n_shown < len(matrix):
            which = "the largest and that of the true class" if per_class else "the largest"
            about.append(f"{n_shown} of {len(matrix)} rows: {which}.")
        if image_shape and image_shape[0] > 1:
            about.append(f"Mean over the {image_shape[0]} channels.")
        return " ".join([*about, f"All: {_summary(matrix)}"])


def _edge_names(edges: Sequence[EdgeJacobian]) -> str:
    return escape(" ".join(f"{edge.child}-{edge.parent}" for edge in edges))


def _norms(step: BackwardStep) -> str:
    terms = zip(step.terms, step.term_norms, strict=True)
    return "Norms of the terms: " + ", ".join(
        f"{number_text(norm)} from {_sentence(term.child)}" for term, norm in terms
    )


def _common_limit(images: Array) -> float:
    """Return the end of the range of colours, beyond which few pixels of any image lie."""
    sizes = np.abs(np.where(np.isfinite(images), images, 0.0)).reshape(len(images), -1)
    return float(np.quantile(sizes, _WITHIN_COLOURS, axis=1).max())


def _bar(value: float, limit: float, has_negative: bool) -> str:
    """Return a bar from 0. Zero is in the middle if any number is negative, else on the left."""
    if not np.isfinite(value):
        return ""
    zero, full = (50.0, 50.0) if has_negative else (0.0, 100.0)
    length = full * abs(value) / limit
    left = zero if value >= 0 else zero - length
    sign = "positive" if value >= 0 else "negative"
    return f'<span class="{sign}" style="left: {left:.2f}%; width: {length:.2f}%"></span>'


def _summary(values: Array) -> str:
    return (
        f"norm {number_text(norm_of(values))}, "
        f"from {number_text(float(values.min()))} to {number_text(float(values.max()))}."
    )


def _sentence(text: str) -> str:
    return escape(plain(text))


def _shape(shape: tuple[int, ...]) -> str:
    return f'<span class="nowrap">{shape_text(shape)}</span>'
