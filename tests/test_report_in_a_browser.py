"""The page of a report in a real browser: on a phone, a tablet and a screen, light and dark, whole, legible and calm."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from browser.chromium import Chromium, Page
from histories import history
from pictured import large, troubled
from servers.installed import installed

from journal.events import Event
from journal.files import read_file
from projections.fold import fold
from projections.report import report

pytestmark = pytest.mark.xdist_group("browser")

WIDTHS: Final = (360, 768, 1280)
HOSTILE: Final = '"><script>document.title="owned"</script><img src="http://127.0.0.1:1/x" onerror="document.title=1">'
REASON: Final = "</pre></details></style><script>document.title='owned'</script> \x1b[31m \u202eesrever" + "x" * 400


def golden(name: str) -> list[Event]:
    return list(read_file(history("plans", name)))


SCENES: Final[dict[str, Callable[[], list[Event]]]] = {
    "troubled": troubled,
    "hostile": lambda: troubled(HOSTILE, REASON),
    "every-event": lambda: golden("every-event-of-schema-2"),
    "long-names": lambda: troubled("c" * 200, "r" * 3000),
    "many-steps": lambda: large(150),
    "running": lambda: troubled()[:40],
    "nothing-yet": lambda: golden("status-empty-of-operations"),
}

SHARED: Final = """
  const isForEarsOnly = (element) => {
    const head = element.closest('thead');
    return head !== null && getComputedStyle(head).position === 'absolute';
  };
  const parts = (element) => {
    const found = [];
    const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const node = walk.currentNode;
      if (node.data.trim() && node.parentElement.checkVisibility() && !isForEarsOnly(node.parentElement)) found.push(node);
    }
    return found;
  };
  const rects = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return [...range.getClientRects()];
  };
