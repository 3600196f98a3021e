"""Where pictures come from: torchvision's data sets, downloaded when missing, and folders."""

import http.client
import threading
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torchvision import datasets
from torchvision.transforms import v2 as transforms

TORCHVISION = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
TORCHVISION_SIZES = {name: {"train": 60_000, "test": 10_000} for name in TORCHVISION} | {
    "cifar10": {"train": 50_000, "test": 10_000}
}
REACH_SECONDS = 8  # how long to wait for a server to answer at all


class DataUnavailable(RuntimeError):
    """A data set could not be had; the message says what to do."""


def load_torchvision(name: str, split: str, root: Path) -> tuple[Tensor, Tensor]:
    """Return the images (N, C, H, W) uint8 and labels (N,) of a set under ``root``, downloaded there if missing.

    Raises:
        DataUnavailable: If it is damaged or cannot be downloaded.
    """
    kind = TORCHVISION[name]
    train = split == "train"
    place = root / kind.base_folder if name == "cifar10" else root / kind.__name__
    if not place.exists():
        _download(kind, name, root, place)
    try:
        loaded = kind(str(root), train=train, download=False)
        images = torch.as_tensor(loaded.data)
        images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
        labels = torch.as_tensor(loaded.targets, dtype=torch.int64)
        if not len(images) == len(labels) == TORCHVISION_SIZES[name][split]:
            raise ValueError(f"it holds {len(images)} images and {len(labels)} labels")
    except Exception as error:  # torchvision and pickle raise many kinds for one cause: a damaged file
        raise DataUnavailable(
            f"{name} in {place} is incomplete or damaged ({error}). Delete that folder and run this again to download "
            "it anew, or set VQVAE_COURSE_DATA to a folder that holds it."
        ) from error
    return images.contiguous(), labels


def _download(kind: type, name: str, root: Path, place: Path) -> None:
    url = kind.url if name == "cifar10" else kind.mirrors[-1]
    advice = (
        "Connect to the internet and run this again, set VQVAE_COURSE_DATA to a folder that holds it, "
        'or use the built-in "glyphs" or "scenes".'
    )
    problem = _why_unreachable(url)
    if problem:
        raise DataUnavailable(f"{name} is not in {root} and its server cannot be reached ({problem}). {advice}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Into a folder of its own first: what is under the final name is always complete.
        with TemporaryDirectory(dir=root, prefix=".download-") as half_done:
            kind(half_done, train=True, download=True)
            (Path(half_done) / place.name).rename(place)
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


def load_folder(folder: Path, split: str, size: int | None) -> tuple[Tensor, Tensor]:
    """Return the pictures (N, C, H, W) uint8 of a folder and the numbers (N,) of their sub-folders.

    Raises:
        DataUnavailable: If the folder, its pictures or their sizes are not as they must be.
    """
    if not folder.is_dir():
        raise DataUnavailable(f"folder:{folder} must name a folder, and there is none. Check the path.")
    divided = (folder / "train").is_dir()
    if divided != (folder / "test").is_dir():
        raise DataUnavailable(f"{folder} must hold both a train and a test sub-folder, or neither.")
    place = folder / split if divided else folder
    # One list of classes for both splits, or a class without test pictures would shift the numbers of those after it.
    classes = sorted(entry.name for entry in (folder / "train" if divided else folder).iterdir() if entry.is_dir())
    try:
        found = datasets.ImageFolder(str(place))
        samples = [(path, classes.index(found.classes[label])) for path, label in found.samples]
    except (FileNotFoundError, ValueError) as error:
        raise DataUnavailable(f"{place} must hold one sub-folder of pictures for each class ({error}).") from error
    if not divided:
        samples = [pair for number, pair in enumerate(samples) if (number % 10 == 9) == (split == "test")]
    fit = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)]) if size else nn.Identity()
    images: Tensor | None = None
    for row, (path, _) in enumerate(samples):
        try:
            picture = transforms.functional.pil_to_tensor(fit(found.loader(path)))
        except Exception as error:  # Pillow raises many kinds for one cause: a damaged picture
            raise DataUnavailable(f"{path} is not a picture that can be read ({error}). Mend or remove it.") from error
        if images is None:
            images = torch.empty(len(samples), *picture.shape, dtype=torch.uint8)
        if picture.shape != images.shape[1:]:
            raise DataUnavailable(
                f"{path} has {picture.shape[1]}x{picture.shape[2]} pixels, the pictures before it "
                f"{images.shape[2]}x{images.shape[3]}. Pass size=... to give all of them one size."
            )
        images[row] = picture
    if images is None:
        raise DataUnavailable(f"{place} holds too few pictures for a {split} split of its own.")
    return images, torch.tensor([label for _, label in samples])
