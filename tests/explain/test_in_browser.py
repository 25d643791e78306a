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
        for key in (Keys.PAGE_DOWN, Keys.SPACE, Keys.PAGE_DOWN):
            chrome.execute_script("document.activeElement.blur()")
            before = shown()[0]
            body.send_keys(key)
            assert shown()[0] - before == 1, key
        body.send_keys(Keys.PAGE_UP)
        assert shown() == [2]
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "least"), [(1280, 16), (1920, 20), (2560, 26)])
def test_a_large_screen_is_filled_with_larger_type(page, tmp_path, width, least, scheme):
    with browser(tmp_path) as chrome:
        size = {"width": width, "height": width * 9 // 16, "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        chrome.get(page.as_uri() + "#step-22")
        found = chrome.execute_script(
            """
            const zoom = Number(getComputedStyle(document.body).zoom);
            const p = document.querySelector(".step.current p:not([class])");
            const boxes = [".graph", ".side"].map(
              (name) => document.querySelector(name).getBoundingClientRect());
            const pictures = [...document.querySelectorAll(".step.current > .pictures figure")];
            const tops = pictures.map((figure) => Math.round(figure.getBoundingClientRect().top));
            return {
              type: parseFloat(getComputedStyle(p).fontSize) * (zoom === 1 ? 1 : zoom),
              overflow: document.documentElement.scrollWidth - window.innerWidth,
              right: boxes[1].right,
              perRow: tops.filter((top) => top === tops[0]).length,
              rows: new Set(tops).size,
            };
            """
        )
    assert found["type"] >= least
    assert found["overflow"] <= 0
    assert found["right"] > 0.96 * width
    assert (found["perRow"], found["rows"]) == (5, 2)  # ten classes


NETWORK = (
    "--expression", "softmax(W2 relu(W1 x + b1) + b2)", "--at", "W1=4x3", "--at", "b1=4x",
    "--at", "x=3x", "--at", "W2=2x4", "--at", "b2=2x",
)  # fmt: skip


def test_no_step_is_wider_than_the_page(page, tmp_path):
    """A Jacobian of ten columns, a gradient of two rows and eight: they scroll in their card."""
    network = tmp_path / "network.html"
    assert call("explain", *NETWORK, "--html", network) == 0
    with browser(tmp_path) as chrome:
        size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for path in (page, network):
            chrome.get(path.as_uri())
            wider = chrome.execute_script(
                """
                const steps = [...document.querySelectorAll(".step")];
                return steps.filter((step) => {
                  for (const other of steps) other.classList.toggle("current", other === step);
                  const root = document.documentElement;
                  return root.scrollWidth > root.clientWidth || step.scrollWidth > step.clientWidth;
                }).map((step) => step.id);
                """
            )
            assert wider == []
        chrome.get("about:blank")
        chrome.get(page.as_uri() + "#step-22")
        pictures = chrome.execute_script(
            "return document.querySelector('.step.current > .pictures').getBoundingClientRect()"
        )
        assert pictures["bottom"] < 800  # the gradient by W is seen without scrolling


def test_the_sliders_count_products(page, tmp_path):
    from selenium.webdriver.common.by import By

    with browser(tmp_path) as chrome:
        chrome.get(page.as_uri())
        found = chrome.execute_script(
            """
            const slider = document.getElementById("slider-d");
            slider.value = slider.max;
            slider.dispatchEvent(new Event("input"));
            return document.getElementById("count-forward").textContent;
            """
        )
        assert found == f"{2 * 10 * 10 * 10_000 + 10 * 10_000:,}"
        assert chrome.find_element(By.ID, "count-reverse").text == f"{2 * 100 + 10 * 10_000:,}"
        assert "W too early: r not done" in chrome.find_element(By.CLASS_NAME, "recursion").text


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
