"""What the page asks of the API besides the plain lists and searches."""

import csv
import io
import threading

import numpy as np
import pytest
from served import made, make_index
from waiting import PATIENCE, wait_until

from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Index
from deep_ranking.web.behind import Behind, Later


def test_images_are_listed_by_their_numbers_in_the_order_asked(client):
    items = client.get("/api/images").json()["items"]
    wanted = [items[7]["id"], items[2]["id"], items[11]["id"]]
    found = client.get("/api/images", params={"id": wanted}).json()
    assert [image["id"] for image in found["items"]] == wanted
    assert found["total"] == 3
    assert client.get("/api/images", params={"id": [*wanted, 1]}).status_code == 404


def test_a_question_looked_ahead_at_is_the_one_asked_after_the_answer(client):
    def ask(**more):
        question = client.get("/api/ratings/question", params={"rater": "Ann", **more}).json()
        return [question[part]["id"] for part in ("query", "a", "b")]

    ahead = [ask(skip=n) for n in range(4)]
    for expected in ahead:
        query, a, b = ask()
        assert [query, a, b] == expected
        body = {"rater": "Ann", "query": query, "a": a, "b": b, "answer": "both_similar"}
        assert client.post("/api/ratings", json=body).status_code == 201
    undone = client.delete("/api/ratings/last", params={"rater": "Ann"}).json()
    assert undone["answered"] == 3
    assert [undone[part]["id"] for part in ("query", "a", "b")] == ahead[3]


def test_the_largest_upload_is_told_before_it_is_sent(make_client, index, embedder):
    client = make_client(index, embedder, max_upload_bytes=12345)
    assert client.get("/api/index").json()["largest_upload"] == 12345


def test_several_pictures_find_what_is_nearest_to_their_middle(client, index):
    images = client.get("/api/images").json()["items"]
    asked = [images[3], images[11], images[20]]
    found = client.get("/api/search", params={"image": [image["id"] for image in asked], "top": 40}).json()
    assert [query["image"]["id"] for query in found["queries"]] == [image["id"] for image in asked]
    assert found["total"] == len(found["results"]) == 27
    with Index.open(index) as opened:
        snapshot = opened.snapshot
        matrix = snapshot.matrix.astype(float)
        rows = [snapshot.row(image["path"]) for image in asked]
        sums = ((matrix[:, None] - matrix[rows]) ** 2).sum(axis=(1, 2))
        expected = [snapshot.images[row].path for row in np.argsort(sums, kind="stable") if row not in rows]
        distances = np.linalg.norm(matrix - matrix[rows].mean(axis=0), axis=1)
        for result in found["results"]:
            assert result["distance"] == pytest.approx(
                distances[snapshot.row(result["image"]["path"])], abs=1e-6
            )
    # The order by the middle is the order by the sum of squares.
    assert [result["image"]["path"] for result in found["results"]] == expected
    many = client.get("/api/search", params={"image": [image["id"] for image in images[:9]]})
    assert many.status_code == 422


def test_folders_and_names_narrow_what_is_listed_and_found(client):
    about = client.get("/api/index").json()
    assert {one["folder"]: one["count"] for one in about["folders"]} == dict.fromkeys(
        ("cats", "dogs", "élan & <co>"), 10
    )
    listed = client.get("/api/images", params={"folder": "dogs"}).json()
    assert listed["total"] == 10
    assert all(image["path"].startswith("dogs/") for image in listed["items"])
    found = client.get(
        "/api/search", params={"image": listed["items"][0]["id"], "folder": "cats", "bottom": 3}
    )
    assert found.json()["total"] == 10
    both = found.json()["results"] + found.json()["bottom"]
    assert all(result["image"]["path"].startswith("cats/") for result in both)
    named = client.get("/api/images", params={"name": "DOGS/1"}).json()
    assert [image["path"] for image in named["items"]] == [f"dogs/{i} #1?.png" for i in (10, 13, 16, 19)]
    assert client.get("/api/images", params={"name": "no such"}).json()["total"] == 0
    for address in ("/api/images?folder=dog", f"/api/search?image={listed['items'][0]['id']}&folder=../x"):
        assert client.get(address).status_code == 404


def test_an_image_tells_the_size_and_the_time_of_its_file(client, images):
    image = client.get("/api/images").json()["items"][0]
    status = (images / image["path"]).stat()
    assert image["bytes"] == status.st_size
    assert image["modified"] == pytest.approx(status.st_mtime, abs=1e-3)
    large = client.get(f"/api/images/{image['id']}/thumbnail?size=1600")
    assert large.headers["content-type"] == "image/webp"


