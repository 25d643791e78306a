"""An explanation as plain objects for JSON. Numbers that are not finite become None."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop_cli.graph import Kronecker
from backprop_cli.reporting.explain.explanation import (
    SHORT,
    Array,
    Classified,
    EdgeJacobian,
    Explanation,
    Modes,
    Visit,
    norm_of,
)

MAX_ENTRIES = 1_000_000
"""Of a Jacobian whose numbers are all written; a larger one has only its norm."""


def to_mapping(explanation: Explanation) -> dict[str, Any]:
    """Return the object."""
    classified = explanation.classified
    recursion = explanation.recursion
    return {
        **({} if classified is None else _classified(classified, explanation.meaning)),
        "setting": list(explanation.setting),
        "forward": [
            {
                "name": step.name,
                "kind": step.kind,
                "formula": step.formula,
                "parents": list(step.parents),
                **_figures(step.value),
                "details": {detail.title: _numbers(detail.values) for detail in step.details},
            }
            for step in explanation.forward
        ],
        "backward": [
            {
                "name": step.name,
                "chain_rule": step.chain_rule,
                "simplified": step.simplified or None,
                "terms": [
                    {**_edge(term), "norm_of_term": _number(norm)}
                    for term, norm in zip(step.terms, step.term_norms, strict=True)
                ],
                "gradient": _figures(step.gradient),
                "jacobians": [{**_edge(edge), **_values(edge)} for edge in step.jacobians],
            }
            for step in explanation.backward
        ],
        "products": {
            "reverse_mode": explanation.reverse_mode_products,
            "forward_mode": {
                name: {
                    "products": count.products,
                    "coordinates": count.coordinates,
                    "measured_on": count.measured,
                }
                for name, count in explanation.forward_mode.items()
            },
            "ratio": explanation.ratio,
        },
        "modes": None if explanation.modes is None else _modes(explanation.modes),
        "recursion": {
            "compute_branch": [_visit(visit) for visit in recursion.compute_branch],
            "back_op": [_visit(visit) for visit in recursion.back_op],
            "complete": recursion.ends,
        },
    }


def _classified(classified: Classified, meaning: str) -> dict[str, Any]:
    example, outcome = classified.example, classified.outcome
    names = example.class_names
    p = outcome.probabilities
    return {
        "example": {"index": example.index, "label": example.label, "class": names[example.label]},
        "classes": list(names),
        "loss": classified.loss,
        "l2": classified.l2,
        "result": {
            "predicted": outcome.predicted,
            "predicted_class": names[outcome.predicted],
            "scores": _numbers(outcome.scores),
            "probabilities": None if p is None else _numbers(p),
            "loss": _number(outcome.loss),
            "cost": _number(outcome.cost),
            "meaning": meaning,
        },
    }


def _modes(modes: Modes) -> dict[str, Any]:
    forward, reverse = modes.products
    m, d = modes.lecture
    return {
        "start": modes.start,
        "sizes": list(modes.sizes),
        "forward": [_mode_step(*step) for step in modes.forward],
        "reverse": [_mode_step(*step) for step in modes.reverse],
        "products": {"forward": forward, "reverse": reverse},
        "lecture": {"m": m, "d": d, "forward": 2 * m * m * d + m * d, "reverse": 2 * m * m + m * d},
    }


def _mode_step(symbol: str, derivative: Array, products: int) -> dict[str, Any]:
    return {"derivative": symbol, **_figures(derivative), "products": products}


def _visit(visit: Visit) -> dict[str, Any]:
    return {
        "node": visit.node,
        "from": visit.via,
        "outcome": visit.outcome,
        "missing": list(visit.missing),
    }


def _edge(edge: EdgeJacobian) -> dict[str, Any]:
    return {
        "child": edge.child,
        "parent": edge.parent,
        "formula": edge.formula,
        "shape": list(edge.shape),
    }


def _values(edge: EdgeJacobian) -> dict[str, Any]:
    """Return all numbers of a Jacobian; I_C ⊗ xᵀ by its factors, as it has C C d of them."""
    if isinstance(edge.numbers, Kronecker):
        factors = {"identity": edge.numbers.C, "row": _numbers(edge.numbers.x)}
        return {"norm": _number(edge.norm()), "kronecker": factors}
    array = edge.array(MAX_ENTRIES)
    value = None if array is None else [_numbers(row) for row in array]
    return {"norm": _number(edge.norm()), "value": value}


def _figures(array: Array) -> dict[str, Any]:
    """Return shape and norm of an array, and its entries if there are few."""
    figures: dict[str, Any] = {
        "shape": list(array.shape),
        "norm": _number(norm_of(array)),
    }
    if array.size <= SHORT:
        figures["value"] = _numbers(np.ravel(array)) if array.ndim else _number(float(array))
    else:
        figures["min"], figures["max"] = _number(float(array.min())), _number(float(array.max()))
    return figures


def _numbers(values: Array) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
