"""The placeholders that LibreChat replaces in a model's instructions."""

import re
from datetime import UTC, datetime


def with_values(text: str | None, user: str) -> str | None:
    now = datetime.now(UTC)
    day = f"{now:%A}"
    values = {
        "current_date": f"{now:%Y-%m-%d} ({day})",
        "current_datetime": f"{now:%Y-%m-%d %H:%M:%S} +00:00 ({day})",
        "iso_datetime": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "current_user": user,
    }
    for name, value in values.items() if text else ():
        text = re.sub(rf"{{{{\s*{name}\s*}}}}", value.replace("\\", r"\\"), text or "", flags=re.IGNORECASE)
    return text
