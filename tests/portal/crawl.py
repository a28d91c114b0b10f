"""Somebody looks at the pages that they can reach: ROLE is theirs. Prints the kinds of pages.

SHARE is "1/3" for the first of three shares of the kinds of pages. Of the others, only links and titles are read.
"""

import json
import os
import zlib

from crawler import Crawler, kind
from inspection import faults, prepare
from portal import story
from sample import fill

ROLE = os.environ["ROLE"]
SHARE, SHARES = map(int, os.environ.get("SHARE", "1/1").split("/"))


def is_mine(path: str) -> bool:
    return zlib.crc32(kind(path).encode()) % SHARES == SHARE - 1


with story() as latchkey:
    sample = fill(latchkey)
    latchkey.tells("they sign in")
    page = latchkey.at_home(sample.people[ROLE])
    prepare(page)
    # An auditor sees what an owner sees, less the forms.
    crawler, titles, wrong = Crawler(page, of_a_kind=1 if ROLE == "auditor" else 2), {}, []
    for path in crawler.pages():
        if is_mine(path):
            latchkey.tells(f"they look at {path}")
            wrong += [f"{path}: {fault}" for fault in faults(page, path)]
    for path, title in crawler.titles.items():
        plain = path.partition("?")[0]
        first = titles.setdefault(title.strip(), plain)
        if first != plain:
            wrong.append(f"{path}: has the title of {first}: {title}")
    wrong += [f"{link}: answers {status}" for link, status in crawler.links.items() if status >= 400]
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(sorted(set(wrong)))
print(json.dumps(sorted(crawler.kinds)))
