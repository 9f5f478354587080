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
from coopcut.monitors.visdom.assets import Asset, find_assets
from coopcut.monitors.visdom.client import clean
from coopcut.util.errors import UserError
from tests.tools import ROOT, make_images
from tests.visdom_tools import COOPERATIVE, free_port, real_server, record, until

SOUND = b"/* sound */"

# -- the scripts of its page ------------------------------------------------------------------------------------------


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm that packs the folder `package` beside it."""
    script = tmp_path / "npm"
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.js").write_bytes(SOUND)
    script.write_text(f'#!/bin/sh\ncd "{tmp_path}" && tar czf "$5/pack-1.0.0.tgz" package\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one = Asset("pack@1.0.0", "a.js", "js/a.js", hashlib.sha256(SOUND).hexdigest())
    monkeypatch.setattr(assets, "ASSETS", (one,))
    return script


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo evil > package/a.js; tar czf $5/pack-1.0.0.tgz package", "a.js of pack@1.0.0 is not what it was"),
        ("rm package/a.js; tar czf $5/pack-1.0.0.tgz package", "package/a.js"),
        ("echo 'npm error network down' >&2; exit 1", "network down"),
    ],
)
def test_scripts_are_loaded_once_and_checked(tmp_path: Path, npm: Path, script: str, says: str) -> None:
    file = tmp_path / "cache/coopcut/visdom-assets/js/a.js"
    assert find_assets() == file.parents[1]
    npm.write_text(f'#!/bin/sh\ncd "{tmp_path}"\n{script}\n')
    assert find_assets() == file.parents[1]  # no npm is asked any more
    file.write_bytes(b"cut sho")
    with pytest.raises(UserError, match=rf"{says}.*install npm, or copy .*assets from a machine"):
        find_assets()
    assert file.read_bytes() == b"cut sho"


# -- who may ask ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with real_server(port := free_port()):
        yield port


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(
        method, path, None if body is None else json.dumps(body), {"Host": f"localhost:{port}", **headers}
    )
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:{}", None, 200),
        ("localhost:9000", "http://localhost:9000", 200),  # through a tunnel
        ("127.0.0.1:{}", "http://127.0.0.1:{}", 200),
        ("[::1]:{}", None, 200),
        ("evil.example:{}", None, 403),  # a name that has been pointed here
        ("", None, 403),
        ("localhost:{}", "http://evil.example", 403),
        ("localhost:{}", "http://localhost:9000", 403),
        ("localhost:{}", "null", 403),
    ],
)
def test_host_and_origin(port: int, host: str, origin: str | None, expected: int) -> None:
    headers = {"Host": host.format(port), **({"Origin": origin.format(port)} if origin else {})}
    window = {"data": [{"type": "text", "content": "text"}], "win": "1", "eid": "main", "opts": {}}
    assert ask(port, "GET", "/", **headers)[0] == expected
    assert ask(port, "POST", "/events", window, **headers)[0] == expected
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert ask(port, "GET", "/socket", **headers, **upgrade, **key)[0] == (101 if expected == 200 else 403)


def test_a_page_of_another_site_may_link_here_but_not_fetch(port: int) -> None:
    for site, mode, expected in (
        ("cross-site", "navigate", 200),
        ("cross-site", "no-cors", 403),
        ("same-origin", "cors", 200),
    ):
        assert ask(port, "GET", "/", **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})[0] == expected
    for path in ("/socket_wrap", "/vis_socket_wrap"):
        assert ask(port, "GET", path)[0] == 403


def test_it_listens_on_this_machine_only(port: int) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0  # on every address, it would be there too


@pytest.mark.parametrize("path", ["../server/app.py", "%2e%2e/server/app.py", "js/../../../server/app.py"])
def test_no_other_file_is_served(port: int, path: str) -> None:
    assert ask(port, "GET", f"/static/{path}")[0] in (403, 404)


def test_names_of_environments_are_cleaned(port: int) -> None:
    assert clean("../a b</script>'\n") == "___a_b__script___"
    assert (clean(""), len(clean("x" * 1000))) == ("main", 100)
    window = {"data": [{"type": "text", "content": "text"}], "win": "1", "eid": "<b>", "opts": {}}
    assert ask(port, "POST", "/events", window)[0] == 200
    assert ask(port, "POST", "/env/main", {"eid": "<i>"})[0] == 400
    assert set(json.loads(ask(port, "POST", "/env_state", {})[1])) == {"main", "_b_"}


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--port 99999", "--port: '99999' must be a whole number from 1 to 65535"),
        ("--name no_such_run", "no_such_run/losses.jsonl holds no losses"),
        ("--port {}", "port {} of 127.0.0.1 cannot be had (Address already in use)"),
    ],
)
def test_bad_flags(port: int, flags: str, says: str) -> None:
    command = [sys.executable, "-m", "coopcut.monitors.visdom", *flags.format(port).split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("visdom: error: ")
    assert says.format(port) in done.stderr


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
        found: dict[str, str] = {}

        def drawn() -> bool:
            windows = json.loads(ask(port, "POST", "/win_data", {"eid": "main", "win": None})[1])
            found.update({window["title"]: str(window["content"]) for window in windows.values()})
            return "tiny: speed" in found

        until(drawn)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert list(found)[:3] == ["tiny: ended", "tiny: epoch 12", "tiny: adversarial losses"]
    assert re.search("step</td><td>10 of 4000 ", found["tiny: ended"])
    assert "--max_iters" not in found["tiny: ended"].split("all options")[0]
    assert re.search("--netG</td><td>resnet_4blocks", found["tiny: ended"].split("all options")[0])
    assert "fake_B" in found["tiny: epoch 12"]
