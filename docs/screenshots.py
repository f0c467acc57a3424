"""`make screenshots`: the pictures of the desk in docs/images, taken from a fresh demo with Debian's chromium.

Starts an installation of its own in a temporary folder with made-up data, runs the main job twice, decides a few things as an analyst
would, and photographs every page. Nothing of the machine's own installation is touched.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent
IMAGES = PROJECT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SEED = "generated:1200"
WIDTH, HEIGHT = 1440, 900


def main() -> int:
    """Take every picture; returns the exit code."""
    # A unix socket's path must stay below 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="tieout-shots-"))
    foreign = ("SALESFORCE_", "D365_", "TIEOUT_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = {**ours, "PYTHONPATH": str(PROJECT), "TIEOUT_HOME": str(home)}
    tieout = [sys.executable, "-W", "ignore", "-m", "pipelines"]
    try:
        subprocess.run([*tieout, "up", "--detach", "--run", "--port", "0", "--seed", SEED], env=environment, check=True)
        # The second run has something to compare with: breaks that go on, and a trend.
        subprocess.run([*tieout, "run", "--json"], env=environment, check=False, stdout=subprocess.DEVNULL)
        take_all(_desk_address(home))
    finally:
        subprocess.run([*tieout, "down"], env=environment, check=False)
        shutil.rmtree(home, ignore_errors=True)
    return 0


def take_all(address: str) -> None:
    """Photograph every page of the desk at `address`, after a few decisions."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
        page.goto(f"{address}/breaks?sort=amount")
        boxes = page.locator("[name=identity]")
        for number in range(2):
            boxes.nth(number).check()
        page.fill("[data-assign]", "Order desk")
        page.click("button[value=assign]")
        _take(page, f"{address}/", "overview")
        _take(page, f"{address}/breaks?group=cause", "breaks")
        _take(page, f"{address}/breaks?cause=value_differs", "breaks-values")
        page.locator("tbody a.sub").first.click()
        _shoot(page, "record")
        _take(page, f"{address}/matches", "matches")
        page.goto(f"{address}/periods")
        if page.locator("details.decide summary").count():
            page.locator("details.decide summary").first.click()
            page.locator("details.decide [name=note]").first.fill("Compared with the month-end report of D365")
            page.locator("details.decide button:enabled").first.click()
        _shoot(page, "periods")
        browser.close()


def _take(page: Page, address: str, name: str) -> None:
    page.goto(address)
    _shoot(page, name)


def _shoot(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png", full_page=False)


def _desk_address(home: Path) -> str:
    import json

    return str(json.loads((home / "run" / "desk.json").read_text(encoding="utf-8"))["address"])


if __name__ == "__main__":
    sys.exit(main())
