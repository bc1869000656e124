"""Downloads from a server on this machine: whole, resumed, checked, or a clear error."""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from deep_ranking.datasets.download import DownloadError, download

CONTENT = np.random.default_rng(3).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `knows_ranges`, `stop_after` and `status` are how it misbehaves."""

    knows_ranges, stop_after, status = True, None, None

    def __init__(self):
        self.asked: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        start = 0
        if self.server.status:
            self.send_error(self.server.status)
            return
        if self.server.knows_ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.server.stop_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_appears_checked(server, tmp_path, capsys):
    path = download(server.url, tmp_path / "sub/file.zip", MD5)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.zip"]
    output = capsys.readouterr()
    assert "downloading file.zip" in output.err
    assert not output.out


def test_a_file_that_is_there_is_checked_and_not_fetched_again(server, tmp_path):
    (tmp_path / "file.zip").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.zip", MD5)
    assert server.asked == []
    (tmp_path / "file.zip").write_bytes(b"another")
    with pytest.raises(DownloadError, match=rf"expected the MD5 checksum {MD5}, found .*move it away"):
        download(server.url, tmp_path / "file.zip", MD5)
    assert (tmp_path / "file.zip").read_bytes() == b"another"


def test_a_broken_line_is_told_and_the_next_run_goes_on(server, tmp_path):
    server.stop_after = 300_000
    with pytest.raises(DownloadError, match=r"0\.3 MB are kept in .*file\.zip\.part: run again to go on"):
        download(server.url, tmp_path / "file.zip", MD5)
    assert names(tmp_path) == ["file.zip.part"]
    server.stop_after = None
    assert download(server.url, tmp_path / "file.zip", MD5).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]
    assert names(tmp_path) == ["file.zip"]


def test_a_server_without_ranges_begins_again(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1000])
    assert download(server.url, tmp_path / "file.zip", MD5).read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "file.zip", MD5).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"not the beginning of it")
    with pytest.raises(DownloadError, match=r"expected the MD5 checksum .* it was removed; run again"):
        download(server.url, tmp_path / "file.zip", MD5)
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_of_the_server(server, tmp_path, status):
    server.status = status
    with pytest.raises(DownloadError, match=r"cannot download .*file\.zip .*--archive"):
        download(server.url, tmp_path / "file.zip", MD5)


def test_offline(tmp_path):
    with socket.socket() as unused:  # bound, but no one listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.zip"
    with pytest.raises(DownloadError, match=r"Connection refused.*check the connection.*--archive"):
        download(url, tmp_path / "file.zip", MD5)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_another_error(server, tmp_path):
    (tmp_path / "file.zip.part").mkdir()
    with pytest.raises(IsADirectoryError):
        download(server.url, tmp_path / "file.zip", MD5)
