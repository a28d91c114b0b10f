use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::content::CustomCategory;
use crate::identity::{IdentitySettings, JwtKeys, JwtSettings};
use crate::limits::{Budget, Limits};
use crate::money::NanoUsd;
use crate::period::Period;
use crate::prompts::Prompt;
use crate::selection::Selection;

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

fn paths(before: &AppSettings, after: &AppSettings) -> Vec<String> {
    let of = |settings| Configuration::of(&name("Bot"), settings);
    of(before).changes(&of(after)).into_iter().map(|change| change.path.to_string()).collect()
}

fn metadata(json: Value) -> AppSettings {
    AppSettings { metadata: json.as_object().unwrap().clone(), ..AppSettings::default() }
}

#[test]
fn objects_are_walked_and_lists_are_one_value() {
    let before = metadata(json!({"team": {"name": "a", "floor": 1}, "a.b": 1}));
    let mut after = metadata(json!({"team": {"name": "b", "floor": 1}, "a.b": null}));
    after.tags = vec!["x".into(), "y".into()];
    after.limits.requests_per_minute = Some(5);
    assert_eq!(
        paths(&before, &after),
        ["limits.requests_per_minute", "metadata.a\\.b", "metadata.team.name", "tags"]
    );
}

#[test]
fn an_amount_is_never_parted_from_its_period() {
    let with = |usd, per| AppSettings {
        limits: Limits { budget: Some(Budget { usd: NanoUsd(usd), per }), ..Limits::default() },
        ..AppSettings::default()
    };
    assert_eq!(paths(&with(5, Period::Month), &with(6, Period::Month)), ["limits.budget"]);
    assert_eq!(paths(&with(5, Period::Month), &with(5, Period::Day)), ["limits.budget"]);
}

#[test]
fn prompts_are_fields_by_their_names() {
    let with = |prompts: &[(&str, &str)]| AppSettings {
        prompts: prompts.iter().map(|(name, text)| Prompt::new((*name).into(), (*text).into())).collect(),
        ..AppSettings::default()
    };
    let before = with(&[("a", "1"), ("b", "2")]);
    assert_eq!(paths(&before, &with(&[("a", "1"), ("b", "3"), ("c", "4")])), ["prompts.b.text", "prompts.c"]);
    assert_eq!(
        paths(&before, &with(&[("b", "2"), ("a", "1")])),
        Vec::<String>::new(),
        "their order is nothing"
    );
}

#[test]
fn an_operation_is_named_by_what_changed_alone() {
    let before = metadata(json!({}));
    let of = |after: AppSettings| {
        let of = |settings| Configuration::of(&name("Bot"), settings);
        Operation::of(&of(&before).changes(&of(&after))).as_str()
    };
    let tags = vec!["x".to_owned()];
    let identity = IdentitySettings { header: true, ..IdentitySettings::default() };
    assert_eq!(of(AppSettings { tags: tags.clone(), ..before.clone() }), "set_tags");
    assert_eq!(of(AppSettings { identity: identity.clone(), ..before.clone() }), "jwt_auth_settings");
    assert_eq!(of(AppSettings { tags, identity, ..before.clone() }), "update_config");
    for operation in Operation::ALL {
        assert_eq!(operation.as_str().parse(), Ok(operation));
        assert_eq!(serde_json::to_value(operation).unwrap(), operation.as_str());
    }
}

#[test]
fn a_change_is_stale_only_where_its_field_was_touched_and_differs() {
    let configuration = |json| Configuration::of(&name("Bot"), &metadata(json));
    let before = configuration(json!({"a": {"b": 1}, "c": 1}));
    let asked = before.changes(&configuration(json!({"a": {"b": 2}, "c": 1}))).remove(0);
    let stale = |json| {
        let now = configuration(json);
        asked.is_stale(&before.changes(&now), &now)
    };
    assert!(!stale(json!({"a": {"b": 1}, "c": 2})), "another field");
    assert!(!stale(json!({"a": {"b": 1, "d": 1}, "c": 1})), "a field beside it");
    assert!(stale(json!({"a": {"b": 3}, "c": 1})), "the field itself");
    assert!(stale(json!({"a": {"b": 2}, "c": 1})), "the same wish, granted otherwise");
    assert!(stale(json!({"a": 1, "c": 1})), "what holds it");
    assert!(stale(json!({"c": 1})), "it is gone");
}

#[test]
fn a_change_keeps_null_and_missing_apart() {
    let change = Change { path: "metadata.a".parse().unwrap(), before: Some(Value::Null), after: None };
    let json = serde_json::to_value(&change).unwrap();
    assert_eq!(json, json!({"path": "metadata.a", "before": null}));
    assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
}

#[test]
fn pem_is_shortened_to_a_fingerprint() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n";
    let jwt = json!({"keys": {"pem": pem}, "issuers": ["https://login.acme.com"]});
    let shown = redacted(&"identity.jwt".parse().unwrap(), jwt);
    let text = shown["keys"]["pem"].as_str().unwrap();
    assert!(text.starts_with("PEM, SHA-256 ") && !text.contains("MCow"), "{text}");
    assert_eq!(shown["issuers"][0], "https://login.acme.com");
    let other = redacted(&"metadata.x".parse().unwrap(), json!(pem.replace("MCow", "MCox")));
    assert_ne!(other, text, "another key has another fingerprint");
}

