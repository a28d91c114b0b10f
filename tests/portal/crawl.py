"""Somebody looks at every page that they can reach: ROLE is theirs. Prints the kinds of pages."""

import json
import os

from crawler import Crawler
from inspection import faults, prepare
from portal import story
from sample import fill

ROLE = os.environ["ROLE"]

with story() as latchkey:
    sample = fill(latchkey)
    latchkey.tells("they sign in")
    page = latchkey.at_home(sample.people[ROLE])
    prepare(page)
    # An auditor sees what an owner sees, less the forms.
    crawler, titles, wrong = Crawler(page, of_a_kind=1 if ROLE == "auditor" else 2), {}, []
    for path in crawler.pages():
        latchkey.tells(f"they look at {path}")
        wrong += [f"{path}: {fault}" for fault in faults(page, path)]
        plain = path.partition("?")[0]
        first = titles.setdefault(page.title(), plain)
        if first != plain:
            wrong.append(f"{path}: has the title of {first}: {page.title()}")
    wrong += [f"{link}: answers {status}" for link, status in crawler.links.items() if status >= 400]
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(sorted(set(wrong)))
print(json.dumps(sorted(crawler.kinds)))
