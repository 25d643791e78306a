"""Explains a gradient on the computational graph, as text, JSON, Graphviz or a page.

`passes` runs both passes and `describe` collects everything to be said in an `Explanation`; `text`,
`mapping`, `dot` and `html` only format it. The page consists of `diagram` (the graph, laid out by
`layout`), `panels` (the steps), `sections`, `matrices` and `pictures`. `notation` typesets the
formulas, `words` has the sentences, `given` reads what a user gives. `batch` explains a mini-batch.
"""

from backprop_cli.reporting.explain.batch import BatchExplanation, explain_batch
from backprop_cli.reporting.explain.batch_text import batch_to_text
from backprop_cli.reporting.explain.describe import explain, explain_function
from backprop_cli.reporting.explain.dot import to_dot
from backprop_cli.reporting.explain.explanation import Explanation
from backprop_cli.reporting.explain.html import batch_to_html, to_html
from backprop_cli.reporting.explain.mapping import to_mapping
from backprop_cli.reporting.explain.text import to_text
from backprop_cli.reporting.explain.words import at_the_start

__all__ = [
    "BatchExplanation",
    "Explanation",
    "at_the_start",
    "batch_to_html",
    "batch_to_text",
    "explain",
    "explain_batch",
    "explain_function",
    "to_dot",
    "to_html",
    "to_mapping",
    "to_text",
]
