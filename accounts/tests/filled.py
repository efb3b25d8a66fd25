"""What a browser sends for an untouched form of a page."""

from html.parser import HTMLParser

Sent = dict[str, list[str]]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Sent] = []
        self.select, self.options = "", []  # type: ignore[var-annotated]  # (value, whether chosen)
        self.area: str | None = None
        self.text = ""

    def send(self, name: str, value: str) -> None:
        if name and self.forms:
            self.forms[-1].setdefault(name, []).append(value)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        name, value = has.get("name", ""), has.get("value", "")
        match tag:
            case "form":
                self.forms.append({})
            case "input" if has.get("type") in {"checkbox", "radio"}:
                if "checked" in has:
                    self.send(name, value or "on")
            case "input" if has.get("type") not in {"submit", "file"}:
                self.send(name, value.replace("\r", "").replace("\n", ""))  # it holds one line
            case "select":
                self.select, self.options = name, []
            case "option":
                self.options.append([has.get("value"), "selected" in has])
                self.text = ""
            case "textarea":
                self.area, self.text = name, ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "option" and self.options[-1][0] is None:
            self.options[-1][0] = self.text
        if tag == "select":
            chosen = [value for value, is_chosen in self.options if is_chosen]
            self.send(self.select, (chosen or [self.options[0][0]])[0])
        if tag == "textarea" and self.area is not None:
            lines = self.text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n").split("\n")
            self.send(self.area, "\r\n".join(lines))
            self.area = None


def filled(page: str, field: str) -> Sent:
    """The values of the form that has this field."""
    parser = _Forms()
    parser.feed(page)
    return next(form for form in parser.forms if field in form)
