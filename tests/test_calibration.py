"""`--calib`: what is read becomes exactly what the model takes, and what does not fit is one sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.calibration import Calibration, calibration_digest, read_calibration
from edgec.image import parse_image
from edgec.ir.errors import UsageError
from edgec.ir.types import Type

X = ("x", Type("f32", (1, 2, 3)))
TOKENS = ("t", Type("i32", (1, 4)))
FRAME = ("f", Type("u8", (1, 4, 6, 3)))
NAMES = iter(range(1000))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(spec: str | None, *inputs: tuple[str, Type], form: str = "", **rest: Any) -> Calibration:
    images = {"f": parse_image("f", form)} if form else {}
    return read_calibration(spec, dict(inputs), **{"most": None, "seed": 0, "ranges": {}, **rest}, images=images)


def module(text: str) -> str:
    """A module of its own name, since Python imports each name once."""
    name = f"calib_{next(NAMES)}"
    Path(f"{name}.py").write_text(f"import numpy as np\n{text}\n")
    return name


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_arrays_with_and_without_the_batch_axis() -> None:
    data = numbers(5, 2, 3)
    np.savez("a.npz", x=data, labels=np.zeros(5))
    np.savez("b.npz", x=data[:, None].astype(np.float16))
    np.save("c.npy", data)
    for spec in ("a.npz", "b.npz", "c.npy"):
        found = read(spec, X)
        assert found.given == len(found.samples) == 5
        for i, one in enumerate(found.samples):
            assert one["x"].dtype == np.float32
            np.testing.assert_array_equal(one["x"], data[i : i + 1])
    assert read("a.npz", X).sha256 == read("c.npy", X).sha256
    assert not read("a.npz", X).warning


def test_a_scalar_input() -> None:
    """Of a build: what is read must be what sessions take, too."""
    np.savez("a.npz", x=numbers(4, 2, 3), z=numbers(4))
    found = read("a.npz", X, ("z", Type("f32", ())))
    assert [one["z"].shape for one in found.samples] == [()] * 4
    assert [float(one["z"]) for one in found.samples] == [0, 1, 2, 3]


def test_several_inputs_and_exact_casts() -> None:
    tokens = np.array([[1, 2, 3, 32767], [-5, 0, 7, 8], [0, 0, 0, 0]], np.int16)
    np.savez("a.npz", t=tokens, x=numbers(3, 2, 3).astype(np.float64))
    found = read("a.npz", X, TOKENS)
    assert found.samples[0]["t"].dtype == np.int32
    np.testing.assert_array_equal(found.samples[0]["t"], [[1, 2, 3, 32767]])
    np.testing.assert_array_equal(found.samples[2]["x"], numbers(3, 2, 3)[2:])


def test_many_samples_are_taken_evenly() -> None:
    np.savez("a.npz", t=np.arange(1000)[:, None] * np.ones(4, np.int64))
    found = read("a.npz", TOKENS, most=4)
    assert [int(one["t"][0, 0]) for one in found.samples] == [0, 250, 500, 750]
    assert found.facts() == {"source": "a.npz", "samples": 4, "given": 1000, "sha256": found.sha256, "warning": ""}
    taken = read("a.npz", TOKENS).samples
    assert [int(one["t"][0, 0]) for one in taken] == [i * 1000 // 512 for i in range(512)]


def test_no_more_large_samples_than_memory_is_meant_for() -> None:
    Path("large").mkdir()
    for i in range(12):
        np.lib.format.open_memmap(f"large/{i:02}.npy", "w+", np.uint8, (1, 25 << 20))  # a hole, which takes no disk
    taken = read("large", ("x", Type("u8", (1, 25 << 20))))
    assert (taken.given, len(taken.samples)) == (12, 10)


def test_a_maximum_is_no_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is there has to fit; an endless generator is read no further than that."""
    np.savez("a.npz", x=numbers(5, 2, 3))
    assert len(read("a.npz", X, most=10**12).samples) == 5
    monkeypatch.setattr("edgec.calibration.VERIFY_BYTES", 4 * X[1].nbytes)
    assert len(read("a.npz", X, most=4).samples) == 4
    endless = module("def samples():\n    while True:\n        yield np.zeros((2, 3))")
    for spec in ("a.npz", f"{endless}:samples", None):
        refused("bytes are allowed: --calib-samples 4 fit", spec, X, most=10**12)


