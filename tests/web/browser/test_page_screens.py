"""Each page at three widths, light and dark: pictures to look at, nothing that sticks out, and axe-core."""

import pytest
from playwright.sync_api import expect

axe_of = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

SIZES = {400: 860, 1280: 900, 2560: 1440}
EVERYWHERE = [(width, scheme) for width in SIZES for scheme in ("light", "dark")]
AUDITED = [(400, "light"), (1280, "dark")]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]}


def image(page, number=0):
    return page.request.get(f"/api/images?limit=1&offset={number}").json()["items"][0]["id"]


def browsing(page):
    page.goto("/")
    expect(page.locator("#count")).to_have_text("80 images")


def results(page):
    page.goto(f"/?image={image(page)}&bottom=6&label=star&label=leaf&top=12")
    expect(page.locator("#bottom-part")).to_be_visible()
    page.get_by_text("Options").click()


def forgotten(page):
    page.goto("/?upload=0123456789abcdef0123456789abcdef")
    expect(page.locator("#notice")).to_contain_text("no longer")


def nothing_chosen(page):
    page.goto("/compare")
    expect(page.locator("#slot-b .button").first).to_be_visible()


def compared(page):
    page.goto(f"/compare?a={image(page)}&b={image(page, 40)}")
    expect(page.locator("#standing")).to_contain_text("Closer than")


def picking(page):
    nothing_chosen(page)
    page.get_by_role("button", name="Choose the first image from the index").click()
    expect(page.locator("#picker-wall .card").first).to_be_visible()


def naming(page):
    page.goto("/rate")
    expect(page.get_by_label("Your name")).to_be_visible()


def rating(page):
    naming(page)
    page.get_by_label("Your name").fill("Screen")
    page.keyboard.press("Enter")
    expect(page.locator("#progress-text")).to_contain_text("0 rated")


def rated_all(page):
    none_left = {"type": "/problems/no-question-left", "title": "", "detail": ""}
    page.route("**/api/ratings/question?*", lambda route: route.fulfill(status=404, json=none_left))
    naming(page)
    page.get_by_label("Your name").fill("Done")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("All questions are answered")


def mapped(page):
    page.goto("/map")
    expect(page.locator("#in-view-heading")).to_contain_text("80 images")
    page.locator("#canvas").focus()


def listed(page):
    mapped(page)
    page.locator("#in-view-heading").click()
    expect(page.locator("#in-view-wall .card:not(.waiting)").first).to_be_visible()


def looking(page):
    results(page)
    page.locator("#wall .card a.well").nth(2).focus()
    page.keyboard.press("Space")
    expect(page.locator("#look-facts")).to_contain_text("Pixels")


def grouped(page):
    page.goto("/duplicates")
    slider = page.get_by_role("slider", name="How near")
    expect(slider).to_be_enabled()
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator(".group").first).to_be_visible()


def lost(page):
    page.goto("/nothing/here")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()


MAIN = [looking, grouped, browsing, results, compared, rating, mapped]
STATES = [
    *MAIN, lost, picking,
    *(pytest.param(state, marks=pytest.mark.long)
      for state in (forgotten, nothing_chosen, naming, rated_all, listed)),
]  # fmt: skip


def audit(page, pictures, looked_at, audited):
    """Take pictures, and look that nothing sticks out and, in some of them, that axe-core finds nothing."""
    found = {}
    for width, scheme in looked_at:
        page.set_viewport_size({"width": width, "height": SIZES[width]})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=f"{pictures}-{width}-{scheme}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if (width, scheme) in audited:
            for violation in axe_of.Axe().run(page, options=RULES).response["violations"]:
                found[width, scheme, violation["id"]] = [node["html"] for node in violation["nodes"]]
    assert not found


@pytest.mark.parametrize("audited", [AUDITED, pytest.param(EVERYWHERE, marks=pytest.mark.long)])
@pytest.mark.parametrize("state", STATES)
def test_each_page_fits_and_passes_axe(open_page, watch, tmp_path, state, audited):
    watch.expected += ["/nothing/here", "/api/uploads/", "upload=", "/api/ratings/question"]
    page = open_page("/compare", width=400)
    state(page)
    audit(page, tmp_path / state.__name__, EVERYWHERE if state in MAIN else AUDITED, audited)


@pytest.mark.parametrize(("width", "columns"), [(400, 2), (1280, 5), (2560, 10)])
def test_a_wider_window_has_more_columns(open_page, width, columns):
    page = open_page("/", width=width, height=900)
    expect(page.locator("#wall .card:not(.waiting)").first).to_be_visible()
    lefts = "new Set([...document.querySelectorAll('#wall .card')].map(c => c.getBoundingClientRect().left))"
    assert page.evaluate(f"{lefts}.size") == columns
    # The picture that is fetched is the smallest that is sharp.
    side = page.evaluate("document.querySelector('#wall img').clientWidth")
    assert side <= 320
    expect(page.locator("#wall img").first).not_to_have_js_property("naturalWidth", 0)
    assert page.evaluate("document.querySelector('#wall img').currentSrc").endswith("size=320")