/// JSON as metadata holds it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            any_members(inner).prop_map(Value::Object),
        ]
    })
}

fn any_members(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(r"[ab.\\]{0,2}", inner, 0..3).prop_map(|map| map.into_iter().collect())
}

fn any_settings() -> impl Strategy<Value = AppSettings> {
    let limits = (prop::option::of(1..3_u64), prop::option::of((1..3_u64, any::<bool>()))).prop_map(
        |(requests_per_minute, budget)| Limits {
            requests_per_minute,
            budget: budget.map(|(usd, month)| Budget {
                usd: NanoUsd(usd),
                per: if month { Period::Month } else { Period::Day },
            }),
            ..Limits::default()
        },
    );
    let jwt =
        prop::option::of((any::<bool>(), prop::option::of(Just(vec!["i".to_owned()])))).prop_map(|jwt| {
            jwt.map(|(url, issuers)| JwtSettings {
                keys: if url { JwtKeys::JwksUrl("u".into()) } else { JwtKeys::Pem("p".into()) },
                issuers,
                parties: None,
                audiences: None,
                email_claim: "email".into(),
            })
        });
    let prompts = prop::collection::btree_map("[ab.]{1,2}", "[xy]{0,1}", 0..3);
    let categories = prop::collection::btree_map("[ab]{1,2}", prop::collection::vec("[xy]", 0..2), 0..3);
    let groups = prop::collection::btree_set((0..3_u128).prop_map(Uuid::from_u128), 0..3);
    let selection = prop_oneof![
        Just(Selection::All),
        Just(Selection::None),
        Just(Selection::Only(vec!["gpt-4o".into()])),
    ];
    let expiry = prop::option::of((1..3_i64).prop_map(|s| Timestamp::from_second(s).unwrap()));
    (limits, any_members(any_json()), jwt, prompts, categories, groups, selection, expiry).prop_map(
        |(limits, metadata, jwt, prompts, categories, groups, allowed_models, expires_at)| {
            let mut settings =
                AppSettings { limits, metadata, allowed_models, expires_at, ..AppSettings::default() };
            settings.identity.jwt = jwt;
            settings.self_service.access.viewer.allow.groups = groups.into_iter().collect::<BTreeSet<_>>();
            settings.prompts = prompts.into_iter().map(|(name, text)| Prompt::new(name, text)).collect();
            let category = |(name, keywords)| CustomCategory {
                name,
                description: String::new(),
                keywords,
                ..CustomCategory::default()
            };
            settings.custom_categories = categories.into_iter().map(category).collect();
            settings
        },
    )
}

proptest! {
    /// The changes are exactly what is between the two.
    #[test]
    fn changes_make_the_one_of_the_other(before in any_settings(), after in any_settings()) {
        let (old, new) = (Configuration::of(&name("A"), &before), Configuration::of(&name("B"), &after));
        let changes = old.changes(&new);
        prop_assert_eq!(old.clone().with(&changes).into_parts().unwrap(), (name("B"), after));
        for (i, change) in changes.iter().enumerate() {
            prop_assert_ne!(&change.before, &change.after);
            prop_assert_eq!(old.at(&change.path), change.before.as_ref());
            prop_assert_eq!(new.at(&change.path), change.after.as_ref());
            prop_assert!(changes.iter().skip(i + 1).all(|other| !other.path.overlaps(&change.path)));
        }
        prop_assert!(old.changes(&old).is_empty());
        // Each by itself, in any order, leads there too.
        let one_by_one = changes.iter().rev().fold(old, |now, change| now.with(std::slice::from_ref(change)));
        prop_assert_eq!(one_by_one, new);
    }

    #[test]
    fn a_path_reads_back(segments in prop::collection::vec(r"[ab.\\]{0,3}", 1..4)) {
        let path = Path::new(segments);
        prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
    }

    /// A secret under a telling name, or in PEM, is in nothing that people see: neither in a version's
    /// settings nor in its differences to any other.
    #[test]
    fn redaction_never_leaks(
        other in any_settings(),
        above in prop::collection::vec("[a-c]{1,3}", 0..3),
        telling in r"[a-z_]{0,3}(secret|PASSWORD|Token|credential|api[-_]?key|Key)[a-z_]{0,3}",
        below in prop::collection::vec("[a-c]{1,3}", 0..2),
        in_list: bool,
        as_pem: bool,
    ) {
        const SECRET: &str = "hunter2hunter2";
        let mut value = json!(if as_pem { format!("x\n-----BEGIN KEY-----\n{SECRET}") } else { SECRET.to_owned() });
        if in_list {
            value = json!([0, value]);
        }
        let telling = if as_pem { "plain".to_owned() } else { telling };
        for member in below.iter().rev().chain([&telling]).chain(above.iter().rev()) {
            value = json!({ member.as_str(): value });
        }
        let mut settings = other.clone();
        settings.metadata = value.as_object().unwrap().clone();
        let whole = redacted(&Path::new(Vec::new()), serde_json::to_value(&settings).unwrap());
        prop_assert!(!whole.to_string().contains(SECRET), "{}", whole);
        let (with, without) = (Configuration::of(&name("A"), &settings), Configuration::of(&name("A"), &other));
        for change in with.changes(&without).into_iter().chain(without.changes(&with)) {
            let shown = serde_json::to_string(&change.redacted()).unwrap();
            prop_assert!(!shown.contains(SECRET), "{}", shown);
        }
    }
}