def test_where_the_folder_lies_is_told_to_this_machine_alone(make_client, index, images):
    assert make_client(index).get("/api/index").json()["folder"] == str(images)
    for settings in ({"host": "0.0.0.0"}, {"public_url": "http://localhost/"}):
        assert make_client(index, **settings).get("/api/index").json()["folder"] is None


def found(client, **more):
    def done():
        answer = client.get("/api/duplicates", params=more).json()
        return answer if answer["done"] else None

    return wait_until(done, "the duplicates are found")


def test_duplicates_are_found_behind_with_the_one_to_keep_and_a_list(make_client, tmp_path, images, embedder):
    first = sorted(images.rglob("*.png"))[0]
    (images / "copy.png").write_bytes(first.read_bytes())
    client = make_client(make_index(tmp_path / "index", images, embedder))
    answer = found(client, within=0)
    expected = {"copy.png", first.relative_to(images).as_posix()}
    [group] = [g for g in answer["items"] if {c["image"]["path"] for c in g["images"]} == expected]
    assert [copy["keep"] for copy in group["images"]] == [True, False]
    assert (group["images"][1]["why"], group["won"]) == ("same bytes", first.stat().st_size)
    assert answer["images"] == sum(len(group["images"]) for group in answer["items"])
    table = client.get("/api/duplicates/export?within=0")
    lines = list(csv.DictReader(io.StringIO(table.text)))
    assert sum(line["keep"] == "yes" for line in lines) == answer["total"]
    assert len(lines) == answer["images"]
    assert (images / "copy.png").exists()
    for wrong in ("within=-1", "within=nan", "within=x", "limit=0"):
        assert client.get(f"/api/duplicates?{wrong}").status_code == 422
    steps = made(client, "/api/duplicates/distances")["items"]
    assert [step["within"] for step in steps] == sorted({step["within"] for step in steps})


def test_what_fails_behind_is_told():
    def fail(made):
        raise DeepRankingError("there is nothing")

    behind = Behind(lambda work: work(), most=2)
    made = behind("key", fail)
    assert (made.done, made.problem, made.value) == (True, "there is nothing", None)
    assert behind("key", fail) is made
    behind("second", fail)
    behind("third", fail)
    assert behind("key", fail) is not made  # the last two are kept


def test_a_page_is_served_before_the_network_is_there(make_client, index, embedder, images):
    may_load, picture = threading.Event(), sorted(images.rglob("*.png"))[0].read_bytes() + b"\0"

    def load():
        may_load.wait(PATIENCE)
        return embedder

    client = make_client(index, Later(load))
    assert client.get("/").status_code == 200
    assert client.get("/api/index").json()["loading"] is True
    sent = threading.Thread(target=lambda: answers.append(send(client, picture)))
    answers = []
    sent.start()
    image = client.get("/api/images").json()["items"][0]["id"]
    assert client.get("/api/search", params={"image": image}).status_code == 200
    may_load.set()
    sent.join(PATIENCE)
    assert [answer.status_code for answer in answers] == [201]
    assert client.get("/api/index").json()["loading"] is False


def send(client, data):
    return client.post("/api/uploads", files={"file": ("a.png", data)})


def test_a_network_that_cannot_be_loaded_is_told(make_client, index, images, capsys):
    def load():
        raise DeepRankingError("model.h5: it is no model")

    client = make_client(index, Later(load))
    wait_until(lambda: not client.get("/api/index").json()["loading"], "it has failed")
    assert client.get("/api/index").json()["uploads"] is False
    refused = send(client, sorted(images.rglob("*.png"))[0].read_bytes() + b"\0")
    assert refused.status_code == 409
    assert "model.h5: it is no model" in refused.json()["detail"]
    assert "model.h5: it is no model" in capsys.readouterr().err


def test_a_wrong_address_is_a_page_for_browsers_and_a_problem_for_programs(client):
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for address, up in (("/nothing", ""), ("/a/b/c", "../../")):
        answer = client.get(address, headers=page)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "No page is at this address" in answer.text
        assert f'href="{up}static/base.css"' in answer.text
        assert client.get(address).headers["content-type"] == "application/problem+json"
    assert client.get("/api/nothing", headers=page).headers["content-type"] == "application/problem+json"


