"""A company that has used Latchkey for a month: every page has something to show."""

import math
import os
import random
import sqlite3
import time
import uuid
from dataclasses import dataclass

import openai

from portal import Latchkey, Person

GROUPS = {
    "engineering": "Everybody who writes code",
    "customer support": "The help desk in Lyon and Porto",
    "data science": "",
    "contractors": "People of other companies, for as long as they are with us",
}
DAY_MS = 86_400_000
# By what there are sums over all apps, and what their columns are.
SUMMED = {
    "all": "'' AS value, model, provider",
    "app": "app_id AS value, '' AS model, '' AS provider",
    "user": "user_id AS value, '' AS model, '' AS provider",
    "app_model": "app_id AS value, model, provider",
    "user_model": "user_id AS value, model, provider",
    "app_provider": "app_id AS value, '' AS model, provider",
    "user_provider": "user_id AS value, '' AS model, provider",
}


@dataclass
class Sample:
    """What was made."""

    people: dict[str, Person]
    apps: dict[str, dict]
    groups: dict[str, str]


def fill(latchkey: Latchkey) -> Sample:
    """Makes people, groups, apps, keys, requests, denials, change requests and a month of usage."""
    latchkey.tells("a company moves in")
    people = {
        "owner": latchkey.person("Grace Hopper", "owner"),
        "admin": latchkey.person("Ada Lovelace", "admin"),
        "auditor": latchkey.person("Otto Wagner", "auditor"),
        "user": latchkey.person("Alice Martin"),
        "bob": latchkey.person("Bob van der Berg"),
        "carol": latchkey.person("Carol Wojciechowska-Fernández"),
    }
    latchkey.api.post("/users", {"email": "erin@acme.com", "name": "Erin (not yet here)"})
    leaver = latchkey.person("Dave Miller")
    latchkey.api.post(f"/users/{leaver.id}/deactivate")
    groups = _groups(latchkey, people)
    _prices(latchkey)
    _mcp_servers(latchkey)
    apps = _apps(latchkey, people, groups)
    keys = _keys(latchkey, people, apps)
    _calls(latchkey, keys)
    _change_requests(latchkey, people, apps)
    if database := os.environ.get("LATCHKEY_DATABASE"):
        _month(latchkey, database, apps)
    return Sample(people, apps, groups)


def _groups(latchkey: Latchkey, people: dict[str, Person]) -> dict[str, str]:
    ids = {
        name: latchkey.api.post("/groups", {"name": name, "description": about})["id"]
        for name, about in GROUPS.items()
    }
    for group, member in [("engineering", "user"), ("engineering", "bob"), ("customer support", "carol")]:
        latchkey.api.put(f"/groups/{ids[group]}/members/{people[member].id}")
    return ids


def _prices(latchkey: Latchkey):
    for name, price in {
        "gpt-4o-mini": {"input": "0.15", "cached_input": "0.075", "output": "0.60"},
        "gpt-4o": {"input": "2.50", "cached_input": "1.25", "output": "10"},
    }.items():
        found = [model for model in latchkey.api.get("/models", search=name)["items"] if model["name"] == name]
        latchkey.api.patch(f"/models/{found[0]['id']}", {"price": price, "max_output_tokens": 16_384})


def _mcp_servers(latchkey: Latchkey):
    """Nobody calls them: the pages show them."""
    servers = {
        "github": {"url": "https://mcp.acme.com/github/mcp", "credential": "ghp-sample"},
        "files": {"url": "https://mcp.acme.com/files/mcp"},
    }
    for name, server in servers.items():
        latchkey.api.post("/mcp-servers", {"name": name, **server})


