"""The page in a browser: no complaint, no request, sorted and filtered tables, and room on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mfmat as mf

pytestmark = pytest.mark.browser
FIRST = "[...document.querySelectorAll('#predictions-table tbody tr:not([hidden])')].map(r => r.cells[0].textContent)"


@pytest.fixture(scope="module")
def pages(page: Path, search_page: Path, replayed: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of a surrogate, a campaign and a backtest."""
    return [page, search_page, mf.report(replayed, tmp_path_factory.mktemp("backtest") / "page.html")]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 768, 360])
def test_it_opens(browser: Any, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith("data:")] == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    colour = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") is not dark


def test_a_page_with_little_on_it_opens(browser: Any, job: Any, tmp_path: Path) -> None:
    browser.open(mf.report(job.surrogate, tmp_path / "page.html"), width=360)
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") <= 360


def test_a_table_is_sorted_by_its_headers(browser: Any, page: Path, job: Any) -> None:
    browser.open(page)
    expected = job.pool.join(job.surrogate.predict(job.pool))
    button = "document.querySelectorAll('#predictions-table th button')"
    browser.run(f"{button}[0].click()")
    assert browser.run(FIRST) == browser.run(
        f"{FIRST}.sort((a, b) => a.localeCompare(b, undefined, {{numeric: true}}))"
    )
    browser.run(f"{button}[1].click()")
    assert browser.run(FIRST) == expected.sort_values("median", ascending=False)["formula"].tolist()
    browser.run(f"{button}[1].click()")
    assert browser.run(FIRST) == expected.sort_values("median")["formula"].tolist()
    assert browser.run(f"{button}[1].parentElement.getAttribute('aria-sort')") == "ascending"


def test_cells_without_a_number_stand_last(browser: Any, page: Path) -> None:
    browser.open(page)
    cells = "[...document.querySelectorAll('#sources-table tbody tr')].map(r => r.cells[3].dataset.value ?? null)"
    for _ in range(2):
        browser.run("document.querySelectorAll('#sources-table th button')[3].click()")
        values = browser.run(cells)
        numbers = [value for value in values if value is not None]
        assert values == numbers + [None] * (len(values) - len(numbers))


def test_a_table_is_filtered(browser: Any, page: Path, job: Any) -> None:
    browser.open(page)
    box = "document.querySelector('[data-table=predictions-table] input')"
    browser.run(f"{box}.value = 'o'; {box}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    shown = browser.run(FIRST)
    assert 0 < len(shown) < len(job.pool)
    told = browser.run("document.querySelector('#predictions output').textContent")
    assert told == f"{len(shown)} of {len(job.pool)} rows"
    browser.run(f"{box}.value = ''; {box}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert len(browser.run(FIRST)) == len(job.pool)


def test_a_point_names_its_material(browser: Any, page: Path, job: Any) -> None:
    browser.open(page)
    place = "document.querySelector('#accuracy .point:last-child').getBoundingClientRect()"
    browser.run("document.querySelector('#accuracy').scrollIntoView()")
    browser.point(browser.run(f"{place}.x") + 3, browser.run(f"{place}.y") + 3)
    tip = browser.run("document.getElementById('tip').textContent")
    assert tip.split(":")[0] in set(job.table["formula"])
    assert browser.run("getComputedStyle(document.getElementById('tip')).opacity") == "1"


def test_the_keyboard_goes_from_point_to_point(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.run("document.querySelector('#ranked-clip').closest('svg').focus()")
    tips = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        browser.press(key)
        tips.append(browser.run("document.getElementById('tip').textContent"))
    assert tips[0] == tips[2] != tips[1]
    browser.press("Escape")
    assert browser.run("getComputedStyle(document.getElementById('tip')).opacity") == "0"


def test_a_finger_reads_a_point_and_may_leave(browser: Any, page: Path, job: Any) -> None:
    browser.open(page, width=390)
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    browser.run("document.querySelector('#accuracy svg').scrollIntoView({block: 'center'})")
    at = browser.run(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])"
        "(document.querySelector('#accuracy .point:last-child').getBoundingClientRect())"
    )
    touch = [{"x": at[0], "y": at[1]}]
    browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=touch)
    browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    visible = "getComputedStyle(document.getElementById('tip')).opacity"
    assert browser.run(visible) == "1"
    assert browser.run("document.getElementById('tip').textContent").split(":")[0] in set(job.table["formula"])
    browser.run("document.querySelector('h1').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))")
    assert browser.run(visible) == "0"


