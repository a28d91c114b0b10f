//! What differs between two states of an app's configuration, field by field.

mod operation;
mod path;
mod redact;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::name::Name;
use crate::settings::AppSettings;

pub use operation::Operation;
pub use path::Path;
pub use redact::redacted;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub path: Path,
    /// Its value before; none where it was not there, which is not the same as null.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// Its value after; none where it is no longer there.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
}

/// An app's name and settings as a tree of fields. Its categories and prompts, which the settings hold as
/// lists, are fields by their names here, so that what happens to one does not touch the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration(Value);

/// Fields of an app that hold objects and are one value all the same: an amount without its period, or a
/// JWT's accepted issuers without the keys, decide nothing by themselves.
const WHOLE: [&[&str]; 5] = [
    &["limits", "budget"],
    &["limits", "token_budget"],
    &["named_key_limits", "budget"],
    &["named_key_limits", "token_budget"],
    &["identity", "jwt"],
];

/// Lists of things with unique names.
const NAMED: [&str; 2] = ["custom_categories", "prompts"];

impl Configuration {
    /// The configuration of an app.
    #[must_use]
    pub fn of(name: &Name, settings: &AppSettings) -> Self {
        let mut tree = serde_json::to_value(settings).unwrap_or_default();
        for list in NAMED {
            if let Some(Value::Array(items)) = tree.get_mut(list).map(Value::take) {
                tree[list] = by_name(items);
            }
        }
        set(&mut tree, &["name".to_owned()], Some(name.as_str().into()));
        Self(tree)
    }

    /// The app's name and settings.
    ///
    /// # Errors
    /// A field does not hold what belongs there.
    pub fn into_parts(self) -> Result<(Name, AppSettings), serde_json::Error> {
        let mut fields: Map<String, Value> = serde_json::from_value(self.0)?;
        for list in NAMED {
            if let Some(Value::Object(items)) = fields.get_mut(list).map(Value::take) {
                fields.insert(list.to_owned(), with_names(items));
            }
        }
        let name = serde_json::from_value(fields.remove("name").unwrap_or_default())?;
        Ok((name, serde_json::from_value(Value::Object(fields))?))
    }

    /// The value of a field; none where it is not there.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Value> {
        path.segments().iter().try_fold(&self.0, |value, segment| value.get(segment))
    }

    /// What makes `after` of this, in the order of the paths; nothing that is equal in both.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(&mut Vec::new(), Some(&self.0), Some(&after.0), &mut changes);
        changes
    }

    /// This, with the values after these changes.
    #[must_use]
    pub fn with(mut self, changes: &[Change]) -> Self {
        for change in changes {
            set(&mut self.0, change.path.segments(), change.after.clone());
        }
        self
    }
}

/// Where two things differ, as versions tell it of configurations: names of fields, never values.
#[must_use]
pub fn changed(before: &Value, after: &Value) -> Vec<Path> {
    let mut changes = Vec::new();
    compare(&mut Vec::new(), Some(before), Some(after), &mut changes);
    changes.into_iter().map(|change| change.path).collect()
}

impl Change {
    /// The change, with what looks like a secret taken out.
    #[must_use]
    pub fn redacted(self) -> Self {
        let Self { path, before, after } = self;
        let hide = |value: Option<Value>| value.map(|value| redacted(&path, value));
        Self { before: hide(before), after: hide(after), path }
    }

    /// Whether this change, which was asked for on an older configuration, may no longer be made on
    /// `now`, which these changes have led to: one of them touches the same field, or one above or below
    /// it, and the value is not what it was.
    #[must_use]
    pub fn is_stale(&self, changes: &[Self], now: &Configuration) -> bool {
        changes.iter().any(|change| change.path.overlaps(&self.path)) && self.differs(now)
    }

    /// Whether the field is not what it was when the change was asked for.
    #[must_use]
    pub fn differs(&self, now: &Configuration) -> bool {
        now.at(&self.path) != self.before.as_ref()
    }
}

fn compare(path: &mut Vec<String>, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) if !WHOLE.iter().any(|whole| path == whole) => {
            let mut members: Vec<_> = old.keys().chain(new.keys()).collect();
            members.sort_unstable();
            members.dedup();
            for member in members {
                path.push(member.clone());
                compare(path, old.get(member), new.get(member), changes);
                path.pop();
            }
        }
        _ => changes.push(Change {
            path: Path::new(path.clone()),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn set(tree: &mut Value, path: &[String], value: Option<Value>) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value.unwrap_or_default();
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    let Value::Object(members) = tree else { return };
    match value {
        None if rest.is_empty() => {
            members.remove(first);
        }
        value => set(members.entry(first.clone()).or_insert(Value::Null), rest, value),
    }
}

fn by_name(items: Vec<Value>) -> Value {
    let named = items.into_iter().map(|mut item| {
        let name = item.as_object_mut().and_then(|item| item.remove("name"));
        (name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(), item)
    });
    Value::Object(named.collect())
}

/// Sorted by name, as a map of them is.
fn with_names(items: Map<String, Value>) -> Value {
    let named = items.into_iter().map(|(name, mut item)| {
        if let Value::Object(item) = &mut item {
            item.insert("name".to_owned(), name.into());
        }
        item
    });
    Value::Array(named.collect())
}

/// Tells null from what is not there.
fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(json).map(Some)
}
