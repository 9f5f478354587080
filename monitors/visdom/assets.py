"""The scripts, styles and fonts of Visdom's page, which its package leaves out: from npm, by checksum, once.

Visdom itself downloads them from three content networks, unchecked, and cannot start without the internet. They come
from wherever npm gets its packages (a mirror, say), and are kept outside the project and outside Visdom's package.
"""

import hashlib
import logging
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from coopcut.util.errors import UserError
from coopcut.util.files import write_bytes

log = logging.getLogger(__name__)

_LIST = Path(__file__).with_name("assets.txt").read_text(encoding="utf-8")
ASSETS = [line.split() for line in _LIST.splitlines() if not line.startswith("#")]


def find_assets() -> Path:
    """The folder of the user's cache with the assets (4.4 MB), filled first if need be. Raises `UserError`."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coopcut" / "visdom-assets"
    files = [(folder / target, sha256) for _, _, target, sha256 in ASSETS]
    if all(file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256 for file, sha256 in files):
        return folder
    log.info("loading the scripts of Visdom's page (3 MB, once) ...")
    try:
        _fetch(folder)
    except (OSError, KeyError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise UserError(
            "the scripts of Visdom's page could not be downloaded with npm "
            f"({said[0] if said else type(error).__name__}): "
            f"install npm, or copy {folder} from a machine where `make visdom` works"
        ) from None
    return folder


def _fetch(folder: Path) -> None:
    """Bring all assets into `folder`, or none of them; nothing in the packages is run."""
    packages = dict.fromkeys(package for package, _, _, _ in ASSETS)
    with tempfile.TemporaryDirectory(prefix="visdom-") as packed:
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", packed, *packages]
        subprocess.run(command, cwd=packed, check=True, timeout=120, capture_output=True, text=True)
        contents: dict[str, bytes] = {}
        for package, source, target, sha256 in ASSETS:
            with tarfile.open(Path(packed) / f"{package.replace('@', '-')}.tgz") as tar:
                file = tar.extractfile(f"package/{source}")
                contents[target] = file.read() if file else b""
            if hashlib.sha256(contents[target]).hexdigest() != sha256:
                raise ValueError(f"{source} of {package} has an unexpected checksum")
    for target, content in contents.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / target, content)
