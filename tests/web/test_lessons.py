"""Learning on the page: from the ratings, seen at once by searches and uploads, and taken back."""

import numpy as np
import pytest

from deep_ranking.ratings import RatingStore
from deep_ranking.ratings.store import ratings_file
from deep_ranking.search import Index


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


def test_a_search_changes_and_is_taken_back(client, rate, images):
    image = client.get("/api/images").json()["items"][0]["id"]
    before = nearest(client, image)
    lesson = client.get("/api/lesson").json()
    assert (lesson["answers"], lesson["learned"], lesson["first_model"]) == (0, None, 50)
    rate(120)
    assert client.get("/api/lesson").json()["answers"] >= 100
    learned = client.post("/api/lesson").json()
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
        refused = client.post("/api/lesson")
        assert refused.status_code == 409
        assert f"found {count}" in refused.json()["detail"]


def test_another_site_cannot_let_it_learn(client):
    assert client.post("/api/lesson", headers={"Origin": "https://elsewhere.example"}).status_code == 403
