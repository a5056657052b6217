"""A picture of a report: `python -m tests.screenshot RUN/report.html docs/images/report.png`.

The top of the page as a desk shows it in the light, and beside it as a phone does in the dark.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
DESK, PHONE, GAP, COLOURS = (1040, 776), (375, 776), 24, 96  # pixels; of the palette


def shot(browser: Browser, page: Path, size: tuple[int, int], scheme: str) -> Image.Image:
    """The page's top at a size, `light` or `dark`."""
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.goto(page.absolute().as_uri())
    return Image.open(io.BytesIO(tab.screenshot())).convert("RGB")


def main(page: str, out: str) -> None:
    """Write the picture."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        parts = [shot(browser, Path(page), *each) for each in ((DESK, "light"), (PHONE, "dark"))]
        browser.close()
    sheet = Image.new("RGB", (DESK[0] + GAP + PHONE[0], DESK[1]), "#c9cdd3")
    for part, left in zip(parts, (0, DESK[0] + GAP), strict=True):
        sheet.paste(part, (left, 0))
    sheet.quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
