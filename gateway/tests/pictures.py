"""Pictures for tests."""

from io import BytesIO
from typing import Any

from PIL import Image


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), **more: Any) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "teal").save(out, kind, **more)
    return out.getvalue()


def progressive(side: int, scans: int) -> bytes:
    """A JPEG whose last scan comes again and again: small to send, a pass over the whole picture each."""
    photo = picture("JPEG", (side, side), progressive=True, quality=90, subsampling=0)
    begin, end = photo.rfind(b"\xff\xda"), photo.rfind(b"\xff\xd9")
    more = max(0, scans - photo.count(b"\xff\xda"))
    return photo[:end] + photo[begin:end] * more + photo[end:]
