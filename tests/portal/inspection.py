"""What every page must be: accessible, quiet, steady, light, and as wide as the screen."""

import os
from pathlib import Path

from playwright.sync_api import Page

AXE = Path(os.environ["LATCHKEY_AXE"]).read_text()
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
# Widths between them have the same parts, in other places.
AUDITED = [360, 1440]
# In the dark only colours differ.
DARK_RULES = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
WIDTHS = [360, 800, 1440]
HEIGHT = 900
MOST_BYTES = 100_000
# What Web Vitals calls good: a busy machine paints a page in pieces.
MOST_SHIFT = 0.1

# Runs before anything of the page.
WATCH = """
window.shift = 0;
window.breaches = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.value)))
  .observe({ type: 'layout-shift', buffered: true });
document.addEventListener('securitypolicyviolation', (event) =>
  window.breaches.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""

BYTES = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .reduce((sum, entry) => sum + entry.decodedBodySize, 0)"""

TOO_WIDE = """() => {
  const beyond = (element) => element.getBoundingClientRect().right > innerWidth;
  const inmost = (element) => beyond(element) && ![...element.children].some(beyond);
  return document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('body *')].filter(inmost).slice(0, 3).map((element) => element.outerHTML.slice(0, 120));
}"""

AUDIT = """(rules) => axe.run({ runOnly: rules, resultTypes: ['violations'], preload: false }).then(({ violations }) =>
  violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) =>
    `${id}: ${node.target.join(' ')}: ${node.any.concat(node.all, node.none)[0]?.message ?? ''}`)))"""


def prepare(page: Page):
    """Lets a page be inspected, from its next address on. Scripts come in past the policy of the page."""
    page.add_init_script(AXE)
    page.add_init_script(WATCH)


def faults(page: Page, path: str) -> list[str]:
    """Everything that is wrong with the page at a path, at each width, in light and dark."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme="light")
        page.goto(path)
        found += [f"at {width} px: {fault}" for fault in _steadiness(page)]
        found += _looks(page, width)
    return found + _outline(page)


def standing_faults(page: Page) -> list[str]:
    """The same of what a form was answered with, which has no address."""
    found = [f"breaks its policy: {breach}" for breach in page.evaluate("breaches")]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        found += _looks(page, width)
    return found + _outline(page)


def _looks(page: Page, width: int) -> list[str]:
    """What is wrong with how it looks, with everything unfolded that can be."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = [f"at {width} px: is too wide: {element}" for element in page.evaluate(TOO_WIDE)]
    for scheme, rules in [("light", RULES), ("dark", DARK_RULES)] if width in AUDITED else []:
        page.emulate_media(color_scheme=scheme)
        found += [f"at {width} px, {scheme}: {fault}" for fault in page.evaluate(AUDIT, rules)]
    return found


def _steadiness(page: Page) -> list[str]:
    shift, weight = page.evaluate("shift"), page.evaluate(BYTES)
    found = [f"breaks its policy: {breach}" for breach in page.evaluate("breaches")]
    found += [f"is too wide: {element}" for element in page.evaluate(TOO_WIDE)]
    if shift > MOST_SHIFT:
        found.append(f"its layout shifts by {shift:.3f}")
    if weight > MOST_BYTES:
        found.append(f"weighs {weight} bytes")
    return found


def _outline(page: Page) -> list[str]:
    headings = page.locator("h1").count()
    found = [] if headings == 1 else [f"has {headings} first headings"]
    return found if page.title() else [*found, "has no title"]
