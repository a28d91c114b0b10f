"""Takes pictures of every page, at three widths, in light and dark, into SCREENSHOTS. Prints how many."""

import json
import os
import re
from pathlib import Path

from crawler import Crawler, kind
from inspection import HEIGHT, WIDTHS
from portal import FAILURES, story
from sample import fill

FOLDER = Path(os.environ.get("SCREENSHOTS", FAILURES.parent / "screenshots"))
ROLES = os.environ.get("ROLES", "owner,user").split(",")


def take(page, folder: Path, path: str):
    name = re.sub(r"[^a-z0-9]+", "-", kind(path)).strip("-") or "start"
    while (folder / f"{name}-360-light.png").exists():
        name += "-another"
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for scheme in ["light", "dark"]:
            page.emulate_media(color_scheme=scheme)
            page.goto(path)
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)


with story() as latchkey:
    sample = fill(latchkey)
    for role in ROLES:
        folder = FOLDER / role
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        page = latchkey.stranger()
        take(page, folder, "/sign-in")
        page = latchkey.at_home(sample.people[role])
        for path in Crawler(page, of_a_kind=1).pages():
            latchkey.tells(f"a picture is taken of {path}")
            take(page, folder, path)
print(json.dumps(len(list(FOLDER.glob("*/*.png")))))
