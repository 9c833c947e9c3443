"""Where calibration samples come from: arrays, a folder of files, or a function of the user's.

Each source gives `Samples`: how many there are, and any of them by number, as arrays by input that nobody has checked.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.image import Image
from edgec.ir.errors import UsageError
from edgec.ir.types import Type

Array = np.ndarray[Any, Any]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
READABLE = (".npy", *PICTURES)
TAKES_IMAGES = "images are frames as a camera gives them: build with --image, or give an .npz of what the model takes"


@dataclass(frozen=True)
class Samples:
    """`read(i)` for 0 <= i < count."""

    count: int
    read: Callable[[int], dict[str, Any]]

    def take(self, most: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """At most so many, evenly spread, with their numbers."""
        taken = min(most, self.count)
        for i in range(taken):
            number = i * self.count // taken
            yield number, self.read(number)


def sample_files(spec: str) -> list[Path]:
    """The files that a specification names, in order; of a function its module, where that is a file here."""
    path = Path(spec)
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix.lower() in READABLE and p.is_file())
    if path.exists() or ":" not in spec:
        return [path]
    name = spec.rpartition(":")[0]
    if not is_module(name):
        return []
    module = Path(*name.split("."))
    return [p for p in (module.with_suffix(".py"), module / "__init__.py") if p.is_file()]


def is_module(name: str) -> bool:
    """Whether a module may be called so: not nothing, as in `:f` and `/:f`, and nothing relative, as in `.:f`."""
    return all(name.split(".")) and bool(Path(name).name)


def from_arrays(shown: str, arrays: Mapping[str, Any], names: Sequence[str]) -> Samples:
    """The first axis counts; arrays that are no input's are not looked at."""
    given = {name: np.asarray(arrays[name]) for name in _known(shown, arrays, names)}
    for name, array in given.items():
        if not array.ndim:
            raise UsageError(f"{shown}: '{name}' is one number; give an array whose first axis counts samples")
    counts = {name: len(array) for name, array in given.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
        raise UsageError(f"{shown} has {listed}; the first axis counts samples, and each needs all inputs")
    return Samples(min(counts.values()), lambda i: {name: array[i] for name, array in given.items()})


def _known(shown: str, arrays: Mapping[str, Any], names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in arrays:
            raise UsageError(
                f"{shown} has no array '{name}'; the model takes {', '.join(names)}, and it has "
                f"{', '.join(map(str, arrays)) or 'none'}"
            )
    return names


# -- a folder ------------------------------------------------------------------------------------------------------


def from_folder(spec: str, folder: Path, inputs: Mapping[str, Type], images: Mapping[str, Image]) -> Samples:
    """Files of a sub-folder for each input, or NAME_*.npy, or any files where there is one input."""
    shown = f"--calib {spec}"
    try:
        files = _files(shown, folder, list(inputs))
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror or error}") from None
    if not any(files.values()):
        raise UsageError(f"{shown} has no samples; those that are read end in {', '.join(READABLE)}")
    for name, found in files.items():
        pictures = [path for path in found.values() if path.suffix.lower() in PICTURES]
        if pictures and name not in images:
            raise UsageError(f"{shown}: {pictures[0].name} is an image, and '{name}' takes none; {TAKES_IMAGES}")
    order = list(next(iter(files.values())))
    for found in files.values():
        for key in sorted({*order} ^ {*found}):
            raise UsageError(f"{shown} has '{key}' for some of the inputs only; each sample needs {', '.join(inputs)}")

    def read(i: int) -> dict[str, Any]:
        return {name: _read_file(shown, files[name][order[i]], inputs[name], images.get(name)) for name in files}

    return Samples(len(order), read)


def _files(shown: str, folder: Path, names: Sequence[str]) -> dict[str, dict[str, Path]]:
    """For each input its files, by what they share with those of the other inputs."""
    if any((folder / name).is_dir() for name in names):
        missing = [name for name in names if not (folder / name).is_dir()]
        if missing:
            raise UsageError(f"{shown} has no sub-folder '{missing[0]}'; it needs one each for {', '.join(names)}")
        return {name: {path.stem: path for path in _readable(folder / name)} for name in names}
    paths = _readable(folder)
    if len(names) == 1:
        return {names[0]: {path.name: path for path in paths}}
    found: dict[str, dict[str, Path]] = {name: {} for name in names}
    for path in paths:
        # x_1_000 is of x_1 where there are both x and x_1
        owner = max((name for name in names if path.stem.startswith(f"{name}_")), key=len, default=None)
        if owner is None:
            raise UsageError(f"{shown}: {path.name} is of no input; call files NAME_*.npy for {', '.join(names)}")
        found[owner][path.stem.removeprefix(f"{owner}_")] = path
    return found


def _readable(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in READABLE and p.is_file())


def _read_file(shown: str, path: Path, type: Type, image: Image | None) -> Array:
    if path.suffix.lower() == ".npy" or image is None:
        return read_array(shown, path)
    return read_frame(shown, path, type, image)


def read_array(shown: str, path: Path) -> Array:
    """The array of a .npy file."""
    try:
        made = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"{shown}: {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, SyntaxError, TypeError):
        raise UsageError(f"{shown}: {path} is not a .npy file of an array") from None
    if not isinstance(made, np.ndarray):
        raise UsageError(f"{shown}: {path} is not a .npy file of an array")
    return made


def read_frame(shown: str, path: Path, type: Type, image: Image) -> Array:
    """The picture as the camera's frame: stretched to its size, each pixel the mean of what it covers."""
    try:
        from PIL import Image as Pillow
        from PIL import UnidentifiedImageError
    except ImportError:
        raise UsageError(f"{shown}: reading {path.name} needs Pillow: pip install pillow, or give .npy files") from None
    h, w = (type.dims[i] for i in ((1, 2) if image.layout == "nhwc" else (2, 3)))
    try:
        with Pillow.open(path) as opened:
            if opened.mode[0] in "IF":  # Pillow would clip them to bytes instead of scaling
                raise UsageError(f"{shown}: {path} has the mode {opened.mode}, which is no camera's; "
                                 "legal: 8 bits a channel, in grey or colours")  # fmt: skip
            sized = opened.convert("L" if image.channels == 1 else "RGB").resize((w, h), Pillow.Resampling.BOX)
            pixels = np.asarray(sized, np.uint8).reshape(h, w, image.channels)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pillow.DecompressionBombError) as error:
        raise UsageError(f"{shown}: {path} is not an image that can be read: {error}") from None
    if image.format == "bgr8":
        pixels = pixels[..., ::-1]
    return np.ascontiguousarray(pixels if image.layout == "nhwc" else pixels.transpose(2, 0, 1))


