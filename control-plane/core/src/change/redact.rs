//! What people are shown of a configuration: no secret that somebody put there.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Path;

/// Parts of names that say that a value is a secret, in lower case.
const SECRETIVE: [&str; 8] =
    ["secret", "password", "passwd", "passphrase", "token", "credential", "key", "authorization"];

const HIDDEN: &str = "[redacted]";

/// The value of the field at `path`: hidden where it is metadata under a name that looks like a secret's,
/// however deep; what holds PEM is replaced by its fingerprint wherever it is. The empty path is that of
/// a whole configuration or of all settings.
#[must_use]
pub fn redacted(path: &Path, value: Value) -> Value {
    redact(path.segments().to_vec(), value)
}

fn redact(mut path: Vec<String>, value: Value) -> Value {
    let in_metadata = path.first().is_some_and(|root| root == "metadata");
    if in_metadata && path.iter().skip(1).any(|member| is_secretive(member)) {
        return HIDDEN.into();
    }
    match value {
        Value::String(text) => plain(text).into(),
        Value::Array(items) => items.into_iter().map(|item| redact(path.clone(), item)).collect(),
        Value::Object(members) => {
            let mut hide = |(name, value): (String, Value)| {
                path.push(name.clone());
                let value = redact(path.clone(), value);
                path.pop();
                (name, value)
            };
            Value::Object(members.into_iter().map(&mut hide).collect())
        }
        other => other,
    }
}

fn is_secretive(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETIVE.iter().any(|part| name.contains(part))
}

fn plain(text: String) -> String {
    if !text.to_ascii_lowercase().contains("-----begin") {
        return text;
    }
    let digest = Sha256::digest(text.trim());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("PEM, SHA-256 {hex}…")
}