def test_the_first_key_skips_to_the_verdict(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    focused = "document.activeElement"
    assert browser.run(f"{focused}.className") == "skip"
    assert browser.run(f"{focused}.getBoundingClientRect().left") >= 0
    browser.run(f"{focused}.click()")
    assert browser.run(f"{focused}.id") == "main"


def test_text_is_large_enough_on_a_phone(browser: Any, pages: list[Path]) -> None:
    for path in pages:
        browser.open(path, width=360)
        sizes = browser.run(
            "[...document.querySelectorAll('.plot text')]"
            ".map(text => parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a)"
        )
        assert min(sizes) >= 11
        letters = "[...document.querySelectorAll('p, li, td, th, dd, dt, figcaption, summary, button, label, a')]"
        assert min(browser.run(f"{letters}.map(each => parseFloat(getComputedStyle(each).fontSize))")) >= 11


def test_what_a_point_says_can_be_heard_from_the_first_on(browser: Any, pages: list[Path]) -> None:
    for path in pages:
        browser.open(path)
        # What is hidden is no live region yet, and the first words in it would be lost.
        shown = browser.run(
            "(style => [style.visibility, style.display])(getComputedStyle(document.getElementById('tip')))"
        )
        assert shown == ["visible", "block"]


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_dark_enough(browser: Any, pages: list[Path], dark: bool) -> None:
    faint = """(() => {
      const shade = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const clear = colour => colour === 'transparent' || colour.startsWith('rgba');
      const ground = each => !clear(getComputedStyle(each).backgroundColor) || !each.parentElement
        ? each : ground(each.parentElement);
      const told = [...document.querySelectorAll('body *')].filter(each => each.checkVisibility({opacityProperty: true})
        && [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
      return told.map(each => {
        const letters = getComputedStyle(each)[each.ownerSVGElement ? 'fill' : 'color'];
        const [low, high] = [letters, getComputedStyle(ground(each)).backgroundColor].map(shade).sort((a, b) => a - b);
        return [(high + 0.05) / (low + 0.05), each.tagName + '.' + (each.className.baseVal ?? each.className)];
      }).filter(([contrast]) => contrast < 4.5);
    })()"""
    for path in pages:
        browser.open(path, width=360, dark=dark)
        assert browser.run(faint) == []


def test_what_users_wrote_is_not_run(browser: Any, tmp_path: Path) -> None:
    import pandas as pd

    evil = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    table = pd.DataFrame({"kind": [evil, "b"] * 10, "x": range(20), "y": [0.5 * i for i in range(20)]})
    schema = mf.Schema(mf.Columns("x", categories="kind"), value="y", unit=evil)
    browser.open(mf.report(mf.fit(table, schema, mf.Auto()), tmp_path / "page.html", pool=table), width=360)
    assert browser.complaints == []
    assert "run" not in browser.run("document.title")
    assert browser.run("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 360])
def test_the_pages_of_a_campaign_and_a_backtest_open(
    browser: Any, search_page: Path, replayed: Any, tmp_path: Path, width: int, dark: bool
) -> None:
    for path in (search_page, mf.report(replayed, tmp_path / "backtest.html")):
        browser.open(path, width=width, dark=dark)
        assert browser.complaints == []
        assert [address for address in browser.requests if not address.startswith("data:")] == [path.as_uri()]
        assert browser.run("document.documentElement.scrollWidth") <= width


def test_the_history_is_searched_picked_and_sorted(browser: Any, search_page: Path, search: mf.Campaign) -> None:
    browser.open(search_page)
    history = search.history()
    rows = "[...document.querySelectorAll('#history-table tbody tr:not([hidden])')]"
    box = "document.querySelector('[data-table=history-table]')"
    pick = f"{box}.querySelector('select')"
    browser.run(f"{pick}.value = 'told'; {pick}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert browser.run(f"{rows}.length") == (history["kind"] == "told").sum()
    word = f"{box}.querySelector('input')"
    browser.run(f"{word}.value = 'not asked'; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert browser.run(f"{rows}.length") == 2
    assert browser.run(f"{box}.querySelector('output').textContent") == f"2 of {len(history)} rows"
    time = "[...document.querySelectorAll('#history-table th button')].find(b => b.textContent.startsWith('time'))"
    browser.run(f"{word}.value = ''; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    browser.run(f"{time}.click(); {time}.click()")
    shown = browser.run(f"{rows}.map(r => Number(r.cells[6].dataset.value))")
    assert shown == history.index[history["kind"] == "told"].tolist()


def test_measurements_are_told_by_the_arrow_keys(browser: Any, search_page: Path) -> None:
    browser.open(search_page)
    browser.run("document.querySelector('#progress svg:last-of-type').focus()")
    browser.press("ArrowRight")
    tip = browser.run("document.getElementById('tip').textContent")
    assert "by then" in tip
    assert browser.run("document.querySelectorAll('#progress script, #tip script').length") == 0


def test_tables_fit_the_paper(browser: Any, pages: list[Path]) -> None:
    for path in pages:
        browser.open(path, width=718, media="print")  # A4 less its margins
        tables = "[...document.querySelectorAll('.scroll')]"
        cut = f"{tables}.filter(each => each.scrollWidth > each.clientWidth + 1)"
        assert browser.run(f"{cut}.map(each => each.textContent.slice(0, 60))") == []
        assert browser.run("document.documentElement.scrollWidth") <= 718


def test_a_campaign_is_printed_whole(browser: Any, search_page: Path, tmp_path: Path) -> None:
    browser.open(search_page, media="print")
    scroll = "document.querySelector('#history .scroll')"
    assert browser.run(f"{scroll}.scrollHeight <= {scroll}.clientHeight + 1")
    assert browser.run("getComputedStyle(document.querySelector('.filter')).display") == "none"
