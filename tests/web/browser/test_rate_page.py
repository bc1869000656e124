"""Rating closes the loop: rate on the page, export, train."""

import re
import sqlite3

import numpy as np
import pytest
from playwright.sync_api import expect

from deep_ranking.ratings import RatingStore
from deep_ranking.search import Index

ANSWERS = ["3", "4", "3", "1", "4", "2", "3", "4", "4", "3"]  # eight of ten prefer one


@pytest.fixture(autouse=True)
def _no_ratings(served):
    with sqlite3.connect(served.index / "ratings.sqlite") as database:
        database.execute("DELETE FROM ratings")
    database.close()


def rated(page, number):
    expect(page.locator("#progress-text")).to_contain_text(f"{number} rated")


def shown(page):
    parts = ("query", "a", "b")
    return [page.locator(f"#picture-{part} img").get_attribute("src") for part in parts]


def test_ten_triplets_are_rated_exported_and_trained_on(open_page, served, run, tmp_path):
    page = open_page("/rate")
    page.get_by_label("Your name").fill("Ada")
    page.keyboard.press("Enter")
    rated(page, 0)
    seen = []
    for number, key in enumerate(ANSWERS, 1):
        seen.append(shown(page))
        if number % 2:
            page.keyboard.press(key)
        else:
            page.locator(".answers button").nth(int(key) - 1).click()
        rated(page, number)
        if number == 4:  # think again
            page.keyboard.press("u")
            rated(page, 3)
            assert shown(page) == seen[-1]
            expect(page.get_by_role("button", name="Both similar")).to_have_class(re.compile("given"))
            page.keyboard.press("1")
            rated(page, 4)
    assert len({tuple(question) for question in seen}) == 10
    expect(page.locator("#summary")).to_have_text("1 rater, 10 triplets: 8 unanimous, 0 disputed")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the triplets").click()

    exported = run("ratings", "export", "--index", served.index, "--output", tmp_path / "rated.txt")
    assert exported.returncode == 0, exported.stderr
    lines = (tmp_path / "rated.txt").read_text().splitlines()
    assert len(lines) == 8
    assert download.value.path().read_text().splitlines() == lines
    # The first answer was A: it is the positive, and B the negative.
    known = page.request.get("/api/images?limit=500").json()["items"]
    path_of = {str(image["id"]): image["path"] for image in known}
    query, a, b = (path_of[re.search(r"images/(\d+)/", source)[1]] for source in seen[0])
    assert f"{query},{a},{b}" in lines

    trained = run(
        "train.py", "--dataset", served.dataset, "--triplets", tmp_path / "rated.txt", "--backbone", "simple",
        "--weights", "none", "--image_size", 32, "--epochs", 1, "--batch_size", 24, "--quiet",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "deepranking.h5").is_file()


def test_the_name_is_kept_and_can_be_changed(open_page):
    page = open_page("/rate")
    page.get_by_label("Your name").fill("Grace")
    page.get_by_role("button", name="Start").click()
    rated(page, 0)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("3")
    rated(page, 1)
    page.reload()
    rated(page, 1)
    expect(page.locator("#rater-name")).to_have_text("Grace")
    page.get_by_role("button", name="not you?").click()
    page.get_by_label("Your name").fill("Katherine 1234")  # its digits are no answers
    page.keyboard.press("Enter")
    rated(page, 0)
    page.get_by_role("button", name="not you?").click()
    page.get_by_label("Your name").fill("Grace")
    page.keyboard.press("Enter")
    rated(page, 1)
    page.get_by_role("button", name="Undo").click()
    rated(page, 0)


def test_the_next_pictures_are_there_before_the_answer(open_page):
    page = open_page("/rate")
    page.get_by_label("Your name").fill("Mary")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("Enter")
    rated(page, 0)
    page.wait_for_load_state("networkidle")
    before = len(asked)
    page.keyboard.press("3")
    rated(page, 1)
    wanted = shown(page)
    assert all(any(source in url for url in asked[:before]) for source in [w.split("?")[0] for w in wanted])


