"""What each address of the API answers, on real images and vectors."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from served import made, make_index, picture
from waiting import wait_until

from deep_ranking.images.decode import read_image
from deep_ranking.ratings import RatingStore
from deep_ranking.search import Index, Options
from deep_ranking.triplets import read_triplets
from deep_ranking.triplets.table import Triplets
from deep_ranking.web.routes.pages import TITLES, _templates


def get(client, address, status=200, **parameters):
    response = client.get(f"/api{address}", params=parameters)
    assert response.status_code == status, response.text
    if status >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status
    return response.json()


def every_image(client):
    return get(client, "/images", limit=500)["items"]


def upload(client, image, name="x.png"):
    data = io.BytesIO()
    image.save(data, "PNG")
    response = client.post("/api/uploads", files={"file": (name, data.getvalue(), "image/png")})
    assert response.status_code == 201, response.text
    return response.json()


def test_health_and_index_tell_what_is_served(client):
    assert {**get(client, "/health"), "version": 0, "uptime_s": 0} == {
        "status": "ok",
        "version": 0,
        "images": 30,
        "dimension": 12,
        "uptime_s": 0,
    }
    about = get(client, "/index")
    assert about["labels"] == [{"label": x, "count": 10} for x in ("cats", "dogs", "élan & <co>")]
    assert (about["name"], about["images"], about["uploads"]) == ("images", 30, True)


def test_images_are_listed_in_order_by_label_and_by_page(client):
    everything = every_image(client)
    paths = [image["path"] for image in everything]
    assert paths == sorted(paths, key=os.fsencode)
    assert len({image["id"] for image in everything}) == 30
    assert all(0 <= image["id"] < 2**53 for image in everything)  # a whole number in JavaScript
    assert {image["label"] for image in everything} == {"cats", "dogs", "élan & <co>"}
    page = get(client, "/images", label=["dogs", "cats"], offset=15, limit=7)
    assert (page["total"], page["offset"], page["limit"]) == (20, 15, 7)
    assert [image["path"] for image in page["items"]] == paths[15:20]
    assert get(client, "/images", label="")["total"] == 30
    assert get(client, "/images", offset=1000)["items"] == []
    assert get(client, "/images/1", 404)["detail"].startswith("No image in the index has this number")


def test_thumbnails_fit_their_size_keep_their_shape_and_are_asked_for_once(client, images, index, embedder):
    picture("wide", 900, 300).save(images / "cats" / "wide.jpg", quality=95)
    photograph = picture("turned", 400, 200)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    photograph.save(images / "cats" / "turned.jpg", exif=exif)
    make_index(index, images, embedder)
    wait_for(client, 32)
    numbers = {image["path"]: image["id"] for image in every_image(client)}
    for path, size, expected in [
        ("cats/wide.jpg", 160, (160, 53)),
        ("cats/wide.jpg", 320, (320, 107)),
        ("cats/wide.jpg", 640, (640, 213)),
        ("cats/turned.jpg", 160, (80, 160)),
        ("cats/00 #1?.png", 640, (48, 32)),
    ]:
        address = f"/api/images/{numbers[path]}/thumbnail?size={size}"
        answer = client.get(address)
        assert answer.headers["content-type"] == "image/webp"
        assert "immutable" in answer.headers["cache-control"]
        with Image.open(io.BytesIO(answer.content)) as thumbnail:
            assert (thumbnail.format, thumbnail.size) == ("WEBP", expected)
            whole = Image.fromarray(read_image(images / path)).resize(expected, Image.Resampling.LANCZOS)
            assert np.abs(np.asarray(thumbnail.convert("RGB"), int) - np.asarray(whole)).mean() < 12
        again = client.get(address, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(address).content == answer.content
    described = get(client, f"/images/{numbers['cats/turned.jpg']}")
    assert (described["width"], described["height"]) == (200, 400)
    assert get(client, f"/images/{numbers['cats/wide.jpg']}/thumbnail", 422, size=161)
    assert get(client, "/images/1/thumbnail", 404)


def wait_for(client, count):
    """Wait until the server has seen a change of the index."""
    wait_until(lambda: get(client, "/health")["images"] == count, f"the server sees {count} images")


def test_files_come_as_they_are_under_the_type_of_their_content(client, images, index, embedder):
    picture("a JPEG").save(images / "cats" / "named.png", "JPEG")
    make_index(index, images, embedder)
    wait_for(client, 31)
    for image in every_image(client):
        answer = client.get(f"/api/images/{image['id']}/file")
        assert answer.content == (images / image["path"]).read_bytes()
        kind = "image/jpeg" if image["path"] == "cats/named.png" else "image/png"
        assert answer.headers["content-type"] == kind


def test_search_finds_what_the_index_finds_without_the_query_itself(client, index):
    query = every_image(client)[7]
    found = get(client, "/search", image=query["id"], top=12, bottom=3)
    with Index.open(index) as opened:
        hits = opened.search(query["path"], 12, Options(leave_self_out=True))
        far = opened.search(query["path"], 3, Options(leave_self_out=True, bottom=True))
    assert found["query"]["image"]["id"] == query["id"]
    for part, expected in (("results", hits), ("bottom", far)):
        assert [(r["image"]["path"], r["distance"]) for r in found[part]] == [
            (hit.path, pytest.approx(hit.distance)) for hit in expected
        ]
        assert [r["rank"] for r in found[part]] == list(range(1, len(expected) + 1))
    assert (found["exact"], found["total"]) == (True, 29)
    assert get(client, "/search", path=query["path"], top=12, bottom=3)["results"] == found["results"]
    page = get(client, "/search", image=query["id"], top=5, offset=10)
    assert [r["rank"] for r in page["results"]] == [11, 12, 13, 14, 15]
    assert page["results"][:2] == found["results"][10:]
    assert len(get(client, "/search", image=query["id"], top=500)["results"]) == 29


def test_search_keeps_to_labels(client):
    query = every_image(client)[0]
    everything = get(client, "/search", image=query["id"], top=29)["results"]
    for labels in (["dogs"], ["cats"], ["dogs", "élan & <co>"], ["cats", "cats"]):
        found = get(client, "/search", image=query["id"], top=29, bottom=29, label=labels)
        expected = [r["image"]["path"] for r in everything if r["image"]["label"] in labels]
        assert [r["image"]["path"] for r in found["results"]] == expected
        assert [r["image"]["path"] for r in found["bottom"]] == expected[::-1]
        assert found["total"] == len(expected)
    assert "'birds'" in get(client, "/search", 404, image=query["id"], label="birds")["detail"]


def test_an_upload_is_searched_by_its_pixels(client, embedder):
    new = picture("new", 70, 50)
    told = upload(client, new)
    assert (told["width"], told["height"]) == (70, 50)
    found = get(client, "/search", upload=told["upload"], top=30)
    vector = embedder.embed_image(_encoded(new))
    for result in found["results"]:
        other = embedder.embed_image(client.get(f"/api/images/{result['image']['id']}/file").content)
        assert result["distance"] == pytest.approx(np.linalg.norm(vector - other), abs=1e-5)
    assert found["total"] == len(found["results"]) == 30
    assert found["query"] == {"image": None, "upload": told["upload"]}
    with Image.open(
        io.BytesIO(client.get(f"/api/uploads/{told['upload']}/thumbnail?size=160").content)
    ) as image:
        assert image.size == (70, 50)
    assert (
        get(client, "/search", upload=upload(client, picture("3"))["upload"])["results"][0]["distance"] == 0
    )


def _encoded(image):
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_comparison_against_all_pairs(client, index):
    images = every_image(client)
    made(client, f"/api/compare?a={images[0]['id']}&b={images[5]['id']}")
    with Index.open(index) as opened:
        vectors = opened.snapshot.matrix.astype(float)
    lengths = np.array([np.linalg.norm(a - b) for i, a in enumerate(vectors) for b in vectors[:i]])
    for i, j in ((0, 1), (5, 20), (4, 4)):
        found = get(client, "/compare", a=images[i]["id"], b=images[j]["id"])
        distance = np.linalg.norm(vectors[i] - vectors[j])
        assert found["distance"] == pytest.approx(distance)
        assert found["closer_than"] == pytest.approx(np.mean(lengths > distance + 1e-9))
        assert (found["a"]["image"]["id"], found["b"]["image"]["id"]) == (images[i]["id"], images[j]["id"])
        histogram = found["histogram"]
        assert (histogram["pairs"], sum(histogram["counts"])) == (len(lengths), len(lengths))
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1
        assert histogram["edges"][0] == 0
        assert histogram["edges"][-1] == pytest.approx(lengths.max())
    one = upload(client, picture("0"))["upload"]
    both = get(client, "/compare", a=f"upload:{one}", b=images[0]["id"])
    assert (both["distance"], both["a"]) == (0, {"image": None, "upload": one})
    for wrong, status in (("x", 422), ("-1", 422), ("upload:x", 404), ("5", 404), ("٣", 422), ("", 422)):
        get(client, "/compare", status, a=wrong, b=images[0]["id"])


def test_map_has_a_place_for_each_image(client):
    found = made(client, "/api/map")
    images = {image["id"]: image["label"] for image in every_image(client)}
    assert {
        number: found["labels"][label] for number, label in zip(found["ids"], found["label"], strict=True)
    } == images
    for axis in (found["x"], found["y"]):
        assert len(axis) == 30
        assert min(axis) >= 0
        assert max(axis) <= 1
    assert max(np.ptp(found["x"]), np.ptp(found["y"])) == pytest.approx(1, abs=1e-4)
    assert get(client, "/map") == found


def test_an_index_of_few_or_no_images_is_served(make_client, tmp_path):
    for count in range(4):
        with Index.create(tmp_path / str(count), 3, "x") as index:
            index.add([f"{i}.jpg" for i in range(count)], np.eye(3)[:count])
        client = make_client(tmp_path / str(count))
        assert get(client, "/index")["labels"] == []
        assert len(made(client, "/api/map")["ids"]) == count
        images = every_image(client)
        for image in images:
            assert len(get(client, "/search", image=image["id"], bottom=5)["bottom"]) == count - 1
            assert get(client, "/compare", a=image["id"], b=image["id"])["distance"] == 0
            get(client, f"/images/{image['id']}/thumbnail", 404)
        asked = get(client, "/ratings/question", 200 if count == 3 else 404, rater="Ann")
        assert count == 3 or asked["type"] == f"/problems/{'too-few-images' if count else 'empty-index'}"


def rate(client, rater, answer="a", status=201):
    asked = get(client, "/ratings/question", rater=rater)
    body = {"rater": rater, **{k: asked[k]["id"] for k in ("query", "a", "b")}, "answer": answer}
    response = client.post("/api/ratings", json=body)
    assert response.status_code == status, response.text
    return asked, body, response.json()


def test_rating_from_the_question_to_a_triplet_file_that_training_reads(client, images, tmp_path):
    expected = []
    for number in range(6):
        asked, _, told = rate(client, "Ann", "ab"[number % 2])
        assert (told["answered"], asked["answered"]) == (number + 1, number)
        first, second = ("a", "b") if number % 2 == 0 else ("b", "a")
        expected.append(tuple(asked[role]["path"] for role in ("query", first, second)))
    for query, positive, _ in expected[:3]:
        asked, _, _ = rate(client, "Bob", "a")
        assert asked["query"]["path"] == query
        if asked["a"]["path"] != positive:
            expected.remove(next(t for t in expected if t[0] == query))
    rate(client, "Cid", "both_similar")  # of a question that two had agreed on, or begun
    exported = client.get("/api/ratings/export")
    assert exported.headers["content-type"] == "text/plain; charset=utf-8"
    (tmp_path / "triplets.txt").write_bytes(exported.content)
    triplets = [tuple(triplet) for triplet in read_triplets(tmp_path / "triplets.txt")]
    assert set(triplets) <= set(expected)
    assert len(triplets) >= len(expected) - 1
    table = Triplets.load(tmp_path / "triplets.txt", images)  # what train.py reads; it opens each image
    assert len(table) == len(triplets)
    summary = get(client, "/ratings/summary")
    assert summary["ratings"] == 10
    assert summary["raters"] == [
        {"rater": "Ann", "ratings": 6},
        {"rater": "Bob", "ratings": 3},
        {"rater": "Cid", "ratings": 1},
    ]
    assert summary["triplets"]["rated"] == 6
    assert summary["triplets"]["unanimous"] == len(triplets)
    nothing = client.get("/api/ratings/export?min_raters=4")
    assert nothing.status_code == 404
    assert nothing.json()["type"] == "/problems/nothing-to-export"


def test_undo_gives_the_question_back_as_it_was_shown(client):
    rate(client, "Ann")
    asked, body, _ = rate(client, "Ann", "b")
    undone = client.delete("/api/ratings/last?rater=Ann").json()
    assert {key: undone[key] for key in ("query", "a", "b", "answer")} == {
        **{key: asked[key] for key in ("query", "a", "b")},
        "answer": "b",
    }
    again = get(client, "/ratings/question", rater="Ann")
    assert again == asked
    assert client.post("/api/ratings", json=body).status_code == 201
    assert client.post("/api/ratings", json=body).json()["type"] == "/problems/already-answered"
    listed = get(client, "/ratings", rater="Ann", limit=1, offset=1)
    assert (listed["total"], listed["items"][0]["answer"]) == (2, "b")
    for _ in range(2):
        assert client.delete("/api/ratings/last?rater=Ann").status_code == 200
    assert client.delete("/api/ratings/last?rater=Ann").json()["type"] == "/problems/nothing-to-undo"


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "c"},
        {"answer": 1},
        {"answer": None},
        {"query": "1"},
        {"query": 1.5},
        {"query": -1},
        {"query": 2**60},
        {"query": True},
        {"query": [1]},
        {"a": None},
        {"rater": ""},
        {"rater": 5},
        {"rater": " Ann"},
        {"rater": "x" * 65},
        {"rater": "a\nb"},
        {"rater": "\ud800"},
        {"more": 1},
        {"more\ud800": 1},
    ],
    ids=repr,
)
def test_a_rating_of_a_wrong_type_is_refused(client, change):
    asked = get(client, "/ratings/question", rater="Ann")
    body = {"rater": "Ann", **{k: asked[k]["id"] for k in ("query", "a", "b")}, "answer": "a", **change}
    response = client.post(
        "/api/ratings", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    assert response.json()["detail"]
    assert get(client, "/ratings")["total"] == 0


@pytest.mark.parametrize(
    ("content", "kind", "statuses"),
    [
        (b"", "application/json", {422}),
        (b"{", "application/json", {422}),
        (b"[" * 50_000, "application/json", {400, 422}),
        (b'{"rater": ' + b"1" * 10_000 + b"}", "application/json", {400, 422}),
        (b"\xff\xfe", "application/json", {400, 422}),
        (b"null", "application/json", {422}),
        (b"[]", "application/json", {422}),
        (b'{"rater": "Ann"}', "text/plain", {422}),
        (b"rater=Ann", "application/x-www-form-urlencoded", {422}),
        (b" " * 70_000, "application/json", {413}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_json_is_refused(client, content, kind, statuses):
    response = client.post("/api/ratings", content=content, headers={"Content-Type": kind})
    assert response.status_code in statuses, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_the_images_of_a_question_are_three(client):
    one, other = (image["id"] for image in every_image(client)[:2])
    for query, a, b in ((one, one, other), (one, other, other), (one, other, 12345)):
        body = {"rater": "Ann", "query": query, "a": a, "b": b, "answer": "a"}
        assert client.post("/api/ratings", json=body).status_code in {404, 422}


def test_changes_of_the_index_are_seen_and_a_number_keeps_its_meaning(client, images, index, embedder):
    before = {image["path"]: image["id"] for image in every_image(client)}
    rate(client, "Ann")
    changed, removed, kept = sorted(before)[:3]
    for path in (changed, removed, kept):
        get(client, f"/images/{before[path]}")
    picture("another content").save(images / changed)
    (images / removed).unlink()
    picture("0 new").save(images / "cats" / "0 first.png")
    picture("more").save(images / "cats" / "99.png")
    make_index(index, images, embedder)
    wait_for(client, 31)
    after = {image["path"]: image["id"] for image in every_image(client)}
    assert {path for path in before if after.get(path) == before[path]} == set(before) - {changed, removed}
    get(client, f"/images/{before[changed]}", 404)
    get(client, f"/images/{before[removed]}/thumbnail", 404)
    assert get(client, "/ratings")["total"] == 1
    # The pixels of what is still there are remembered, those of what is gone are not.
    assert client.app.state.site.gallery.sizes == {before[kept]: (48, 32)}


def test_the_index_may_be_deleted_and_made_anew_meanwhile(client, images, index, embedder):
    (index / "store.sqlite").unlink()
    assert get(client, "/health")["images"] == 30
    for image in images.rglob("1*.png"):
        image.unlink()
    make_index(index, images, embedder)
    wait_for(client, 20)


def test_names_that_are_not_utf8_are_shown_and_served(make_client, images, tmp_path, embedder):
    odd = os.fsdecode(b"caf\xe9")
    images = images.rename(images.with_name(os.fsdecode(b"im\xe9ges")))
    (images / odd).mkdir()
    for number in range(3):
        picture(f"odd {number}").save(images / odd / f"{number}.png")
    client = make_client(make_index(tmp_path / "odd", images, embedder), embedder)
    assert "caf\ufffd" in [label["label"] for label in get(client, "/index")["labels"]]
    shown = get(client, "/images", label="caf\ufffd")["items"]
    assert [image["path"] for image in shown] == [f"caf\ufffd/{n}.png" for n in range(3)]
    assert client.get(f"/api/images/{shown[1]['id']}/file").content == (images / odd / "1.png").read_bytes()
    found = get(client, "/search", image=shown[0]["id"], label="caf\ufffd")
    assert [r["image"]["id"] for r in found["results"]] != []
    ids = [image["id"] for image in shown]
    body = {"rater": "Zoë", "query": ids[0], "a": ids[1], "b": ids[2], "answer": "b"}
    assert client.post("/api/ratings", json=body).status_code == 201
    assert client.get("/api/ratings/export").content == b"caf\xe9/0.png,caf\xe9/2.png,caf\xe9/1.png\n"


def test_approximate_search_is_used_where_asked_for_and_there(make_client, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).standard_normal((400, 8))
    with Index.create(tmp_path / "index", 8, "x") as index:
        index.add([f"{i:03}.jpg" for i in range(400)], vectors)
    client = make_client(tmp_path / "index")
    query = every_image(client)[0]["id"]
    assert get(client, "/search", image=query, exact=False)["exact"] is True  # few images: no use
    monkeypatch.setattr("deep_ranking.web.gallery.APPROXIMATE_FROM", 100)
    # The clusters are made behind; until they are there, answers are exact.
    assert get(client, "/search", image=query, exact=False)["exact"] is True

    def approximate_answer():
        answer = get(client, "/search", image=query, exact=False)
        return None if answer["exact"] else answer

    approximate = wait_until(approximate_answer, "the clusters are there")
    exact = get(client, "/search", image=query, exact=True)
    assert (approximate["exact"], exact["exact"]) == (False, True)
    found, right = ({r["image"]["id"] for r in some["results"]} for some in (approximate, exact))
    assert len(found & right) >= 20


def test_the_schema_names_every_address_and_its_problems(client):
    schema = client.get("/api/openapi.json").json()
    assert set(schema["paths"]) >= {
        "/api/health", "/api/index", "/api/images", "/api/uploads", "/api/search", "/api/compare", "/api/map",
        "/api/ratings", "/api/ratings/question", "/api/ratings/last", "/api/ratings/summary",
        "/api/ratings/export",
    }  # fmt: skip
    for path in schema["paths"].values():
        for operation in path.values():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
    assert not {"HTTPValidationError"} & set(schema["components"]["schemas"])


@pytest.mark.parametrize("page", TITLES)
def test_pages_have_no_script_or_style_of_their_own_and_nothing_from_outside(client, page):
    if not _templates.list_templates():
        pytest.skip("needs the templates")
    answer = client.get("/" if page == "search" else f"/{page}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert TITLES[page] in answer.text
    assert "style=" not in answer.text
    assert "<style" not in answer.text
    assert not [tag for tag in answer.text.split("<script")[1:] if "src=" not in tag.partition(">")[0]]
    assert "http" not in answer.text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("made_anew", [False, True])
@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", ""),
        ("GET", ""),
        ("GET", "/question?rater=Ann"),
        ("GET", "/summary"),
        ("GET", "/export"),
        ("DELETE", "/last?rater=Ann"),
    ],
)
def test_no_rating_is_kept_or_read_where_the_file_is_gone(client, index, method, address, made_anew):
    """The index's folder was deleted to be made anew, say."""
    query, a, b = (image["id"] for image in every_image(client)[:3])
    body = {"rater": "Ann", "query": query, "a": a, "b": b, "answer": "a"}
    assert client.post("/api/ratings", json=body).status_code == 201
    for file in index.glob("ratings.sqlite*"):
        file.unlink()
    if made_anew:
        RatingStore(index / "ratings.sqlite").close()
    body["answer"] = "b"
    answer = client.request(method, f"/api/ratings{address}", json=body if method == "POST" else None)
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/ratings-unusable"
    assert "deleted or replaced" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["/", "/compare", "/rate", "/map", "/api/index", "/static/base.css"])
def test_head_is_get_without_the_body(client, address):
    whole, head = client.get(address), client.head(address)
    assert head.status_code == whole.status_code == 200
    assert head.content == b""
    assert whole.content
    kept = ("content-type", "content-length", "content-security-policy")
    assert [head.headers.get(name) for name in kept] == [whole.headers.get(name) for name in kept]
