"""Reads pictures that people upload: known by their content, bounded, upright, nothing kept but pixels."""

from io import BytesIO
from typing import Any

from PIL import Image

from kit.errors import InvalidInput

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # what every browser and every provider shows; SVG is a program
MOST_PIXELS = 25_000_000
MOST_PIXELS_OF_A_PHOTO = 50_000_000  # a JPEG is read at the size that is wanted
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
SCALABLE = {"RGB", "RGBA", "L", "LA", "CMYK", "YCbCr"}  # as they are, without being made larger in memory


def read_image(upload: bytes, *, field: str, wanted: int) -> Image.Image:
    """The first frame as RGBA, upright, its shorter side at most `wanted` pixels.

    InvalidInput at `field` for what is no such picture, or has too many pixels.
    """
    try:
        with Image.open(BytesIO(upload), formats=FORMATS) as image:
            most = MOST_PIXELS_OF_A_PHOTO if image.format == "JPEG" else MOST_PIXELS
            if image.width * image.height > most:
                raise InvalidInput(**{field: ["This picture has too many pixels."]})
            way = UPRIGHT.get(_orientation(image))
            upright = _small(image, wanted).convert("RGBA")
            return upright if way is None else upright.transpose(way)
    except InvalidInput:
        raise
    except Exception as exc:  # what a broken picture makes of its reader is nothing that one could list
        raise InvalidInput(**{field: ["Choose a PNG, JPEG, WebP or GIF picture."]}) from exc


def _orientation(image: Image.Image) -> Any:
    """What the camera wrote of it; 1, as it is, where that cannot be read."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # nor of its notes
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


def on_white(image: Image.Image) -> Image.Image:
    """Without transparency."""
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return ground.convert("RGB")
