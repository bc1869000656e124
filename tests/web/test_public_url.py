"""Behind a proxy: the public host, scheme and path are the server's own; everybody else is refused."""

import itertools

import pytest
from test_safety import first_image, is_problem

from deep_ranking.errors import DeepRankingError
from deep_ranking.web import Settings
from deep_ranking.web.public import PublicURL
from deep_ranking.web.uploads import Upload, Uploads

PUBLIC = "https://images.example/similar"


@pytest.fixture
def public(make_client, index, embedder):
    return make_client(index, embedder, public_url=PUBLIC)


HOSTS = ["localhost", "images.example", "images.example:443", "127.0.0.1:8000", "IMAGES.example"]
"""As it comes: rewritten by the proxy, or kept."""


def rate(client, prefix="", **headers):
    asked = client.get(f"{prefix}/api/ratings/question?rater=Ann").json()
    body = {"rater": "Ann", **{k: asked[k]["id"] for k in ("query", "a", "b")}, "answer": "a"}
    return client.post(f"{prefix}/api/ratings", json=body, headers=headers)


@pytest.mark.parametrize("prefix", ["", "/similar"], ids=["path taken away", "path kept"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_public_page_reads_and_writes(public, images, host, prefix):
    headers = {"Host": host, "Origin": "https://images.example", "Sec-Fetch-Site": "same-origin"}
    for address in ("/", "/rate", "/static/search.js", "/api/index", "/api/openapi.json"):
        assert public.get(prefix + address, headers=headers).status_code == 200
    picture = (images / first_image(public)["path"]).read_bytes()
    sent = public.post(f"{prefix}/api/uploads", files={"file": picture}, headers=headers)
    assert sent.status_code == 201
    name = sent.json()["upload"]
    assert public.get(f"{prefix}/api/search?upload={name}", headers=headers).json()["results"]
    assert rate(public, prefix, **headers).status_code == 201
    assert public.delete(f"{prefix}/api/ratings/last?rater=Ann", headers=headers).status_code == 200


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://images.example"},
        {"Origin": "https://images.example:8443"},
        {"Origin": "https://images.example.evil.example"},
        {"Origin": "https://evil.example/https://images.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9"},
        {"Origin": "https://images.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://images.example", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    ],
    ids=str,
)
def test_a_foreign_origin_is_refused_all_the_same(public, host, headers):
    for prefix in ("", "/similar"):
        headers = {"Host": host, **headers}
        assert is_problem(public.post(f"{prefix}/api/uploads", files={"file": b"x"}, headers=headers), 403)
        refused = public.delete(f"{prefix}/api/ratings/last?rater=Ann", headers=headers)
        assert is_problem(refused, 403)
    assert "https://images.example/similar/" in refused.json()["detail"]


@pytest.mark.parametrize("host", ["evil.example", "images.example.evil.example", "x.images.example", ""])
def test_a_foreign_host_is_refused_all_the_same(public, host):
    for address in ("/", "/similar/", "/similar/api/health"):
        assert is_problem(public.get(address, headers={"Host": host}), 421)


def test_without_the_flag_the_refusal_names_it(client):
    answer = client.post("/api/uploads", files={"file": b"x"}, headers={"Origin": "https://images.example"})
    assert is_problem(answer, 403)
    assert "--public_url" in answer.json()["detail"]
    answer = client.get("/", headers={"Host": "images.example"})
    assert is_problem(answer, 421)
    assert "--public_url" in answer.json()["detail"]


def test_the_own_machine_still_uses_it_directly(public):
    assert rate(public).status_code == 201
    assert rate(public, Origin="http://localhost").status_code == 201


def test_the_path_alone_leads_to_the_page_and_others_nowhere(public):
    answer = public.get("/similar?image=1", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "/similar/?image=1")
    for address in ("/similarity", "/similar/similar/", "/similar//", "/similar/%2e%2e/x", "/similar.js"):
        assert is_problem(public.get(address), 404)


def test_pages_name_everything_relative_to_their_folder(client):
    for page in ("/", "/compare", "/rate", "/map"):
        text = client.get(page).text
        assert 'href="/' not in text
        assert 'src="/' not in text


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://images.example", "https://images.example/"),
        ("http://images.example:8080/a/b.c/", "http://images.example:8080/a/b.c/"),
        ("HTTPS://Images.Example:443/Similar", "https://images.example/Similar/"),
        ("https://bücher.example", "https://xn--bcher-kva.example/"),
        ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]/x/"),
    ],
)
def test_a_public_address_is_read_as_browsers_write_it(url, address):
    assert PublicURL.read(url).address == address


@pytest.mark.parametrize(
    "url",
    [
        "images.example", "ftp://images.example", "https://", "https://a.example/?x", "https://a.example/#x",
        "https://ann:secret@a.example", "https://a.example/a b", "https://a.example//x", "https://a.example:x",
        "https://a.example/../x", "https://a.example/%2e", "https://a.example/api", "https://a.example/map/x",
        3, "",
    ],
)  # fmt: skip
def test_what_is_no_public_address_is_refused(index, url):
    with pytest.raises(DeepRankingError, match="public_url: expected "):
        Settings(index=index, public_url=url)


def test_who_uploads_much_drives_out_nobody_else(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr("deep_ranking.web.uploads.time.monotonic", lambda: float(next(now)))
    kept = Uploads(6, 1000)
    upload = Upload(None, 1, 1, b"")
    first = [kept.add(upload, "Ann") for _ in range(2)]
    many = [kept.add(upload, "Bob") for _ in range(20)]
    assert [name in kept._kept for name in first] == [True, True]
    assert [name in kept._kept for name in many] == [False] * 16 + [True] * 4


def test_an_upload_is_forgotten_in_time(make_client, index, embedder, images, monkeypatch):
    client = make_client(index, embedder, upload_minutes=2)
    picture = (images / first_image(client)["path"]).read_bytes()
    name = client.post("/api/uploads", files={"file": picture}).json()["upload"]
    assert client.get(f"/api/uploads/{name}/thumbnail").status_code == 200
    import time

    later = time.monotonic() + 121
    monkeypatch.setattr("deep_ranking.web.uploads.time.monotonic", lambda: later)
    assert client.get(f"/api/uploads/{name}/thumbnail").json()["type"] == "/problems/upload-forgotten"


def test_uploads_are_told_apart_by_the_proxys_clients(public, images):
    picture = (images / first_image(public)["path"]).read_bytes()
    for told in ("1.2.3.4, 10.0.0.1", "10.0.0.1", "evil, 10.0.0.2"):
        public.post("/api/uploads", files={"file": picture}, headers={"X-Forwarded-For": told})
    clients = [client for _, client, _ in public.app.state.site.uploads._kept.values()]
    assert clients == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]
