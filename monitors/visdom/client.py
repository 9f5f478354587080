"""Windows for a Visdom server, sent straight to its address: no package is needed where the training runs.

Visdom's own client waits without end for a server that hangs, prints some seventy lines when there is none, takes HTTP
500 for success, and asks the proxy of the internet for localhost.
"""

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coopcut.monitors.visdom.environments import clean

TIMEOUT = 5.0  # seconds to connect, and for each silence


class ServerError(Exception):
    """A window did not arrive; the message says why, and `status` is that of HTTP if there was an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Sends windows to an environment of the server at `server` (with or without http://) and `port`.

    Raises `ValueError` for an address that is none.
    """

    def __init__(self, server: str, port: int, env: str) -> None:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port or parts.username:
            raise ValueError(f"--display_server {server} is no address like http://localhost, without port or user")
        self.host, self.port, self.env = parts.hostname, port, clean(env)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.address = f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # not by way of http_proxy

    @property
    def page(self) -> str:
        """Where to look."""
        return self.address if self.env == "main" else f"{self.address}/env/{self.env}"

    @property
    def is_local(self) -> bool:
        return self.address.startswith("http:") and self.host in ("localhost", "127.0.0.1", "::1")

    def is_refused(self) -> bool:
        """Whether nobody listens at the address, without waiting."""
        try:
            socket.create_connection((self.host, self.port), timeout=0.5).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    def text(self, win: str, title: str, html: str, width: int, height: int) -> None:
        """A window with HTML, sizes in pixels. Raises `ServerError`, as `plot` does."""
        self._send(win, [{"type": "text", "content": html}], {}, title, width, height)

    def plot(
        self, win: str, title: str, traces: Sequence[dict[str, Any]], layout: dict[str, Any], width: int, height: int
    ) -> None:
        """A window with lines, as Plotly describes them."""
        self._send(win, traces, layout, title, width, height)

    def _send(
        self, win: str, data: Sequence[dict[str, Any]], layout: dict[str, Any], title: str, width: int, height: int
    ) -> None:
        opts = {"title": title, "width": width, "height": height}
        said = self._post("events", {"layout": layout, "win": win, "opts": opts}, data)
        if said != win:
            raise ServerError("what answers there is no Visdom server")

    def has(self, win: str) -> bool:
        """Whether the server holds a window: not after a restart. Raises `ServerError`."""
        return self._post("win_exists", {"win": win}) == "true"

    def keep(self, first: int, number: int, folder: Path) -> None:
        """Ask for windows `first` to `first + number - 1` to be kept in a folder of this machine too.

        A server that is elsewhere, or cannot do that (Visdom's own), is left in peace.
        """
        if self.is_local:
            try:
                self._post("keep", {"first": first, "number": number, "folder": str(folder.absolute())})
            except ServerError as error:
                if not 400 <= error.status < 500:
                    raise

    def _post(self, path: str, body: dict[str, Any], data: Sequence[dict[str, Any]] = ()) -> str:
        """The answer to a request about this environment."""
        # A line at a time: the encoder lets no other thread of Python run meanwhile, training's neither.
        lines = ", ".join(json.dumps(line, allow_nan=False) for line in data)
        text = json.dumps(body | {"eid": self.env}, allow_nan=False)[:-1] + f', "data": [{lines}]}}'
        request = urllib.request.Request(f"{self.address}/{path}", text.encode(), {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return str(answer.read(1000).decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            raise ServerError(f"it answers with HTTP {error.code}", error.code) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise ServerError("it does not answer") from None
            if isinstance(reason, ConnectionRefusedError):
                raise ServerError("nobody listens there") from None
            raise ServerError(str(reason) or type(reason).__name__) from None
