"""The scripts, styles and fonts of Visdom's page, which its package leaves out: from npm, by checksum, once.

Visdom itself downloads them at every first start, unchecked, from three content networks, and cannot start without
the internet. The same files are in npm packages, so they come from wherever this machine's npm gets its packages (a
mirror inside a closed network, say). They are kept outside the project and outside Visdom's package.
"""

import hashlib
import logging
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from coopcut.util.errors import UserError
from coopcut.util.files import write_bytes

log = logging.getLogger(__name__)


class Asset(NamedTuple):
    """A file of an npm package, where the page wants it, and its SHA-256."""

    package: str
    source: str
    target: str
    sha256: str

    def is_sound(self, content: bytes) -> bool:
        return hashlib.sha256(content).hexdigest() == self.sha256


_LIST = Path(__file__).with_name("assets.txt").read_text(encoding="utf-8")
ASSETS = tuple(Asset(*line.split()) for line in _LIST.splitlines() if not line.startswith("#"))


def find_assets() -> Path:
    """The folder of the user's cache with the assets (4.4 MB), filled first if need be. Raises `UserError`."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coopcut" / "visdom-assets"
    if all((folder / a.target).is_file() and a.is_sound((folder / a.target).read_bytes()) for a in ASSETS):
        return folder
    log.info("loading the scripts of Visdom's page (3 MB, once) ...")
    try:
        _fetch(folder)
    except (OSError, KeyError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise UserError(
            f"the scripts of Visdom's page cannot be had from npm ({said[0] if said else type(error).__name__}): "
            f"install npm, or copy {folder} from a machine where `make visdom` works"
        ) from None
    return folder


def _fetch(folder: Path) -> None:
    """Bring all assets into `folder`, or none of them; nothing in the packages is run."""
    packages = dict.fromkeys(asset.package for asset in ASSETS)
    with tempfile.TemporaryDirectory(prefix="visdom-") as packed:
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", packed, *packages]
        subprocess.run(command, cwd=packed, check=True, timeout=120, capture_output=True, text=True)
        contents: dict[Asset, bytes] = {}
        for asset in ASSETS:
            with tarfile.open(Path(packed) / f"{asset.package.replace('@', '-')}.tgz") as tar:
                file = tar.extractfile(f"package/{asset.source}")
                contents[asset] = file.read() if file else b""
            if not asset.is_sound(contents[asset]):
                raise ValueError(f"{asset.source} of {asset.package} is not what it was: its checksum differs")
    for asset, content in contents.items():
        (folder / asset.target).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / asset.target, content)