def test_when_all_is_answered_the_page_says_what_comes_next(open_page, watch):
    watch.expected += ["/api/ratings/question"]
    page = open_page("/compare")
    none = {"type": "/problems/no-question-left", "title": "Not Found", "status": 404, "detail": "None."}
    page.route("**/api/ratings/question?*", lambda route: route.fulfill(status=404, json=none))
    page.evaluate("localStorage.setItem('deep-ranking-rater', 'Done')")
    page.goto("/rate")
    expect(page.locator("#notice")).to_contain_text("All questions are answered")
    expect(page.locator("#question")).to_be_hidden()
    expect(page.get_by_role("link", name="Download the triplets")).to_be_hidden()  # nobody has rated


def test_what_is_rated_is_learned_from_and_taken_back(open_page, served, run):
    """The loop without a reload: four answers, then many of others, and a search before and after."""
    page = open_page("/rate")
    page.get_by_label("Your name").fill("Ada")
    page.keyboard.press("Enter")
    rated(page, 0)
    for number in range(1, 4):  # a click, an arrow, a key
        {
            1: page.locator("#picture-a").click,
            2: lambda: page.keyboard.press("ArrowRight"),
            3: lambda: page.keyboard.press("3"),
        }[number]()
        rated(page, number)
    button = page.locator("#learn")
    expect(button).to_have_text("Learn from 3 answers")
    expect(button).to_be_disabled()
    expect(page.locator("#lesson-text")).to_contain_text("From 10 answers")
    images = page.request.get("/api/images?limit=500").json()["items"]
    answers_of_others(served, 120)
    page.keyboard.press("ArrowLeft")
    rated(page, 4)
    expect(button).to_be_enabled()
    query = images[0]["id"]

    def order():
        found = page.request.get(f"/api/search?image={query}&top=60").json()["results"]
        return [result["image"]["id"] for result in found]

    before = order()
    try:
        button.click()
        expect(page.locator("#lesson-text")).to_contain_text("ranked right before")
        expect(page.locator("#lesson-search ol")).to_have_count(2)
        expect(page.locator("#lesson-search ol").first.locator("img")).to_have_count(8)
        assert order() != before
        page.get_by_role("button", name="Take back").click()
        expect(page.locator("#lesson-text")).to_contain_text("Search can learn")
        expect(page.locator("#lesson-search")).to_be_hidden()
        assert order() == before
    finally:
        run("learn", served.index, "--undo")


def answers_of_others(served, count):
    """Answer as somebody to whom one number of the vectors is all that counts."""
    rng = np.random.default_rng(0)
    with Index.open(served.index) as index, RatingStore(served.index / "ratings.sqlite") as store:
        snapshot = index.snapshot
        axis = snapshot.matrix.std(axis=0).argmax()
        for number in range(count):
            rows = rng.choice(len(snapshot), 3, replace=False)
            q, a, b = (snapshot.images[row].path for row in rows)
            value = snapshot.matrix[rows][:, axis]
            store.add(
                f"Other {number}",
                q,
                a,
                b,
                "a" if abs(value[0] - value[1]) < abs(value[0] - value[2]) else "b",
            )


def test_a_question_that_was_fetched_ahead_and_is_answered_meanwhile_is_not_asked_again(open_page):
    """As may come after an answer was taken back: which question is next follows from the answers."""
    page = open_page("/rate")

    def the_one_shown(route):
        route.fulfill(response=route.fetch(url=route.request.url.replace("skip=1", "skip=0")))

    page.route("**/api/ratings/question?*skip=1*", the_one_shown)
    page.get_by_label("Your name").fill("Eve")
    page.keyboard.press("Enter")
    rated(page, 0)
    seen = []
    for number in range(1, 4):
        seen.append(tuple(shown(page)))
        page.keyboard.press("3")
        rated(page, number)
    page.unroute_all(behavior="wait")  # one may be under way, whose answer would be gone with the page
    assert len(set(seen)) == 3