def test_a_page_that_fails_is_a_page_for_browsers(client, monkeypatch):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    monkeypatch.setattr("deep_ranking.web.routes.pages.TITLES", {})
    failed = client.get("/map", headers=browser)
    assert (failed.status_code, failed.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "its log says more" in failed.text
    assert "default-src 'self'" in failed.headers["content-security-policy"]
    assert client.get("/map").headers["content-type"] == "application/problem+json"
    monkeypatch.setattr("deep_ranking.web.routes.pages._drawn", None)  # and not even that can be drawn
    failed = client.get("/map", headers=browser)
    assert (failed.status_code, failed.headers["content-type"]) == (500, "application/problem+json")


def test_a_map_grows_behind_and_is_kept(make_client, tmp_path, monkeypatch):
    monkeypatch.setattr("deep_ranking.web.map.AT_ONCE", 100)
    middles = np.repeat(np.eye(4), 60, axis=0)
    vectors = middles + np.random.default_rng(0).normal(0, 0.05, middles.shape)
    with Index.create(tmp_path / "index", 4, "x") as index:
        index.add([f"{'abcd'[i // 60]}/{i:03}.jpg" for i in range(240)], vectors)

    client = make_client(tmp_path / "index")
    first = wait_until(lambda: (at := client.get("/api/map").json())["method"] and at, "there are places")
    assert first["method"] in ("PCA", "neighbours")
    laid_out = made(client, "/api/map")
    assert laid_out["method"] == "neighbours"
    assert sorted(laid_out["ids"]) == sorted(first["ids"])
    assert sum(cluster["count"] for cluster in laid_out["clusters"]) == 240
    assert {cluster["name"] for cluster in laid_out["clusters"]} <= {"a", "b", "c", "d", None}
    # The nearest neighbour on the plane is nearly always of the same true group.
    places = np.array([laid_out["x"], laid_out["y"]]).T
    apart = ((places[:, None] - places) ** 2).sum(axis=2) + 9 * np.eye(240)
    group = np.arange(240) // 60
    assert (group[apart.argmin(axis=1)] == group).mean() > 0.95
    monkeypatch.setattr("deep_ranking.web.map.make_map", None)  # from here on it is read
    assert made(make_client(tmp_path / "index"), "/api/map") == laid_out


def test_clusters_of_a_flat_folder_are_called_after_file_names_that_tell_them_apart(make_client, tmp_path):
    middles = np.repeat(np.eye(4), 60, axis=0)
    vectors = middles + np.random.default_rng(0).normal(0, 0.05, middles.shape)
    for words, names in (
        (("Beach at night", "forest", "8f3a", "IMG"), {"Beach at night", "forest", None}),
        (("DSC",) * 4, {None}),  # which says nothing
    ):
        with Index.create(tmp_path / words[1], 4, "x") as index:
            index.add([f"{words[i // 60]}_{i:03}.jpg" for i in range(240)], vectors)
        laid_out = made(make_client(tmp_path / words[1]), "/api/map")
        found = {cluster["name"] for cluster in laid_out["clusters"]}
        assert names <= found <= {*names, "IMG"}


def test_nothing_of_a_whole_index_is_computed_in_a_request(make_client, index, monkeypatch):
    """The map, the distances of pairs and those worth asking for: until they are there, it says so."""
    end = threading.Event()

    def wait(*arguments):
        assert end.wait(PATIENCE)
        raise DeepRankingError("there is nothing")

    for work in ("map.make_map", "site.PairDistances", "site.usual_distances"):
        monkeypatch.setattr(f"deep_ranking.web.{work}", wait)
    client = make_client(index)
    one, other = (image["id"] for image in client.get("/api/images?limit=2").json()["items"])
    compare = f"/api/compare?a={one}&b={other}"
    for _ in range(3):
        found = client.get("/api/map").json()
        assert (found["method"], found["done"], found["ids"]) == (None, False, [])
        assert client.get("/api/duplicates/distances").json() == {"done": False, "items": []}
        found = client.get(compare).json()
        assert (found["closer_than"], found["histogram"], found["distance"] > 0) == (None, None, True)
    end.set()
    assert made(client, "/api/map")["problem"] == "there is nothing"
    assert made(client, "/api/duplicates/distances")["items"] == []


def test_refusals_are_pages_for_browsers_too(client):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    refused = {
        421: ("/map", {"Host": "evil.example"}),
        414: (f"/?path={'x' * 9000}", {}),
    }
    for status, (address, headers) in refused.items():
        page = client.get(address, headers=browser | headers)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert ("All images" in page.text) == (status == 414)  # at a foreign address nothing is to be had,
        assert ("static" in page.text) == (status == 414)  # and no style
        told = client.get(address, headers=headers)
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")
        assert told.json()["detail"][:40] in page.text
    api = client.get("/api/index", headers=browser | {"Host": "evil.example"})
    assert (api.status_code, api.headers["content-type"]) == (421, "application/problem+json")