def _apps(latchkey: Latchkey, people: dict[str, Person], groups: dict[str, str]) -> dict[str, dict]:
    everything = {"allowed_providers": "all", "allowed_models": "all"}
    wanted = {
        "Support Bot": {
            "mode": "named",
            "allowed_models": ["gpt-4o-mini", "gpt-4o"],
            "limits": {
                "requests_per_minute": 600,
                "tokens_per_minute": 200_000,
                "budget": {"usd": "250", "per": "month"},
                "max_output_tokens": 4_096,
            },
            "named_key_limits": {"requests_per_minute": 60, "budget": {"usd": "25", "per": "month"}},
            "mcp_scope": ["files", "github/search_*"],
            "tags": ["production", "customer-facing"],
            "metadata": {"team": "support", "cost_centre": 4711},
        },
        "Checkout Assistant": {"mode": "named", "keep_key_values": True, "tags": ["beta"]},
        "Data Platform": {
            "mode": "shared",
            "keep_key_values": True,
            "ip_allow_list": ["10.0.0.0/8", "127.0.0.0/8", "2001:db8::/32"],
            "limits": {"token_budget": {"tokens": 50_000_000, "per": "week"}, "requests_per_day": 100_000},
            "identity": {"header": True, "allowed_domains": ["acme.com"]},
        },
        "Meeting Notes": {"mode": "shared", "expires_in": "30d"},
        "Nightly Report of Everything That Happened in the Warehouses": {"mode": "shared"},
        "Translation": {"mode": "shared", "limits": {"requests_per_minute": 2}},
        "Old Prototype": {"mode": "shared"},
        "Legacy Importer": {"mode": "shared"},
    }
    apps = {name: latchkey.api.post("/apps", everything | {"name": name} | body) for name, body in wanted.items()}
    paths = {name: f"/apps/{app['id']}" for name, app in apps.items()}
    engineering, support = {"groups": [groups["engineering"]]}, {"groups": [groups["customer support"]]}
    access = {
        "Support Bot": {
            "viewer": {
                "mode": "specific",
                "allow": engineering | {"users": [people["carol"].id]},
                "exceptions": {"groups": [groups["contractors"]]},
            },
            "settings_request": {"mode": "specific", "allow": engineering},
            "all_logs": {"mode": "specific", "allow": support},
        },
        "Checkout Assistant": {"viewer": {"mode": "everyone"}, "key_visibility": {"mode": "everyone"}},
        "Data Platform": {
            "viewer": {"mode": "specific", "allow": engineering},
            "settings_request": {"mode": "specific", "allow": engineering},
            "key_visibility": {"mode": "specific", "allow": engineering},
            "all_logs": {"mode": "everyone"},
        },
        "Nightly Report of Everything That Happened in the Warehouses": {"viewer": {"mode": "everyone"}},
    }
    for name, rules in access.items():
        latchkey.api.patch(f"{paths[name]}/self-service", {"access": rules, "most_keys_per_user": 10})
    latchkey.api.patch(paths["Support Bot"], {"tags": ["production", "customer-facing", "eu"]})
    latchkey.api.post(f"{paths['Data Platform']}/key/rotate", {"grace_seconds": 86_400})
    latchkey.api.put(
        f"{paths['Support Bot']}/custom-categories",
        {"custom_categories": [{"name": "Project Orion", "keywords": ["orion", "rigel"], "patterns": ["OR-\\d{4}"]}]},
    )
    latchkey.api.post(f"{paths['Support Bot']}/prompts", {"name": "greeting", "text": "Be kind, and brief."})
    latchkey.api.post(f"{paths['Legacy Importer']}/deactivate")
    latchkey.api.post(f"{paths['Old Prototype']}/revoke")
    return apps


def _keys(latchkey: Latchkey, people: dict[str, Person], apps: dict[str, dict]) -> dict[str, str]:
    values = {app: apps[app]["key"]["value"] for app in ["Meeting Notes", "Translation"]}
    wanted = [
        ("user", "Support Bot", "Alice local dev", {}),
        ("user", "Support Bot", "Alice CI", {"expires_in": "90d"}),
        ("user", "Checkout Assistant", "laptop", {"limits": {"requests_per_minute": 1}}),
        ("user", "Support Bot", "lost phone", {}),
        ("bob", "Support Bot", "Bob's workstation under the desk by the window", {}),
        ("carol", "Support Bot", "help desk", {}),
    ]
    for owner, app, name, more in wanted:
        body = {"user_id": people[owner].id, "name": name} | more
        key = latchkey.api.post(f"/apps/{apps[app]['id']}/keys", body)
        values[name] = key["value"]
        if name == "lost phone":
            latchkey.api.post(f"/apps/{apps[app]['id']}/keys/{key['id']}/revoke")
        if name == "Alice CI":
            latchkey.api.post(f"/apps/{apps[app]['id']}/keys/{key['id']}/rotate", {"grace_seconds": 3_600})
    return values


def _calls(latchkey: Latchkey, keys: dict[str, str]):
    """Some that are answered, and some of each that is not."""
    message = [{"role": "user", "content": "Where is my parcel?"}]
    calls = [(keys[name], "gpt-4o-mini") for name in ["Alice local dev", "laptop", "help desk", "Meeting Notes"] * 2]
    calls += [(keys["Alice local dev"], "gpt-4o"), (keys["Alice local dev"], "claude-sonnet-4-5")]
    calls += [(keys["laptop"], "gpt-9"), (keys["lost phone"], "gpt-4o"), *[(keys["Translation"], "gpt-4o")] * 5]
    for key, model in calls:
        try:
            latchkey.client(key).chat.completions.create(model=model, messages=message)
        except openai.APIStatusError:
            pass


