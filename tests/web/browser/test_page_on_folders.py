"""Every page on folders as they come: flat and unlabelled, small, empty, with files gone or damaged.

At three widths, light and dark: no console error, nothing that sticks out, nothing that axe-core finds, and
all of it within reach of the keyboard.
"""

import shutil
import threading
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import expect
from proxies import free_port
from served import PixelEmbedder, make_index, picture
from test_page_screens import AUDITED, EVERYWHERE, audit
from waiting import PATIENCE, wait_until

from deep_ranking.search import Index
from deep_ranking.web import Settings, create_app

PAGES = ["list", "results", "look", "duplicates", "near", "compare", "rate", "map", "in_view"]


@contextmanager
def serving(index, embedder):
    """Serve an index in this process."""
    config = uvicorn.Config(create_app(Settings(index=index), embedder), port=free_port(), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server has started")
    yield f"http://127.0.0.1:{config.port}"
    server.should_exit = True
    thread.join(PATIENCE)


@pytest.fixture(
    scope="module",
    params=[
        "flat",
        "empty",
        "gone",
        *(pytest.param(kind, marks=pytest.mark.long) for kind in ("two", "unreadable", "damaged")),
    ],
)
def place(request, tmp_path_factory):
    """Serve one kind of folder: its name, its address, and how many images it has."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    images, count = folder / "photos", {"two": 2, "empty": 0}.get(kind, 30)
    images.mkdir()
    for number in range(count):
        picture(str(number // 2 if number < 4 else number), 400, 300).save(images / f"{number:03}.png")
    if count:
        make_index(folder / "index", images, PixelEmbedder())
    else:
        Index.create(folder / "index", 12, "pixels").close()
    if kind == "gone":
        shutil.rmtree(images)
    if kind == "unreadable":
        for path in images.iterdir():
            path.write_bytes(b"no picture")
    with serving(folder / "index", PixelEmbedder() if kind != "empty" else None) as address:
        if kind == "damaged":  # while it is served: what was read goes on
            store = folder / "index" / "store.sqlite"
            store.unlink()
            store.write_bytes(b"no index" * 1000)
        yield kind, address, count


def ids(page, address):
    return [image["id"] for image in page.request.get(f"{address}/api/images").json()["items"]]


def go(page, address, name, count):
    """Open a state of the page, whatever the folder is, and wait until it is there."""
    told = page.locator("#notice h2")
    if name in ("list", "results", "look"):
        few = count < 2 or name == "list"
        page.goto(f"{address}/" + ("" if few else f"?image={ids(page, address)[5 % count]}&bottom=6"))
        expect(page.locator("#wall .card:not(.waiting)").first if count else told).to_be_visible()
        if name == "look" and count:
            page.locator("#wall .card a.well").first.focus()
            page.keyboard.press("Space")
            expect(page.locator("#look-facts")).to_contain_text("Path")
    elif name in ("duplicates", "near"):
        page.goto(f"{address}/duplicates")
        expect(page.locator(".group, #notice h2").first).to_be_visible()
        if name == "near" and count > 2:
            slider = page.get_by_role("slider", name="How near")
            expect(slider).to_be_enabled()
            slider.focus()
            page.keyboard.press("End")
            expect(page.locator("#meaning")).to_contain_text("perhaps no copy")
            expect(page.locator(".group").first).to_be_visible()
    elif name == "compare":
        query = "?a={}&b={}".format(*ids(page, address)[:2]) if count else ""
        page.goto(f"{address}/compare{query}")
        expect(page.locator("#histogram svg") if count else told).to_be_visible()
    elif name == "rate":
        page.goto(f"{address}/rate")
        if count > 2:
            page.get_by_label("Your name").fill("Ann")
            page.keyboard.press("Enter")
        expect(page.locator("#question") if count > 2 else told).to_be_visible()
    else:
        page.goto(f"{address}/map")
        expect(page.locator("#legend li").first if count else told).to_be_visible()
        if name == "in_view" and count:
            page.locator("#in-view-heading").click()
            expect(page.locator("#in-view-wall .card:not(.waiting)").first).to_be_visible()


@pytest.fixture
def page(browser):
    """A page in a window of its own, that fails the test on an error or warning in the console."""
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * PATIENCE)
    page, complaints = context.new_page(), []
    page.on(
        "console", lambda told: told.type in ("error", "warning") and complaints.append((told.text, page.url))
    )
    page.on("pageerror", lambda error: complaints.append((str(error), page.url)))
    yield page
    context.close()
    assert complaints == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("audited", [AUDITED[:1], pytest.param(EVERYWHERE, marks=pytest.mark.long)])
def test_each_page_on_each_kind_of_folder(place, page, tmp_path, name, audited):
    kind, address, count = place
    go(page, address, name, count)
    audit(page, tmp_path / f"{kind}-{name}", audited, audited)


FOCUSABLE = "a[href], button:enabled, input:enabled, select:enabled, summary, [tabindex='0']"
MARK = """(all) => {
    const top = document.querySelector("dialog[open]") ?? document;
    const visible = (one) => one.checkVisibility({ visibilityProperty: true });
    const seen = [...top.querySelectorAll(all)].filter(visible);
    seen.forEach((one, i) => (one.dataset.tab = i));
    return seen.map((one) => one.outerHTML.slice(0, 120));
}"""
NOW = """() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return [document.activeElement.dataset.tab ?? null, outlineStyle !== "none" && outlineWidth !== "0px"];
}"""


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_everything(place, page, name):
    kind, address, count = place
    if kind not in ("flat", "empty"):
        pytest.skip("one with images and one without are enough")
    go(page, address, name, count)
    wanted = dict(enumerate(page.evaluate(MARK, FOCUSABLE)))
    page.evaluate("document.activeElement.blur()")
    unseen = []
    for _ in range(3 * len(wanted) + 10 * count + 20):  # a wall makes more cards as one goes through it
        if not wanted:
            break
        page.keyboard.press("Tab")
        number, shown = page.evaluate(NOW)
        if number is not None and not shown:
            unseen.append(wanted.get(int(number)))
        wanted.pop(-1 if number is None else int(number), None)
    assert wanted == {}
    assert unseen == []


def test_what_is_gone_is_said_once_and_shown_as_gone(place, page):
    kind, address, _ = place
    if kind not in ("gone", "unreadable"):
        pytest.skip("of files that are gone")
    page.goto(f"{address}/")
    expect(page.locator("#wall .card img").first).not_to_have_js_property("naturalWidth", 0)
    if kind == "gone":
        expect(page.locator("#notice")).to_contain_text("The folder of images cannot be opened")
    page.goto(f"{address}/duplicates")
    expect(page.locator("#notice")).to_contain_text("The files of 30 images are gone or have changed")


def test_a_flat_folder_has_one_line_a_result(place, page):
    """Its name, with the rank before it and the distance after: there is no folder to tell below."""
    kind, address, count = place
    if kind != "flat":
        pytest.skip("of a flat folder")
    go(page, address, "results", count)
    card = page.locator("#wall .card").nth(1)
    expect(card.locator(".line:visible")).to_have_count(1)
    assert card.locator(".line").first.inner_text().split()[0] == "#2"
    expect(page.locator("#facts")).to_have_text("photos")  # the number of images stands once, at the list
