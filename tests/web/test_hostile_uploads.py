"""Hostile uploads: a 4xx each, the server alive, nothing written."""

import io
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostile import LIMIT, TRAVERSALS, cases, encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from served import make_images, make_index, picture
from waiting import PATIENCE

from deep_ranking.web import thumbnails

CASES = list(cases())


@pytest.fixture(scope="module")
def place(tmp_path_factory, embedder):
    """A folder that holds all that the server may write to, temporary files too."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        patch.chdir(folder)

        def rollover(self):
            raise AssertionError("an upload goes to the disk")

        patch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
        make_index(folder / "index", make_images(folder / "images", 6), embedder)
        yield folder


@pytest.fixture(scope="module")
def served(place, embedder):
    from fastapi.testclient import TestClient

    from deep_ranking.web import Settings, create_app

    app = create_app(Settings(index=place / "index", max_upload_bytes=LIMIT), embedder)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def unchanged(place, served):
    """Give a function that fails if any file has changed since the server started."""

    def listing():
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(place.rglob("*"))
            if not path.is_dir()
        }

    before = listing()

    def check():
        assert listing() == before
        assert served.get("/api/health").json()["status"] == "ok"

    return check


def post(client, name, data, content_type="image/png"):
    return client.post("/api/uploads", files={"file": (name, data, content_type)})


def is_problem(response):
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    assert len(problem["detail"].split()) > 3
    assert "Traceback" not in response.text
    assert "/work" not in response.text
    assert "site-packages" not in response.text
    return True


def test_there_are_two_hundred_of_them():
    assert len(CASES) >= 200
    assert len({name for name, *_ in CASES}) == len(CASES)


@pytest.mark.parametrize(("name", "data", "statuses"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_hostile_upload_is_refused(served, unchanged, name, data, statuses):
    response = post(served, name, data)
    assert response.status_code in statuses, response.text
    assert is_problem(response)
    unchanged()


@pytest.mark.parametrize("name", TRAVERSALS, ids=range(len(TRAVERSALS)))
def test_a_good_image_under_a_hostile_name_is_taken_and_written_nowhere(served, unchanged, name):
    response = post(served, name, encoded("PNG"), "text/html")
    # A name with a line end or none at all is no file to the protocol; what is taken, is taken in memory.
    assert response.status_code == 201 or (response.status_code == 400 and is_problem(response))
    unchanged()


def test_what_trails_an_image_is_not_served(served, unchanged):
    """A file that is an image and a page at once: only pixels come back."""
    both = encoded("JPEG") + b"<script>alert(1)</script>"
    name = post(served, "x.html", both, "text/html").json()["upload"]
    for size in (160, 320, 640):
        shown = served.get(f"/api/uploads/{name}/thumbnail?size={size}")
        assert shown.headers["content-type"] == "image/webp"
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert b"script" not in shown.content
    unchanged()


@settings(max_examples=150)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]), st.randoms(use_true_random=False)
)
def test_damage_anywhere_never_fails_the_server(served, kind, random):
    data = bytearray(encoded(kind))
    for _ in range(random.randint(1, 20)):
        data[random.randrange(len(data) if random.random() < 0.5 else 100)] = random.randrange(256)
    response = post(served, "x", bytes(data))
    assert response.status_code in {201, 413, 415, 422}
    assert response.status_code == 201 or is_problem(response)


PNG = encoded("PNG")


def part(disposition: bytes, data: bytes = PNG, boundary: bytes = b"b") -> bytes:
    return b"--" + boundary + b"\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + data + b"\r\n"


FILE = b'form-data; name="file"; filename="x.png"'
END = b"--b--\r\n"
FORM = "multipart/form-data; boundary=b"
FIELD = b'form-data; name="x"'
BODIES = {
    "no multipart": ("image/png", PNG, {415}),
    "no content type": ("", PNG, {415}),
    "JSON": ("application/json", b'{"file": "x"}', {415}),
    "an urlencoded form": ("application/x-www-form-urlencoded", b"file=x", {415}),
    "mixed": ("multipart/mixed; boundary=b", part(FILE) + END, {415}),
    "no boundary": ("multipart/form-data", part(FILE) + END, {400}),
    "an empty boundary": ("multipart/form-data; boundary=", part(FILE) + END, {400}),
    "a long boundary": ("multipart/form-data; boundary=" + "x" * 5000, part(FILE) + END, {400}),
    "another boundary": ("multipart/form-data; boundary=c", part(FILE) + END, {400}),
    "an odd charset": ("multipart/form-data; charset=rot13; boundary=b", part(FILE, b"x") + END, {400, 415}),
    "an unknown charset": ("multipart/form-data; charset=no; boundary=b", part(FILE, b"x") + END, {400, 415}),
    "no body": (FORM, b"", {400}),
    "no part": (FORM, END, {400}),
    "no end": (FORM, part(FILE), {400}),
    "cut off": (FORM, part(FILE)[:-100], {400}),
    "cut off early": (FORM, part(FILE)[:90], {400}),
    "another field": (FORM, part(FILE.replace(b"file", b"image", 1)) + END, {400}),
    "a field that is no file": (FORM, part(b'form-data; name="file"') + END, {400}),
    "a part without name": (FORM, part(b'form-data; filename="x"') + END, {400}),
    "two files": (FORM, part(FILE) * 2 + END, {400}),
    "a hundred files": (FORM, part(FILE, b"x") * 100 + END, {400}),
    "a thousand fields": (FORM, part(FIELD, b"x") * 1000 + END, {400}),
    "a long field": (FORM, part(FIELD, bytes(250_000)) + END, {400}),
    "a long header": (FORM, part(FILE + b"; x=" + b"y" * 250_000) + END, {400}),
    "a header without colon": (FORM, b"--b\r\nnonsense\r\n\r\nx\r\n" + END, {400}),
    "binary headers": (FORM, b"--b\r\n\xff\0\x80: \xfe\r\n\r\nx\r\n" + END, {400}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_damaged_body_is_refused(served, unchanged, name):
    content_type, body, statuses = BODIES[name]
    response = served.post("/api/uploads", content=body, headers={"Content-Type": content_type})
    assert response.status_code in statuses, response.text
    assert is_problem(response)
    unchanged()


def test_a_body_of_no_stated_length_is_counted_as_it_comes(served, unchanged):
    def stream():
        yield part(FILE, b"\x89PNG\r\n\x1a\n")[:-2]
        for _ in range(100):
            yield bytes(10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = served.post("/api/uploads", content=stream(), headers=headers)
    assert response.status_code == 413
    assert is_problem(response)
    unchanged()


def test_the_largest_upload_that_is_let_in_stays_in_memory(served, unchanged):
    data = io.BytesIO()
    picture("large").save(data, "PNG")
    whole = data.getvalue() + bytes(LIMIT - len(data.getvalue()))
    assert post(served, "x.png", whole).status_code == 201
    assert post(served, "x.png", whole + b"\0").status_code == 413
    unchanged()


def test_images_of_many_pixels_are_decoded_one_at_a_time(monkeypatch):
    """And others beside them."""
    lock, now, peak, small = threading.Lock(), 0, 0, threading.Event()

    def decode(data, size):
        nonlocal now, peak
        if data is one_pixel:
            small.set()
        else:
            with lock:
                now += 1
                peak = max(peak, now)
            assert small.wait(PATIENCE)
            with lock:
                now -= 1
        return Image.new("RGB", (1, 1))

    def plain(size):
        file = io.BytesIO()
        Image.new("1", size).save(file, "PNG")
        return file.getvalue()

    large, one_pixel = plain((5000, 4000)), plain((1, 1))
    monkeypatch.setattr(thumbnails, "read_thumbnail", decode)
    with ThreadPoolExecutor(5) as pool:
        made = [pool.submit(thumbnails.make_thumbnail, data, 160) for data in (*[large] * 4, one_pixel)]
        assert [one.result(PATIENCE)[:4] for one in made] == [b"RIFF"] * 5
    assert peak == 1


def test_only_the_last_uploads_are_remembered(make_client, place, embedder):
    client = make_client(place / "index", embedder, max_uploads=3)
    names = [post(client, "x", PNG).json()["upload"] for _ in range(5)]
    found = [client.get(f"/api/uploads/{name}/thumbnail").status_code for name in names]
    assert found == [404, 404, 200, 200, 200]
    assert client.get(f"/api/search?upload={names[0]}").json()["type"].endswith("upload-forgotten")


def test_without_a_model_only_what_the_index_knows_can_be_searched_by(make_client, place):
    client = make_client(place / "index")
    known = next((place / "images").rglob("*.png")).read_bytes()
    name = post(client, "x", known).json()["upload"]
    assert client.get(f"/api/search?upload={name}&top=1").json()["results"][0]["distance"] == 0
    response = post(client, "x", PNG)
    assert (response.status_code, response.json()["type"]) == (409, "/problems/no-model")
