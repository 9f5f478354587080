"""A Visdom server that keeps to itself: this machine only by default, and no other site let in.

It is Visdom's own server (`visdom.server.app.Application`) with the scripts of its page from a folder of ours, and a
check in front of every request. It writes nothing to the disk, and nothing into Visdom's package: a running training
draws all its windows again, and those of a finished one are drawn from the run's own files.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import tornado.web
from tornado.httputil import HTTPServerRequest
from visdom.server import app as stock
from visdom.server.handlers import socket_handlers
from visdom.utils import server_utils

from coopcut.engine.signals import SIGNALS
from coopcut.monitors.visdom.assets import ASSETS
from coopcut.monitors.visdom.client import clean
from coopcut.util.errors import UserError

log = logging.getLogger(__name__)


class Environments(dict[str, Any]):
    """What Visdom calls its state: sets of windows by name. The page takes a name for HTML: none but clean ones."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name != clean(name):
            raise tornado.web.HTTPError(400)
        super().__setitem__(name, value)


class Server(stock.Application):
    """Visdom's application, which may be asked for as localhost, by any IP address, and by the name `host`."""

    def __init__(self, assets: Path, host: str, port: int) -> None:
        server_utils.escape_eid = socket_handlers.escape_eid = clean
        stock.tornado_settings |= {
            # Without a version: tornado 6.6 finds none of `../user/style.css`.
            "ui_methods": {"static_url": lambda _, path: f"/static/{path}"},
            "autoreload": False,
            "serve_traceback": False,
            "websocket_ping_interval": 30,  # seconds; a page that does not answer is forgotten, with what waits for it
        }
        # A name that is not known could be another site's that now points here; an IP address could not.
        self.hosts = re.compile(rf"(localhost|{re.escape(host.lower())}|[\d.]+|\[[\da-f:.]+\])(:\d*)?")
        self.last_request = time.monotonic()
        super().__init__(port=port, env_path=None)
        self.state = Environments(self.state)
        scripts = "|".join(re.escape(target) for _, _, target, _ in ASSETS)
        mathjax = Path(__file__).with_name("static")  # in its place: a "$" in a name is a "$"
        for name, folder in ((f"({scripts})", assets), (r"js/mathjax/.*/([\w-]+\.js)", mathjax)):
            self.add_handlers(".*", [(f"/static/{name}", tornado.web.StaticFileHandler, {"path": folder})])

    def load_user_settings(self) -> dict[str, str]:
        return {"config_dir": "", "user_css": ""}

    def find_handler(self, request: HTTPServerRequest, **keywords: Any) -> Any:
        headers = request.headers
        elsewhere = headers.get("Sec-Fetch-Site") == "cross-site" and headers.get("Sec-Fetch-Mode") != "navigate"
        host, origin = headers.get("Host", "").lower(), headers.get("Origin", "").lower()
        foreign = "Origin" in headers and origin not in (f"http://{host}", f"https://{host}")
        polling = request.path.endswith("_wrap")  # the page has no use for it, and each would leave a queue that grows
        if elsewhere or foreign or polling or not self.hosts.fullmatch(host):
            return self.get_handler_delegate(request, tornado.web.ErrorHandler, {"status_code": 403})
        self.last_request = time.monotonic()
        for page in list(self.subs.values()):
            if page.ws_connection is None or page.ws_connection.is_closing():
                page.on_close()  # left without a word; in Visdom, it makes every later window fail
        return super().find_handler(request, **keywords)


async def serve(server: Server, address: str, idle_minutes: float, ready: Callable[[], object]) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, or after so long without a request or an open page (0: never).

    Calls `ready` first. Raises `UserError` if it cannot listen on the port.
    """
    try:
        listening = server.listen(server.port, address=address)
    except OSError as error:
        raise UserError(
            f"cannot listen on port {server.port} of {address} ({error.strerror}): if a Visdom server already runs "
            "there, use it; otherwise choose another --port, and give the same to train.py as --display_port"
        ) from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    log.info("Visdom: http://%s:%d", "localhost" if address == "127.0.0.1" else address, server.port)
    ready()
    while not stop.is_set():
        if server.subs:
            server.last_request = time.monotonic()
        elif 0 < 60 * idle_minutes < time.monotonic() - server.last_request:
            log.info("unused for %g minutes: exiting", idle_minutes)
            break
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(30, 15 * idle_minutes) if idle_minutes > 0 else None)
    listening.stop()
