"""The report of one run or several as a single HTML page, without scripts or other files."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from backprop_cli.config.registered import soft_target_losses
from backprop_cli.evaluation.measures import suited
from backprop_cli.evaluation.metrics import MAX_MATRIX
from backprop_cli.evaluation.wording import measure_texts
from backprop_cli.reporting.report.plots import PICTURES
from backprop_cli.reporting.report.theme import Maker, in_both_themes
from backprop_cli.reporting.report.view import RunView

_WIDE = {
    "figures", "curves", "templates", "confusion", "mistakes", "hardest", "sweep", "comparison",
    "settings", "results", "config",
}  # fmt: skip


class Section:
    """A part of the page: a picture in two themes with a text that describes it, or a table."""

    def __init__(self, name: str, title: str, body: str) -> None:
        self.name, self.title, self.body = name, title, body

    def html(self) -> str:
        """Return the section."""
        wide = ' class="wide"' if self.name in _WIDE else ""
        return (
            f'<section id="{self.name}"{wide} aria-labelledby="{self.name}-title">\n'
            f'<h2 id="{self.name}-title">{escape(self.title)}</h2>\n{self.body}\n</section>'
        )


def pictures(view: RunView) -> tuple[dict[str, bytes], list[Section]]:
    """Return the pictures of a run, light ones as PNG by name, and the sections of its page."""
    files: dict[str, bytes] = {}
    sections = []
    for name, title, maker in PICTURES:
        made = picture_section(name, title, functools.partial(maker, view))
        if made is not None:
            section, files[name] = made
            sections.append(section)
            continue
        missing = _why_missing(name, view)
        if missing:
            sections.append(Section(name, title, f'<p class="note">{escape(missing)}</p>'))
    return files, sections


def picture_section(name: str, title: str, make: Maker) -> tuple[Section, bytes] | None:
    """Return a section with a picture in both themes, and the light one as PNG.

    Return None if ``make`` has nothing to draw.
    """
    drawn = in_both_themes(make)
    if drawn is None:
        return None
    light, dark, text = drawn
    body = _picture_html(light, dark, f"{title}. {text}")
    return Section(name, title, f"{body}\n<p>{_unbroken(escape(text))}</p>"), light


def _picture_html(light: bytes, dark: bytes, text: str) -> str:
    """Return a picture that follows the theme of the reader's system."""
    return (
        f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{_uri(dark)}">'
        f'<img src="{_uri(light)}" alt="{escape(text)}"></picture>'
    )


def run_page(view: RunView, sections: Sequence[Section]) -> str:
    """Return the page of one run."""
    keys = escape(view.config_text)
    details = f"<details><summary>All keys</summary><pre>{keys}</pre></details>"
    parts = [
        Section("figures", "Figures", _figures(view)),
        *_with_table(sections, Section("classes-table", "Each class", _classes(view))),
        Section("config", "Config", details),
    ]
    config = view.config
    lead = f"{config['data']['format']}, {config['loss']}, l2 {config['l2']:g}"
    if not view.history:
        lead += f". No {view.unit} has finished: the model is the initial one"
    return page(f"Run {view.name}", lead + ".", parts, _versions(view))


def _with_table(sections: Sequence[Section], table: Section) -> list[Section]:
    """Return the sections with the table of the classes beside their picture."""
    parts = []
    for section in sections:
        parts += [section, table] if section.name == "classes" else [section]
    return parts if table in parts else [*parts, table]


def page(title: str, lead: str, sections: Iterable[Section], footer: str) -> str:
    """Return a whole page."""
    return Template(_resource("page.html")).substitute(
        title=escape(title),
        lead=escape(lead),
        style=_resource("style.css"),
        sections="\n".join(section.html() for section in sections),
        footer=escape(footer),
    )


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: frozenset[tuple[int, int]] = frozenset(),
) -> str:
    """Return a table whose first column is text and whose others are numbers.

    ``best`` has the (row, column) of the cells to set in bold.
    """

    def cell(row: int, column: int, text: str) -> str:
        if column == 0:
            return f'<th scope="row">{escape(text)}</th>'
        bold = " best" if (row, column) in best else ""
        return f'<td class="number{bold}">{escape(text)}</td>'

    titles = "".join(
        f'<th scope="col"{" class=number" if k else ""}>{escape(name)}</th>'
        for k, name in enumerate(head)
    )
    lines = "\n".join(
        "<tr>" + "".join(cell(i, k, text) for k, text in enumerate(row)) + "</tr>"
        for i, row in enumerate(rows)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>\n{lines}\n'
        "</tbody></table></div>"
    )


def percent(value: float | None) -> str:
    """Return a share in percent, as ``eval`` prints it."""
    return "-" if value is None else f"{100 * value:.2f} %"


def _unbroken(text: str) -> str:
    """Keep numbers and their units on one line."""
    return text.replace(" %", "&nbsp;%")


def _figures(view: RunView) -> str:
    rows = [
        [split, f"{found.n_examples:,}", f"{found.loss:.4f}", *measure_texts(found).values()]
        for split, found in view.evaluations.items()
    ]
    titles = [measure.title for measure in suited(len(view.class_names))]
    kept = "In brackets: 95 % confidence intervals. " if rows else ""
    kept += (
        f"{len(view.history)} steps of L-BFGS."
        if view.unit == "step"
        else f"Epoch {view.kept_epoch} kept of {len(view.history)}."
    )
    if view.training is not None:
        kept += f" Training: {view.training}."
    if view.temperature is not None:
        kept += f" Scores are divided by the temperature {view.temperature:.4g} before SoftMax."
    elif view.config["loss"] not in soft_target_losses():
        loss = view.config["loss"]
        kept += f" Probabilities are the SoftMax of scores, although {loss} does not train for it."
    return f"{table(['split', 'examples', 'loss', *titles], rows)}\n<p>{_unbroken(kept)}</p>"


def _classes(view: RunView) -> str:
    if view.shown is None:
        return '<p class="note">No examples.</p>'
    rows = [
        [row.name, percent(row.precision), percent(row.recall), f"{row.examples:,}"]
        for row in view.shown.classes
    ]
    body = table(["class", "precision", "recall", "examples"], rows)
    if len(rows) > 20:
        return f"<details><summary>{len(rows)} classes</summary>{body}</details>"
    return body


def _why_missing(name: str, view: RunView) -> str | None:
    if name == "confusion" and len(view.class_names) > MAX_MATRIX:
        return "There are too many classes; backprop eval --json has the pairs that occur."
    if name == "curves":
        return f"No {view.unit} has finished."
    if name == "templates" or (name in ("mistakes", "hardest") and view.image_shape is None):
        return None  # the features are not images
    if name == "mistakes":
        return "There are no mistakes."
    if name == "hardest":
        return "No decision is right."
    return None


def _versions(view: RunView) -> str:
    recorded: Mapping[str, Any] = view.config.get("recorded") or {}
    names = ("backprop", "numpy", "numba")
    made = ", ".join(f"{name} {recorded[name]}" for name in names if recorded.get(name))
    data = recorded.get("data")
    return f"Made with {made or 'an unknown version'}." + (f" Data {data[:16]}…" if data else "")


def _uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
