"""What every test of a page shares: its tags without a browser, and one browser to show it in."""

import re
import shutil
from html.parser import HTMLParser

import pytest


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text after each id or tag that begins."""

    def __init__(self, text):
        super().__init__()
        self.inside, self.tags, self.texts = "page", [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id", tag)

    def handle_data(self, data):
        self.texts[self.inside] = self.texts.get(self.inside, "") + data

    def handle_endtag(self, tag):
        self.inside = "page"


def asks_nobody(text):
    """Nothing in the page names an address or could fetch one, and the browser is told so."""
    tags = Page(text).tags
    assert "://" not in text
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|\bimport\b", text)
    assert all(not {"src", "href"} & attributes.keys() for _, attributes in tags)
    policies = [attributes["content"] for _, attributes in tags if "http-equiv" in attributes]
    assert policies[0].startswith("default-src 'none';")


SWITCHES = [
    "headless",
    "no-sandbox",  # which root cannot have
    "disable-gpu",
    "disable-quic",
    "disable-background-networking",
    "disable-component-update",
    "disable-dev-shm-usage",
    "disable-sync",
    "no-first-run",
]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, which is started once; skips the test where it is not there."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no browser is here: apt install chromium chromium-driver to run this")
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium to run this")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in SWITCHES:
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    session = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield session
    session.quit()


@pytest.fixture
def opened(browser):
    """Open a page, in some width and scheme of colours.

    Afterwards no error was logged and nothing was requested.
    """

    def open_page(path, width=1100, scheme="light"):
        scheme = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        # As a page in front does; else it has no focus until a key is pressed.
        browser.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
        browser.get(path.as_uri())
        return browser

    browser.get_log("browser")
    yield open_page
    requested = "return performance.getEntriesByType('resource').map((one) => one.name)"
    assert browser.execute_script(requested) == []
    assert browser.get_log("browser") == []


def texts(browser, selector):
    return [found.text for found in browser.find_elements("css selector", selector)]


def tap(browser, x, y):
    """Touch the shown page at a place, in pixels from its upper left corner."""
    for kind, points in ("touchStart", [{"x": x, "y": y}]), ("touchEnd", []):
        touch = {"type": kind, "touchPoints": points}
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", touch)


def scrolls_sideways(browser):
    """Whether the page is wider than what is seen of it."""
    page = "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    wide, seen = browser.execute_script(page)
    return wide > seen


def luminance(browser, selector, name):
    """The relative luminance of a colour in the style of an element, as WCAG defines it."""
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    colour = browser.execute_script(style, selector, name)
    full = 1 if colour.startswith("color(") else 255  # color(srgb 0.5 1 0) or rgb(128, 255, 0)
    light = [float(number) / full for number in re.findall(r"[\d.]+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in light]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(browser, selector, name, ground):
    """The contrast of a colour to the background of another element, from 1 to 21."""
    colours = luminance(browser, selector, name), luminance(browser, ground, "backgroundColor")
    return (max(colours) + 0.05) / (min(colours) + 0.05)