"""

CUT_OFF: Final = f"""(() => {{ {SHARED}
  const wrong = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push(`the page is ${{root.scrollWidth}} wide in ${{root.clientWidth}}`);
  for (const element of document.body.querySelectorAll('*')) {{
    if (!element.checkVisibility() || isForEarsOnly(element) || getComputedStyle(element).display === 'inline') continue;
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
      wrong.push(`${{element.tagName}}.${{element.className}} holds ${{element.scrollWidth}} in ${{element.clientWidth}}`);
  }}
  for (const node of parts(document.body)) for (const rect of rects(node)) {{
    if (rect.left < -0.5 || rect.right > root.clientWidth + 0.5) wrong.push(`beyond the screen: ${{node.data.slice(0, 60)}}`);
    for (let box = node.parentElement; box !== document.body; box = box.parentElement) {{
      const style = getComputedStyle(box), edge = box.getBoundingClientRect();
      if (style.display === 'inline' || (style.overflowX === 'visible' && style.clipPath === 'none')) continue;
      if (rect.left < edge.left - 1 || rect.right > edge.right + 1 || rect.top < edge.top - 3 || rect.bottom > edge.bottom + 3)
        wrong.push(`clipped by ${{box.className}}: ${{node.data.slice(0, 60)}}`);
    }}
  }}
  return wrong;
}})()"""

OVERLAPPING: Final = f"""(() => {{ {SHARED}
  const wrong = [];
  for (const row of document.querySelectorAll('.row, .event > summary, .resource > summary, .marks li')) {{
    if (!row.checkVisibility()) continue;
    const boxes = [...row.children].map((child) => child.getBoundingClientRect()).filter((box) => box.width && box.height);
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {{
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
        wrong.push(row.textContent.slice(0, 80));
    }}));
  }}
  return wrong;
}})()"""

FAINT: Final = f"""(() => {{ {SHARED}
  const colour = (text) => {{
    const found = text.match(/^rgba?\\(([\\d.]+), ([\\d.]+), ([\\d.]+)(?:, ([\\d.]+))?\\)$/);
    if (!found) throw new Error('a colour that is not understood: ' + text);
    return found.slice(1).map((part) => part === undefined ? 1 : Number(part));
  }};
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (element) => {{
    if (!element) return [255, 255, 255, 1];
    const style = getComputedStyle(element);
    if (Number(style.opacity) !== 1) throw new Error('opacity');
    if (style.backgroundImage !== 'none') throw new Error('text on a picture');
    const own = colour(style.backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  }};
  const light = (rgb) => {{
    const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }};
  const faint = [];
  const check = (element, style, text) => {{
    const below = behind(element), [a, b] = [light(over(colour(style.color), below)), light(below)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const where = `${{element.tagName}}.${{element.className}}: ${{text.slice(0, 40)}}`;
    if (contrast < 4.5) faint.push(`${{contrast.toFixed(2)}} ${{where}}`);
  }};
  const texts = parts(document.body);
  for (const node of texts) check(node.parentElement, getComputedStyle(node.parentElement), node.data);
  for (const element of document.body.querySelectorAll('*')) {{
    const style = getComputedStyle(element, '::before');
    if (element.checkVisibility() && !['none', 'normal', '""'].includes(style.content)) check(element, style, style.content);
  }}
  if (!texts.length) throw new Error('no text');
  return faint;
}})()"""

OPEN_ALL: Final = "document.querySelectorAll('details').forEach((details) => { details.open = true; })"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    folder = Path(tempfile.mkdtemp(prefix="provjournal-browser-"))
    try:
        chromium = installed(lambda: Chromium(folder))
        yield chromium
        chromium.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, make in SCENES.items():
        events = make()
        found[name] = folder / f"{name}.html"
        found[name].write_text(report(events, fold(events), owner_alive=name == "running", is_past=False, utc=True, limit=500))
    return found


def centre(page: Page, selector: str) -> tuple[float, float]:
    script = f"""(() => {{
      const element = document.querySelector({selector!r});
      element.scrollIntoView({{block: 'center', behavior: 'instant'}});
      const box = element.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    }})()"""
    x, y = page.run(script)
    return x, y


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_faint_or_asked_for(
    browser: Chromium, pages: dict[str, Path], width: int, dark: bool, scene: str
) -> None:
    with browser.page(pages[scene], width=width, dark=dark) as page:
        for _ in ("as it opens", "with all opened"):
            assert page.run("innerWidth") == width
            assert page.run(CUT_OFF) == []
            assert page.run(OVERLAPPING) == []
            assert page.run(FAINT) == []
            page.run(OPEN_ALL)
        assert page.requests == [pages[scene].as_uri()]
        assert page.complaints == []


def test_dark_is_dark_and_light_is_light(browser: Chromium, pages: dict[str, Path]) -> None:
    for dark in (False, True):
        with browser.page(pages["troubled"], width=768, dark=dark) as page:
            brightness = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert (max(brightness) < 64) is dark
            assert (min(brightness) > 192) is not dark


def test_evidence_opens_by_click(browser: Chromium, pages: dict[str, Path]) -> None:
    for width in WIDTHS:
        with browser.page(pages["troubled"], width=width) as page:
            assert not page.run("document.querySelector('.resource .event').checkVisibility()")
            page.click(*centre(page, ".resource > summary"))
            assert page.run("document.querySelector('.resource').open")
            assert page.run("document.querySelector('.resource .event').checkVisibility()"), "one click away"
            page.click(*centre(page, ".resource .event > summary"))
            assert "operation_started" in page.run("document.querySelector('.resource .event pre').innerText")
            assert page.run("document.querySelector('.resource .event pre').checkVisibility()")
            page.click(*centre(page, ".resource > summary"))
            assert not page.run("document.querySelector('.resource').open")


def test_evidence_opens_by_keyboard(browser: Chromium, pages: dict[str, Path]) -> None:
    with browser.page(pages["troubled"], width=360) as page:
        for _ in range(40):
            page.press("Tab", 9)
            if page.run("document.activeElement.matches('.resource > summary')"):
                break
        assert page.run("document.activeElement.matches('.resource > summary')"), "the Tab key gets there"
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", "and it is seen"
        page.press("Enter", 13, "\r")
        assert page.run("document.activeElement.parentElement.open")
        page.press("Tab", 9)
        assert page.run("document.activeElement.matches('.event > summary')")
        page.press(" ", 32, " ")
        assert page.run("document.activeElement.parentElement.open")


def test_what_names_and_reasons_say_stays_text(browser: Chromium, pages: dict[str, Path]) -> None:
    with browser.page(pages["hostile"], width=768) as page:
        page.run(OPEN_ALL)
        assert page.run("document.querySelectorAll('script, img, iframe, object').length") == 0
        assert page.run("document.title") == f"{HOSTILE}: Error"
        assert page.run("document.querySelector('h1').innerText") == HOSTILE
        assert page.requests == [pages["hostile"].as_uri()]


def test_a_script_would_not_run(browser: Chromium, pages: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "injected.html"
    text = pages["troubled"].read_text()
    file.write_text(text.replace("<h1>", '<script>document.title = "owned"</script><img src="http://127.0.0.1:1/x"><h1>'))
    with browser.page(file, width=768) as page:
        assert page.run("document.title") == "analytics-7: Error"
        assert len(page.complaints) >= 2, "the browser says what it refused"


def test_on_paper_everything_is_open_and_fits(browser: Chromium, pages: dict[str, Path]) -> None:
    with browser.page(pages["troubled"], width=794) as page:
        page.media("print", dark=False)
        assert page.run("[...document.querySelectorAll('pre')].every((pre) => pre.checkVisibility())")
        assert page.run(CUT_OFF) == []
        assert page.run(FAINT) == []


def test_bars_stand_where_their_times_are(browser: Chromium, pages: dict[str, Path]) -> None:
    with browser.page(pages["troubled"], width=1280) as page:
        bars = page.run("""[...document.querySelectorAll('.operation .bar')].map((bar) => {
          const box = bar.getBoundingClientRect(), track = bar.parentElement.getBoundingClientRect();
          return [(box.left - track.left) / track.width, (box.right - track.left) / track.width, box.height];
        })""")
        assert len(bars) == 22
        assert all(-0.001 <= left < right <= 1.001 and height > 10 for left, right, height in bars)
        assert all(bars[number][1] <= bars[5][0] + 0.001 for number in range(5)), "what was made first was configured then"