# -- a function ----------------------------------------------------------------------------------------------------


def from_function(spec: str, module: str, function: str, names: Sequence[str], most: int) -> Samples:
    """What `module.function()` gives or yields; of what it yields, the first `most`."""
    shown = f"--calib {spec}"
    with _importing_from(Path.cwd()):
        return _called(shown, _imported(shown, module, function), function, names, most)


def _called(shown: str, called: Callable[[], Any], function: str, names: Sequence[str], most: int) -> Samples:
    try:
        given = called()
        if isinstance(given, Mapping):
            return from_arrays(shown, given, names)
        if hasattr(given, "__array__"):
            return from_arrays(shown, _named(shown, given, names), names)
        if not isinstance(given, Iterable) or isinstance(given, str | bytes):
            raise UsageError(f"{shown} gave {type(given).__name__}; give an array, a dict of them, or yield samples")
        items = list(given if hasattr(given, "__len__") else itertools.islice(given, most))
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises is the user's to read
        raise UsageError(f"{shown}: {function}() raised {type(error).__name__}: {error}") from error
    return Samples(len(items), lambda i: _one(f"{shown}: sample {i}", items[i], names))


def _one(shown: str, item: Any, names: Sequence[str]) -> dict[str, Any]:
    found = item if isinstance(item, Mapping) else _named(shown, item, names)
    return {name: found[name] for name in _known(shown, found, names)}


def _named(shown: str, array: Any, names: Sequence[str]) -> dict[str, Any]:
    if len(names) != 1:
        raise UsageError(f"{shown} is one array, and the model has the inputs {', '.join(names)}: give a dict of them")
    return {names[0]: array}


def _imported(shown: str, module: str, function: str) -> Callable[[], Any]:
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # the module is the user's code
        raise UsageError(f"{shown}: importing {module} raised {type(error).__name__}: {error}") from error
    found = getattr(loaded, function, None)
    if not callable(found):
        what = "has no function" if found is None else "has something else called"
        raise UsageError(f"{shown}: {module} {what} '{function}'; write MODULE:FUNCTION")
    return found  # type: ignore[no-any-return]


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """As `python -m` would: modules of the folder come first, also those that the function imports when it runs."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
