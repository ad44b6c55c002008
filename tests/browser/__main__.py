"""`python -m browser` takes the pictures of docs/images again, of a history that is always the same."""

import io
import tempfile
from pathlib import Path
from typing import Final

from pictured import troubled
from rich.console import Console
from rich.terminal_theme import MONOKAI

from browser.chromium import Chromium
from projections.chart import chart
from projections.fold import fold
from projections.report import report
from projections.timeline import timeline

IMAGES: Final = Path(__file__).parent.parent.parent / "docs" / "images"
EVENTS: Final = troubled()
COLUMNS: Final = 100
TERMINAL: Final = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px 24px; background: {background}; color: {foreground}; width: max-content; }}
pre {{ margin: 0; font: 14px/1.3 "DejaVu Sans Mono", monospace; }}
{stylesheet}</style><pre>{code}</pre>"""
OPENED: Final = """
document.documentElement.style.scrollBehavior = 'auto';
const first = document.querySelector('.resource');
first.open = true;
first.querySelector('.event:last-child').open = true;
document.querySelector('#resources').scrollIntoView();
"""


def main() -> None:
    """Take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        browser = Chromium(Path(folder))
        try:
            page = Path(folder) / "report.html"
            page.write_text(report(EVENTS, fold(EVENTS), owner_alive=False, is_past=False, utc=True))
            take(browser, page, "report-phone-light", width=360, height=780, scale=2)
            take(browser, page, "report-phone-dark-evidence", width=360, height=780, scale=2, dark=True, script=OPENED)
            take(browser, page, "report-desktop-dark", width=1280, height=1500, dark=True)
            take(browser, page, "report-desktop-light-evidence", width=1280, height=1100, script=OPENED)
            terminal = Path(folder) / "terminal.html"
            terminal.write_text(in_a_terminal())
            take(browser, terminal, "timeline", width=920, height=1000)
        finally:
            browser.close()


def take(
    browser: Chromium, file: Path, name: str, *, width: int, height: int, dark: bool = False, scale: float = 1, script: str = "0"
) -> None:
    """Take one picture."""
    with browser.page(file, width=width, height=height, dark=dark, scale=scale) as page:
        page.run(script)
        (IMAGES / f"{name}.png").write_bytes(page.picture())


def in_a_terminal() -> str:
    """Return the page of a timeline as a terminal shows it."""
    console = Console(record=True, force_terminal=True, width=COLUMNS, file=io.StringIO(), soft_wrap=True, highlight=False)
    for line in chart(
        timeline(EVENTS, fold(EVENTS)), ("cluster analytics-7", "Error", "version 50"), width=COLUMNS, encoding="utf-8", utc=True
    ):
        console.print(line)
    return console.export_html(theme=MONOKAI, code_format=TERMINAL)


if __name__ == "__main__":
    main()
