"""The page in a real browser: steps by key and by click, no error, no request."""

import json
import pathlib

import pytest

from tests.browser import browser
from tests.command import call

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert call("explain", "--config", CONFIG, "--html", path) == 0
    return path


def test_steps_by_key_and_by_click(page, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with browser(tmp_path) as chrome:
        chrome.get(page.as_uri())
        steps = chrome.find_elements(By.CSS_SELECTOR, ".step")
        body = chrome.find_element(By.TAG_NAME, "body")

        def shown():
            return [k for k, step in enumerate(steps) if step.is_displayed()]

        def click(where):
            chrome.find_element(By.CSS_SELECTOR, f"[data-go={where}]").click()

        assert len(steps) == 22
        assert shown() == [0]
        body.send_keys(Keys.ARROW_RIGHT)
        assert shown() == [1]
        click("next")
        assert shown() == [2]
        assert "Step 3 of 22" in body.text
        body.send_keys(Keys.ARROW_LEFT)
        click("previous")
        body.send_keys(Keys.ARROW_LEFT)
        assert shown() == [0]
        body.send_keys(Keys.END)
        assert shown() == [21]
        body.send_keys(Keys.ARROW_RIGHT)
        assert shown() == [21]
        click("first")
        assert shown() == [0]
        click("last")
        assert "∂" in steps[21].text
        for scheme in ("light", "dark"):
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
            colours = chrome.execute_script(
                "const s = getComputedStyle(document.body);"
                "return [s.color, s.backgroundColor].map(c => c.match(/[0-9.]+/g).map(Number))"
            )
            assert contrast(*colours) > 7
        assert [entry["message"] for entry in chrome.get_log("browser")] == []
        events = [json.loads(e["message"])["message"] for e in chrome.get_log("performance")]
        requests = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and event["params"]["documentURL"].startswith(page.as_uri())
        ]
        assert page.as_uri() in requests  # the log works
        assert [url for url in requests if not url.startswith(("data:", page.as_uri()))] == []


def test_without_scripts_every_step_is_shown(page, tmp_path):
    from selenium.webdriver.common.by import By

    with browser(tmp_path, scripts=False) as chrome:
        chrome.get(page.as_uri())
        steps = chrome.find_elements(By.CSS_SELECTOR, ".step")
        assert len(steps) == 22
        assert all(step.is_displayed() for step in steps)


def contrast(first, second):
    """Return the contrast ratio of two colours, as WCAG 2.1 defines it."""

    def luminance(colour):
        parts = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in (value / 255 for value in colour[:3])
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)
