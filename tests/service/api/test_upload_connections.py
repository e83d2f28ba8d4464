"""Uploads on the wire: announced, cut off, sent twice at once, deleted on the way."""

import threading
import time

import httpx2

from tests.support import small_uploads
from tests.support.dataset_requests import SETS, connection_to, final, head, left_behind, names, put
from tests.support.live_service import Live
from tests.support.server_process import eventually


def test_a_file_of_another_size_is_refused_before_it_is_sent(service: Live) -> None:
    put(service, "known", small_uploads.npz(seed=6))
    with connection_to(service) as connection:
        connection.sendall(head("known", 200_000_000, "Expect: 100-continue"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 409 "), answer[:200]
    assert b"connection: close" in answer.lower()


def test_a_client_that_asks_first_is_told_to_go_on(service: Live) -> None:
    sent = small_uploads.npz(seed=7)
    with connection_to(service) as connection:
        connection.sendall(head("polite", len(sent), "Expect: 100-continue"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(sent)
        assert b"HTTP/1.1 201 " in connection.recv(65536)


def test_an_upload_that_is_cut_anywhere_leaves_nothing_behind(service: Live) -> None:
    sent = small_uploads.npz(seed=9)
    for tenth in range(10):
        with connection_to(service) as connection:
            cut = len(sent) * tenth // 10
            connection.sendall(head("cut", len(sent)) + sent[:cut])
            eventually(lambda: "cut" in names(service), "the upload to begin")
        eventually(lambda: "cut" not in names(service), f"the row to go after {tenth} tenths")
    assert put(service, "cut", sent).status_code == 201
    assert final(service, "cut")["state"] == "ready"
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


def test_the_same_file_sent_twice_at_once_is_one_data_set(service: Live) -> None:
    sent, statuses = small_uploads.npz(seed=10), list[int]()
    together = threading.Barrier(2)

    def send() -> None:
        with httpx2.Client(base_url=service.http.base_url, timeout=30) as http:
            together.wait()
            while True:
                answer = http.put(f"{SETS}/twice", content=sent)
                if answer.status_code != 409 or "Retry-After" not in answer.headers:
                    break
                time.sleep(0.05)
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 201]
    assert final(service, "twice")["state"] == "ready"


def test_a_data_set_that_is_deleted_while_it_is_sent_is_gone(service: Live) -> None:
    sent = small_uploads.npz(seed=11)
    with connection_to(service) as connection:
        connection.sendall(head("unwanted", len(sent)) + sent[:1000])
        eventually(lambda: "unwanted" in names(service), "the upload to begin")
        assert service.http.delete(f"{SETS}/unwanted").status_code == 204
        connection.sendall(sent[1000:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
    assert "unwanted" not in names(service)
    eventually(lambda: not left_behind(service), "what was sent to be deleted")
