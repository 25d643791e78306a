"""The gradient of a mini-batch as a page: the matrices, and the loop that adds up to G X^T / n."""

from __future__ import annotations

from html import escape

import numpy as np

from backprop_cli.reporting.explain import pictures
from backprop_cli.reporting.explain.batch import BatchExplanation
from backprop_cli.reporting.explain.explanation import Array, norm_of
from backprop_cli.reporting.explain.matrices import legend, number_text
from backprop_cli.reporting.explain.notation import shape_text

_MAX_CLASSES = 20
_MATRICES = {
    "S": "S = W X + b 1ᵀ", "P": "P = SoftMax(S)", "Y": "Y", "G": "G = −(Y − P)",
}  # fmt: skip


def batch_sections(batch: BatchExplanation) -> tuple[str, str, int]:
    """Return the matrices, the steps of the loop, and how many steps there are."""
    figures = [
        f"<h3>{_title(batch, name)} <small>{shape_text(values.shape)}</small></h3>"
        + _matrix(batch, values)
        for name, values in batch.matrices.items()
        if name != "X"
    ]
    shape = shape_text(batch.matrices["X"].shape)
    head = f"<h3>X <small>{shape}, one example per column, one scale for all</small></h3>"
    left = f'<div class="batch">{head}{_columns(batch)}{"".join(figures)}</div>'
    n, total = batch.n, np.zeros_like(batch.product)
    steps = []
    for i, term in enumerate(batch.terms):
        total = total + term
        name = escape(batch.class_names[batch.labels[i]])
        steps.append(
            _step(
                i + 1,
                f"Example {batch.first + i}, <q>{name}</q>: ∂L/∂W += gᵀ xᵀ",
                f"<h3>gᵀ xᵀ</h3>{_rows(batch, term)}"
                f"<h3>The sum of {i + 1}</h3>{_rows(batch, total)}",
            )
        )
    same = f"<p>The largest difference between the two: {batch.difference:.2g}.</p>"
    steps.append(
        _step(
            n + 1,
            f"∂L/∂W = G Xᵀ / n, n = {n}",
            f"<h3>The loop's sum, over n</h3>{_rows(batch, total / n)}"
            f"<h3>G Xᵀ / n, all at once</h3>{_rows(batch, batch.product)}{same}",
        )
    )
    if batch.l2:
        steps.append(
            _step(
                n + 2,
                f"∂J/∂W = ∂L/∂W + 2 λ W, λ = {batch.l2:g}",
                f"<h3>2 λ W</h3>{_rows(batch, 2 * batch.l2 * batch.weights)}"
                f"<h3>∂J/∂W</h3>{_rows(batch, batch.gradient)}",
            )
        )
    return left, "\n".join(steps), len(steps)


def _title(batch: BatchExplanation, name: str) -> str:
    return "G" if name == "G" and "P" not in batch.matrices else _MATRICES[name]


def _step(number: int, title: str, content: str) -> str:
    return (
        f'<section class="step backward" id="step-{number}" data-phase="backward" data-edges="" '
        f'data-node="{number}" data-spoken="Step {number}" aria-labelledby="title-{number}">\n'
        f'<h2 id="title-{number}">{title}</h2>\n{content}\n</section>'
    )


def _columns(batch: BatchExplanation) -> str:
    """Return the columns of X: as pictures where they are images."""
    inputs = batch.matrices["X"]
    limit = float(np.quantile(np.abs(inputs), 0.98)) or 1.0
    figures = []
    for i, x in enumerate(inputs.T):
        image = x.reshape(batch.image_shape or (1, 1, -1)).mean(axis=0)
        name = escape(batch.class_names[batch.labels[i]])
        figures.append(
            f'<figure data-node="{i + 1}" class="node"><img src="{pictures.signed(image, limit)}" '
            f'alt="example {batch.first + i}"><figcaption>{batch.first + i}: {name}</figcaption>'
            "</figure>"
        )
    return f'{legend(limit)}<div class="columns">{"".join(figures)}</div>'


def _matrix(batch: BatchExplanation, values: Array) -> str:
    names = batch.class_names if len(values) == len(batch.class_names) else ("score",)
    rows = []
    for k in range(min(len(values), _MAX_CLASSES)):
        cells = "".join(
            f'<td data-node="{i + 1}" class="node">{number_text(float(f"{value:.3g}"))}</td>'
            for i, value in enumerate(values[k])
        )
        rows.append(f'<tr><th scope="row">{escape(names[k])}</th>{cells}</tr>')
    more = ""
    if len(values) > _MAX_CLASSES:
        more = f'<p class="note">{_MAX_CLASSES} of {len(values)} rows.</p>'
    return f'<table class="matrix batch">{"".join(rows)}</table>{more}'


def _rows(batch: BatchExplanation, matrix: Array) -> str:
    """Return the rows of a matrix, one per class, as pictures or strips."""
    shape = batch.image_shape or (1, 1, -1)
    shown = matrix[:_MAX_CLASSES]
    images = shown.reshape(len(shown), *shape).mean(axis=1)
    limit = float(np.quantile(np.abs(images), 0.98)) or 1.0
    names = batch.class_names if len(matrix) == len(batch.class_names) else ("score",)
    figures = "".join(
        f'<figure><img src="{pictures.signed(image, limit)}" alt="{escape(name)}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for image, name in zip(images, names, strict=False)
    )
    kind = "pictures" if batch.image_shape else "strips"
    norm = number_text(norm_of(matrix))
    return f'{legend(limit)}<div class="{kind}">{figures}</div><p class="note">norm {norm}</p>'
