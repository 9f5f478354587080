"""A Visdom server that keeps to itself: this machine only by default, no other site let in, nothing lost at its end.

It is Visdom's own server (`visdom.server.app.Application`) with another way to its static files, a check in front of
every request, and its environments kept by `EnvironmentFiles`. Nothing is written into Visdom's package.
"""

import asyncio
import ipaddress
import json
import logging
import os
import signal
import time
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tornado.ioloop
import tornado.web
import tornado.websocket
from tornado.httputil import HTTPServerRequest
from visdom.server import app as stock

from coopcut.engine.signals import SIGNALS
from coopcut.monitors.visdom.environments import EnvironmentFiles, Environments
from coopcut.util.errors import UserError

log = logging.getLogger(__name__)

_OURS = Path(__file__).resolve().parent / "static"
OUR_SCRIPT, NOTHING = _OURS / "page.js", _OURS / "nothing.js"  # instead of MathJax: a "$" in a name is a "$"
USER_STYLE = "../user/style.css"  # what the page asks for; tornado 6.6 refuses it


class StaticFiles(tornado.web.StaticFileHandler):
    """Files from the folder of assets first, then from Visdom's package. `assets` is set by `Server`."""

    assets = Path()

    @classmethod
    def make_static_url(cls, settings: dict[str, Any], path: str, include_version: bool = True) -> str:
        if path == USER_STYLE:
            return str(settings["static_url_prefix"]).removesuffix("static/") + "user/style.css"
        return super().make_static_url(settings, path, include_version)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        if path.startswith("js/mathjax/"):
            return str(OUR_SCRIPT if path.endswith("/MathJax.js") else NOTHING)
        ours = super().get_absolute_path(str(cls.assets), path)
        return ours if cls._is_ours(ours) and os.path.isfile(ours) else super().get_absolute_path(root, path)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        if absolute_path in (str(OUR_SCRIPT), str(NOTHING)):
            return absolute_path
        return super().validate_absolute_path(str(self.assets) if self._is_ours(absolute_path) else root, absolute_path)

    @classmethod
    def _is_ours(cls, path: str) -> bool:
        return Path(path).is_relative_to(os.path.abspath(cls.assets))


class _Page(tornado.websocket.WebSocketHandler):
    """A page's connection. In Visdom, one that a browser left without a word makes every later window fail."""

    def write_message(self, *message: Any, **keywords: Any) -> Any:
        try:
            return super().write_message(*message, **keywords)
        except tornado.websocket.WebSocketClosedError:  # forgotten as soon as nobody goes through the list of pages
            tornado.ioloop.IOLoop.current().add_callback(self.on_close)


class SocketHandler(_Page, stock.SocketHandler):
    """A page that looks."""


class VisSocketHandler(_Page, stock.VisSocketHandler):
    """A client that wants to be called back."""


class Refusal(tornado.web.RequestHandler):
    """The answer to a request from elsewhere."""

    def prepare(self) -> None:
        self.set_status(403)
        self.finish("refused: this address or this site may not use the server (see --allow_host)\n")


class KeepHandler(tornado.web.RequestHandler):
    """A run says which windows are its own, and where its folder is. `files` is set by `serve`."""

    files: EnvironmentFiles

    def post(self) -> None:
        try:
            body = json.loads(self.request.body)
            first, number = int(body["first"]), int(body["number"])
            kept = self.files.keep(str(body["eid"]), range(first, first + number), Path(str(body["folder"])))
        except (ValueError, KeyError, TypeError, OSError):
            kept = False
        self.set_status(200 if kept else 400)
        self.finish("kept\n" if kept else "not a run below the folder of runs (--checkpoints_dir)\n")


class Server(stock.Application):
    """Visdom's application. `hosts`: names under which it may be asked for, besides localhost and any IP address."""

    def __init__(self, environments: Environments, assets: Path, hosts: Collection[str], port: int) -> None:
        StaticFiles.assets = assets
        vars(stock).update(SocketHandler=SocketHandler, VisSocketHandler=VisSocketHandler)
        stock.tornado_settings |= {
            "static_handler_class": StaticFiles,
            "autoreload": False,
            "serve_traceback": False,
            "websocket_ping_interval": 30,  # seconds; a page that does not answer is forgotten, with what waits for it
        }
        self._environments = environments
        self.hosts = {"localhost", *(host.lower() for host in hosts)}
        self.last_request = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # about saving nothing to the disk: we do that
            super().__init__(port=port, env_path=None)
        self.add_handlers(".*", [("/keep", KeepHandler)])

    def load_state(self) -> Environments:
        return self._environments

    def save_layouts(self) -> None:
        return

    def load_user_settings(self) -> dict[str, str]:
        return {"config_dir": "", "user_css": ""}

    def find_handler(self, request: HTTPServerRequest, **keywords: Any) -> Any:
        headers = request.headers
        elsewhere = headers.get("Sec-Fetch-Site") == "cross-site" and headers.get("Sec-Fetch-Mode") != "navigate"
        polling = request.path.endswith("_wrap")  # another way than web sockets, of which the page makes no use
        if elsewhere or polling or not self.allows(headers.get("Host", ""), headers.get("Origin")):
            return self.get_handler_delegate(request, Refusal)
        self.last_request = time.monotonic()
        return super().find_handler(request, **keywords)

    def allows(self, host: str, origin: str | None) -> bool:
        """Whether a request to `host` from a page of `origin` is let in.

        A name that is not known could be another site's that now points here; an IP address could not. A page may
        talk to the server that it came from, and to no other.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name not in self.hosts and not _is_address(name):
            return False
        return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


async def serve(server: Server, files: EnvironmentFiles, address: str, save_every: float, idle_minutes: float) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, saving every so many seconds and at the end.

    idle_minutes: end by itself after so long without a request or an open page; 0: never. Raises `UserError` if the
    port cannot be had.
    """
    try:
        listening = server.listen(server.port, address=address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"port {server.port} of {address} cannot be had ({reason}): if that is a Visdom server, it is there "
            "already; else choose another --port, and give the same to train.py as --display_port"
        ) from None
    KeepHandler.files = files
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))

    def save() -> None:
        try:
            files.save(server._environments)
        except OSError as error:
            log.warning("%s cannot be written (%s); trying again", files.folder, error.strerror)

    def look_if_idle() -> None:
        if server.subs:
            server.last_request = time.monotonic()
        elif time.monotonic() - server.last_request > 60 * idle_minutes:
            log.info("nobody has looked for %g minutes", idle_minutes)
            stop.set()

    timers = [tornado.ioloop.PeriodicCallback(save, 1000 * save_every)]
    if idle_minutes > 0:
        timers.append(tornado.ioloop.PeriodicCallback(look_if_idle, min(30_000, 15_000 * idle_minutes)))
    for timer in timers:
        timer.start()
    shown = "localhost" if address in ("127.0.0.1", "::1") else address
    log.info("Visdom: http://%s:%d (windows are kept in %s)", shown, server.port, files.folder)
    await stop.wait()
    listening.stop()
    save()
    log.info("ended; the windows are in %s", files.folder)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
