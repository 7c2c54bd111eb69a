"""`ask`: the answer on standard output as it comes, the rest beside it."""

import io
import signal
from pathlib import Path

import httpx2
from PIL import Image

from .programs import Server, run, serving, started


def thread_of(err: str) -> str:
    return next(word for word in err.split() if word.startswith("thread_"))


def test_an_answer_goes_to_standard_output_and_its_thread_can_be_gone_on_in(
    open_server: Server, tmp_path: Path
) -> None:
    first = run(tmp_path, "ask", "Why is the sky blue?", "--url", open_server.url)
    assert first.status == 0
    assert first.out.startswith("I am the offline assistant")
    assert first.out.endswith("> Why is the sky blue?\n")
    thread_id = thread_of(first.err)
    second = run(tmp_path, "ask", "And now?", "--thread", thread_id, "--url", open_server.url)
    assert "2 earlier messages" in second.out
    assert thread_of(second.err) == thread_id
    stored = httpx2.get(f"{open_server.url}/threads/me/{thread_id}").json()["messages"]
    assert [first.out, second.out] == [stored[1]["content"], stored[3]["content"]]


def test_images_are_sent_along(open_server: Server, tmp_path: Path) -> None:
    names = ("red.png", "blue.png")
    for name in names:
        picture = io.BytesIO()
        Image.new("RGB", (64, 48), name.removesuffix(".png")).save(picture, "PNG")
        (tmp_path / name).write_bytes(picture.getvalue())
    images = [word for name in names for word in ("--image", name)]
    ended = run(tmp_path, "ask", *images, "--user", "ada", "--url", open_server.url)
    assert ended.status == 0
    assert ended.out.count("PNG, 64 × 48 pixels") == 2


def test_a_refusal_is_shown_with_its_code(open_server: Server, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    ended = run(tmp_path, "ask", "What?", "--image", "no.png", "--url", open_server.url)
    assert (ended.status, ended.out) == (1, "")
    assert "(file_unsupported)" in ended.err
    assert "Traceback" not in ended.err


def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    ended = run(tmp_path, "ask", "Hello?", PORT="1")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Error: no server answers at http://127.0.0.1:1.")


def test_ctrl_c_stops_the_run_and_keeps_what_was_said(open_server: Server, tmp_path: Path) -> None:
    with started(
        tmp_path, "ask", "Tell me. " * 500, "--user", "bob", "--url", open_server.url
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
        assert process.wait() == 130
    err = (tmp_path / "err").read_text()
    assert "Stopped." in err
    assert "Traceback" not in err
    stored = httpx2.get(f"{open_server.url}/threads/bob/{thread_of(err)}").json()["messages"][1]
    assert stored["status"] == "incomplete"
    assert stored["content"].startswith(said)


def test_an_answer_survives_a_restart_of_its_server(tmp_path: Path) -> None:
    question = "Tell me. " * 20
    with serving(tmp_path) as server:
        (tmp_path / "asker").mkdir()
        with started(tmp_path / "asker", "ask", question, "--url", server.url) as asking:
            assert asking.stdout is not None
            asking.stdout.read(20)
            assert server.stop() == 0
            port = server.url.rpartition(":")[2]
            with serving(tmp_path, "--port", port):
                said = asking.stdout.read()
                assert asking.wait() == 0
    assert said.endswith(f"> {question}\n")
    assert "the answer begins again" in (tmp_path / "asker" / "err").read_text()
