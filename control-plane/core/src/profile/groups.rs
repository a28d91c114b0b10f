//! A person's groups, as the groups claim of an OpenID provider states them.
//!
//! Only what can be read as a whole is a statement. Anything else says nothing about the person, whose
//! groups then stay as they are.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The groups that a claim states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stated {
    /// A list of names, which may be empty.
    Names(BTreeSet<String>),
    /// One text: the name of a group, or several names with commas between them.
    Text(String),
}

/// Why nothing is known of a person's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unstated {
    /// There is no such claim.
    #[error("the claim is absent")]
    Absent,
    /// The claim is null.
    #[error("the claim is null")]
    Null,
    /// The provider says where the groups can be asked for, as Entra does for people in many groups.
    #[error("the provider points to the groups instead of listing them")]
    Elsewhere,
    /// The claim is not a list of names, a name, or an object whose members are named after the groups.
    #[error("the claim is not a list of group names")]
    Unreadable,
}

impl Unstated {
    /// Stable, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Elsewhere => "elsewhere",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Reads the groups claim: the one of exactly this name, else the one that its dots lead to.
///
/// # Errors
/// The claims do not state the person's groups.
pub fn read(claims: &Map<String, Value>, claim: &str) -> Result<Stated, Unstated> {
    if is_elsewhere(claims, claim) {
        return Err(Unstated::Elsewhere);
    }
    match find(claims, claim).ok_or(Unstated::Absent)? {
        Value::Null => return Err(Unstated::Null),
        Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()).cloned().map(Stated::Text),
        Value::Number(_) | Value::Bool(_) => None,
        Value::Array(values) => values.iter().map(name).collect::<Option<_>>().map(Stated::Names),
        Value::Object(members) => keys(members).map(Stated::Names),
    }
    .ok_or(Unstated::Unreadable)
}

impl Stated {
    /// Whether it states that there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// Which of the values by which smart groups are filled are stated.
    #[must_use]
    pub fn among<'a>(&self, known: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        match self {
            Self::Names(names) => names.iter().filter_map(|name| matching(name, known)).collect(),
            Self::Text(text) => match matching(text, known) {
                Some(whole) => BTreeSet::from([whole]),
                None => text.split(',').filter_map(|name| matching(name.trim(), known)).collect(),
            },
        }
    }
}

/// The value that a name stands for: itself, else, as Keycloak writes paths, without its leading slash.
fn matching<'a>(name: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    let relative = || known.get(name.strip_prefix('/')?);
    known.get(name).or_else(relative).copied()
}

/// The member of this name, else the one that the name leads to where its dots lead inwards. Names of
/// members may have dots of their own.
fn find<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let within = |(dot, _): (usize, &str)| {
        let (outer, inner) = (path.get(..dot)?, path.get(dot + 1..)?);
        find(object.get(outer)?.as_object()?, inner)
    };
    object.get(path).or_else(|| path.rmatch_indices('.').find_map(within))
}

/// OpenID Connect Core, 5.6.2: `_claim_names` has the claims that are to be found elsewhere. Entra's implicit
/// flow says `hasgroups` instead.
fn is_elsewhere(claims: &Map<String, Value>, claim: &str) -> bool {
    let pointed =
        |name: &str| claim.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let names = claims.get("_claim_names").and_then(Value::as_object);
    let has_groups = claims.get("hasgroups").is_some_and(|has| *has == Value::Bool(true) || has == "true");
    names.is_some_and(|names| names.keys().any(|name| pointed(name))) || (has_groups && claim == "groups")
}

