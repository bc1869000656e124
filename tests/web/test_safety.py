"""Who may ask for what: other sites, other files, odd addresses; and that no failure shows its inside."""

import logging
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import make_index, picture
from waiting import wait_until

from deep_ranking.files import file_hash
from deep_ranking.search import Index
from deep_ranking.search.image import Image

PAGE = "http://localhost"


def is_problem(response, *statuses):
    assert response.status_code in statuses, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.json()["detail"].split()) > 3
    assert "Traceback" not in response.text
    return True


def first_image(client):
    return client.get("/api/images?limit=1").json()["items"][0]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
        "192.168.0.7", "[2001:db8::1]:8000", "127.0.0.1@evil.example", "", "localhost\u0430",
        "0x7f000001.evil.example", "8.8.8.8",
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused_everywhere(client, host):
    """A site that lets its name point to this machine (DNS rebinding) gets no answer."""
    for address in ("/api/health", "/", "/api/images", "/static/x.js", "/nothing"):
        assert is_problem(client.get(address, headers={"Host": host.encode()}), 421)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "127.3.2.1", "[::1]:8000", "[::1]"]
)
def test_the_names_of_this_machine_are_its_own(client, host):
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


def test_bound_to_the_network_any_address_in_digits_is_its_own_but_no_foreign_name(make_client, index):
    client = make_client(index, host="0.0.0.0")
    assert client.get("/api/health", headers={"Host": "192.168.0.7:8000"}).status_code == 200
    assert is_problem(client.get("/api/health", headers={"Host": "evil.example"}), 421)
    named = make_client(index, host="photos.example")
    assert named.get("/api/health", headers={"Host": "photos.example:80"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8001"},
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_another_origin_writes_nothing(client, headers):
    image = first_image(client)["id"]
    body = {"rater": "Ann", "query": image, "a": image, "b": image, "answer": "a"}
    assert is_problem(client.post("/api/ratings", json=body, headers=headers), 403)
    assert is_problem(client.post("/api/uploads", files={"file": b"x"}, headers=headers), 403)
    assert is_problem(client.delete("/api/ratings/last?rater=Ann", headers=headers), 403)


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": PAGE}, {"Origin": PAGE, "Sec-Fetch-Site": "same-origin"}], ids=str
)
def test_the_own_page_and_programs_write(client, headers):
    asked = client.get("/api/ratings/question?rater=Ann").json()
    body = {"rater": "Ann", **{k: asked[k]["id"] for k in ("query", "a", "b")}, "answer": "a"}
    assert client.post("/api/ratings", json=body, headers=headers).status_code == 201
    assert client.delete("/api/ratings/last?rater=Ann", headers=headers).status_code == 200


def test_every_answer_tells_browsers_what_they_may_do(client, monkeypatch):
    image = first_image(client)["id"]
    answers = [
        client.get("/api/health"),
        client.get(f"/api/images/{image}/thumbnail"),
        client.get(f"/api/images/{image}/file"),
        client.get("/nothing"),
        client.get("/static/nothing.js"),
        client.get("/api/health", headers={"Host": "evil.example"}),
        client.post("/api/uploads", content=b"x"),
    ]
    monkeypatch.setattr("deep_ranking.web.routes.pages.schema.Health", None)
    answers.append(client.get("/api/health"))
    assert answers[-1].status_code == 500
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_a_failure_is_logged_here_and_not_told_there(client, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("secret /home/ann/model.h5")

    monkeypatch.setattr("deep_ranking.web.routes.search.distances", fail)
    image = first_image(client)["id"]
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"/api/compare?a={image}&b={image}")
    assert is_problem(answer, 500)
    assert "secret" not in answer.text
    assert "secret" in caplog.text
    assert client.get("/api/health").status_code == 200


def test_what_takes_too_long_is_given_up(make_client, index, monkeypatch):
    release = threading.Event()
    client = make_client(index, request_seconds=0.2)
    monkeypatch.setattr("deep_ranking.web.routes.search._compared", lambda *arguments: release.wait(20))
    image = first_image(client)["id"]
    answer = client.get(f"/api/compare?a={image}&b={image}")
    release.set()
    assert is_problem(answer, 503)


def swap(path, target):
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("kind", ["a link outside", "a link to a folder", "another file", "nothing", "a pipe",
                                  "a loop", "a link inside", "a longer file"])  # fmt: skip
def test_a_file_put_in_an_images_place_does_not_leak(client, images, tmp_path, kind):
    secret = tmp_path / "secret.png"
    picture("secret").save(secret)
    image = first_image(client)
    path = images / image["path"]
    other = images / "dogs" / "01 #1?.png"
    whole = path.read_bytes()
    if kind == "a link outside":
        swap(path, secret)
    elif kind == "a link to a folder":
        swap(path, tmp_path)
    elif kind == "a loop":
        swap(path, path)
    elif kind == "a link inside":
        swap(path, other)
    elif kind == "another file":
        path.write_bytes(secret.read_bytes())
    elif kind == "a longer file":
        path.write_bytes(whole + b"secret")
    else:
        path.unlink()
        if kind == "a pipe":
            os.mkfifo(path)
    for address in ("file", "thumbnail", "thumbnail?size=640"):
        assert is_problem(client.get(f"/api/images/{image['id']}/{address}"), 404)


def test_a_folder_put_elsewhere_and_linked_is_served_while_it_holds_what_was_indexed(
    client, images, tmp_path
):
    image = first_image(client)
    whole = (images / image["path"]).read_bytes()
    (images / "cats").rename(tmp_path / "moved")
    (images / "cats").symlink_to(tmp_path / "moved")
    assert client.get(f"/api/images/{image['id']}/file").content == whole
    picture("secret").save(tmp_path / "moved" / Path(image["path"]).name)
    assert is_problem(client.get(f"/api/images/{image['id']}/file"), 404)


def test_a_path_that_leads_out_by_its_name_is_not_served_though_its_content_is_indexed(
    make_client, images, tmp_path
):
    picture("secret").save(tmp_path / "secret.png")
    content, size = file_hash(tmp_path / "secret.png"), (tmp_path / "secret.png").stat().st_size
    paths = "../secret.png", str(tmp_path / "secret.png"), "cats/../../secret.png"
    with Index.create(tmp_path / "made", 2, "x", {"images": str(images)}) as index:
        index.write([Image(path, content, size, 1) for path in paths], {content: np.ones(2, np.float32)})
    client = make_client(tmp_path / "made")
    for image in client.get("/api/images").json()["items"]:
        assert is_problem(client.get(f"/api/images/{image['id']}/file"), 404)


def test_paths_in_the_index_that_lead_out_are_not_served(make_client, images, tmp_path):
    """Even an index that was made by hand, of which no content is known."""
    picture("secret").save(tmp_path / "secret.png")
    paths = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "cats/../../secret.png",
        "cats",
        "x\0y",
        "cats/03 #1?.png",
    ]
    with Index.create(tmp_path / "hand", 2, "x", {"images": str(images)}) as index:
        index.add(paths, [[i, 1] for i in range(len(paths))])
    client = make_client(tmp_path / "hand")
    for image in client.get("/api/images").json()["items"]:
        answer = client.get(f"/api/images/{image['id']}/file")
        assert answer.status_code == (200 if image["path"] == "cats/03 #1?.png" else 404)


