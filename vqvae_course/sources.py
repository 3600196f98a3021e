"""Where pictures come from: torchvision's data sets, downloaded when missing, and folders."""

import http.client
import os
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import torch
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2 as transforms

from vqvae_course.brought import Brought, bring, move_unless_there
from vqvae_course.folders import DataUnavailable, list_folder

TORCHVISION = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
TORCHVISION_SIZES = {name: {"train": 60_000, "test": 10_000} for name in TORCHVISION} | {
    "cifar10": {"train": 50_000, "test": 10_000}
}
REACH_SECONDS = 8  # how long to wait for a server to answer at all


def load_torchvision(name: str, split: str, root: Path) -> tuple[Tensor, Tensor]:
    """Return the images (N, C, H, W) uint8 and labels (N,) of a set under ``root``.

    It is used as it is found, unpacked if someone brought it packed, and downloaded if it is missing.

    Raises:
        DataUnavailable: If it is damaged or cannot be downloaded.
    """
    kind = TORCHVISION[name]
    place = root / kind.base_folder if name == "cifar10" else root / kind.__name__
    error: Exception | None = None
    try:
        return _read(kind, name, split, root)
    except Exception as caught:  # torchvision and pickle raise many kinds for one cause: it is not there, or damaged
        error = caught
    with _one_at_a_time(root, name):
        if place.exists():
            try:
                return _read(kind, name, split, root)  # another process may have brought it meanwhile
            except Exception as caught:
                error = caught
        found, images = _unpacked(kind, name, split, root)
        if images is not None:
            return images
        if not found.problems and not place.exists():
            _download(kind, name, root, place)
            try:
                return _read(kind, name, split, root)
            except Exception as caught:
                error = caught
    reasons = "; ".join(found.problems) or str(error)
    cure = "Delete that folder and run this again to download it anew"
    if found.keep:
        away = place if place.exists() else "them"
        cure = f"Bring what is named here once more (the rest is whole), or move {away} away to download all of it"
    raise DataUnavailable(
        f"{name} in {place if place.exists() else root} is incomplete or damaged ({reasons}). {cure}, or set "
        "VQVAE_COURSE_DATA to a folder that holds it."
    ) from error


def _read(kind: type, name: str, split: str, root: Path) -> tuple[Tensor, Tensor]:
    loaded = kind(str(root), train=split == "train", download=False)
    images = torch.as_tensor(loaded.data)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    labels = torch.as_tensor(loaded.targets, dtype=torch.int64)
    if not len(images) == len(labels) == TORCHVISION_SIZES[name][split]:
        raise ValueError(f"it holds {len(images)} images and {len(labels)} labels")
    return images.contiguous(), labels


def _unpacked(kind: type, name: str, split: str, root: Path) -> tuple[Brought, tuple[Tensor, Tensor] | None]:
    """Return what someone brought of a set, and its images and labels if that is all of it."""

    def into(folder: Path) -> tuple[Brought, tuple[Tensor, Tensor] | None]:
        found = bring(kind, root, folder)
        if found.kind is None:
            return found, None
        try:
            return found, _read(found.kind, name, split, found.root)
        except Exception as error:
            return found._replace(problems=(f"in {found.root}: {error}",)), None

    if os.access(root, os.W_OK) or not root.exists():
        return into(root)
    with TemporaryDirectory() as elsewhere:  # of a folder that many share and few may write to, unpacked every time
        return into(Path(elsewhere))


@contextmanager
def _one_at_a_time(root: Path, name: str) -> Iterator[None]:
    """Wait while another process of this machine unpacks or downloads the same set, where locks work."""
    user = getattr(os, "getuid", int)()
    place = sha256(os.fsencode(root.absolute())).hexdigest()[:16]
    lock = FileLock(Path(gettempdir()) / f"vqvae_course-{user}-{name}-{place}.lock")  # the root may be read-only
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            held.enter_context(lock)
        yield


