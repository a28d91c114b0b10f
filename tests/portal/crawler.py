"""Finds every page that somebody can reach, by its links."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from playwright.sync_api import Page

from portal import PORTAL


class Crawler:
    """Goes from link to link, to a few pages of each kind."""

    def __init__(self, page: Page, of_a_kind: int):
        self.page = page
        self.of_a_kind = of_a_kind
        self.kinds: dict[str, list[str]] = {}
        # Where each link led: its status.
        self.links: dict[str, int] = {}

    def pages(self) -> Iterator[str]:
        """The path of each page to be looked at; the links of what is looked at then are followed too."""
        waiting = self._links()
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
                yield path
                waiting += self._links()

    def _links(self) -> list[str]:
        found = self.page.locator("a[href]").evaluate_all("all => all.map(link => link.href)")
        parts = [urlsplit(link) for link in found if link.startswith(PORTAL)]
        return [part.path + (f"?{part.query}" if part.query else "") for part in parts]


def kind(path: str) -> str:
    """The same for all pages that one template makes: ids are `*`, and what is asked of a list does not count."""
    return re.sub(r"(?<=/)([0-9a-f-]{36}|\d+)(?=/|$)", "*", urlsplit(path).path)
