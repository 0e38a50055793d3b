"""A browser for tests: Chromium and its driver, where both are installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def browser_programs() -> tuple[str, str] | None:
    """Paths of the browser, which $LSR_TEST_BROWSER may name, and of its driver; None where one is missing."""
    named = os.environ.get("LSR_TEST_BROWSER")
    browser = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A Chrome of Selenium, without a window."""
    from selenium import webdriver

    programs = browser_programs()
    assert programs is not None
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()
