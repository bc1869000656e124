"""The whole journey through nginx, as docs/web.md has it: https, a login, a path of its own."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from proxies import LOGIN, nginx
from waiting import PATIENCE


@pytest.fixture
def page(browser, served, public_watch, tmp_path_factory):
    """Open the page as somebody who has logged in at the proxy; nothing is asked for beside its path."""
    watch = public_watch
    with nginx(tmp_path_factory.mktemp("proxy") / "nginx", urlsplit(served.public).port, served.address):
        context = browser.new_context(
            ignore_https_errors=True,
            http_credentials=dict(zip(("username", "password"), LOGIN, strict=True)),
            reduced_motion="reduce",
        )
        context.set_default_timeout(1000 * PATIENCE)
        context.on("request", watch.on_request)
        page = context.new_page()
        page.on("console", watch.on_console)
        page.on("pageerror", lambda error: watch.complaints.append(f"page error: {error}"))
        page.goto(f"{served.public}/")
        yield page
        context.close()


def test_search_compare_rate_and_map_through_a_proxy(page, served, a_picture):
    at = re.escape(served.public)
    expect(page).to_have_url(f"{served.public}/")
    expect(page.locator("#count")).to_have_text("80 images")
    page.locator("#file").set_input_files(a_picture)
    expect(page).to_have_url(re.compile(rf"{at}/\?upload=[0-9a-f]+$"))
    cards = page.locator("#wall .card:not(.waiting)")
    expect(cards.first.locator(".name")).to_have_text(a_picture.name)
    cards.nth(3).locator("a").first.click()
    expect(page).to_have_url(re.compile(rf"{at}/\?image=\d+$"))
    page.wait_for_function(
        "[...document.querySelectorAll('#wall img')].some((image) => image.naturalWidth > 0)"
    )
    page.go_back()
    expect(page).to_have_url(re.compile(r"\?upload="))
    cards.nth(2).hover()
    cards.nth(2).locator("a.with").click()
    expect(page).to_have_url(re.compile(rf"{at}/compare\?a=upload.*&b=\d+$"))
    expect(page.locator("#distance")).to_have_text(re.compile(r"^[\d.]+$"))

    page.get_by_role("link", name="Rate", exact=True).click()
    expect(page).to_have_url(f"{served.public}/rate")
    page.get_by_label("Your name").fill("Grace")
    page.keyboard.press("Enter")
    expect(page.locator("#progress-text")).to_contain_text("0 rated")
    page.keyboard.press("3")
    expect(page.locator("#progress-text")).to_contain_text("1 rated")
    page.keyboard.press("u")
    expect(page.locator("#progress-text")).to_contain_text("0 rated")

    page.get_by_role("link", name="Map", exact=True).click()
    expect(page.locator("#legend li")).to_have_count(8)
    page.get_by_role("link", name="Deep Ranking").click()
    expect(page).to_have_url(f"{served.public}/")
