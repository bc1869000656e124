"""Looking at a picture, states that tell the truth, several pictures, and the page of duplicates."""

import base64
import re

from playwright.sync_api import expect

CARDS = "#wall .card:not(.waiting)"


def results(page):
    page.locator(CARDS).nth(3).locator("a").first.click()
    expect(page.locator("#count")).to_contain_text("24 of 79 images")
    expect(page.locator("#heading")).to_have_text(re.compile("^Like "))


def test_a_picture_is_looked_at_and_gone_through_by_keys(open_page):
    page = open_page()
    results(page)
    names = page.locator(f"{CARDS} .name").all_inner_texts()
    page.locator(CARDS).nth(2).locator("a").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#look")).to_be_visible()
    expect(page.locator("#look-name")).to_have_text(names[2])
    expect(page.locator("#look-facts")).to_contain_text(re.compile("96 . 96"))
    expect(page.locator("#look-facts")).to_contain_text("rank 3")
    expect(page.locator("#look-image")).to_have_attribute("src", re.compile("/file$"))
    expect(page.locator("#look-image")).to_have_css("object-fit", "scale-down")  # it has 96 pixels, no more
    page.keyboard.press("ArrowRight")
    expect(page.locator("#look-name")).to_have_text(names[3])
    page.keyboard.press("Home")
    expect(page.locator("#look-name")).to_have_text(names[0])
    expect(page.locator("#look-before")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(page.locator("#look")).to_be_hidden()
    expect(page.locator("#wall [aria-posinset='1'] a").first).to_be_focused()
    for wanted in (expect(page.locator("#look")).to_be_visible, expect(page.locator("#look")).to_be_hidden):
        page.keyboard.press("Space")  # the second press closes it, and goes nowhere
        wanted()
    expect(page.locator("#wall [aria-posinset='1'] a").first).to_be_focused()
    page.locator(CARDS).nth(5).locator("a").first.dblclick()
    expect(page.locator("#look-name")).to_have_text(names[5])
    expect(page.locator("#heading")).to_have_text(re.compile("^Like "))  # and nothing was searched
    page.get_by_role("link", name="Search by this").click()
    expect(page.locator("#look")).to_be_hidden()
    expect(page.locator("#heading")).to_have_text(f"Like {names[5]}")


def test_marks_of_both_kinds_are_answers(open_page):
    page = open_page()
    results(page)
    before = page.request.get("/api/ratings").json()["total"]
    page.locator(CARDS).nth(1).locator("a").first.focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="More like this").click()
    expect(page.locator("#look-told")).to_contain_text("Mark one as not similar too")
    page.locator("#look-after").click()
    page.get_by_role("button", name="Not similar").click()
    expect(page.locator("#look-told")).to_contain_text("1 answer kept")
    ratings = page.request.get("/api/ratings?limit=500").json()
    assert ratings["total"] == before + 1
    numbers = [page.locator(f"{CARDS} a.well").nth(i).get_attribute("data-image") for i in (1, 2)]
    last = ratings["items"][-1]
    assert ([str(last["a"]["id"]), str(last["b"]["id"])], last["answer"]) == (numbers, "a")
    page.request.delete("/api/ratings/last?rater=me", headers={"Origin": page.url.rsplit("/", 1)[0]})


def test_old_results_dim_and_stay_when_a_search_fails(open_page, watch):
    watch.expected += ["/api/search"]
    page = open_page()
    results(page)
    address, heading = page.url, page.locator("#heading").inner_text()
    name = page.locator(f"{CARDS} .name").nth(7).inner_text()
    held = []
    page.route("**/api/search?*", lambda route: held.append(route))
    page.locator(CARDS).nth(7).locator("a").first.click()
    expect(page.locator("#found")).to_have_class(re.compile("looking"))
    expect(page.locator("#heading")).to_have_text(f"Looking for images like {name}…")
    expect(page).not_to_have_url(address)
    for route in held:
        route.abort()
    expect(page.locator("#notice")).to_contain_text("The server does not answer")
    expect(page.locator("#heading")).to_have_text(heading)
    expect(page.locator("#found")).not_to_have_class(re.compile("looking"))
    expect(page).to_have_url(address)  # the old query stays the query
    page.unroute("**/api/search?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#heading")).to_have_text(f"Like {name}")


