"""The map: what is under the pointer, what is in the middle for the keyboard, and 100,000 points."""

import random
import re

from playwright.sync_api import expect


def place(page, number):
    """Where the map shows an image, in pixels of the window."""
    points = page.request.get("/api/map").json()
    box = page.locator("#sheet").bounding_box()
    scale = min(box["width"], box["height"]) - 48
    left = (points["x"][number] - 0.5) * scale + box["width"] / 2 + box["x"]
    top = (points["y"][number] - 0.5) * scale + box["height"] / 2 + box["y"]
    return left, top, points["ids"][number], points["labels"][points["label"][number]]


def test_hover_shows_the_image_and_a_click_searches_by_it(open_page):
    page = open_page("/map")
    expect(page.locator("#in-view-heading")).to_contain_text("80 images")
    left, top, number, label = place(page, 17)
    page.mouse.move(left, top)
    expect(page.locator("#tip .label")).to_have_text(label)
    expect(page.locator("#tip")).to_have_attribute("href", f"./?image={number}")
    expect(page.locator("#tip img")).not_to_have_js_property("naturalWidth", 0)
    page.mouse.move(left + 400, top + 400)
    page.mouse.click(left, top)
    expect(page).to_have_url(re.compile(rf"/\?image={number}$"))
    expect(page.locator("#count")).to_contain_text("24 of 79 images")


def test_wheel_buttons_and_drag_change_what_is_in_view(open_page):
    page = open_page("/map")
    heading = page.locator("#in-view-heading")
    expect(heading).to_contain_text("80 images")
    left, top, number, _ = place(page, 5)
    page.mouse.move(left, top)
    for _ in range(12):
        page.mouse.wheel(0, -120)
    expect(heading).not_to_contain_text("80 images")
    page.mouse.move(left + 1, top)  # the place under the pointer stayed
    expect(page.locator("#tip")).to_have_attribute("href", f"./?image={number}")
    page.mouse.down()
    page.mouse.move(left + 40, top + 60, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("/map$"))  # a drag is no click
    page.mouse.move(left + 41, top + 60)
    expect(page.locator("#tip")).to_have_attribute("href", f"./?image={number}")
    page.get_by_role("button", name="Show the whole map").click()
    expect(heading).to_contain_text("80 images")
    for _ in range(8):
        page.get_by_role("button", name="Zoom in").click()
    expect(heading).not_to_contain_text("80 images")


def test_the_keyboard_moves_and_searches(open_page):
    page = open_page("/map")
    expect(page.locator("#in-view-heading")).to_contain_text("80 images")
    page.locator("#legend-box summary").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#canvas")).to_be_focused()
    expect(page.locator("#cross")).to_be_visible()
    expect(page.locator("#tip")).to_be_visible()
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("#tip")).to_be_visible()
    expect(page.locator("#live")).to_have_text(re.compile(r"^\w+: \w+_\d+\.png$"))
    page.wait_for_timeout(400)
    wanted = page.locator("#tip").get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(wanted.removeprefix(".")) + "$"))


def test_the_legend_counts_and_shows_one_label(open_page):
    page = open_page("/map")
    expect(page.locator("#legend li")).to_have_count(8)
    star = page.get_by_role("button", name="star 10")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "false")


def test_what_is_in_view_is_also_a_list(open_page):
    page = open_page("/map")
    page.locator("#in-view-heading").click()
    cards = page.locator("#in-view-wall .card:not(.waiting)")
    expect(cards.first).to_be_visible()
    expect(cards.first).to_have_attribute("aria-setsize", "80")
    cards.first.locator("a").first.click()
    expect(page).to_have_url(re.compile(r"/\?image=\d+$"))


def test_a_touch_shows_the_image_first(open_page):
    page = open_page("/map", width=400, height=800, has_touch=True, is_mobile=True)
    expect(page.locator("#in-view-heading")).to_contain_text("80 images")
    left, top, number, _ = place(page, 30)
    page.touchscreen.tap(left, top)
    expect(page.locator("#tip")).to_have_attribute("href", f"./?image={number}")
    page.locator("#tip").tap()
    expect(page).to_have_url(re.compile(rf"/\?image={number}$"))


def test_a_hundred_thousand_points_stay_smooth(open_page):
    page = open_page("/rate")
    dice = random.Random(0)
    number = page.request.get("/api/images?limit=1").json()["items"][0]["id"]
    many = {
        "method": "drawn",
        "labels": [f"kind {i}" for i in range(200)],
        "ids": [number] * 100_000,
        "x": [dice.random() for _ in range(100_000)],
        "y": [dice.random() for _ in range(100_000)],
        "label": [i % 200 for i in range(100_000)],
    }
    page.route("**/api/map", lambda route: route.fulfill(json=many))
    page.goto("/map")
    expect(page.locator("#in-view-heading")).to_contain_text("100,000 images")
    page.evaluate(
        """() => {
            window.frames_ = [];
            let last = performance.now();
            (function tick(now) {
                frames_.push(now - last);
                last = now;
                requestAnimationFrame(tick);
            })(last);
        }"""
    )
    page.mouse.move(500, 450)
    page.mouse.down()
    for step in range(30):
        page.mouse.move(500 + step * 3, 450 + step * 2)
    page.mouse.up()
    for _ in range(20):
        page.mouse.wheel(0, -30)
    times = sorted(page.evaluate("frames_"))
    assert times[len(times) // 2] < 100, times  # some 17 ms on an idle machine
    expect(page.locator("#legend li")).to_have_count(200)