def _download(kind: type, name: str, root: Path, place: Path) -> None:
    url = kind.url if name == "cifar10" else kind.mirrors[-1]
    packed = root / kind.filename if name == "cifar10" else f"the four .gz files to {place / 'raw'}"
    advice = (
        "Connect to the internet and run this again, set VQVAE_COURSE_DATA to a folder that holds it, "
        f'bring {packed}, or use the built-in "glyphs" or "scenes".'
    )
    problem = _why_unreachable(url)
    if problem:
        raise DataUnavailable(f"{name} is not in {root} and its server cannot be reached ({problem}). {advice}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Into a folder of its own first: what is under the final name is always complete.
        with TemporaryDirectory(dir=root, prefix=".download-") as half_done:
            kind(half_done, train=True, download=True)
            move_unless_there(Path(half_done) / place.name, place)
    except Exception as error:  # the network, the disk or a checksum
        raise DataUnavailable(f"{name} could not be downloaded to {root} ({error}). {advice}") from error


def _why_unreachable(url: str) -> str | None:
    """Return None if a server answers, else the reason. A thread, since looking up a name has no timeout of its own."""
    answer = [f"no answer within {REACH_SECONDS} seconds"]

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACH_SECONDS).close()
            answer.append("")
        except urllib.error.HTTPError:  # it answered; a folder's address may well refuse to be listed
            answer.append("")
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(str(error) or repr(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return answer[-1] or None


def open_picture(path: str | Path) -> Image.Image:
    """Return a picture of any kind as a viewer shows it, with 8 bits each of red, green and blue.

    It is turned as its EXIF data say, what is transparent shows white, and of an animation this is the
    first frame. Grey of 16 bits is scaled to 8.

    Args:
        path: The file.

    Returns:
        A picture of mode ``RGB``.

    Raises:
        DataUnavailable: If the file cannot be read, is cut off, is no picture, or has so many pixels
            that Pillow takes it for an attack.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF data and the like: the picture itself is whole
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if not Path(path).is_file() and Path(path).exists():  # a named pipe would be waited for, for ever
                raise OSError("not a file")
            with Path(path).open("rb") as file, Image.open(file) as picture:
                return _as_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError as error:
        reason = "it is no picture of a known kind" if os.path.getsize(path) else "it is empty"
        raise DataUnavailable(f"{path} is not a picture that can be read ({reason}). Mend or remove it.") from error
    except Exception as error:  # Pillow raises many kinds for one cause: a damaged picture
        raise DataUnavailable(f"{path} is not a picture that can be read ({error}). Mend or remove it.") from error


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "F" or (picture.mode.startswith("I") and "transparency" in picture.info):
        raise ValueError("grey of floating-point numbers, or of 16 bits and transparent, must be saved with 8 bits")
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture.convert("I"))
    if picture.mode in ("P", "PA", "LA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale grey of 16 bits; Pillow's own conversion would show all beyond 255 as white."""
    low, high = picture.getextrema()
    if low < 0 or high > 65535:
        raise ValueError(f"its values lie between {low} and {high}, not between 0 and 65535")
    return picture.point(lambda level: level * (1 / 257) + 0.5).convert("L")


def read_picture(path: str | Path, size: int | None) -> Tensor:
    """Return one picture (3, H, W) uint8; with a size its shorter side becomes that and the middle square is cut out.

    Raises:
        DataUnavailable: As ``open_picture``.
    """
    picture = open_picture(path)
    if size:
        picture = middle(picture, size, size)
    return transforms.functional.pil_to_tensor(picture)


def middle(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Return the largest part of this shape from the middle of a picture, scaled to that many pixels."""
    scale = max(height / picture.height, width / picture.width)
    left = max(0, (picture.width - width / scale) / 2)
    top = max(0, (picture.height - height / scale) / 2)
    box = left, top, picture.width - left, picture.height - top
    return picture.resize((width, height), Image.Resampling.BILINEAR, box=box)


def must_have_shape(path: str, picture: Tensor, shape: Sequence[int]) -> None:
    """Refuse a picture whose shape is not that of the pictures before it.

    Raises:
        DataUnavailable: With the way out, a size for all.
    """
    if tuple(picture.shape) != tuple(shape):
        raise DataUnavailable(
            f"{path} has {picture.shape[1]}x{picture.shape[2]} pixels, the pictures before it "
            f"{shape[1]}x{shape[2]}. Pass size=... to give all of them one size."
        )


def load_folder(folder: Path, split: str, size: int | None) -> tuple[Tensor, Tensor]:
    """Return the pictures (N, C, H, W) uint8 of a folder and the numbers (N,) of their classes.

    Raises:
        DataUnavailable: If the folder, its pictures or their sizes are not as they must be.
    """
    paths, labels, *_ = list_folder(folder, split)
    images: Tensor | None = None
    for row, path in enumerate(paths):
        picture = read_picture(path, size)
        if images is None:
            images = torch.empty(len(paths), *picture.shape, dtype=torch.uint8)
        must_have_shape(path, picture, images.shape[1:])
        images[row] = picture
    return images, labels
