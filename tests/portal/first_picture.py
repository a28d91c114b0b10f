from portal import story
from sample import fill

with story() as latchkey:
    fill(latchkey)
    latchkey.tells("Alice looks")
    page = latchkey.stranger()
    page.goto("/healthz")
print("{}")