/// A text or a whole number names a group.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()).filter(|name| !name.trim().is_empty()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// The names of the members, as Zitadel gives roles. An object with plain values describes something, and one
/// without members leaves open what is meant.
fn keys(members: &Map<String, Value>) -> Option<BTreeSet<String>> {
    let is_group = |(name, value): (&String, &Value)| {
        !name.trim().is_empty() && matches!(value, Value::Object(_) | Value::Array(_) | Value::Bool(true))
    };
    (!members.is_empty() && members.iter().all(is_group)).then(|| members.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(claims: Value, claim: &str) -> Result<BTreeSet<&'static str>, Unstated> {
        let known = BTreeSet::from(["eng", "ops", "/root", "7", "a/b", "CN=x,OU=y"]);
        read(claims.as_object().unwrap(), claim).map(|stated| stated.among(&known))
    }

    fn names<const N: usize>(names: [&'static str; N]) -> Result<BTreeSet<&'static str>, Unstated> {
        Ok(BTreeSet::from(names))
    }

    #[test]
    fn a_list_a_name_and_an_objects_keys_are_groups() {
        for (value, groups) in [
            (json!([]), names([])),
            (json!(["eng"]), names(["eng"])),
            (json!(["eng", "eng", "ops", "other"]), names(["eng", "ops"])),
            (json!(["eng", 7]), names(["eng", "7"])),
            (json!("eng"), names(["eng"])),
            (json!("eng,ops"), names(["eng", "ops"])),
            (json!("eng, ops,"), names(["eng", "ops"])),
            (json!("CN=x,OU=y"), names(["CN=x,OU=y"])),
            (json!({"eng": {"2301": "acme.example"}}), names(["eng"])),
            (json!({"eng": {}, "ops": true, "other": []}), names(["eng", "ops"])),
            (json!(["/eng", "/a/b", "/b"]), names(["eng", "a/b"])),
            (json!(["/root"]), names(["/root"])),
            (json!(["root", "//eng", "ENG"]), names([])),
        ] {
            assert_eq!(of(json!({"groups": value}), "groups"), groups, "{value}");
        }
    }

    #[test]
    fn whatever_else_says_nothing() {
        for value in [
            json!([{"name": "eng"}]),
            json!(["eng", {"name": "ops"}]),
            json!(["eng", null]),
            json!([["eng"]]),
            json!([1.5]),
            json!([""]),
            json!(""),
            json!(7),
            json!(true),
            json!({}),
            json!({"eng": false}),
            json!({"eng": true, "ops": null}),
            json!({"name": "eng"}),
        ] {
            assert_eq!(of(json!({"groups": value}), "groups"), Err(Unstated::Unreadable), "{value}");
        }
        assert_eq!(of(json!({"groups": null}), "groups"), Err(Unstated::Null));
        assert_eq!(of(json!({"roles": ["eng"]}), "groups"), Err(Unstated::Absent));
    }

    #[test]
    fn a_pointer_says_nothing_whatever_is_beside_it() {
        let pointer = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}});
        assert_eq!(of(pointer.clone(), "groups"), Err(Unstated::Elsewhere));
        assert_eq!(of(pointer.clone(), "groups.inner"), Err(Unstated::Elsewhere));
        let mut both = pointer;
        both["groups"] = json!(["eng"]);
        assert_eq!(of(both.clone(), "groups"), Err(Unstated::Elsewhere));
        both["roles"] = json!(["eng"]);
        assert_eq!(of(both, "roles"), names(["eng"]));
        for has in [json!(true), json!("true")] {
            assert_eq!(of(json!({"hasgroups": has}), "groups"), Err(Unstated::Elsewhere));
        }
        assert_eq!(of(json!({"hasgroups": false, "groups": ["eng"]}), "groups"), names(["eng"]));
        assert_eq!(of(json!({"hasgroups": true, "roles": ["eng"]}), "roles"), names(["eng"]));
    }

    #[test]
    fn the_exact_name_comes_first_and_dots_lead_inwards() {
        let keycloak = json!({
            "realm_access": {"roles": ["eng", "offline_access"]},
            "resource_access": {"my.client": {"roles": ["ops"]}, "my": {"client": 1}},
            "https://acme.example/groups": ["eng"],
            "a.b": ["ops"], "a": {"b": ["eng"]}, "nothing": null, "nothing.here": null,
        });
        for (claim, groups) in [
            ("realm_access.roles", names(["eng"])),
            ("resource_access.my.client.roles", names(["ops"])),
            ("https://acme.example/groups", names(["eng"])),
            ("a.b", names(["ops"])),
            ("nothing.here", Err(Unstated::Null)),
            ("nothing.there", Err(Unstated::Absent)),
            ("realm_access.roles.x", Err(Unstated::Absent)),
            ("realm_access", names([])),
            ("realm_access.", Err(Unstated::Absent)),
            (".", Err(Unstated::Absent)),
        ] {
            assert_eq!(of(keycloak.clone(), claim), groups, "{claim}");
        }
    }

    proptest! {
        #[test]
        fn only_an_empty_list_empties(json in "[\\[\\]{}\",:a-c0-9./ ntrue-]{0,24}") {
            let Ok(value) = serde_json::from_str::<Value>(&json) else { return Ok(()) };
            let claims = Map::from_iter([("groups".to_owned(), value.clone())]);
            if let Ok(Stated::Names(names)) = read(&claims, "groups") {
                prop_assert_eq!(names.is_empty(), value == json!([]));
            }
        }

        #[test]
        fn any_path_into_any_claims_is_read(path in "[a-b.]{0,12}", inner in "[a-b.]{0,5}") {
            let claims = json!({"a": {"b": {"a": ["eng"]}, "a.b": ["eng"]}, inner: ["eng"]});
            let found = of(claims, &path);
            prop_assert!(found == names(["eng"]) || found.is_err() || found == names([]));
        }
    }
}
