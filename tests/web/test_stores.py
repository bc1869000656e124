"""The page over an index on a server, and over shards."""

import json

import pytest
from served import made, make_index
from waiting import wait_until

from deep_ranking.cli import main
from deep_ranking.search import Index
from deep_ranking.web import gallery as galleries


@pytest.fixture(params=["postgres", pytest.param("sharded", marks=pytest.mark.long)])
def place(request):
    return request.getfixturevalue(f"{request.param}_places")()


def test_it_searches_as_over_a_folder_and_sees_what_is_written(
    make_client, place, index, images, embedder, tmp_path, monkeypatch
):
    monkeypatch.setattr(galleries, "APPROXIMATE_FROM", 1)
    ratings = tmp_path / "kept" / "ratings.sqlite"
    ratings.parent.mkdir()
    make_index(place, images, embedder)
    over_folder = make_client(index, embedder, request_seconds=300.0)
    over_store = make_client(place, embedder, ratings=ratings, request_seconds=300.0)
    for question in ("/api/images?limit=100", "/api/map"):
        assert made(over_store, question) == made(over_folder, question)
    listed = over_store.get("/api/images").json()["items"]
    for asked in (
        {"image": listed[0]["id"], "top": 5, "bottom": 2},
        {"image": listed[1]["id"], "top": 100, "exact": "false"},
        {"path": listed[2]["path"], "label": listed[2]["label"]},
    ):
        one, other = (c.get("/api/search", params=asked).json() for c in (over_folder, over_store))
        for side in ("results", "bottom"):
            assert [hit["image"] for hit in one[side]] == [hit["image"] for hit in other[side]]
            distances = [hit["distance"] for hit in one[side]]
            assert [hit["distance"] for hit in other[side]] == pytest.approx(distances, rel=1e-5, abs=1e-6)
        assert one["total"] == other["total"]
    assert over_store.get(f"/api/images/{listed[0]['id']}/thumbnail?size=160").status_code == 200
    assert {path.name for path in ratings.parent.iterdir()} >= {"ratings.sqlite", "cache"}

    site = over_store.app.state.site
    monkeypatch.setattr(site._gallery, "_seconds", 0.0)
    with Index.open(place) as writer:
        writer.remove([listed[0]["path"]])
    wait_until(
        lambda: over_store.get("/api/index").json()["images"] == len(listed) - 1, "one image less is served"
    )
    assert over_store.get("/api/search", params={"path": listed[0]["path"]}).status_code == 404


def test_without_a_place_for_ratings_it_says_what_is_missing(place, images, embedder, capsys):
    make_index(place, images, embedder)
    for command in (["serve", "--port", "0"], ["ratings", "summary"]):
        assert main([*command, "--store", place]) == 1
        error = capsys.readouterr().err
        assert "expected --ratings FILE, where ratings are kept" in error


def test_ratings_are_counted(make_client, place, images, embedder, tmp_path, capsys):
    ratings = tmp_path / "ratings.sqlite"
    make_index(place, images, embedder)
    client = make_client(place, embedder, ratings=ratings)
    question = client.get("/api/ratings/question?rater=Ann").json()
    answer = {"rater": "Ann", "answer": "a"} | {k: question[k]["id"] for k in ("query", "a", "b")}
    assert client.post("/api/ratings", json=answer).status_code == 201
    assert main(["ratings", "summary", "--store", place, "--ratings", str(ratings), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unanimous"] == 1
