"""Learning on the page: from the ratings, seen at once by searches and uploads, and taken back."""

import threading

import numpy as np
import pytest
from waiting import PATIENCE, wait_until

from deep_ranking.ratings import RatingStore
from deep_ranking.ratings.store import ratings_file
from deep_ranking.search import Index
from deep_ranking.web.routes import lessons


@pytest.fixture
def rate(index):
    """Give a function that answers questions by the first three coordinates, the colour at a corner."""

    def rate(count):
        with Index.open(index) as opened, RatingStore(ratings_file(index, None)) as store:
            snapshot, rng = opened.snapshot, np.random.default_rng(0)
            for _ in range(count):
                q, a, b = rng.choice(len(snapshot), 3, replace=False)
                near, far = (np.linalg.norm((snapshot.matrix[q] - snapshot.matrix[x])[:3]) for x in (a, b))
                names = (snapshot.images[row].path for row in (q, a, b))
                store.add(f"Ann {rng.integers(1e9)}", *names, "a" if near < far else "b")

    return rate


def nearest(client, image):
    found = client.get("/api/search", params={"image": image, "top": 29}).json()["results"]
    return [result["image"]["id"] for result in found]


def learn(client):
    """Learn, and wait for what it comes to."""
    began = client.post("/api/lesson")
    if began.status_code != 202:
        return began
    return wait_until(
        lambda: (told := client.get("/api/lesson/outcome")).status_code != 202 and told, "it has learned"
    )


def test_a_search_changes_and_is_taken_back(client, rate, images):
    image = client.get("/api/images").json()["items"][0]["id"]
    before = nearest(client, image)
    lesson = client.get("/api/lesson").json()
    assert (lesson["answers"], lesson["learned"], lesson["first_model"]) == (0, None, 50)
    rate(120)
    assert client.get("/api/lesson").json()["answers"] >= 100
    learned = learn(client).json()
    assert learned["better"]
    assert learned["learned"]["gain"] > 0
    assert learned["before"] != learned["after"]
    assert sorted(nearest(client, image)) == sorted(before)
    assert nearest(client, image) != before
    # A picture of the index that is uploaded is where it is in the index.
    file = next(path for path in sorted(images.rglob("*.png")))
    upload = client.post("/api/uploads", files={"file": ("a.png", file.read_bytes())}).json()["upload"]
    found = client.get("/api/search", params={"upload": upload, "top": 1}).json()["results"][0]
    assert found["distance"] < 1e-3
    again = client.delete("/api/lesson").json()
    assert again["learned"] is None
    assert nearest(client, image) == before


def test_what_cannot_be_learned_from_is_said(client, rate):
    for count in (0, 3):
        rate(count)
        refused = learn(client)
        assert refused.status_code == 409
        assert f"found {count}" in refused.json()["detail"]


def test_another_site_cannot_let_it_learn(client):
    assert client.post("/api/lesson", headers={"Origin": "https://elsewhere.example"}).status_code == 403


def test_what_takes_long_goes_on_behind_is_told_to_everyone_and_is_done_once(client, rate, monkeypatch):
    assert client.get("/api/lesson/outcome").status_code == 404
    rate(120)
    go_on, began, teach = threading.Event(), [], lessons.teach

    def slow(*args):
        began.append(args)
        assert go_on.wait(PATIENCE)
        return teach(*args)

    monkeypatch.setattr(lessons, "teach", slow)
    monkeypatch.setattr(lessons, "_WAITS", 0.0)
    for _ in range(2):  # two tabs
        asked = client.post("/api/lesson")
        assert (asked.status_code, asked.json()["learning"]) == (202, True)
    assert client.get("/api/lesson").json()["learning"]
    assert client.get("/api/lesson/outcome").status_code == 202
    refused = client.delete("/api/lesson")
    assert (refused.status_code, "when that is done" in refused.json()["detail"]) == (409, True)
    go_on.set()
    learned = wait_until(
        lambda: (told := client.get("/api/lesson/outcome")).status_code == 200 and told, "it has learned"
    )
    assert learned.json()["better"]
    assert learned.json()["learned"] == client.get("/api/lesson").json()["learned"]
    assert not client.get("/api/lesson").json()["learning"]
    assert len(began) == 1
    assert client.delete("/api/lesson").json()["learned"] is None
    assert client.get("/api/lesson/outcome").status_code == 404  # it is told to nobody any more


def test_what_fails_is_told_and_can_be_tried_again(client, rate, monkeypatch, caplog):
    rate(120)
    with monkeypatch.context() as broken:
        broken.setattr(lessons, "teach", lambda *_: 1 // 0)
        refused = learn(client)
    assert refused.status_code == 409
    assert "log says more" in refused.json()["detail"]
    wait_until(lambda: "ZeroDivisionError" in caplog.text, "the log")  # written after whoever waits is told
    assert learn(client).json()["better"]