def test_folders() -> None:
    Path("one").mkdir()
    Path("two").mkdir()
    Path("sub/x").mkdir(parents=True)
    Path("sub/x_1").mkdir()
    for i in range(3):
        np.save(f"one/s{i}.npy", numbers(2, 3) + i)
        np.save(f"two/x_{i}.npy", numbers(2, 3) + i)
        np.save(f"two/x_1_{i}.npy", np.full(4, i))
        np.save(f"sub/x/s{i}.npy", numbers(1, 2, 3) + i)
        np.save(f"sub/x_1/s{i}.npy", np.full(4, i))
    Path("one/notes.txt").write_text("not a sample")
    two = (X, ("x_1", TOKENS[1]))
    assert [float(one["x"][0, 0, 0]) for one in read("one", X).samples] == [0, 1, 2]
    for folder in ("two", "sub"):
        found = read(folder, *two).samples
        assert [(float(one["x"][0, 0, 0]), int(one["x_1"][0, 0])) for one in found] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize(("form", "axes", "order"), [("rgb8", (0, 1, 2), 1), ("bgr8,nchw", (2, 0, 1), -1)])
def test_images_become_frames(form: str, axes: tuple[int, ...], order: int) -> None:
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    Path("photos").mkdir()
    pillow.fromarray(small).save("photos/a.png")
    pillow.fromarray(small.repeat(3, 0).repeat(2, 1)).save("photos/b.png")  # each pixel as a block of equal ones
    pillow.fromarray(255 - small).save("photos/c.png")
    expected = small[..., ::order].transpose(axes)
    found = read("photos", ("f", Type("u8", (1, *expected.shape))), form=form).samples
    assert len(found) == 3
    for one, frame in zip(found, (expected, expected, 255 - expected), strict=True):
        np.testing.assert_array_equal(one["f"][0], frame)


@pytest.mark.parametrize(
    "body",
    [
        "return {'x': DATA}",
        "return DATA",
        "return list(DATA)",
        "return [{'x': d} for d in DATA]",
        "for d in DATA:\n        yield d",
        "for d in DATA:\n        yield {'x': d[None]}",
    ],
)
def test_functions(body: str) -> None:
    name = module(f"DATA = np.arange(18, dtype=np.float32).reshape(3, 2, 3)\ndef samples():\n    {body}")
    found = read(f"{name}:samples", X)
    assert found.given == 3
    np.testing.assert_array_equal(np.concatenate([one["x"] for one in found.samples]), numbers(3, 2, 3))


def test_an_endless_generator_is_read_as_far_as_asked() -> None:
    name = module("import itertools\ndef samples():\n    for i in itertools.count():\n        yield np.full((2, 3), i)")
    assert [float(one["x"].max()) for one in read(f"{name}:samples", X, most=3).samples] == [0, 1, 2]


def test_without_data_there_is_a_warning() -> None:
    found = read(None, X, ranges={"x": (5.0, 6.0)}, most=10, seed=3)
    assert all(5.0 <= one["x"].min() <= one["x"].max() <= 6.0 for one in found.samples)
    assert "without --calib 10 random inputs are measured" in found.warning
    assert found.facts()["warning"] == found.warning
    assert len(read(None, X).samples) == 128
    assert found.sha256 == read(None, X, ranges={"x": (5.0, 6.0)}, most=10, seed=3).sha256
    assert found.sha256 != read(None, X, ranges={"x": (5.0, 6.0)}, most=10, seed=4).sha256


def test_the_digest_changes_with_the_data() -> None:
    Path("folder/x").mkdir(parents=True)
    name = module("def samples(): pass")
    found = set()
    for i in range(2):
        np.save("a.npy", numbers(2, 2, 3) + i)
        np.save("folder/x/s.npy", numbers(2, 3) + i)
        Path(f"{name}.py").write_text(f"# {i}")
        found |= {calibration_digest(spec) for spec in ("a.npy", "folder", f"{name}:samples")}
    assert len(found) == 6
    np.save("folder/x/t.npy", numbers(2, 3))
    assert calibration_digest("folder") not in found
    assert calibration_digest("a.npy") in found
    assert calibration_digest(None) == calibration_digest("json:loads")
    with pytest.raises(UsageError, match=r"--calib missing.npz: missing.npz cannot be read: No such file"):
        calibration_digest("missing.npz")


