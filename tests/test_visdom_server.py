"""The server keeps to itself: its page by checksum, a real process asked over HTTP, and its command."""

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coopcut.engine.position import Position
from coopcut.monitors.text import LossFiles
from coopcut.monitors.visdom import assets
from coopcut.monitors.visdom.assets import find_assets
from coopcut.monitors.visdom.client import clean
from coopcut.util.errors import UserError
from tests.tools import ROOT, Outcome, check_refusal, make_images
from tests.visdom_tools import COOPERATIVE, free_port, real_server, record, until

SOUND = b"/* sound */"
PACK = "tar czf $5/pack-1.0.0.tgz package"
WINDOW = {"data": [{"type": "text", "content": "text"}], "win": "1", "eid": "<b>", "opts": {}}
FILES = ("/static/../server/app.py", "/static/%2e%2e/server/app.py", "/static/js/../../../server/app.py")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("echo evil > package/a.js", "a.js of pack@1.0.0 has an unexpected checksum"),
        ("rm package/a.js", "package/a.js"),
        ("echo 'npm error network down' >&2; exit 1", "network down"),
    ],
)
def test_scripts_are_loaded_and_checked(place: Path, monkeypatch: pytest.MonkeyPatch, fault: str, says: str) -> None:
    npm, file = place / "npm", place / "cache/coopcut/visdom-assets/js/a.js"
    (place / "package").mkdir()
    (place / "package" / "a.js").write_bytes(SOUND)
    npm.touch(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    one = ["pack@1.0.0", "a.js", "js/a.js", hashlib.sha256(SOUND).hexdigest()]
    monkeypatch.setattr(assets, "ASSETS", [one])
    npm.write_text(f"#!/bin/sh\ncd '{place}'; {PACK}")
    assert find_assets() == file.parents[1]
    npm.write_text(f"#!/bin/sh\ncd '{place}'; {fault}; {PACK}")
    assert find_assets() == file.parents[1]  # no npm is asked any more
    file.write_bytes(b"cut sho")
    with pytest.raises(UserError, match=rf"{says}.*install npm, or copy .*assets from a machine"):
        find_assets()
    assert file.read_bytes() == b"cut sho"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with real_server(port := free_port()):
        yield port


def ask(port: int, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    """Status and text of the answer to a GET, or with a `body` for JSON to a POST."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    text = None if body is None else json.dumps(body)
    connection.request("POST" if text else "GET", path, text, {"Host": f"localhost:{port}", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Host: localhost:{}", 200),
        ("Host: localhost:9000, Origin: http://localhost:9000", 200),  # through a tunnel
        ("Host: 127.0.0.1:{}, Origin: http://127.0.0.1:{}", 200),
        ("Host: [::1]:{}", 200),
        ("Host: evil.example:{}", 403),  # a name that has been pointed here
        ("Host: ", 403),
        ("Host: localhost:{}, Origin: http://evil.example", 403),
        ("Host: localhost:{}, Origin: http://localhost:9000", 403),
        ("Host: localhost:{}, Origin: null", 403),
        ("Sec-Fetch-Site: cross-site, Sec-Fetch-Mode: no-cors", 403),
        ("Sec-Fetch-Site: same-origin, Sec-Fetch-Mode: cors", 200),
    ],
)
def test_who_may_ask(port: int, headers: str, expected: int) -> None:
    sent = dict(header.split(": ") for header in headers.replace("{}", str(port)).split(", "))
    assert ask(port, "/", **sent)[0] == expected
    assert ask(port, "/events", WINDOW, **sent)[0] == expected
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert ask(port, "/socket", **sent, **upgrade, **key)[0] == (101 if expected == 200 else 403)


def test_a_page_of_another_site_may_link_here(port: int) -> None:
    assert ask(port, "/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200


def test_it_listens_on_this_machine_only(port: int) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0  # on every address, it would be there too


@pytest.mark.parametrize("path", [*FILES, "/socket_wrap", "/vis_socket_wrap"])
def test_no_other_file_is_served_and_no_page_polls(port: int, path: str) -> None:
    assert ask(port, path)[0] == 403


def test_names_of_environments_are_cleaned(port: int) -> None:
    assert clean("../a b</script>'\n") == "___a_b__script___"
    assert (clean(""), len(clean("x" * 1000))) == ("main", 100)
    assert ask(port, "/events", WINDOW)[0] == 200
    assert ask(port, "/env/main", {"eid": "<i>"})[0] == 400
    assert set(json.loads(ask(port, "/env_state", {})[1])) == {"main", "_b_"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--port 99999", "--port: '99999' must be a whole number from 1 to 65535"),
        ("--name no_such_run", "no_such_run/losses.jsonl holds no losses"),
        ("--port {}", "cannot listen on port {} of 127.0.0.1 (Address already in use)"),
    ],
)
def test_bad_flags(port: int, flags: str, says: str) -> None:
    command = [sys.executable, "-m", "coopcut.monitors.visdom", *flags.format(port).split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    check_refusal(Outcome(done.returncode, done.stdout, done.stderr), ("visdom: error: ", says.format(port)))
    assert done.stdout == ""


def test_it_ends_when_nobody_uses_it() -> None:
    with real_server(free_port(), "--exit_when_idle", "0.002") as server:
        assert server.wait(20) == 0


def test_a_finished_run_is_shown_again(a_run: Path) -> None:
    make_images(a_run / "web" / "images", 1, 32)[0].rename(a_run / "web" / "images" / "epoch012_fake_B.png")
    files, port = LossFiles(a_run, Position(), 1), free_port()
    files.log(record(5, COOPERATIVE))
    files.log(record(10, COOPERATIVE))
    makefile = subprocess.run(["make", "-n", "visdom", "NAME=tiny"], cwd=ROOT, capture_output=True, text=True)
    assert "python -m coopcut.monitors.visdom --name tiny\n" in makefile.stdout
    with real_server(port, "--name", "tiny", "--checkpoints_dir", str(a_run.parent)) as server:
        until(lambda: "tiny: speed" in ask(port, "/win_data", {"eid": "main", "win": None})[1])
        windows = json.loads(ask(port, "/win_data", {"eid": "main", "win": None})[1])
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    found = {window["title"]: str(window["content"]) for window in windows.values()}
    assert list(found)[:3] == ["tiny: ended", "tiny: epoch 12", "tiny: adversarial losses"]
    assert re.search("step</td><td>10 of 4000 ", found["tiny: ended"])
    assert "--max_iters" not in found["tiny: ended"].split("all options")[0]
    assert re.search("--netG</td><td>resnet_4blocks", found["tiny: ended"].split("all options")[0])
    assert "fake_B" in found["tiny: epoch 12"]
