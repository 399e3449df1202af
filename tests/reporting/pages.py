"""What a test asks of a page: its elements and texts, and all that could run, load or leave a reader out."""

import re
from html.parser import HTMLParser

HOSTILE = "</title></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}$\\frac$"


class Page(HTMLParser):
    """Elements as (tag, attributes), in order; the text of all; and which texts each tag held."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self._open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def tags(self):
        return {tag for tag, _ in self.elements}

    @property
    def text(self):
        return " ".join(data for _, data in self.texts)


def faults(html):
    """Everything on a page that could run, load, or leave a reader without the picture's content."""
    page, found = Page(html), []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    found += [f"id {name} is used twice" for name in ids if ids.count(name) > 1]
    for tag, attributes in page.elements:
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form"):
            found.append(f"element {tag}")
        for name, value in attributes.items():
            if name.startswith("on") or name == "style":
                found.append(f"attribute {name}")
            if name in ("src", "href", "action", "srcset") and not re.match(r"#|data:image/png;", value):
                found.append(f"{name} loads {value}")
        if tag == "svg":
            named = attributes.get("aria-labelledby", "").split()
            if attributes.get("role") != "img" or len(named) != 2 or not set(named) <= set(ids):
                found.append("svg without text alternative")
    if re.search(r"url\((?!#)|@import", html):
        found.append("style loads something")
    return found


def contrast(one, other):
    """WCAG 2 contrast of two colours #rrggbb."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
