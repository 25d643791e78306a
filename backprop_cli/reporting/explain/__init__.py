"""One example's way through the computational graph: as text, JSON, Graphviz, and a page.

`describe` runs the passes and says everything there is to say, once; `text`, `dot` and `html` only
put it into form. The page is made of `diagram` (the graph, laid out by `layout`), `panels` (the
steps) and `pictures`, with formulas set by `notation`.
"""

from backprop_cli.reporting.explain.describe import explain
from backprop_cli.reporting.explain.dot import to_dot
from backprop_cli.reporting.explain.explanation import Explanation
from backprop_cli.reporting.explain.html import to_html
from backprop_cli.reporting.explain.text import to_text

__all__ = ["Explanation", "explain", "to_dot", "to_html", "to_text"]
