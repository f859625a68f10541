"""Words from the data never act: names of columns and tasks, cells, paths, config text, whatever they hold."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from cotrain.report.charts.base import safe
from cotrain.report.page import embedded, render, write_report
from cotrain.report.reading import read_run

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><script>window.hacked=1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.hacked=1">',
    "'; window.hacked=1; '",
    '<a href="javascript:window.hacked=1">x</a> %{y} <b>bold</b>',
    "{{ 7 * 7 }}{% raw %}",
    "a|b&amp;c \u2028 \u2029 \x00 é 漢字 🙂",
    "@c1",
)
SVG = {"svg", "path", "circle", "line", "polyline", "rect"}
ALLOWED = SVG | {
    "html", "head", "meta", "title", "link", "style", "body", "a", "div", "header", "h1", "h2", "h3", "span", "p", "b", "dl", "dt",
    "dd", "small", "nav", "ol", "ul", "li", "main", "section", "figure", "figcaption", "table", "caption", "thead", "tbody", "tr",
    "th", "td", "details", "summary", "pre", "code", "footer", "noscript", "script", "strong", "i",
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of the page: tags, attributes, the content of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._in_script: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._in_script = dict(attrs)
            self.scripts.append((self._in_script, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in_script = None

    def handle_data(self, data: str) -> None:
        if self._in_script is not None:
            self.scripts[-1] = (self._in_script, self.scripts[-1][1] + data)
        else:
            self.text += data


def poisoned(value: Any, word: str) -> Any:
    """The same JSON with every word that is shown replaced by a hostile one."""
    if isinstance(value, dict):
        return {key: poisoned(one, word) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, word) for one in value]
    return word if isinstance(value, str) and value not in ("single", "joint", "boosting") else value


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_word_is_shown_as_it_is_and_adds_no_tag(made_up: Callable[..., Any], word: str) -> None:
    maker = made_up(tasks=[word, word + "2", "plain"])
    maker.all(epochs=3)
    for name in ("structure.json", "environment.json", "data.json", "compare.json"):
        path = maker.folder / name
        path.write_text(json.dumps(poisoned(json.loads(path.read_text()), word)))
    maker.config(word)
    text = render(read_run(maker.folder))
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= ALLOWED
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}
    assert all(not (attrs.get("href") or "").startswith("javascript") for _, attrs in page.tags)
    assert [attrs.get("type") for attrs, _ in page.scripts] == ["application/json", None, None]
    json.loads(page.scripts[0][1])
    assert word.replace("\x00", "") in page.text.replace("\x00", "")


def test_the_only_scripts_that_may_run_are_named_by_their_hash(made_up: Callable[..., Any]) -> None:
    page = Page(render(read_run(made_up(tasks=HOSTILE[:3]).all(epochs=3).folder)))
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    allowed = re.findall(r"'sha256-([^']+)'", policy or "")
    hashes = [
        base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for attrs, code in page.scripts if not attrs
    ]
    assert hashes == allowed
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-inline'" not in policy.split("style-src")[0]


def test_a_page_without_charts_runs_no_script_at_all(made_up: Callable[..., Any]) -> None:
    maker = made_up()
    maker.environment()
    text = write_report(maker.folder).read_text(encoding="utf-8")
    policy = next(attrs["content"] for _, attrs in Page(text).tags if "http-equiv" in attrs)
    assert "script-src 'none'" in (policy or "")
    assert Page(text).scripts == []
    assert len(text) < 60_000


def test_figures_hold_no_letter_that_could_leave_their_script() -> None:
    text = str(embedded({word: [word] for word in HOSTILE}))
    assert not set("<>&\u2028\u2029") & set(text)
    assert list(json.loads(text)) == list(HOSTILE)


def test_plotly_reads_no_tag_and_no_template_out_of_a_name() -> None:
    for word in HOSTILE:
        assert "<" not in safe(word)
        assert "%{" not in safe(word)


def test_a_name_that_looks_like_a_colour_role_stays_a_name(made_up: Callable[..., Any]) -> None:
    page = Page(render(read_run(made_up(tasks=["@c1", "@ink"]).all(epochs=3).folder)))
    figures = json.loads(page.scripts[0][1])
    assert "@c1" in figures["cosines"]["layout"]["xaxis"]["ticktext"]
    assert "@ink" in page.text