def refused(words: str, spec: str | None, *inputs: tuple[str, Type], **rest: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        read(spec, *inputs, **rest)


@pytest.mark.parametrize(
    ("array", "input", "words"),
    [
        (numbers(3, 3, 2), X, "--calib a.npz: sample 0 of 'x' has the shape [3, 2], and the model takes f32[1,2,3]"),
        (numbers(3, 6), X, "has the shape [6]"),
        (numbers(1, 2, 3), X, "has one sample only; give 2 or more"),
        (numbers(0, 2, 3), X, "has no samples"),
        (np.float32(3), X, "'x' is one number; give an array whose first axis counts samples"),
        (numbers(3, 2, 3) * np.array([1, 1, np.nan])[:, None, None], X, "sample 2 of 'x' holds NaN"),
        ((numbers(3, 2, 3) + 1) * np.array([1, -np.inf, 1])[:, None, None], X, "sample 1 of 'x' holds an infinity"),
        (np.full((3, 2, 3), 1e300), X, "holds 1e+300, which is beyond f32"),
        (np.full((3, 2, 3), 1j), X, "is complex128, and the model takes f32[1,2,3]: give numbers"),
        (np.full((3, 2, 3), "a"), X, "is <U1"),
        (numbers(3, 4), ("x", TOKENS[1]), "is float32, and the model takes i32[1,4]: give integers"),
        (np.full((3, 4), 2**31), ("x", TOKENS[1]), "holds 2147483648, and i32 takes -2147483648 to 2147483647"),
        (np.full((3, 4), -1), ("x", Type("u8", (1, 4))), "holds -1, and u8 takes 0 to 255"),
        (np.full((3, 4), 2), ("x", Type("bool", (1, 4))), "holds 2, and bool takes 0 to 1"),
    ],
)
def test_arrays_that_do_not_fit(array: np.ndarray, input: tuple[str, Type], words: str) -> None:
    np.savez("a.npz", x=array)
    refused(words, "a.npz", input)


def test_files_that_do_not_fit() -> None:
    np.savez("names.npz", y=numbers(3, 2, 3), z=numbers(3))
    np.savez("counts.npz", x=numbers(3, 2, 3), t=np.zeros((4, 4), np.int32))
    np.save("one.npy", numbers(3, 2, 3))
    Path("zip.npz").write_bytes(b"PK\x03\x04" + bytes(50))
    Path("text.npy").write_text("text")
    np.save("objects.npy", np.array([{}, {}]), allow_pickle=True)
    refused("names.npz has no array 'x'; the model takes x, and it has y, z", "names.npz", X)
    refused("counts.npz has 3 of 'x', 4 of 't'; the first axis counts samples", "counts.npz", X, TOKENS)
    refused("one.npy is one array, and the model has the inputs x, t: give an .npz", "one.npy", X, TOKENS)
    refused("zip.npz is not an .npz file", "zip.npz", X)
    refused("text.npy is not a .npy file", "text.npy", X)
    refused("objects.npy is not a .npy file", "objects.npy", X)
    refused("missing.npz cannot be read", "missing.npz", X)
    refused("legal: FILE.npz, a folder of .npy files or images, or MODULE:FUNCTION", "data.csv", X)
    refused("--calib-samples 1 is not legal; give 2 or more", "one.npy", X, most=1)
    refused("--calib-samples 2 fit", None, ("x", Type("u8", (1 << 29,))), most=3)
    refused("1073741824 bytes are allowed: two are needed, and do not fit", None, ("x", Type("u8", ((1 << 29) + 1,))))


def test_folders_that_do_not_fit() -> None:
    for folder in ("empty", "pair", "sub/x", "photos"):
        Path(folder).mkdir(parents=True)
    np.save("pair/x_0.npy", numbers(2, 3))
    np.save("pair/t_1.npy", np.zeros(4, np.int32))
    Path("photos/a.png").write_bytes(b"no picture")
    Path("photos/b.png").write_bytes(b"no picture")
    Path("empty/notes.txt").write_text("no sample")
    refused("--calib empty has no samples; those that are read end in .npy, .png, .jpg,", "empty", X)
    refused("for some of the inputs only; each sample needs x, t", "pair", X, TOKENS)
    refused("t_1.npy is of no input; call files NAME_*.npy for x, y", "pair", X, ("y", X[1]))
    refused("--calib sub has no sub-folder 't'; it needs one each for x, t", "sub", X, TOKENS)
    refused("a.png is an image, and 'x' takes none; images are frames as a camera gives them: build with --image",
            "photos", X)  # fmt: skip
    pytest.importorskip("PIL.Image")
    refused("a.png is not an image that can be read", "photos", FRAME, form="rgb8")


@pytest.mark.parametrize(("mode", "dtype", "suffix"), [("I;16", "uint16", "png"), ("I", "int32", "tiff.png"),
                                                       ("F", "float32", "tiff.png")])  # fmt: skip
def test_pictures_of_more_than_bytes(mode: str, dtype: str, suffix: str) -> None:
    """All that is above 255 became white."""
    pillow = pytest.importorskip("PIL.Image")
    Path("deep").mkdir()
    for i in range(2):
        picture = pillow.fromarray(np.full((4, 6), 300 + i, dtype))
        picture.save(f"deep/{i}.{suffix}", format="TIFF" if suffix.startswith("tiff") else "PNG")
    refused(f"0.{suffix} has the mode {mode}", "deep", FRAME, form="rgb8")
    refused("legal: 8 bits a channel, in grey or colours", "deep", FRAME, form="rgb8")


def test_upper_case() -> None:
    frames = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    Path("frames").mkdir()
    for i, frame in enumerate(frames):
        np.save("frame.npy", frame)
        Path("frame.npy").rename(f"frames/{i}.NPY")
    np.save("all.npy", frames)
    for spec in ("frames", str(Path("all.npy").rename("ALL.NPY"))):
        np.testing.assert_array_equal([one["f"][0] for one in read(spec, FRAME, form="rgb8").samples], frames)


def test_images_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    Path("photos").mkdir()
    for name in "ab":
        Path(f"photos/{name}.png").write_bytes(b"")
    refused("reading a.png needs Pillow: pip install pillow, or give .npy files", "photos", FRAME, form="rgb8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("samples = 3", "has something else called 'samples'"),
        ("def other(): pass", "has no function 'samples'; write MODULE:FUNCTION"),
        ("raise RuntimeError('no disk')", "raised RuntimeError: no disk"),
        ("def samples():\n    raise KeyError('k')", "samples() raised KeyError: 'k'"),
        ("def samples():\n    yield np.zeros((2, 3))\n    raise SystemExit(0)", "samples() raised SystemExit: 0"),
        ("def samples(path): pass", "samples() raised TypeError"),
        ("def samples(): pass", "gave NoneType; give an array, a dict of them, or yield samples"),
        ("def samples(): return 'abc'", "gave str"),
        ("def samples(): return []", "has no samples"),
        ("def samples(): return {'y': np.zeros((3, 2, 3))}", "has no array 'x'; the model takes x, and it has y"),
        ("def samples(): return [{'x': 0}, {'y': 0}]", "sample 0 of 'x' has the shape []"),
        ("def samples(): return [{'y': 0}, {'x': 0}]", "sample 0 has no array 'x'; the model takes x, and it has y"),
        ("def samples(): return [[[2], 3, [4, 5]], 0]", "sample 0 of 'x' is no array, and the model takes f32[1,2,3]"),
        ("def samples(): return [[1, 'a'], [[2], 3, [4, 5]]]", "sample 0 of 'x' is <U21"),
    ],
)
def test_functions_that_do_not_fit(text: str, words: str) -> None:
    refused(words, f"{module(text)}:samples", X)


def test_a_model_without_inputs() -> None:
    np.save("one.npy", numbers(3, 2, 3))
    refused("--calib one.npy: the model has no inputs", "one.npy")
    assert read(None).samples[0] == {}


def test_a_missing_module() -> None:
    refused("importing no_such_module raised ModuleNotFoundError", "no_such_module:samples", X)
    refused("importing a/b raised", "a/b:samples", X)


@pytest.mark.parametrize("spec", ["", ":f", ".:f", "..:f", "/:f", ".m:f", "pipe"])
def test_names_of_nothing(spec: str) -> None:
    """Refused when the key of the build is made as well, which reads the samples' files first."""
    os.mkfifo("pipe")
    refused("legal: FILE.npz, a folder of .npy files or images, or MODULE:FUNCTION", spec, X)
    if ":" in spec:
        assert calibration_digest(spec) == calibration_digest(None)
    else:
        with pytest.raises(UsageError, match=r"legal: FILE.npz, a folder of .npy files"):
            calibration_digest(spec)
