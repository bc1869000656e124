"""The cache of thumbnails: limited, shared, and never needed."""

import threading

import pytest

from deep_ranking.web.thumbnails import FILE_NAME, Thumbnails


@pytest.fixture
def thumbnails(tmp_path):
    cache = Thumbnails(tmp_path / "cache", 10_000)
    yield cache
    cache.close()


def kept(cache, size=160):
    return [number for number in range(100) if cache.get(number, size) is not None]


def test_what_is_put_is_found_again_by_the_next_process(thumbnails, tmp_path):
    thumbnails.put(1, 160, b"small")
    thumbnails.put(1, 320, b"large")
    thumbnails.put(1, 160, b"other")  # another thread was first
    for cache in (thumbnails, Thumbnails(tmp_path / "cache", 10_000)):
        assert (cache.get(1, 160), cache.get(1, 320), cache.get(2, 160)) == (b"small", b"large", None)
    cache.close()


def test_beyond_the_limit_the_oldest_go(thumbnails):
    for number in range(50):
        thumbnails.put(number, 160, bytes(1000))
        assert len(kept(thumbnails)) <= 10
    assert kept(thumbnails) == list(range(50 - len(kept(thumbnails)), 50))
    assert len(kept(thumbnails)) >= 8


def test_one_that_is_larger_than_the_cache_does_no_harm(thumbnails):
    thumbnails.put(1, 160, bytes(20_000))
    assert kept(thumbnails) == []
    thumbnails.put(2, 160, b"x")
    assert kept(thumbnails) == [2]


def test_a_damaged_file_is_made_anew(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    cache = Thumbnails(tmp_path, 10_000)
    cache.put(1, 160, b"x")
    cache.close()
    again = Thumbnails(tmp_path, 10_000)
    assert again.get(1, 160) == b"x"
    again.close()


def test_where_nothing_can_be_written_the_cache_is_in_memory(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = Thumbnails(tmp_path / "file" / "cache", 10_000)
    cache.put(1, 160, b"x")
    assert cache.get(1, 160) == b"x"
    assert "thumbnails are not kept" in caplog.text
    cache.close()


def test_threads_share_it(thumbnails):
    def use(start):
        for number in range(start, start + 40):
            thumbnails.put(number % 50, 160, bytes([number % 50]) * 100)
            found = thumbnails.get(number % 50, 160)
            assert found is None or found == bytes([number % 50]) * 100

    threads = [threading.Thread(target=use, args=(start,)) for start in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(thumbnails)) == 50
