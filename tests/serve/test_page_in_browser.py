"""The page in a browser, as people use it: typing, the keyboard, small screens, and what axe-core finds.

LSR_SCREENSHOTS names a folder for pictures of the main states; those of docs/images are made so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from lsr import build_index
from lsr.serve.app import create_app
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served
from tests.serve.browsers import opened_browser

pytestmark = pytest.mark.browser

ATTACK = "<img src=x onerror=\"document.title='attacked'\"><script>document.title='attacked'</script>"
DOCUMENTS = [
    {"id": "bones", "text": "Bone density falls with age. Calcium and exercise keep bones dense.", "year": 2021},
    {"id": "milk", "text": "Milk has calcium, which bones and teeth are made of.", "year": 2019},
    {"id": "sun", "text": "Sunlight lets the skin make vitamin D, without which bones grow soft.", "year": 2024},
    {"id": "attack", "text": f"Fractures of the bone {ATTACK} heal in weeks.", "year": 2024},
    {"id": "tax", "text": "The parliament voted on a new tax.", "year": 2021},
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("served")
    for name, encoder in (("notes", "tiny"), ("notes-bm25", "bm25")):
        build_index(DOCUMENTS, folder / f"{name}.index", encoder=encoder)
    return [folder / "notes.index", folder / "notes-bm25.index"]


@pytest.fixture(scope="module")
def address(folders: list[Path]) -> Iterator[str]:
    with serving(folders, ServeSettings()) as address:
        yield address


@contextmanager
def serving(folders: list[Path], settings: ServeSettings) -> Iterator[str]:
    app = create_app(open_served(folders), settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    page = Page(browser)
    page.resize(1100, 900)
    browser.get(address)
    page.until(lambda: page.all(".panel"))
    yield page
    errors = [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    expected = ("why", "search")  # answers of 404 and 422 are in the log, too
    assert [each for each in errors if not any(f"/{name} - " in each["message"] for name in expected)] == []


class Page:
    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def until(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, 30, 0.05, [StaleElementReferenceException]).until(lambda _: condition())

    def type(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    def focused(self) -> str:
        return self.browser.switch_to.active_element.get_attribute("class")

    def search(self, query: str) -> None:
        self.one("#query").clear()
        self.one("#query").send_keys(query)
        self.until(lambda: all(" hit" in each.text for each in self.all(".status")))

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def darken(self) -> None:
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)

    def axe_violations(self) -> list[str]:
        """What axe-core has against the page as it is."""
        axe = (files("axe_core_python") / "axe.min.js").read_text()
        self.browser.execute_script(axe)
        found = self.browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        assert found["passes"]
        return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]

    def picture(self, name: str) -> None:
        if folder := os.environ.get("LSR_SCREENSHOTS"):
            self.browser.save_screenshot(str(Path(folder) / f"serve-{name}.png"))


def test_hits_come_while_typing(page: Page) -> None:
    page.type("/")  # which is no part of the query: the box has the focus from the beginning
    page.one("#query").clear()
    page.search("how to keep bones strong")
    assert page.all(".hits mark") and page.all(".term.literal") and page.all(".term.expanded")
    assert all(each.text.startswith("+ ") for each in page.all(".term.expanded"))
    widths = [each.size["width"] for each in page.all(".hits > li:first-child .bar")]
    assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1] > 0
    page.picture("light")


def test_the_newest_query_is_answered(page: Page) -> None:
    for query in ("tax", "milk", "parliament tax"):
        page.one("#query").clear()
        page.one("#query").send_keys(query)
    page.until(lambda: page.all(".hits > li") and "tax" in page.one(".hits .quiet").text)
    page.type(Keys.ESCAPE)
    page.until(lambda: not page.all(".hits > li"))


def test_a_key_is_asked_for_and_kept_for_the_tab(page: Page, folders: list[Path]) -> None:
    key = "a-key-for-reading"
    with serving(folders[1:], ServeSettings(read_keys=(key,))) as address:
        page.browser.get(address)
        page.until(lambda: page.one("#key").is_displayed())
        assert page.axe_violations() == []
        page.one("#key-value").send_keys("of another server", Keys.ENTER)
        page.until(lambda: "the key is unknown" in page.one("body").text)
        page.one("#key-value").send_keys(key, Keys.ENTER)
        page.until(lambda: page.all(".panel") and not page.one("#key").is_displayed())
        page.search("bones")
        page.browser.refresh()
        page.until(lambda: page.all(".panel"))
        page.search("milk")
        assert key not in page.browser.page_source and key not in page.browser.current_url
    log = [each["message"] for each in page.browser.get_log("browser") if each["level"] == "SEVERE"]
    assert log and all("401" in message for message in log)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.search("bones calcium")
    page.type(Keys.ARROW_DOWN)
    page.type(Keys.ARROW_DOWN)
    hits = page.all(".hit")
    assert page.browser.switch_to.active_element == hits[1]
    page.type(Keys.ENTER)
    assert hits[1].get_attribute("aria-expanded") == "true" and page.one(".text").is_displayed()
    page.type("/")
    assert page.browser.switch_to.active_element == page.one("#query")
    page.type(Keys.ARROW_DOWN)
    assert page.browser.switch_to.active_element == hits[0]
    page.type(Keys.ESCAPE)
    assert page.browser.switch_to.active_element == page.one("#query")


def test_texts_are_not_html(page: Page) -> None:
    page.search("fractures of the bone heal")
    for hit in page.all(".hit"):
        hit.click()
    assert ATTACK in " ".join(each.text for each in page.all(".text"))
    assert not page.all("main img") and page.browser.title == "lsr search"


def test_why_is_told(page: Page) -> None:
    page.search("parliament")
    page.one(".why summary").click()
    page.one(".why input").send_keys("sun", Keys.ENTER)
    page.until(lambda: "It is not returned" in page.one(".answer").text or "It is returned" in page.one(".answer").text)
    page.one(".why input").clear()
    page.one(".why input").send_keys("nowhere", Keys.ENTER)
    page.until(lambda: "there is no document 'nowhere'" in page.one(".answer").text)


def test_facets_and_filters_narrow(page: Page) -> None:
    page.search("bones")
    page.one(".facets summary").click()
    page.until(lambda: page.all(".facets input"))
    [box] = [each for each in page.all(".facets label") if each.text.startswith("2019 ")]
    box.click()
    page.until(lambda: page.one(".hits .quiet").text.startswith("1. milk"))
    page.until(lambda: page.one(".status").text.startswith("1 hit "))
    page.one("[name=where]").send_keys("year >")
    page.until(lambda: "where" in page.one(".panel .problem").text)


def test_two_settings_side_by_side(page: Page) -> None:
    page.one("#compare").click()
    page.search("bones calcium")
    first, second = page.all(".panel")
    assert first.location["y"] == second.location["y"]
    assert first.find_element(By.CSS_SELECTOR, "select").get_attribute("value") == "notes"
    assert second.find_element(By.CSS_SELECTOR, "select").get_attribute("value") == "notes-bm25"
    assert page.axe_violations() == []
    page.picture("two")


@pytest.mark.parametrize(
    ("name", "width", "dark"), [("light", 1100, False), ("dark", 1100, True), ("narrow", 360, True)]
)
def test_axe_finds_nothing_and_nothing_is_cut_off(page: Page, name: str, width: int, dark: bool) -> None:
    page.resize(width, 800)
    if dark:
        page.darken()
    page.search("how to keep bones strong")
    page.picture(name)
    page.all(".hit")[0].click()
    page.one(".facets summary").click()
    page.one(".why summary").click()
    page.one(".why input").send_keys("tax", Keys.ENTER)
    page.until(lambda: page.one(".answer").text)
    page.until(lambda: page.all(".facets input"))
    assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.axe_violations() == []
