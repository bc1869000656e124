"""Comparing two images: chosen from the index, uploaded, or come to from a search."""

import re

from playwright.sync_api import expect


def test_two_images_of_the_index(open_page):
    page = open_page("/compare")
    for ordinal, card in (("first", 0), ("second", 12)):
        page.get_by_role("button", name=f"Choose the {ordinal} image from the index").click()
        expect(page.locator("#picker")).to_be_visible()
        page.locator("#picker-wall .card button").nth(card).click()
        expect(page.locator("#picker")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/compare\?a=\d+&b=\d+$"))
    expect(page.locator("#standing")).to_have_text(re.compile(r"Closer than \d+\.\d% of pairs\."))
    distance = page.locator("#distance").inner_text()
    histogram = page.get_by_role("img", name=re.compile(r"^Histogram of [\d,]+ distances"))
    expect(histogram).to_be_visible()
    expect(histogram.locator(".mark-text")).to_have_text(distance)
    # The mark parts the bars: blue to its left, grey to its right.
    mark = float(histogram.locator(".mark").get_attribute("x1"))
    for kind, beyond in ((".bar-near", lambda left: left <= mark), (".bar-far", lambda left: left >= mark)):
        lefts = [float(bar.get_attribute("x")) for bar in histogram.locator(kind).all()]
        assert lefts
        assert all(map(beyond, lefts))

    before = page.url
    page.get_by_role("button", name="Swap the two images").click()
    a, b = re.findall(r"\d{2,}", before.split("?")[1])
    expect(page).to_have_url(re.compile(rf"a={b}&b={a}$"))
    expect(page.locator("#distance")).to_have_text(distance)
    page.go_back()
    expect(page).to_have_url(before)


def test_an_upload_and_its_copy_are_at_no_distance(open_page, a_picture):
    page = open_page("/compare")
    for ordinal in ("first", "second"):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name=f"Choose a file as the {ordinal} image").click()
        chooser.value.set_files(a_picture)
        expect(page.locator(f"#slot-{'ab'[ordinal == 'second']} img")).to_be_visible()
    expect(page.locator("#standing")).to_contain_text("Closer than 100.0% of pairs")
    assert float(page.locator("#distance").inner_text()) < 1e-3


def test_a_result_is_compared_with_the_query(open_page):
    page = open_page()
    page.locator("#wall .card a").first.click()
    expect(page.locator("#count")).to_contain_text("of 79")
    card = page.locator("#wall .card").nth(4)
    distance = card.locator(".distance").inner_text()
    card.hover()
    card.get_by_role("link", name=re.compile("with the query")).click()
    expect(page.locator("#distance")).to_have_text(distance)


def test_the_picker_closes_with_escape_and_filters_by_label(open_page):
    page = open_page("/compare")
    button = page.get_by_role("button", name="Choose the first image from the index")
    button.click()
    page.locator("#picker-label").select_option("wave")
    expect(page.locator("#picker-wall .card").first).to_contain_text("wave")
    expect(page.locator("#picker-wall .card").first).to_have_attribute("aria-setsize", "10")
    page.keyboard.press("Escape")
    expect(page.locator("#picker")).to_be_hidden()
    expect(button).to_be_focused()


def test_a_forgotten_upload_says_what_to_do(open_page, watch):
    watch.expected += ["/api/uploads/", "/api/compare"]
    page = open_page("/compare?a=upload:00000000000000000000000000000000")
    first = page.request.get("/api/images?limit=1").json()["items"][0]["id"]
    page.goto(f"/compare?a=upload:00000000000000000000000000000000&b={first}")
    expect(page.locator("#notice")).to_contain_text("Choose or drop the file again")


def test_an_image_that_is_gone_leaves_the_ways_to_choose_another(open_page, watch):
    watch.expected += ["/api/images/1"]
    page = open_page("/compare?a=1")
    expect(page.locator("#notice")).to_contain_text("Not found")
    for which in ("first", "second"):
        expect(page.get_by_role("button", name=f"Choose the {which} image from the index")).to_be_visible()


def test_the_distance_is_there_at_once_and_its_standing_when_it_is_known(open_page):
    page = open_page("/rate")
    one, other = (image["id"] for image in page.request.get("/api/images?limit=2").json()["items"])
    told = {
        "a": {"image": None, "upload": None},
        "b": {"image": None, "upload": None},
        "distance": 0.5,
        "closer_than": None,
        "histogram": None,
    }
    page.route("**/api/compare?*", lambda route: route.fulfill(json=told))
    page.goto(f"/compare?a={one}&b={other}")
    expect(page.locator("#distance")).to_have_text("0.500000")
    expect(page.locator("#standing")).to_contain_text("being measured")
    spread = {"edges": [0, 1, 2], "counts": [1, 9_999], "pairs": 10_000}
    for share, words in (
        (0.9996, "all but 4 of 10,000 pairs."),
        (0.0003, "3 of 10,000 pairs."),
        (0.25, "25.0% of pairs."),
        (1, "100.0% of pairs."),
    ):
        told |= {"closer_than": share, "histogram": spread}
        if words[0] != "a":  # the first comes by itself
            page.reload()
        expect(page.locator("#standing")).to_have_text(f"Closer than {words}")
