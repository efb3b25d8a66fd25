"""Images are re-encoded in child processes with bounded costs."""

import resource
import struct
import zlib
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from PIL import Image

from gateway.tests.pictures import picture, progressive
from kit import images
from kit.errors import InvalidInput
from kit.images import NewPicture, make_picture
from kit.tests.cpu_time import cpu_at_most


def made(upload: bytes) -> NewPicture:
    return make_picture(upload, name="image", side=2048, square=False, payers=("acme", "bob"))


def refusal(upload: bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        made(upload)
    (problem,) = refused.value.details["image"]
    return str(problem)


def cpu_of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks: bytes) -> bytes:
    png = picture()
    return png[:33] + b"".join(chunks) + png[33:]


def test_a_photo_with_too_many_scans_is_refused() -> None:
    hostile = progressive(2_500, 900)
    with cpu_at_most(2, cpu_of_children):
        assert "more than 64 scans" in refusal(hostile)
    assert made(progressive(300, 64)).media_type == "image/jpeg"


def test_frames_are_not_counted_since_only_the_first_is_read() -> None:
    frames = [Image.new("RGB", (100, 100), (n, 0, 0)) for n in range(100)]
    with cpu_at_most(4, cpu_of_children):
        for kind in ("GIF", "WEBP", "PNG"):
            out = BytesIO()
            frames[0].save(out, kind, save_all=True, append_images=frames[1:])
            assert made(out.getvalue()).size == (100, 100)


@pytest.mark.slow
def test_a_photo_followed_by_more_images_has_the_pixel_limit_of_a_photo() -> None:
    photo, small = Image.new("RGB", (7_000, 4_000), "red"), Image.new("RGB", (700, 400), "blue")
    out = BytesIO()
    photo.save(out, format="MPO", save_all=True, append_images=[small, photo])
    image_made = made(out.getvalue())
    assert (image_made.media_type, image_made.size) == ("image/jpeg", (2048, 1170))
    with Image.open(BytesIO(image_made.data)) as image:
        assert (image.format, image.convert("RGB").getpixel((9, 9))) == ("JPEG", (254, 0, 0))
    out = BytesIO()
    Image.new("L", (7_100, 7_100)).save(out, format="MPO", save_all=True, append_images=[small])
    assert "too many pixels" in refusal(out.getvalue())


def test_text_chunks_and_profiles_that_expand_to_gigabytes_are_refused() -> None:
    packed = zlib.compress(b"x" * 1_000_000)
    with cpu_at_most(4, cpu_of_children):
        assert refusal(with_chunks(*(chunk(b"zTXt", b"k%d\0\0" % n + packed) for n in range(2_000))))
        assert refusal(with_chunks(chunk(b"iCCP", b"k\0\0" + zlib.compress(b"x" * 50_000_000))))


def test_an_image_that_takes_too_long_is_refused_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "WALL_SECONDS", 0.01)
    assert refusal(picture()) == images.TOO_LONG
    monkeypatch.setattr(images, "WALL_SECONDS", 20.0)
    monkeypatch.setattr(images, "CPU_SECONDS", 0)
    assert refusal(picture("JPEG", (7_000, 7_000))) == images.TOO_LONG
    script = str(images.CHILD)
    assert not [child for child in psutil.Process().children() if script in child.cmdline()]


@pytest.mark.slow
def test_an_image_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MEMORY_BYTES", 150_000_000)
    assert refusal(picture("PNG", (5_000, 5_000)))


def test_the_child_has_no_secrets_in_its_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "spy.py"
    script.write_text("import json,os,sys\nprint(json.dumps({'refused': ' '.join(sorted(os.environ))}))\n")
    monkeypatch.setattr(images, "CHILD", script)
    monkeypatch.setenv("SECRET_KEY", "x" * 40)
    assert "SECRET_KEY" not in refusal(picture())
