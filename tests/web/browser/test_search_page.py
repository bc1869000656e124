"""Looking for images: upload, click through, back, filter, keys, and what is said when something fails."""

import base64
import re

from playwright.sync_api import TimeoutError as NotYet
from playwright.sync_api import expect
from waiting import wait_until

CARDS = "#wall .card:not(.waiting)"


def test_upload_click_through_and_back(open_page, a_picture):
    page = open_page()
    expect(page.locator("#count")).to_have_text("80 images")
    page.locator("#file").set_input_files(a_picture)
    expect(page).to_have_url(re.compile(r"/\?upload=[0-9a-f]+$"))
    uploaded = page.url
    expect(page.locator(CARDS)).to_have_count(24)
    # The same file is in the index: it is its own nearest image.
    first = page.locator(CARDS).first
    expect(first.locator(".name")).to_have_text(a_picture.name)
    expect(first.locator(".rank")).to_have_text("#1")
    assert float(first.locator(".distance").inner_text()) < 1e-3
    expect(page.locator("#live")).to_contain_text("24 of 80 images")

    page.locator(CARDS).nth(3).locator("a").first.click()
    expect(page).to_have_url(re.compile(r"/\?image=\d+$"))
    expect(page.locator("#query-well img")).to_have_attribute("alt", re.compile("^Query: "))
    expect(page.locator("#count")).to_contain_text("24 of 79 images")
    expect(page.locator("#heading")).to_be_focused()  # what was clicked is gone
    image = page.url
    page.go_back()
    expect(page).to_have_url(uploaded)
    expect(page.locator(CARDS).first.locator(".name")).to_have_text(a_picture.name)
    page.go_forward()
    expect(page).to_have_url(image)
    expect(page.locator("#count")).to_contain_text("24 of 79 images")
    page.get_by_role("link", name="Clear the query").click()
    expect(page.locator("#count")).to_have_text("80 images")


def test_the_address_holds_the_whole_query(open_page, served):
    page = open_page()
    page.locator(CARDS).first.locator("a").first.click()
    page.locator("#top").select_option("12")
    page.locator("#bottom").select_option("6")
    page.get_by_role("checkbox", name="star").check()
    page.get_by_role("checkbox", name="leaf").check()
    expect(page.locator("#count")).to_contain_text("12 of 20 images")
    expect(page.locator("#bottom-wall .card")).to_have_count(6)
    expect(page.locator("#chips li")).to_have_count(2)
    names = page.locator(f"{CARDS} .name").all_inner_texts()
    assert {name.split("_")[0] for name in names} <= {"star", "leaf"}
    # Farthest first, and none nearer than the last of the nearest.
    far = [float(text) for text in page.locator("#bottom-wall .distance").all_inner_texts()]
    assert far == sorted(far, reverse=True)
    assert far[-1] >= float(page.locator(f"{CARDS} .distance").last.inner_text())

    shared = open_page(page.url.removeprefix(served.address))
    expect(shared.locator("#count")).to_contain_text("12 of 20 images")
    assert shared.locator(f"{CARDS} .name").all_inner_texts() == names
    expect(shared.get_by_role("checkbox", name="leaf")).to_be_checked()
    shared.get_by_role("link", name="Take away the label star").click()
    expect(shared.locator("#count")).to_contain_text("10 of 10 images")
    shared.go_back()
    expect(shared.locator("#chips li")).to_have_count(2)


