"""The server keeps to itself, and keeps what it holds: a real process, asked over HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coopcut.monitors.visdom.client import Client
from coopcut.monitors.visdom.environments import EnvironmentFiles, Environments, clean
from tests.tools import ROOT
from tests.visdom_tools import RealServer, free_port, real_assets, until

pytest.importorskip("visdom", reason="the package visdom is not installed")


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for the scripts of the page."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "js").mkdir()
    (folder / "js" / "jquery.min.js").write_text("ours")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[RealServer]:
    with RealServer(free_port(), tmp_path_factory.mktemp("kept"), assets) as server:
        yield server


def ask(server: RealServer, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    sent = {"Host": f"localhost:{server.port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body or None, sent)
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


def post(server: RealServer, env: str, win: str = "1", content: str = "text", **headers: str) -> tuple[int, str]:
    body = {"data": [{"type": "text", "content": content}], "win": win, "eid": env, "opts": {}}
    return ask(server, "POST", "/events", json.dumps(body), **headers)


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_and_its_files(server: RealServer) -> None:
    status, page = ask(server, "GET", "/")
    assert status == 200
    assert "href=/user/style.css" in page  # what tornado 6.6 refuses
    assert ask(server, "GET", "/user/style.css") == (200, "")
    assert ask(server, "GET", "/static/js/jquery.min.js") == (200, "ours")
    status, script = ask(server, "GET", "/static/js/main.js")
    assert (status, len(script) > 100_000) == (200, True)
    for path, says in (("MathJax.js", "offline"), ("config/TeX-AMS-MML_HTMLorMML.js", "not drawn")):
        status, text = ask(server, "GET", f"/static/js/mathjax/2.7.5/{path}")
        assert (status, says in text) == (200, True)


def test_a_page_of_another_site_may_link_here_but_not_fetch(server: RealServer) -> None:
    assert ask(server, "GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert ask(server, "GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert ask(server, "GET", "/", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")[0] == 200
    for path in ("/socket_wrap", "/vis_socket_wrap"):  # each request would leave a queue that grows without end
        assert ask(server, "GET", path)[0] == 403


@pytest.mark.parametrize(
    "path", ["../server/app.py", "%2e%2e/server/app.py", "../../../../../../etc/passwd", "js/no.js"]
)
def test_no_other_file_is_served(server: RealServer, path: str) -> None:
    assert ask(server, "GET", f"/static/{path}")[0] in (403, 404)


# -- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:{}", None, 200),
        ("localhost:{}", "http://localhost:{}", 200),
        ("LOCALHOST:{}", "http://LocalHost:{}", 200),
        ("localhost:9000", "http://localhost:9000", 200),  # through a tunnel
        ("127.0.0.1:{}", "http://127.0.0.1:{}", 200),
        ("[::1]:{}", None, 200),
        ("evil.example:{}", None, 403),  # a name that has been pointed here
        ("localhost.evil.example", None, 403),
        ("", None, 403),
        ("localhost:{}", "http://evil.example", 403),
        ("localhost:{}", "http://localhost:9000", 403),
        ("localhost:{}", "null", 403),
        ("localhost:{}", "", 403),
    ],
)
def test_host_and_origin(server: RealServer, host: str, origin: str | None, expected: int) -> None:
    headers = {"Host": host.format(server.port)}
    if origin is not None:
        headers["Origin"] = origin.format(server.port)
    assert ask(server, "GET", "/", **headers)[0] == expected
    assert post(server, "main", **headers)[0] == expected
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    with socket.create_connection(("127.0.0.1", server.port), 20) as raw:
        lines = [f"{name}: {value}" for name, value in (headers | upgrade).items()]
        raw.sendall("\r\n".join(["GET /socket HTTP/1.1", *lines, "", ""]).encode())
        assert raw.recv(12).decode().split()[1] == ("101" if expected == 200 else "403")


def test_it_listens_on_this_machine_only(server: RealServer) -> None:
    for family, _, _, _, address in socket.getaddrinfo(socket.gethostname(), server.port, type=socket.SOCK_STREAM):
        if not address[0].startswith("127.") and address[0] != "::1":  # type: ignore[union-attr]
            with socket.socket(family) as probe:
                assert probe.connect_ex(address) != 0


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_environments_are_kept_through_a_restart(tmp_path: Path) -> None:
    folder, port = tmp_path / "kept", free_port()
    with RealServer(port, folder) as server:
        assert post(server, "main", "7", "first") == (200, "7")
        until(lambda: (folder / "main.json").is_file())  # by the timer
        assert post(server, "../victim", "8", "second") == (200, "8")
        server.signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert sorted(os.listdir(folder)) == ["___victim.json", "main.json"]
    assert sorted(os.listdir(tmp_path)) == ["kept"]
    with RealServer(port, folder) as server:
        status, text = ask(server, "POST", "/win_exists", json.dumps({"eid": "main", "win": "7"}))
        assert (status, text) == (200, "true")
        assert set(json.loads(ask(server, "POST", "/env_state", "{}")[1])) == {"main", "___victim"}
        (tmp_path / "victim.json").write_text("{}")
        ask(server, "POST", "/delete_env", json.dumps({"eid": "../victim"}))
        until(lambda: not (folder / "___victim.json").exists())
        assert (tmp_path / "victim.json").exists()
        server.signal(signal.SIGKILL)
        server.process.wait(20)
    assert json.loads((folder / "main.json").read_text())["jsons"]["7"]["content"] == "first"


def test_clean_names() -> None:
    assert clean("horse2zebra_coop-1") == "horse2zebra_coop-1"
    assert clean("../a b</script>'\n") == "___a_b__script___"
    assert clean("") == "main"
    assert len(clean("x" * 1000)) == 100
    environments = Environments(main=1)
    environments["a/b"] = 2
    assert (environments["a_b"], environments.get("a/b"), "a/b" in environments, list(environments)) == (
        2,
        2,
        True,
        ["main", "a_b"],
    )
    assert environments.get("c", 3) == 3
    del environments["a?b"]
    assert list(environments) == ["main"]


def test_only_what_has_changed_is_written_and_damage_is_put_aside(tmp_path: Path) -> None:
    files = EnvironmentFiles(tmp_path)
    environments = files.load()
    assert environments == {"main": {"jsons": {}, "reload": {}}}
    files.save(environments)
    assert os.listdir(tmp_path) == []  # nothing to keep
    environments["main"]["jsons"]["1"] = {"id": "1"}
    files.save(environments)
    os.utime(tmp_path / "main.json", ns=(1, 1))
    files.save(environments)
    assert (tmp_path / "main.json").stat().st_mtime_ns == 1
    environments["main"]["jsons"].clear()
    files.save(environments)
    assert EnvironmentFiles(tmp_path).load() == environments  # closed windows stay closed
    environments["main"]["jsons"]["1"] = {"id": "1"}
    files.save(environments)
    (tmp_path / "bad.json").write_text('{"jsons": {')
    again = EnvironmentFiles(tmp_path)
    assert again.load() == environments
    assert sorted(os.listdir(tmp_path)) == ["bad.damaged", "main.json"]


def test_each_run_keeps_its_windows_in_its_folder_too(tmp_path: Path) -> None:
    first, second, elsewhere = (tmp_path / name for name in ("runs/first", "runs/second", "elsewhere"))
    for folder in (first, second, elsewhere):
        folder.mkdir(parents=True)
        (folder / "train_opt.json").write_text("{}")
    (tmp_path / "runs" / "none").mkdir()
    files = EnvironmentFiles(first / "visdom", tmp_path / "runs")
    assert files.keep("main", range(100, 200), first)
    assert files.keep("main", range(200, 300), second)
    assert not files.keep("main", range(300, 400), elsewhere)
    assert not files.keep("main", range(300, 400), tmp_path / "runs" / "none")
    assert not EnvironmentFiles(tmp_path / "x").keep("main", range(200, 300), second)
    environments = files.load()
    environments["main"]["jsons"] = {str(number): {"id": str(number)} for number in (101, 200, 299, 300, 350)}
    files.save(environments)
    assert json.loads((second / "visdom" / "main.json").read_text())["jsons"].keys() == {"200", "299"}
    assert (
        json.loads((first / "visdom" / "main.json").read_text())["jsons"].keys() == environments["main"]["jsons"].keys()
    )
    assert sorted(os.listdir(elsewhere)) == ["train_opt.json"]
    environments["main"]["jsons"].clear()
    files.save(environments)
    assert json.loads((second / "visdom" / "main.json").read_text())["jsons"].keys() == {"200", "299"}
    assert EnvironmentFiles(second / "visdom").load()["main"]["jsons"].keys() == {"200", "299"}


def test_a_run_that_joins_is_kept_in_its_folder(tmp_path: Path) -> None:
    run, port = tmp_path / "second", free_port()
    run.mkdir()
    (run / "train_opt.json").write_text("{}")
    with RealServer(port, tmp_path / "kept") as server:
        client = Client("http://127.0.0.1", port, "main")
        client.keep(500, 100, run)
        client.keep(500, 100, tmp_path / "no run")  # refused, which is no failure
        client.text("501", "of the run", "text", 100, 100)
        client.text("601", "of another", "text", 100, 100)
        until(lambda: (run / "visdom" / "main.json").is_file())
        assert ask(server, "POST", "/keep", "no json")[0] == 400
        assert ask(server, "POST", "/keep", "{}", Origin="http://evil.example")[0] == 403
    assert json.loads((run / "visdom" / "main.json").read_text())["jsons"].keys() == {"501"}
    assert not (tmp_path / "no run").exists()


# -- the command ------------------------------------------------------------------------------------------------------


def command(*flags: object) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "coopcut.monitors.visdom", *map(str, flags)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--port", "0"], "--port: '0' must be a whole number from 1 to 65535"),
        (["--port", "99999"], "--port: '99999' must be a whole number from 1 to 65535"),
        (["--prt", "1"], "unrecognized arguments: --prt 1"),
        (["--save_every", "0"], "0 is not a number above 0"),
        (["--name", "no_such_run"], "--name no_such_run: there is no run checkpoints/no_such_run"),
    ],
)
def test_bad_flags(flags: list[str], says: str) -> None:
    done = command(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("visdom: error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_help_names_every_flag() -> None:
    done = command("--help")
    assert done.returncode == 0
    for flag in ("port", "hostname", "allow_host", "name", "env_path", "save_every", "exit_when_idle", "assets"):
        assert f"--{flag}" in done.stdout


def test_make_visdom() -> None:
    """With and without the name of a run; `make venv` is taken for done."""
    for name, flags in (("", ""), ("NAME=small", " --name small")):
        make = ["make", "-n", "-o", ".venv/installed", "visdom", *name.split()]
        done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert f"python -m coopcut.monitors.visdom{flags}" in [
            line.strip().removeprefix(".venv/bin/") for line in done.stdout.splitlines()
        ]


def test_windows_of_a_finished_run_are_shown_again(tmp_path: Path) -> None:
    real_assets()
    folder, port = tmp_path / "small" / "visdom", free_port()
    folder.mkdir(parents=True)
    kept = {"jsons": {"5": {"id": "5", "type": "text", "content": "kept", "i": 0}}, "reload": {}}
    (folder / "main.json").write_text(json.dumps(kept))
    flags = ["--name", "small", "--checkpoints_dir", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "coopcut.monitors.visdom", *flags], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert f"Visdom: http://localhost:{port} (windows are kept in {folder})" in process.stdout.readline().decode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/win_exists", json.dumps({"eid": "main", "win": "5"}))
        assert connection.getresponse().read() == b"true"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert json.loads((folder / "main.json").read_text()) == kept


def test_fetch_only() -> None:
    folder = real_assets()
    assert command("--fetch_only").stdout == f"the page's scripts are in {folder} (complete)\n"


def test_port_in_use_and_folder_that_cannot_be_used(tmp_path: Path) -> None:
    real_assets()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("--port", port, "--env_path", tmp_path / "kept")
        assert done.returncode == 2
        assert f"port {port} of 127.0.0.1 cannot be had (Address already in use)" in done.stderr
        assert "--display_port" in done.stderr
    (tmp_path / "file").write_text("")
    done = command("--port", free_port(), "--env_path", tmp_path / "file" / "below")
    assert (done.returncode, "choose another --env_path" in done.stderr) == (2, True)


def test_it_ends_when_nobody_uses_it(tmp_path: Path) -> None:
    real_assets()
    done = command("--port", free_port(), "--env_path", tmp_path, "--exit_when_idle", "0.002")
    assert done.returncode == 0
    assert "nobody has looked for 0.002 minutes" in done.stdout
