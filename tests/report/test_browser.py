"""The page in a real browser: it fits, draws, stays silent and asks for nothing, on a desk and in a hand, in light and in dark."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cotrain.report.page import write_report

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed, so no browser looked at the page"
)
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
DRAWN = "[...document.querySelectorAll('[data-figure]')].every(plot => plot.dataset.drawn === 'true')"
FITS = """[...document.querySelectorAll('[data-figure] .main-svg')].every(
  (one) => one.clientWidth > 0 && one.clientWidth <= Math.min(innerWidth, one.closest('[data-figure]').clientWidth))"""
CARD = "getComputedStyle(document.documentElement).getPropertyValue('--card').trim() === '{}'"
PAINTED = "getComputedStyle(document.querySelector('.bg, .plot .main-svg')).background"
OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  const inBox = (one) => one.closest('.scroll, pre, .skip, svg');
  const late = [...document.querySelectorAll('body *')].filter(
    (one) => !inBox(one) && one.getBoundingClientRect().right > wide + 1);
  return [document.documentElement.scrollWidth - wide, late.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))];
}"""
STEEP = '<img src="http://example.invalid/x.png" onerror="window.hacked=1">'
LONG = "the_" + "very_" * 12 + "long_name"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, headless; one for all tests of this file."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed, so no browser looked at the page")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def opened(browser: Any, path: Path, heard: list[str], *, width: int, scheme: str = "light") -> Any:
    """The page, drawn, with everything it said or asked for in `heard`."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on(
        "request", lambda request: heard.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.goto(path.as_uri(), timeout=120_000)  # a busy machine draws slowly
    until(page, DRAWN)
    return page


def until(page: Any, what: str, seconds: float = 60.0) -> None:
    """Wait for what the page does a moment later, which on a busy machine is seconds; asked from outside, since the
    page's policy forbids `eval` inside."""
    end = time.monotonic() + seconds
    while not page.evaluate(what):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        page.wait_for_timeout(50)


def test_a_hostile_run_fits_and_draws_at_every_size_and_asks_for_nothing(
    made_up: Callable[..., Any], browser: Any
) -> None:
    path = write_report(made_up(tasks=["income", STEEP, LONG]).all().folder)
    heard: list[str] = []
    page = opened(browser, path, heard, width=1280)
    assert page.locator("[data-figure]").count() == 10
    assert page.locator("[data-figure] svg.main-svg").count() >= 10
    light = page.evaluate(PAINTED)
    for width, scheme in ((1280, "light"), (768, "light"), (390, "light"), (360, "dark"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        until(page, FITS)
        assert page.evaluate(OVERFLOW) == [0, []], (width, scheme)
    until(page, f"{PAINTED} !== {json.dumps(light)}")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0
    assert heard == []
    page.close()


def test_the_policy_stops_a_script_that_was_not_named(
    made_up: Callable[..., Any], browser: Any, tmp_path: Path
) -> None:
    text = write_report(made_up().all(epochs=3).folder).read_text(encoding="utf-8")
    path = tmp_path / "page.html"
    path.write_text(text.replace("</main>", "<script>window.hacked = 1</script></main>"), encoding="utf-8")
    heard: list[str] = []
    page = opened(browser, path, heard, width=390)
    assert page.evaluate("window.hacked") is None
    assert len(heard) == 1
    assert "Content Security Policy" in heard[0]
    page.close()


@pytest.mark.slow
def test_forty_tasks_and_five_hundred_epochs_fit_a_phone(made_up: Callable[..., Any], browser: Any) -> None:
    path = write_report(made_up(tasks=[f"{LONG}_{index}" for index in range(40)]).all(epochs=500).folder)
    heard: list[str] = []
    page = opened(browser, path, heard, width=390)
    assert page.evaluate(OVERFLOW) == [0, []]
    assert heard == []
    assert path.stat().st_size < 12e6
    page.close()


def test_the_page_prints_in_full_and_in_light(made_up: Callable[..., Any], browser: Any) -> None:
    path = write_report(made_up().all(epochs=3).folder)
    heard: list[str] = []
    page = opened(browser, path, heard, width=1280, scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    until(page, CARD.format("#ffffff"))
    assert page.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    until(page, CARD.format("#1a1e22"))
    assert page.pdf()[:5] == b"%PDF-"
    assert heard == []
    page.close()


def test_headings_are_in_order_and_every_chart_and_table_has_words(made_up: Callable[..., Any], browser: Any) -> None:
    path = write_report(made_up().all(epochs=3).folder)
    page = opened(browser, path, [], width=1280)
    assert page.evaluate("document.documentElement.lang") == "en"
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.evaluate("[...document.querySelectorAll('table')].every(one => one.caption.textContent.length > 5)")
    assert page.evaluate(
        "[...document.querySelectorAll('[role=img]')].every(one => "
        "document.getElementById(one.getAttribute('aria-describedby')).textContent.length > 20)"
    )
    assert page.evaluate(
        "[...document.querySelectorAll('nav a')].every(one => document.querySelector(one.getAttribute('href')))"
    )
    page.close()