@pytest.mark.parametrize(
    "address",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd",
        "/static/", "/static/%00", "/static/..\\app.py", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/api/../app.py", "/api/images/../../etc/passwd", "/api/images/%2e%2e%2fsecret/file",
        "/api/images/1e3/file", "/.git/config", "/api/images/-1/file", "/api/images/1.5",
        "/api/images/" + "9" * 5000, "/api/images/0x1", "/docs", "/redoc", "/api/uploads/../x/thumbnail",
        "/api/uploads/" + "a" * 31 + "/thumbnail", "/api/uploads/" + "A" * 32 + "/thumbnail",
        "/api/images/1/", "/\\evil.example", "/api/search?image=1&upload=x", "/api/search",
        "/a" * 5000,
    ],
)  # fmt: skip
def test_odd_addresses_lead_nowhere(client, address):
    answer = client.get(address, follow_redirects=False)
    assert is_problem(answer, 404, 405, 414, 422)
    assert b"root:" not in answer.content
    assert b"import" not in answer.content


@pytest.mark.parametrize(
    "query",
    [
        "image=x", "image=", "image=-1", "image=1e3", "image=99999999999999999999", "image={id}&top=0",
        "image={id}&top=501", "image={id}&top=x", "image={id}&offset=-1", "image={id}&offset=100001",
        "image={id}&exact=perhaps", "image={id}&label=birds", "image={id}&label=%00", "image={id}&label=%ff",
        "image={id}&labels=cats", "image={id}&path=x", "path=", "path=%00", "path=../../etc/passwd",
        "path=/etc/passwd", "path=" + "x" * 4097, "upload=../x", "upload=" + "0" * 32, "upload=" + "0" * 65,
        "image={id}&bottom=-1", "image={id}&" + "label=cats&" * 101, "image={id}&label=" + "x" * 9000,
        "&" * 5000, "%", "=", "image[]={id}", "image={id}%00", "image=%D9%A1",
        "image={id}&top=+5%20x",
    ],
)  # fmt: skip
def test_odd_queries_are_refused(client, query):
    query = query.replace("{id}", str(first_image(client)["id"]))
    assert is_problem(client.get(f"/api/search?{query}"), 404, 414, 422)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [
            "/api/search?",
            "/api/search?image=",
            "/api/search?path=",
            "/api/compare?a=",
            "/api/images?label=",
            "/api/images/",
            "/api/uploads/",
            "/api/ratings?rater=",
            "/api/ratings/question?rater=",
            "/api/ratings/export?min_raters=",
            "/static/",
        ]
    ),
    st.binary(max_size=60),
)
def test_no_address_fails_the_server(client, start, rest):
    answer = client.get(start + "".join(f"%{byte:02x}" for byte in rest))
    assert answer.status_code < 500
    assert answer.status_code != 200 or b"root:" not in answer.content


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(client, method):
    for address, taken in (("/api/health", "GET"), ("/api/search", "GET"), ("/api/uploads", "POST")):
        answer = client.request(method, address)
        assert (answer.status_code, answer.headers["allow"]) == (405, taken)


def test_thumbnails_once_made_are_of_the_indexed_content_alone(client, images, index, embedder):
    """A file replaced and indexed anew has a new number, and so a new thumbnail."""
    image = first_image(client)
    before = client.get(f"/api/images/{image['id']}/thumbnail").content
    picture("replaced").save(images / image["path"])
    make_index(index, images, embedder)

    from test_api import get

    def renewed():
        after = get(client, "/images", limit=1)["items"][0]
        return after if after["id"] != image["id"] else None

    after = wait_until(renewed, "the replaced image is served")
    assert after["path"] == image["path"]
    assert client.get(f"/api/images/{after['id']}/thumbnail").content != before
