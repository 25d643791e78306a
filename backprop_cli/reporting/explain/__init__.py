"""Explains one example's gradient on the computational graph, as text, JSON, Graphviz or a page.

`describe` runs both passes and collects everything to be said in an `Explanation`; `text`, `dot`
and `html` only format it. The page consists of `diagram` (the graph, laid out by `layout`),
`panels` (the steps) and `pictures`. `notation` typesets the formulas, `words` has the sentences.
"""

from backprop_cli.reporting.explain.describe import explain
from backprop_cli.reporting.explain.dot import to_dot
from backprop_cli.reporting.explain.explanation import Explanation
from backprop_cli.reporting.explain.html import to_html
from backprop_cli.reporting.explain.text import to_text

__all__ = ["Explanation", "explain", "to_dot", "to_html", "to_text"]
