"""Reads pictures that people upload: known by their content, bounded, upright, nothing kept but pixels."""

from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from kit.errors import InvalidInput

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # what every browser and every provider shows; SVG is a program
MOST_PIXELS = 40_000_000
BROKEN = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def read_image(upload: bytes, *, field: str, wanted: int) -> Image.Image:
    """The first frame as RGBA; one that is much larger than `wanted` pixels a side may come smaller.

    InvalidInput at `field` for what is no such picture, or has too many pixels.
    """
    try:
        with Image.open(BytesIO(upload), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InvalidInput(**{field: ["This picture has too many pixels."]})
            image.draft("RGB", (wanted, wanted))
            return ImageOps.exif_transpose(image).convert("RGBA")
    except BROKEN as exc:
        raise InvalidInput(**{field: ["Choose a PNG, JPEG, WebP or GIF picture."]}) from exc


def on_white(image: Image.Image) -> Image.Image:
    """Without transparency."""
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return ground.convert("RGB")