def _change_requests(latchkey: Latchkey, people: dict[str, Person], apps: dict[str, dict]):
    bot = apps["Support Bot"]["id"]
    asked = [
        ("update_config", {"limits": {"requests_per_minute": 900}}, "The launch on Monday"),
        ("set_tags", {"tags": ["production", "gdpr"]}, "Legal asks for it"),
        ("update_config", {"allowed_models": "all"}, "I would like to try them all"),
        ("jwt_auth_settings", {"identity": {"allowed_domains": ["acme.com"]}}, "Only us"),
        ("custom_categories", {"custom_categories": [{"name": "Prices", "keywords": ["discount"]}]}, "New offers"),
        ("prompt_store", {"create": {"name": "farewell", "text": "Say goodbye."}}, "To end well"),
    ]
    alice = latchkey.acts_as(people["user"])
    made = [
        alice.post(f"/me/apps/{bot}/change-requests", {"kind": kind, "edit": edit, "reason": reason})["id"]
        for kind, edit, reason in asked
        if kind != "jwt_auth_settings"
    ]
    latchkey.api.post(f"/change-requests/{made[1]}/approve")
    latchkey.api.post(f"/change-requests/{made[2]}/reject", {"reason": "Two are enough for a bot"})
    latchkey.api.patch(f"/apps/{bot}", {"limits": {"requests_per_minute": 700}})
    alice.post(
        f"/me/apps/{bot}/change-requests",
        {"kind": "update_config", "edit": {"limits": {"budget": {"usd": "400", "per": "month"}}}, "reason": "More users"},
    )


def _month(latchkey: Latchkey, database: str, apps: dict[str, dict]):
    """Sums of the last thirty days, and records of the last two, past the API: it has no past."""
    chance = random.Random(1)
    now = time.time_ns() // 1_000_000
    days, counts, records = [], [], []
    for name, scale in {"Support Bot": 900, "Data Platform": 2_400, "Checkout Assistant": 120, "Meeting Notes": 40}.items():
        app = apps[name]
        named = latchkey.api.get(f"/apps/{app['id']}/keys")["items"]
        keys = [(key["id"], key["user"]["id"]) for key in named] or [(app["key"]["id"], "")]
        for key, user in keys:
            total = 0
            for back in range(1, 31):
                weekend = 0.3 if (now // DAY_MS - back) % 7 in (2, 3) else 1
                for model, share, nano_usd in [("gpt-4o-mini", 1, 150), ("gpt-4o", 0.2, 2_500)]:
                    count = int(scale * share * weekend * (1 + 0.4 * math.sin(back / 3)) * chance.uniform(0.6, 1.2))
                    tokens, total = count * 600, total + count
                    days.append(
                        (now // DAY_MS - back, app["id"], key, user, model, "sample", count, count // 40)
                        + (tokens, tokens // 5, tokens // 4, 0, tokens * nano_usd * 2)
                    )
            counts.append((key, app["id"], total, now - chance.randrange(DAY_MS)))
        for _ in range(60):
            key, user = chance.choice(keys)
            status, code = chance.choice([(200, "")] * 8 + [(429, "rate_limit_exceeded"), (403, "model_not_allowed")])
            good, model = status == 200, chance.choice(["gpt-4o-mini", "gpt-4o"])
            records.append(
                (now - chance.randrange(2 * DAY_MS), str(uuid.uuid4()), "gateway-0", app["id"], key, user, model, model)
                + ("sample", "chat_completions", status, code, 800 * good, 0, 210 * good, 0, 246_000 * good, 1)
                + ("reported" if good else "none", chance.randrange(200, 2_500) if good else 1, 230 if good else None)
                + (1, "10.1.2.3", "", "{}", "", "key" if user else "none", 0)
            )
    with sqlite3.connect(database, timeout=30) as connection:
        connection.executemany(f"INSERT INTO usage_days VALUES ({', '.join('?' * 13)})", days)
        connection.execute("DELETE FROM usage_sums")
        for dimension, columns in SUMMED.items():
            connection.execute(
                f"INSERT INTO usage_sums SELECT '{dimension}', day, value, model, provider, SUM(requests), SUM(denied),"
                " SUM(input_tokens), SUM(cached_input_tokens), SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)"
                f" FROM (SELECT day, {columns}, requests, denied, input_tokens, cached_input_tokens, output_tokens,"
                " reasoning_tokens, cost FROM usage_days) GROUP BY day, value, model, provider"
            )
        connection.executemany(
            "INSERT INTO records (at, request_id, gateway, app_id, key_id, user_id, model, served_model, provider,"
            " endpoint, status, code, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost,"
            " price_version, settlement, latency_ms, first_token_ms, streamed, client_address, conversation_id,"
            f" metadata, identity, identity_source, old_secret) VALUES ({', '.join('?' * 28)})",
            sorted(records),
        )
        connection.executemany(
            "INSERT INTO key_usage (key_id, app_id, requests, last_used_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (key_id) DO UPDATE SET requests = key_usage.requests + excluded.requests",
            counts,
        )
        connection.executemany(
            "INSERT INTO app_usage (app_id, requests, last_used_at) VALUES (?, ?, ?)"
            " ON CONFLICT (app_id) DO UPDATE SET requests = app_usage.requests + excluded.requests",
            [(app, requests, at) for _, app, requests, at in counts],
        )
