"""The stream of all jobs when the server dies: no event is missing, and none comes twice."""

from tests.support.server_process import Server, eventually
from tests.support.stream_listener import StreamListener

EPOCHS = 40


def test_a_stream_goes_on_where_it_was_although_the_server_was_killed(server: Server) -> None:
    first = StreamListener(server.http)
    instance = first.hello()["instance"]
    job = server.submit(preset="linear", epochs=EPOCHS)
    first.wait_for("epoch", job=job)
    server.kill()
    first.end()
    seen = first.ids()
    server.start()
    second = StreamListener(server.http, f"?after={seen[-1]}")
    hello = second.hello()
    assert (hello["reset"], hello["instance"]) == (False, instance)
    server.wait(job, "succeeded")
    second.wait_for("job", id=job, state="succeeded")
    gone = server.submit(preset="linear", epochs=1)
    server.act(gone, "cancel")
    server.wait(gone, "cancelled", "succeeded")
    server.http.delete(f"/v1/jobs/{gone}")
    server.kill()
    second.end()
    server.start()
    third = StreamListener(server.http, f"?after={second.ids()[-1]}")
    third.wait_for("job", id=gone, deleted=True)
    # What happened to the deleted job between the streams is gone with it, and its end is told.
    before = seen + second.ids()
    assert before == list(range(1, len(before) + 1))
    assert len(third.ids()) == len(set(third.ids()))
    assert min(third.ids()) > before[-1]
    epochs = [it["epoch"] for it in (*first.of("epoch"), *second.of("epoch")) if it["job"] == job]
    assert epochs == list(range(1, EPOCHS + 1))
    eventually(lambda: server.job(job)["state"] == "succeeded", "the job")
    server.terminate()
    third.end()
