"""Windows for a Visdom server, sent straight to its address: no package is needed where the training runs.

Visdom's own client waits without end for a server that hangs, prints some seventy lines when there is none, takes HTTP
500 for success, and asks the proxy of the internet for localhost.
"""

import errno
import http.client
import json
import re
import socket
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

Data = dict[str, Any]  # for JSON
Plot = tuple[list[Data], Data]  # traces and layout, as Plotly wants them
TIMEOUT = 5.0  # seconds to connect, and for each silence


def clean(name: str) -> str:
    """A name that is no path, no markup and no script, whatever it was: letters, digits, "-" and "_"."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:100] or "main"


class Client:
    """Sends windows to an environment of the server at `server` (with or without http://) and `port`.

    Raises `ValueError` for an address that is none, and `OSError` if something did not arrive.
    """

    def __init__(self, server: str, port: int, env: str) -> None:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port or parts.username:
            raise ValueError(f"--display_server {server} is not an address such as http://localhost (no port, no user)")
        self.host, self.port, self.env = parts.hostname, port, clean(env)
        self.is_local = parts.scheme == "http" and self.host in ("localhost", "127.0.0.1")
        self._kind = http.client.HTTPConnection if parts.scheme == "http" else http.client.HTTPSConnection
        self._path = parts.path.rstrip("/")
        self.address = f"{parts.scheme}://{parts.netloc.rstrip(':')}:{port}{self._path}"
        self.page = self.address if self.env == "main" else f"{self.address}/env/{self.env}"

    def is_refused(self) -> bool:
        """Whether nobody listens at this address of this machine."""
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((self.host, self.port)) == errno.ECONNREFUSED

    def send(self, win: int, title: str, size: tuple[int, int], content: str | Plot) -> None:
        """A window of so many pixels with HTML, or with a plot."""
        opts = {"title": title, "width": size[0], "height": size[1]}
        data, layout = content if not isinstance(content, str) else ([{"type": "text", "content": content}], {})
        if self._post("events", {"layout": layout, "win": str(win), "opts": opts}, data) != str(win):
            raise OSError("the server at this address is not Visdom")

    def has(self, win: int) -> bool:
        """Whether the server holds a window: not after a restart."""
        return self._post("win_exists", {"win": str(win)}) == "true"

    def _post(self, path: str, body: Data, data: Sequence[Data] = ()) -> str:
        """The answer to a request about this environment; no proxy is asked."""
        # A line at a time: the encoder lets no other thread of Python run meanwhile, training's neither.
        lines = ", ".join(json.dumps(line, allow_nan=False) for line in data)
        text = json.dumps(body | {"eid": self.env}, allow_nan=False)[:-1] + f', "data": [{lines}]}}'
        try:
            with closing(self._kind(self.host, self.port, timeout=TIMEOUT)) as connection:
                connection.request("POST", f"{self._path}/{path}", text.encode(), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = answer.read(1000).decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise OSError(f"its answer is not valid HTTP ({type(error).__name__})") from None
        if answer.status != 200:
            raise OSError(f"it answers with HTTP {answer.status}")
        return said
