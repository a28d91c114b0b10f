use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{START_MS, Test, id, on_both};

const TODAY: i64 = START_MS / 86_400_000;

async fn usage(test: &Test, query: &str) -> Value {
    test.get(&format!("/usage{query}")).await.expect(StatusCode::OK)
}

/// Some of an answer's members, one row each.
fn table(usage: &Value, columns: &[&str]) -> Value {
    let row = |item: &Value| columns.iter().map(|column| item[*column].clone()).collect::<Vec<_>>();
    usage["items"].as_array().unwrap().iter().map(row).collect()
}

on_both! {
    async fn sums_are_grouped_filtered_and_totalled(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        let gone = test.world.id().to_string();
        for (day, app_id, key_id, user_id, model, cost) in [
            (TODAY, &app["id"], &key["id"], &key["user_id"], "gpt-4o", 3_000_000_000_i64),
            (TODAY, &app["id"], &key["id"], &key["user_id"], "gpt-4o-mini", 1_000_000_000),
            (TODAY - 1, &app["id"], &key["id"], &key["user_id"], "gpt-4o", 500_000_000),
            (TODAY, &json!(gone), &json!(gone), &json!(""), "gpt-4o", 2_000_000_000),
            (TODAY - 30, &app["id"], &key["id"], &key["user_id"], "gpt-4o", 7_000_000_000),
        ] {
            test.insert("usage_days", json!({"day": day, "app_id": app_id, "key_id": key_id, "user_id": user_id,
                "model": model, "provider": "openai", "cost": cost, "requests": 2, "denied": 1, "input_tokens": 10,
                "cached_input_tokens": 4, "output_tokens": 20, "reasoning_tokens": 5})).await;
        }
        let all = usage(&test, "").await;
        assert_eq!(all, json!({
            "from": "2025-12-03", "to": "2026-01-01", "items": [], "truncated": false,
            "totals": {"requests": 8, "denied": 4, "input_tokens": 40, "cached_input_tokens": 16,
                "output_tokens": 80, "reasoning_tokens": 20, "cost": "6.5"}
        }));
        let by_app = usage(&test, "?group_by=app").await;
        let apps = json!([[id(&app), "Support Bot", 6, "4.5"], [gone, null, 2, "2"]]);
        assert_eq!(table(&by_app, &["app_id", "app_name", "requests", "cost"]), apps);
        let by_day = usage(&test, "?group_by=model,day").await;
        assert_eq!(table(&by_day, &["day", "model", "cost"]), json!([
            ["2026-01-01", "gpt-4o", "5"], ["2026-01-01", "gpt-4o-mini", "1"], ["2025-12-31", "gpt-4o", "0.5"],
        ]));
        let everything = usage(&test, "?group_by=day,app,user,key,model,provider&model=gpt-4o-mini").await;
        let user = test.get(&format!("/users/{}", key["user_id"].as_str().unwrap())).await.expect(StatusCode::OK);
        assert_eq!(everything["items"], json!([{
            "day": "2026-01-01", "app_id": app["id"], "app_name": "Support Bot", "user_id": key["user_id"],
            "user_name": user["name"], "key_id": key["id"], "key_name": "Alice local dev", "model": "gpt-4o-mini",
            "provider": "openai", "requests": 2, "denied": 1, "input_tokens": 10, "cached_input_tokens": 4,
            "output_tokens": 20, "reasoning_tokens": 5, "cost": "1",
        }]));
        let by_user = usage(&test, &format!("?group_by=user&app_id={gone}")).await;
        assert_eq!(table(&by_user, &["user_id", "requests"]), json!([[null, 2]]));
        assert_eq!(usage(&test, "?from=2025-12-02&to=2025-12-02").await["totals"]["cost"], "7");
        assert_eq!(usage(&test, &format!("?key_id={}&from=2026-01-01", id(&key))).await["totals"]["requests"], 4);
        assert_eq!(usage(&test, "?provider=none&group_by=day").await["totals"]["cost"], "0");
        for wrong in ["?group_by=week", "?from=2026-01-02&to=2026-01-01", "?from=x", "?days=3"] {
            assert_eq!(test.get(&format!("/usage{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    /// A day and a bit of records, one every ten minutes, of which each has a cost of its own.
    async fn parts_of_days_are_summed_from_the_logs(test: Test) {
        let (app, other) = (test.world.id().to_string(), test.world.id().to_string());
        for number in 0..150_i64 {
            let of = if number % 3 == 0 { &other } else { &app };
            let code = if number % 5 == 0 { "rate_limit_exceeded" } else { "" };
            test.insert("records", json!({"at": START_MS - number * 600_000 - 1, "app_id": of, "model": "gpt-4o", "code": code,
                "provider": "openai", "repeats": 2, "input_tokens": 10, "cached_input_tokens": 1, "output_tokens": 5,
                "reasoning_tokens": 2, "cost": 1_000_000_000})).await;
        }
        // What the sums of days say is not asked.
        test.insert("usage_days", json!({"day": TODAY, "requests": 900})).await;
        let day = usage(&test, "?group_by=hour").await;
        assert_eq!((&day["from"], &day["to"]), (&json!("2025-12-31T00:00:00Z"), &json!("2026-01-01T00:00:00Z")));
        let hours = table(&day, &["began_at", "requests", "denied", "cost"]);
        assert_eq!(hours.as_array().unwrap().len(), 24);
        assert_eq!(hours[0], json!(["2025-12-31T23:00:00Z", 12, 4, "6"]), "the newest first");
        assert_eq!(hours[23][0], "2025-12-31T00:00:00Z");
        assert_eq!(day["totals"], json!({"requests": 288, "denied": 58, "input_tokens": 1440, "cached_input_tokens": 144,
            "output_tokens": 720, "reasoning_tokens": 288, "cost": "144"}));
        let minutes = usage(&test, "?group_by=minute&from=2025-12-31T23:30:00Z").await;
        let at = |minute| json!([format!("2025-12-31T23:{minute}:00Z"), 2]);
        assert_eq!(table(&minutes, &["began_at", "requests"]), json!([at(59), at(49), at(39)]));
        let of_app = usage(&test, &format!("?group_by=hour,app&app_id={other}&from=2025-12-31T22:00:00Z")).await;
        assert_eq!(table(&of_app, &["began_at", "app_id", "requests"]), json!([
            ["2025-12-31T23:00:00Z", other, 4], ["2025-12-31T22:00:00Z", other, 4],
        ]));
        let of_days = usage(&test, "?from=2025-12-30&to=2025-12-31&group_by=hour&model=gpt-4o").await;
        assert_eq!(of_days["totals"]["requests"], 300, "whole days, as they are asked for");
        let by_app = usage(&test, "?group_by=app&from=2025-12-31T23:00:00Z&to=2026-01-01").await;
        assert_eq!(table(&by_app, &["app_id", "requests"]), json!([[app, 8], [other, 4]]));
        for wrong in ["?from=2025-12-29T00:00:00Z&group_by=app", "?group_by=hour,minute", "?group_by=hour&from=2025-12-01",
            "?from=2026-01-01T00:00:00Z&to=2025-12-31T00:00:00Z"] {
            assert_eq!(test.get(&format!("/usage{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
        let mut mine = crate::web::visitor::Visitor::signed_in(&test, "alice@acme.com").await;
        let page = mine.open("/api/v1/me/usage?group_by=hour").await;
        assert!(page.text.contains("\"requests\":0"), "nobody's own: {}", page.text);
    }
}

const GROUPS: [&str; 6] = ["day", "app", "user", "key", "model", "provider"];

/// What a sum is of, in the order of `GROUPS`.
type Of = [String; 6];

/// Sums of each combination of a few of everything, by a prime of its own, so that no two groups look alike.
fn combinations(test: &Test) -> Vec<(Of, u64)> {
    let ids: Vec<_> = (0..4).map(|_| test.world.id().to_string()).collect();
    let mut rows = Vec::new();
    for number in 0..96_usize {
        let (app, user, model) =
            (&ids[number % 2], ["", &ids[2], &ids[3]][number / 2 % 3], ["", "a", "b"][number / 6 % 3]);
        let provider = if model.is_empty() { "" } else { ["p", "q"][number / 18 % 2] };
        let key = format!("{}{}", &app[..35], number / 2 % 3);
        let day = (TODAY - i64::try_from(number / 36).unwrap()).to_string();
        rows.push((
            [day, app.clone(), user.to_owned(), key, model.to_owned(), provider.to_owned()],
            1000 + number as u64 * 7,
        ));
    }
    rows.sort();
    rows.dedup_by(|a, b| a.0 == b.0);
    rows
}

on_both! {
    /// Whichever table answers: each way to group, under each filter, gives what adding up gives.
    async fn every_way_to_sum_agrees_with_a_naive_one(test: Test) {
        let rows = combinations(&test);
        let inserts: Vec<_> = rows.iter().map(|([day, app, user, key, model, provider], requests)| format!(
            "INSERT INTO usage_days VALUES ({day}, '{app}', '{key}', '{user}', '{model}', '{provider}', {requests},
             0, 0, 0, 0, 0, 0)")).collect();
        test.sql(&inserts).await;
        test.sum_up().await;
        let filters = [None, Some(1), Some(2), Some(3), Some(4), Some(5)];
        let names = ["", "app_id", "user_id", "key_id", "model", "provider"];
        for (groups, filter) in (0..64_usize).flat_map(|groups| filters.map(|filter| (groups, filter))) {
            let by: Vec<_> = (0..6).filter(|at| groups >> at & 1 == 1).collect();
            let wanted = filter.map(|at| (at, rows[rows.len() - 1].0[at].clone()));
            let mut expected = std::collections::BTreeMap::<Vec<String>, u64>::new();
            for (of, requests) in &rows {
                if wanted.as_ref().is_none_or(|(at, value)| of[*at] == *value) {
                    *expected.entry(by.iter().map(|at| of[*at].clone()).collect()).or_default() += requests;
                }
            }
            let mut query = format!("?group_by={}", by.iter().map(|at| GROUPS[*at]).collect::<Vec<_>>().join(","));
            if let Some((at, value)) = &wanted {
                query += &format!("&{}={value}", names[*at]);
            }
            let answer = usage(&test, &query).await;
            assert_eq!(answer["totals"]["requests"], expected.values().sum::<u64>(), "{query}");
            let found = answer["items"].as_array().unwrap().iter().map(|item| {
                let of = by.iter().map(|at| match *at {
                    0 => item["day"].as_str().map(|day| days_of(day).to_string()),
                    at => item[names[at]].as_str().map(str::to_owned),
                });
                (of.map(Option::unwrap_or_default).collect(), item["requests"].as_u64().unwrap())
            });
            let found: std::collections::BTreeMap<Vec<String>, u64> = found.collect();
            if !by.is_empty() {
                assert_eq!(found, expected, "{query}");
            }
        }
    }
}

on_both! {
    /// Alice is in both groups, the bot has both tags; the other app and the app key have none.
    async fn groups_tags_and_metadata_are_those_of_now_and_totals_count_once(test: Test) {
        let app = test.app(json!({"name": "Bot", "tags": ["blue", "red", "red"],
            "metadata": {"cost center": "4711", "on": true, "n": 7, "of": {"a": 1}, "$.x": "path"}})).await;
        let other = test.app(json!({"name": "Other", "metadata": {"cost center": "4712"}})).await;
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let engineers = test.group("Engineers", &[&alice, &bob]).await;
        let leads = test.group("Leads", &[&alice]).await;
        for (app, user, model, cost) in [
            (&app, alice.as_str(), "gpt-4o", 1_000_000_000_i64),
            (&app, bob.as_str(), "gpt-4o-mini", 2_000_000_000),
            (&other, "", "gpt-4o", 4_000_000_000),
        ] {
            let of = json!({"app_id": app["id"], "user_id": user, "model": model, "cost": cost});
            test.insert("usage_days", of.clone()).await;
            let mut of = of;
            of["at"] = json!(START_MS - 1);
            test.insert("records", of).await;
        }
        let moments = "&from=2025-12-31T23:00:00Z";
        for time in ["", moments] {
            let asked = async |query: &str, columns: &[&str]| {
                let usage = usage(&test, &format!("{query}{time}")).await;
                assert_eq!(usage["totals"]["requests"], 3, "each counts once in all: {query}");
                table(&usage, columns)
            };
            assert_eq!(asked("?group_by=group", &["group_id", "group_name", "cost"]).await, json!([
                [null, null, "4"], [engineers, "Engineers", "3"], [leads, "Leads", "1"],
            ]));
            assert_eq!(asked("?group_by=tag", &["tag", "requests", "cost"]).await, json!([
                [null, 1, "4"], ["blue", 2, "3"], ["red", 2, "3"],
            ]), "a tag that stands twice counts once");
            let key = "?group_by=metadata&metadata_key=";
            assert_eq!(asked(&format!("{key}cost+center"), &["metadata_value", "cost"]).await,
                json!([["4712", "4"], ["4711", "3"]]));
            for (name, value) in [("on", "true"), ("n", "7"), ("$.x", "path")] {
                let found = asked(&format!("{key}{name}"), &["metadata_value", "cost"]).await;
                assert_eq!(found, json!([[null, "4"], [value, "3"]]), "{name}");
            }
            let by = asked("?group_by=user,model", &["user_name", "model", "cost"]).await;
            assert_eq!(by.as_array().unwrap().len(), 3, "{by}");
            assert_eq!(by[0], json!([null, "gpt-4o", "4"]));
            let both = asked("?group_by=group,tag,model", &["group_name", "tag", "model", "requests"]).await;
            assert_eq!(both.as_array().unwrap().len(), 7, "three of alice's in two groups: {both}");
        }
        let of_app = usage(&test, &format!("?group_by=day,group&app_id={}", id(&other))).await;
        assert_eq!(table(&of_app, &["day", "group_name", "cost"]), json!([["2026-01-01", null, "4"]]));
        let file = "/api/v1/usage/export?group_by=metadata&metadata_key=cost+center&format=csv";
        let file = crate::web::visitor::Visitor::owner(&test).await.open(file).await.text;
        assert!(file.starts_with("metadata_value,requests,"), "{file}");
        for wrong in ["?group_by=metadata", "?metadata_key=x", "?group_by=tags"] {
            assert_eq!(test.get(&format!("/usage{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
        let mut mine = crate::web::visitor::Visitor::signed_in(&test, "carol@acme.com").await;
        let page = mine.open("/api/v1/me/usage?group_by=group").await;
        assert!(page.text.contains("admins and auditors"), "who is in which group is not for users to know: {}", page.text);
    }
}

/// Days since 1970.
fn days_of(day: &str) -> i64 {
    let day: jiff::civil::Date = day.parse().unwrap();
    (day - jiff::civil::date(1970, 1, 1)).get_days().into()
}

on_both! {
    async fn more_groups_than_fit_are_cut_and_totals_are_not(test: Test) {
        let rows: Vec<_> = (0..1001).map(|i| format!(
            "INSERT INTO usage_days VALUES ({TODAY}, '', '', '', 'm{i}', '', 1, 0, 0, 0, 0, 0, {i})")).collect();
        test.sql(&rows).await;
        test.sum_up().await;
        let by_model = usage(&test, "?group_by=model").await;
        assert_eq!((by_model["items"].as_array().unwrap().len(), &by_model["truncated"]), (1000, &json!(true)));
        assert_eq!((&by_model["items"][0]["model"], &by_model["totals"]["requests"]), (&json!("m1000"), &json!(1001)));
    }
}