def test_two_dropped_files_are_two_queries(open_page, served):
    page = open_page()
    expect(page.locator("#count")).to_have_text("80 images")
    files = [sorted((served.dataset / kind).iterdir())[0] for kind in ("star", "leaf")]
    transfer = page.evaluate_handle(
        """(texts) => {
            const transfer = new DataTransfer();
            for (const text of texts) {
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                transfer.items.add(new File([bytes], "mine.png", { type: "image/png" }));
            }
            return transfer;
        }""",
        [base64.b64encode(file.read_bytes()).decode() for file in files],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.locator("#heading")).to_have_text("Like these 2 pictures")
    expect(page.locator("#query-well .member")).to_have_count(2)
    assert page.url.count("upload=") == 2
    page.get_by_role("link", name="Take away picture 1").click()
    expect(page.locator("#heading")).to_have_text("Like your picture")
    page.locator(CARDS).nth(4).locator("a").first.focus()
    page.keyboard.press("Space")
    page.get_by_role("link", name="Add to the query").click()
    expect(page.locator("#heading")).to_have_text("Like these 2 pictures")


def test_names_folders_and_the_size_of_pictures(open_page):
    page = open_page()
    expect(page.locator("#count")).to_have_text("80 images")
    page.get_by_role("searchbox", name="Find images").fill("STAR_0")
    expect(page.locator("#heading")).to_have_text("Named “STAR_0”")
    assert {name[:6] for name in page.locator(f"{CARDS} .name").all_inner_texts()} == {"star_0"}
    page.get_by_role("searchbox", name="Find images").fill("no such")
    expect(page.locator("#notice")).to_contain_text("No image is named so")
    page.goto("/?folder=leaf&label=star")
    expect(page.locator("#notice")).to_contain_text("no image in this folder with these labels")
    page.goto("/?folder=leaf")
    expect(page.locator("#count")).to_have_text("10 images")
    page.get_by_role("link", name="Take away the folder leaf").click()
    expect(page.locator("#count")).to_have_text("80 images")
    side = page.locator(f"{CARDS} .well").first.bounding_box()["width"]
    page.get_by_role("slider", name="Size of the pictures").fill("20")
    assert page.locator(f"{CARDS} .well").first.bounding_box()["width"] > 1.3 * side
    page.reload()
    expect(page.locator(CARDS).first).to_be_visible()
    assert page.locator(f"{CARDS} .well").first.bounding_box()["width"] > 1.3 * side


def test_duplicates_come_in_groups_with_a_list(open_page):
    page, known = open_page("/rate"), []
    unknown = {"done": False, "items": []}
    page.route(
        "**/api/duplicates/distances",
        lambda route: route.continue_() if known else route.fulfill(json=unknown),
    )
    page.goto("/duplicates")
    expect(page.locator("#count, #notice h2").filter(has_text=re.compile("group|No dup"))).not_to_have_count(
        0
    )
    slider = page.get_by_role("slider", name="How near")
    expect(slider).to_be_disabled()  # until it is known what there is to choose
    known.append(True)
    expect(slider).to_be_enabled()
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("#within-text")).to_contain_text("of images have another so near")
    expect(page.locator("#meaning")).to_contain_text("perhaps no copy at all")
    expect(page.locator(".group").first).to_be_visible()
    expect(page.locator("#count")).to_have_text(re.compile(r"^\d+ groups? of \d+ images$"))
    verdicts = page.locator(".group").first.locator(".verdict").all_inner_texts()
    assert verdicts[0] == "The others are near this one"
    assert all(re.fullmatch(r"Distance \d\.\d{6}(, and a copy: .+)?", verdict) for verdict in verdicts[1:])
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the list").click()
    assert download.value.path().read_text().startswith("group,keep,path,why")
    page.locator(".group button").first.click()
    expect(page.locator("#look")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".group button").first).to_be_focused()
