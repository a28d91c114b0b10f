"""People with browsers, and the system that they use. A story is a script that begins with `story()`."""

import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from openai import APIStatusError, OpenAI
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

PORTAL = os.environ["LATCHKEY_PORTAL_URL"]
GATEWAY = os.environ["LATCHKEY_GATEWAY_URL"]
OWNER_TOKEN = os.environ["LATCHKEY_OWNER_TOKEN"]
FAILURES = Path(os.environ["LATCHKEY_FAILURES"])

PASSWORD = "correct horse battery staple"
# What a browser may take; a busy machine is slow.
PATIENCE_MS = 15_000
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Api:
    """The API, as one person or program."""

    def __init__(self, headers: dict[str, str]):
        self.client = httpx.Client(base_url=f"{PORTAL}/api/v1", headers={"origin": PORTAL} | headers, timeout=30)

    def get(self, path: str, **query):
        return self._read(self.client.get(path, params=query))

    def post(self, path: str, body: dict | None = None):
        return self._read(self.client.post(path, json=body or {}))

    def patch(self, path: str, body: dict):
        return self._read(self.client.patch(path, json=body))

    def put(self, path: str, body: dict | None = None):
        return self._read(self.client.put(path, json=body))

    def delete(self, path: str):
        return self._read(self.client.delete(path))

    def _read(self, answer: httpx.Response):
        asked = f"{answer.request.method} {answer.request.url.path}"
        assert answer.is_success, f"{asked} answered {answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None


@dataclass(frozen=True)
class Person:
    """Somebody with a password."""

    id: str
    name: str
    email: str


class Latchkey:
    """The running system, and a browser to look at it."""

    def __init__(self, browser: Browser):
        self.api = Api({"authorization": f"Bearer {OWNER_TOKEN}"})
        self.browser = browser
        self.step = "the beginning"
        self.complaints: list[str] = []

    def tells(self, step: str):
        """Says what happens next, for whoever reads that it did not."""
        self.step = step

    def person(self, name: str, role: str = "user") -> Person:
        """Somebody new who has accepted an invitation."""
        email = f"{name.lower().replace(' ', '.')}@acme.com"
        user = self.api.post("/users", {"email": email, "name": name, "role": role})
        token = self.api.post(f"/users/{user['id']}/invite")["token"]
        Api({}).post("/auth/invitation", {"token": token, "password": PASSWORD})
        return Person(user["id"], name, email)

    def app(self, name: str, **settings) -> dict:
        """An app that may use everything."""
        return self.api.post("/apps", {"name": name, "allowed_models": "all", "allowed_providers": "all"} | settings)

    def grant(self, app: dict, **access):
        """Gives capabilities of an app."""
        self.api.patch(f"/apps/{app['id']}/self-service", {"access": access})

    def acts_as(self, person: Person) -> Api:
        """The API as somebody uses it who has signed in."""
        api = Api({})
        me = api.post("/auth/sign-in", {"email": person.email, "password": PASSWORD})
        api.client.headers["x-csrf-token"] = me["csrf_token"]
        return api

    def stranger(self, **options) -> Page:
        """A page of a browser of its own, signed in as nobody. Whatever goes wrong in it fails the story."""
        usual = {"locale": "en-GB", "timezone_id": "Europe/Paris", "reduced_motion": "reduce"}
        context = self.browser.new_context(base_url=PORTAL, **usual | options)
        context.set_default_timeout(PATIENCE_MS)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self._listen(context)
        return context.new_page()

    def at_home(self, person: Person, **options) -> Page:
        """The first page that somebody sees who signs in."""
        page = self.stranger(**options)
        page.goto("/sign-in")
        sign_in(page, person)
        return page

    def client(self, key: str) -> OpenAI:
        """The official SDK: only base URL and key are ours."""
        return OpenAI(base_url=f"{GATEWAY}/v1", api_key=key, max_retries=0)

    def says_hello(self, key: str, model: str = "gpt-4o-mini") -> str:
        """What the gateway answers to the official SDK."""
        message = {"role": "user", "content": "hello"}
        completion = self.client(key).chat.completions.create(model=model, messages=[message])
        return completion.choices[0].message.content

    def refusal(self, key: str, model: str = "gpt-4o-mini") -> tuple[int, str]:
        """How the gateway refuses a key: status and code."""
        try:
            return 200, self.says_hello(key, model)
        except APIStatusError as refused:
            return refused.status_code, refused.code

    def until_answered(self, key: str, status: int):
        """Waits until the gateway answers a key so."""
        self.until(f"the gateway to answer {status}", lambda: self.refusal(key)[0] == status)

    def until_recorded(self, app: dict, count: int):
        """Waits until an app has so many records."""
        recorded = lambda: len(self.api.get("/logs", app_id=app["id"])["items"]) >= count
        self.until(f"{count} records", recorded)

    def until(self, what: str, holds: Callable[[], bool]):
        """Asks again and again."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not holds():
            assert time.monotonic() < end, f"waited for {what}"
            time.sleep(0.02)

    def _listen(self, context: BrowserContext):
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._complain(str(error.error), error.page))

    def _hear(self, message: ConsoleMessage):
        # A page that refuses something has the status of a refusal.
        refusal = message.page and message.location["url"] == message.page.url
        if message.type == "error" and not refusal:
            self._complain(message.text, message.page)

    def _complain(self, text: str, page: Page | None):
        self.complaints.append(f"{text} (at {page.url if page else 'a page that was closed'}, where {self.step})")


def sign_in(page: Page, person: Person):
    """Fills the form that is on the page."""
    page.get_by_label("Email address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).not_to_have_url(re.compile("/sign-in"))


@contextmanager
def story():
    """Opens the browser. When the story fails, says at which step, and what every page looked like."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        latchkey = Latchkey(browser)
        try:
            yield latchkey
            assert not latchkey.complaints, "the browser complains:\n" + "\n".join(latchkey.complaints)
        except BaseException:
            _show(latchkey)
            raise
        finally:
            browser.close()


def _show(latchkey: Latchkey):
    name = Path(sys.argv[0]).stem
    print(f"{name} fails where {latchkey.step}", file=sys.stderr)
    FAILURES.mkdir(parents=True, exist_ok=True)
    for context in latchkey.browser.contexts:
        for number, page in enumerate(context.pages):
            path = FAILURES / f"{name}-{latchkey.browser.contexts.index(context)}-{number}.png"
            page.screenshot(path=path, full_page=True)
            print(f"{page.url} looks like {path}", file=sys.stderr)
