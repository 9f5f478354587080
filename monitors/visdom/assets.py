"""The scripts, styles and fonts of Visdom's page, which its package leaves out: from npm, by checksum, once.

Visdom itself downloads them at every first start, unchecked, from three content networks, and cannot start without
the internet. The same files are in npm packages, so they come from wherever this machine's npm gets its packages (a
mirror inside a closed network, say). They are kept outside the project and outside Visdom's package.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coopcut.util.errors import UserError
from coopcut.util.files import write_bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asset:
    """A file of an npm package, where the page wants it, and its SHA-256."""

    package: str
    source: str
    target: str
    sha256: str


_LIST = Path(__file__).with_name("assets.txt").read_text(encoding="utf-8")
ASSETS = tuple(Asset(*line.split()) for line in _LIST.splitlines() if not line.startswith("#"))


def cache_folder() -> Path:
    """Where the assets are kept: in the user's cache, shared by all copies of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "coopcut" / "visdom-assets"


def complete(folder: Path) -> bool:
    """Whether `folder` holds every asset, each with its checksum (a few milliseconds)."""
    return all(_is_sound(folder / asset.target, asset) for asset in ASSETS)


def fetch(folder: Path) -> None:
    """Bring the assets into `folder` with npm (3 MB to load, 4.4 MB to keep). Raises `UserError`.

    Each file appears whole or not at all; whatever else is in the folder stays.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("npm is not installed (on Debian: apt-get install npm)")
    with tempfile.TemporaryDirectory(prefix="visdom-") as packed:
        _pack(npm, list(dict.fromkeys(asset.package for asset in ASSETS)), Path(packed))
        contents = [_content(Path(packed) / f"{asset.package.replace('@', '-')}.tgz", asset) for asset in ASSETS]
    for asset, content in zip(ASSETS, contents, strict=True):
        (folder / asset.target).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / asset.target, content)


def _pack(npm: str, packages: list[str], folder: Path) -> None:
    """Download `packages` as archives; nothing in them is run."""
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), *packages]
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=120, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise UserError("npm did not answer within 120 s: is there a way to its registry?") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip()).splitlines()
        raise UserError(f"npm could not load the packages ({said[0] if said else error.returncode})") from None


def _content(archive: Path, asset: Asset) -> bytes:
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile(f"package/{asset.source}")
            content = file.read() if file else b""
    except (OSError, KeyError, tarfile.TarError) as error:
        raise UserError(f"{asset.package} from npm lacks {asset.source} ({error})") from None
    if hashlib.sha256(content).hexdigest() != asset.sha256:
        raise UserError(f"{asset.source} of {asset.package} is not what it was: its checksum differs; not used")
    return content


def _is_sound(path: Path, asset: Asset) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == asset.sha256
    except OSError:
        return False


def find_assets(folder: Path) -> Path:
    """The folder with the assets, filled first if need be; else the one that Visdom itself fills from the internet.

    Raises `UserError` that says what to do if neither can be had.
    """
    if complete(folder):
        return folder
    log.info("loading the scripts of Visdom's page (3 MB, once) ...")
    try:
        fetch(folder)
        return folder
    except (UserError, OSError) as error:
        reason = str(error)
    stock = _stock_download()
    if stock is not None:
        return stock
    raise UserError(
        f"the scripts of Visdom's page cannot be had: {reason}; and without npm they come from the internet, which "
        f"is not reached. Install npm, or copy {folder} from a machine where `make visdom` works"
    )


def _stock_download() -> Path | None:
    """Visdom's own way; returns its folder if what the page cannot do without is there afterwards."""
    from visdom.server.build import download_scripts
    from visdom.utils.shared_utils import get_visdom_path

    static = Path(get_visdom_path("static"))
    needed = [static / asset.target for asset in ASSETS if asset.target.endswith((".js", "bootstrap.min.css"))]
    if not all(path.is_file() for path in needed):
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(10)  # seconds; Visdom sets none
        try:
            with contextlib.redirect_stdout(None):
                download_scripts()
        except Exception as error:  # whatever its HTTP libraries raise
            log.debug("the download failed: %s", error)
        finally:
            socket.setdefaulttimeout(before)
    return static if all(path.is_file() and path.stat().st_size for path in needed) else None
