"""Connections between clients and the server are cut, and each key still creates one job."""

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx2

from mlp_client import Client
from tests.support.campaign import Campaign
from tests.support.proxy import FATES, Proxy
from tests.support.server_process import Server

CLIENTS = 8
SHARE = 0.45
LOST = (httpx2.NetworkError, httpx2.RemoteProtocolError)


def post(http: httpx2.Client, key: str, **spec: object) -> tuple[httpx2.Response, int]:
    """Submit until there is an answer; return it, and how often it was sent."""
    for sent in range(1, 10):
        try:
            headers = {"Idempotency-Key": key}
            return http.post("/v1/jobs", json=spec, headers=headers), sent
        except LOST:
            pass
    raise AssertionError(f"{key} was never answered")


def submit_with_http(url: str, client: int, count: int) -> tuple[list[str], int]:
    """Submit `count` jobs with a plain HTTP client; return their ids and how many were retried."""
    ids, retried = [], 0
    with httpx2.Client(base_url=url, timeout=60) as http:
        for number in range(count):
            answer, sent = post(http, f"client-{client}-{number}", seed=number)
            assert answer.status_code == 201, answer.text
            ids.append(answer.json()["id"])
            retried += sent > 1
    return ids, retried


def submit_with_client(url: str, count: int) -> list[str]:
    with Client(url, timeout=60) as client:
        return [client.jobs.create(seed=number).id for number in range(count)]


def test_each_key_creates_one_job(idle_server: Server, campaign: Campaign) -> None:
    count = campaign.of(400, 10_000) // CLIENTS
    with (
        Proxy(idle_server.port, seed=1, share=SHARE) as proxy,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        url = f"http://127.0.0.1:{proxy.port}"
        plain = [
            pool.submit(submit_with_http, url, client, count) for client in range(CLIENTS // 2)
        ]
        clients = [pool.submit(submit_with_client, url, count) for _ in range(CLIENTS // 2)]
        answered = [id_ for client in plain for id_ in client.result()[0]]
        answered += [id_ for client in clients for id_ in client.result()]
        retried = sum(client.result()[1] for client in plain) / (count * len(plain))

    stored = sorted(id_ for (id_,) in query_of(idle_server, "SELECT id FROM jobs"))
    keys = query_of(idle_server, "SELECT key, job FROM idempotency_keys")
    measured = f"{len(stored)} jobs of {len(keys)} keys"
    same = stored == sorted(answered) == sorted(job for _, job in keys)
    campaign.figure(
        "one job a key, the one that was answered", target="all", measured=measured, met=same
    )
    measured = f"{retried:.0%}; {json.dumps(proxy.fates)}"
    met = retried >= 0.3
    campaign.figure("submissions retried", target="30 % or more", measured=measured, met=met)
    assert len(stored) == count * CLIENTS
    assert same
    assert retried >= 0.3
    assert set(proxy.fates) == set(FATES)


def test_a_key_is_bound_to_one_body_on_an_unreliable_connection(
    idle_server: Server, campaign: Campaign
) -> None:
    count = campaign.of(30, 500)
    with (
        Proxy(idle_server.port, seed=2, share=SHARE) as proxy,
        httpx2.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=60) as http,
    ):
        for number in range(count):
            post(http, f"key-{number}", seed=1)
        answers = [post(http, f"key-{number}", seed=2)[0] for number in range(count)]
    codes = [answer.json().get("code") for answer in answers]
    refused = codes.count("idempotency-key-reused")
    measured, met = f"{refused} of {count}", refused == count
    campaign.figure("keys with another body refused", target="all", measured=measured, met=met)
    assert met
    assert query_of(idle_server, "SELECT count(*) FROM jobs") == [(count,)]


def test_fifty_concurrent_twins_create_one_job_on_an_unreliable_connection(
    idle_server: Server, campaign: Campaign
) -> None:
    rounds, twins = campaign.of(1, 20), 50
    with Proxy(idle_server.port, seed=3, share=0.2) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        answered = set()
        for number in range(rounds):
            ready = threading.Barrier(twins)
            with ThreadPoolExecutor(twins) as pool:
                sent = [pool.submit(twin, url, f"twin-{number}", ready) for _ in range(twins)]
                answered |= {future.result() for future in sent}
    [(made,)] = query_of(idle_server, "SELECT count(*) FROM jobs")
    measured = f"{made} jobs, {len(answered)} different answers to {rounds} x {twins} requests"
    met = made == len(answered) == rounds
    campaign.figure("jobs of fifty concurrent twins", target="one each", measured=measured, met=met)
    assert met


def twin(url: str, key: str, ready: threading.Barrier) -> bytes:
    with httpx2.Client(base_url=url, timeout=60) as http:
        ready.wait(60)
        return post(http, key, epochs=3)[0].content


def query_of(server: Server, statement: str) -> list[Any]:
    with closing(sqlite3.connect(server.data_dir / "jobs.sqlite3", timeout=30)) as connection:
        return connection.execute(statement).fetchall()
