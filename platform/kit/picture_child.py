"""Re-encodes an image; runs as a script in a child process, because the input may be hostile.

Reads the upload from stdin; writes a line of JSON and the new image to stdout. Imports none of our code.
"""

import json
import resource
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # supported by all browsers and providers; SVG can contain scripts
PHOTOS = ("JPEG", "MPO")  # an MPO is a JPEG with more images after it, as phones make them
MOST_PIXELS = 25_000_000
MOST_PHOTO_PIXELS = 50_000_000  # a JPEG is decoded at the required size
MOST_SCANS = 64  # of a JPEG: each is a pass over the whole image, however small the scan
MOST_PNG_BYTES = 3_000_000  # a larger lossless image becomes a JPEG
START_OF_SCAN = b"\xff\xda"
OOM_SCORE = Path("/proc/self/oom_score_adj")
JPEG = b"\xff\xd8"
ORIENTATION = 0x0112  # in EXIF
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SCALABLE = {"RGB", "RGBA", "L", "LA", "CMYK", "YCbCr"}  # without a conversion that needs more memory


class Refused(Exception):
    """Why this image is refused, as a text for people."""


def main(job: dict[str, Any]) -> None:
    _bound(job["cpu_seconds"], job["memory_bytes"], job["answer_bytes"])
    answer: dict[str, Any]
    try:
        kind, size, data = re_encoded(sys.stdin.buffer.read(), square=job["square"], side=job["side"])
        answer = {"media_type": kind, "size": size}
    except Refused as refused:
        answer, data = {"refused": str(refused)}, b""
    except MemoryError:
        answer, data = {"refused": "This image takes too much memory to process."}, b""
    except Exception:  # a broken image can raise anything
        answer, data = {"refused": "Choose a PNG, JPEG, WebP or GIF image."}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + data)


def _bound(cpu_seconds: int, memory_bytes: int, answer_bytes: int) -> None:
    with (
        suppress(OSError),
        OOM_SCORE.open("w") as score,
    ):  # if memory runs out, kill this process and not the server
        score.write("1000")
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, answer_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def re_encoded(upload: bytes, *, square: bool, side: int) -> tuple[str, tuple[int, int], bytes]:
    """Media type, size and bytes: a square WebP, or an image within the side: a JPEG if it was one."""
    image = _read(upload, side * 2 if square else side)
    if square:
        small = _on_white(ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS))
        return "image/webp", small.size, _saved(small, "WEBP", quality=85)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if not upload.startswith(JPEG):
        drawn = _saved(image, "PNG", optimize=False)
        if len(drawn) <= MOST_PNG_BYTES:
            return "image/png", image.size, drawn
    return "image/jpeg", image.size, _saved(_on_white(image), "JPEG", quality=88)


def _saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def _read(upload: bytes, wanted: int) -> Image.Image:
    """The first frame as RGBA, upright, with a shorter side of at most `wanted` pixels."""
    if upload.startswith(JPEG) and upload.count(START_OF_SCAN) > MOST_SCANS:
        raise Refused(
            f"This JPEG has more than {MOST_SCANS} scans. Save it as a baseline (non-progressive) JPEG."
        )
    with Image.open(BytesIO(upload), formats=FORMATS) as image:
        most = MOST_PHOTO_PIXELS if image.format in PHOTOS else MOST_PIXELS
        if image.width * image.height > most:
            raise Refused("This image has too many pixels.")
        way = UPRIGHT.get(_orientation(image))
        upright = _small(image, wanted).convert("RGBA")
        return upright if way is None else upright.transpose(way)


def _orientation(image: Image.Image) -> Any:
    """The orientation in EXIF; 1 (upright) if it cannot be read."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF can raise anything too
        return 1


def _small(image: Image.Image, wanted: int) -> Image.Image:
    image.draft("RGB", (wanted, wanted))
    if image.mode not in SCALABLE:
        image = image.convert("RGBA")
    scale = max(wanted / image.width, wanted / image.height)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _on_white(image: Image.Image) -> Image.Image:
    """Flattens transparency onto white."""
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return ground.convert("RGB")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
