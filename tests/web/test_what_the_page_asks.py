"""What the page asks of the API besides the plain lists and searches."""


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
