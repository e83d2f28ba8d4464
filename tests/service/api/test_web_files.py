"""The files of the page: their digest, how they are packed, and what is not there."""

import gzip
from pathlib import Path

import pytest
from fastapi import HTTPException
from starlette.testclient import TestClient

from service.api.web_files import WebFiles
from service.app import create_app
from tests.service.conftest import URL
from tests.support.live_service import Live, settings

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "web"
    (made / "vendor/lib@1").mkdir(parents=True)
    (made / "index.html").write_text("<p>{web}</p>")
    (made / "app.js").write_text("let a = 1;")
    (made / "vendor/lib@1/lib.mjs").write_text("export {};")
    return made


def test_a_changed_file_changes_the_digest_of_all(folder: Path) -> None:
    before = WebFiles(folder).digest
    assert WebFiles(folder).digest == before
    (folder / "app.js").write_text("let a = 2;")
    assert WebFiles(folder).digest != before


def test_a_renamed_file_and_a_changed_index_change_the_digest_too(folder: Path) -> None:
    digests = [WebFiles(folder).digest]
    (folder / "app.js").rename(folder / "start.js")
    digests.append(WebFiles(folder).digest)
    (folder / "index.html").write_text("<p>{web}!</p>")
    digests.append(WebFiles(folder).digest)
    assert len(set(digests)) == 3


def test_libraries_have_their_version_in_the_address_and_not_the_digest(folder: Path) -> None:
    before = WebFiles(folder)
    (folder / "vendor/lib@1/lib.mjs").write_text("export { };")
    after = WebFiles(folder)
    assert after.digest == before.digest
    assert after.file("vendor/lib@1/lib.mjs").content == b"export { };"


@pytest.mark.parametrize(
    "name", ["index.html", "none.js", "", "vendor/lib@1/lib.mjs", "../app.js", "./app.js"]
)
def test_only_files_that_exist_are_served(folder: Path, name: str) -> None:
    files = WebFiles(folder)
    with pytest.raises(HTTPException) as refused:
        files.file(f"web/{files.digest}/{name}")
    assert (refused.value.status_code, refused.value.detail) == (404, "There is no such file.")


def test_a_file_of_another_version_says_what_to_load(folder: Path) -> None:
    with pytest.raises(HTTPException) as refused:
        WebFiles(folder).file("web/0123456789abcdef/app.js")
    assert refused.value.status_code == 404
    assert "load / again" in refused.value.detail


# --- Over HTTP ---


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("web/{digest}/app.js", "text/javascript; charset=utf-8"),
        ("web/{digest}/style.css", "text/css; charset=utf-8"),
        ("web/{digest}/icon.svg", "image/svg+xml"),
        ("vendor/preact@11.2.0/preact.mjs", "text/javascript; charset=utf-8"),
        ("vendor/uplot@1.6.32/uPlot.min.css", "text/css; charset=utf-8"),
        ("vendor/htm@3.1.1/LICENSE", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_sent_packed_or_plain_for_ever(live: Live, name: str, media_type: str) -> None:
    digest = WebFiles().digest
    address = "/" + name.format(digest=digest)
    source = Path(__file__).parents[3] / "service/web" / name.removeprefix("web/{digest}/")
    packed = live.http.get(address, headers={"Accept-Encoding": "gzip"})
    plain = live.http.get(address, headers=PLAIN)
    assert packed.content == plain.content == source.read_bytes()
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    for answer in (packed, plain):
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Cache-Control"] == "max-age=31536000, immutable"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_large_library_arrives_whole(live: Live) -> None:
    address = "/vendor/swagger-ui-dist@5.35.0/swagger-ui-bundle.js"
    source = Path(__file__).parents[3] / f"service/web{address}"
    with live.http.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert gzip.decompress(packed) == source.read_bytes()
    assert len(packed) < len(source.read_bytes()) / 3


def test_head_has_the_headers_of_get_and_no_body(live: Live) -> None:
    address = f"/web/{WebFiles().digest}/app.js"
    head, get = live.http.head(address), live.http.get(address)
    assert head.content == b""
    same = ("Content-Length", "Content-Type", "Cache-Control", "Content-Encoding", "Vary")
    assert [head.headers[name] for name in same] == [get.headers[name] for name in same]


@pytest.mark.parametrize(
    "path",
    [
        *("/web/", "/web", "/web/app.js", "/web/{}/none.js", "/web/{}/", "/web/{}/index.html"),
        *("/web/{}/vendor/vendor.json", "/vendor/none.js", "/vendor/", "/index.html", "/app.js"),
    ],
)
def test_an_address_without_a_file_is_a_problem_and_never_the_page(live: Live, path: str) -> None:
    headers = {"Accept": "text/html"}
    answer = live.http.get(path.format(WebFiles().digest), headers=headers)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_files_can_only_be_read(live: Live, method: str) -> None:
    answer = live.http.request(method, f"/web/{WebFiles().digest}/app.js")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_changed_file_is_there_at_the_next_reload_if_asked_for(
    data_dir: Path, datasets_dir: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings(data_dir, datasets_dir, page_reload=True))
    assert app.state.web().digest == WebFiles().digest
    app.state.web = lambda: WebFiles(folder)
    with TestClient(app, base_url=URL) as client:
        before = client.get("/", headers={"Accept": "text/html"}).text
        (folder / "app.js").write_text("let a = 3;")
        after = client.get("/", headers={"Accept": "text/html"}).text
        assert before != after
        digest = after.split("/web/")[1].split("<")[0]
        assert client.get(f"/web/{digest}/app.js").text == "let a = 3;"