def test_an_image_is_dropped_pasted_or_dragged_from_the_page(open_page, a_picture):
    page = open_page()
    expect(page.locator("#count")).to_have_text("80 images")
    transfer = page.evaluate_handle(
        """(text) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "mine.png", { type: "image/png" }));
            return transfer;
        }""",
        base64.b64encode(a_picture.read_bytes()).decode(),
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#veil")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page).to_have_url(re.compile(r"\?upload="))
    expect(page.locator("#veil")).to_be_hidden()
    expect(page.locator(CARDS).first.locator(".name")).to_have_text(a_picture.name)

    page.goto("/")
    expect(page.locator("#count")).to_have_text("80 images")
    transfer = page.evaluate_handle(
        """(text) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "mine.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        base64.b64encode(a_picture.read_bytes()).decode(),
    )
    expect(page).to_have_url(re.compile(r"\?upload="))
    expect(page.locator("#count")).to_contain_text("24 of 80 images")  # the cards of before have gone
    for _ in range(5):  # Playwright forgoes a drag whose dragstart comes a moment after the mouse's move
        page.locator(CARDS).nth(2).locator("a").first.drag_to(page.locator("#query-well"))
        try:
            page.wait_for_url(re.compile(r"\?image="), timeout=5000)
            break
        except NotYet:
            continue
    expect(page).to_have_url(re.compile(r"\?image="))


def test_a_phone_can_photograph(open_page, a_picture):
    page = open_page(width=400, height=800, has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photo").tap()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    chooser.value.set_files(a_picture)
    expect(page).to_have_url(re.compile(r"\?upload="))
    page.get_by_text("Options").tap()
    page.get_by_role("checkbox", name="ring").check()
    expect(page.locator("#count")).to_contain_text("10 of 10 images")


def test_the_keyboard_goes_through_the_grid(open_page):
    page = open_page()
    expect(page.locator(CARDS).first).to_be_visible()
    expect(page.locator("#count")).to_have_text("80 images")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.locator(CARDS).first.locator("a").first.focus()
    focused = "place => document.activeElement?.closest('li')?.getAttribute('aria-posinset') === place"
    columns = page.evaluate(
        "new Set([...document.querySelectorAll('#wall .card')].map(c => c.getBoundingClientRect().left)).size"
    )
    for key, expected in (
        ("ArrowRight", 2),
        ("ArrowDown", 2 + columns),
        ("ArrowLeft", 1 + columns),
        ("End", 80),
        ("Home", 1),
    ):
        page.keyboard.press(key)
        page.wait_for_function(focused, arg=str(expected))  # the grid moves the focus a moment later
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?image="))


def test_the_keyboard_stays_where_a_picture_comes_late(open_page):
    """What stands in for it has the focus until then; where the focus is lost, the next key does nothing."""
    page = open_page(height=500)
    expect(page.locator(CARDS).first).to_be_visible()
    held = []
    page.route("**/api/images?*", lambda route: held.append(route))
    page.locator(CARDS).first.locator("a").first.focus()
    page.keyboard.press("End")
    expect(page.locator(".card.waiting[aria-posinset='80']")).to_be_focused()
    wait_until(lambda: page.wait_for_timeout(10) or held, "the page is asked for")
    for route in held:
        route.continue_()
    expect(page.locator(".card:not(.waiting)[aria-posinset='80'] a").first).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator("[aria-posinset='1'] a").first).to_be_focused()


def test_going_back_returns_to_the_place_on_the_page(open_page):
    page = open_page(height=500)
    expect(page.locator("#count")).to_have_text("80 images")
    page.evaluate("scrollTo(0, 900)")
    page.locator("[aria-posinset='30'] a").first.click()
    expect(page.locator("#count")).to_contain_text("of 79")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(page.locator("#count")).to_have_text("80 images")
    expect(page.locator("[aria-posinset='30']")).to_be_in_viewport()


def test_refusals_say_what_to_do(open_page, watch, tmp_path):
    watch.expected += ["/api/"]
    page = open_page()
    expect(page.locator("#count")).to_have_text("80 images")
    text = tmp_path / "letter.png"
    text.write_text("no picture")
    page.locator("#file").set_input_files(text)
    expect(page.locator("#notice")).to_contain_text("This is no picture that can be read")
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(33 << 20))
    page.locator("#file").set_input_files(large)
    expect(page.locator("#notice")).to_contain_text("The picture is too large")
    expect(page.locator("#query-text")).to_contain_text("Up to 33 MB")  # and could be known before
    expect(page.locator(CARDS).first).to_be_visible()  # what was there stays

    page.goto("/?upload=0123456789abcdef0123456789abcdef")
    expect(page.locator("#notice")).to_contain_text("The server no longer has this picture")
    expect(page.locator("#notice").get_by_role("button", name="Choose a file")).to_be_visible()
    page.goto("/?image=1")
    expect(page.locator("#notice")).to_contain_text("Not found")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)  # it would find nothing again
    expect(page.locator("#query-text")).to_contain_text("or click any image")
    expect(page.get_by_label("Nearest")).to_be_hidden()
    page.get_by_role("link", name="All images").click()
    expect(page.locator("#count")).to_have_text("80 images")
    expect(page.locator(CARDS).first).to_be_visible()
    page.route("**/api/**", lambda route: route.abort())
    page.locator(CARDS).first.locator("a").first.click()
    expect(page.locator("#notice")).to_contain_text("The server does not answer")
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#count")).to_contain_text("24 of 79 images")


def about(**changed):
    return {
        "name": "shapes",
        "images": 80,
        "dimension": 16,
        "labels": [],
        "uploads": True,
        "approximate": False,
        "model": None,
        "largest_upload": 1 << 20,
        **changed,
    }


def test_without_a_model_uploads_are_off_and_the_page_says_why(open_page, a_picture):
    page = open_page("/rate")
    page.route("**/api/index", lambda route: route.fulfill(json=about(uploads=False)))
    page.goto("/")
    expect(page.locator("#query-text")).to_contain_text("Start deep-ranking serve with --model FILE")
    expect(page.locator("#choose")).to_be_disabled()
    page.locator("#file").set_input_files(a_picture)
    expect(page.locator("#notice")).to_contain_text("Pictures cannot be sent")
    page.locator(CARDS).first.locator("a").first.click()
    expect(page.locator("#count")).to_contain_text("24 of 79 images")


def test_an_empty_index_says_how_to_fill_it(open_page):
    page = open_page("/rate")
    page.route("**/api/index", lambda route: route.fulfill(json=about(images=0)))
    for path in ("/", "/map"):
        page.goto(path)
        expect(page.locator("#notice")).to_contain_text("deep-ranking index FOLDER --index DIR")


def test_among_250_labels_one_is_found(open_page):
    labels = [{"label": f"kind {i:03}", "count": i} for i in range(250)]
    page = open_page("/rate")
    page.route("**/api/index", lambda route: route.fulfill(json=about(labels=labels)))
    page.goto("/")
    expect(page.locator("#labels li")).to_have_count(250)
    page.get_by_role("searchbox", name="Find a label").fill("D 24")
    expect(page.locator("#labels li:visible")).to_have_count(10)
    page.get_by_role("searchbox", name="Find a label").fill("none such")
    expect(page.locator("#labels")).to_contain_text("No label has these letters")


def test_a_hundred_thousand_images_scroll_with_few_cards(open_page, served):
    page = open_page("/rate")
    real = page.request.get("/api/images?limit=1").json()["items"][0]
    asked = []

    def answer(route):
        words = dict(part.split("=") for part in route.request.url.split("?")[1].split("&"))
        offset, limit = int(words["offset"]), int(words["limit"])
        asked.append(offset)
        items = [{**real, "path": f"many/{i}.png"} for i in range(offset, min(offset + limit, 100_000))]
        route.fulfill(json={"total": 100_000, "offset": offset, "limit": limit, "items": items})

    page.route("**/api/images?*", answer)
    page.clock.install(time=0)
    page.goto("/")
    expect(page.locator("#count")).to_have_text("100,000 images")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_text("99999.png")).to_be_visible()
    assert page.locator("#wall .card").count() < 150
    # Through the middle, sixteen milliseconds a frame, pages fly past unasked.
    page.clock.pause_at(3600)
    before = len(asked)
    for frame in range(60):
        page.evaluate(f"scrollTo(0, {frame} * 40_000); dispatchEvent(new Event('scroll'))")
        page.clock.run_for(16)
    assert len(asked) == before
    page.clock.resume()
    expect(page.locator("#wall .card.waiting")).to_have_count(0)
    assert 0 < len(asked) - before < 5
    page.locator("#wall .card a").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('li').getAttribute('aria-posinset')") == "100000"
