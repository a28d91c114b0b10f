"""Finds every page that somebody can reach, by its links."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import APIResponse, Page

from portal import PORTAL


class Crawler:
    """Goes from link to link, to a few pages of each kind."""

    def __init__(self, page: Page, of_a_kind: int):
        self.page = page
        self.of_a_kind = of_a_kind
        self.kinds: dict[str, list[str]] = {}
        # Where each link led: its status.
        self.links: dict[str, int] = {}
        # What each page is called.
        self.titles: dict[str, str] = {}

    def pages(self) -> Iterator[str]:
        """The path of each page. Links are read from what the server says, as pages have them without scripts."""
        waiting = ["/"]
        while waiting:
            path = waiting.pop(0)
            if path in self.links:
                continue
            answer = self.page.request.get(path)
            self.links[path] = answer.status
            seen = self.kinds.setdefault(kind(path), [])
            is_page = answer.ok and "text/html" in answer.headers["content-type"]
            if answer.url != PORTAL + path:
                waiting.append(answer.url.removeprefix(PORTAL))
            elif is_page and len(seen) < self.of_a_kind:
                seen.append(path)
                read = Reader(answer)
                self.titles[path] = read.title or ""
                waiting += read.links
                yield path


class Reader(HTMLParser):
    """Reads the title and the links within the portal."""

    def __init__(self, answer: APIResponse):
        super().__init__()
        self.url = answer.url
        # None until it has come.
        self.title: str | None = None
        self.in_title = False
        self.links: list[str] = []
        self.feed(answer.text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.in_title = tag == "title" and self.title is None
        href = dict(attrs).get("href")
        if tag == "a" and href is not None and (link := urljoin(self.url, href)).startswith(PORTAL):
            part = urlsplit(link)
            self.links.append((part.path or "/") + (f"?{part.query}" if part.query else ""))

    def handle_endtag(self, tag: str):
        self.in_title = False

    def handle_data(self, data: str):
        if self.in_title:
            self.title = (self.title or "") + data


def kind(path: str) -> str:
    """The same for all pages that one template makes: ids are `*`, and what is asked of a list does not count."""
    return re.sub(r"(?<=/)([0-9a-f-]{36}|\d+)(?=/|$)", "*", urlsplit(path).path)
