//! Two people who change an app at once: what each changed of what both saw.

use jiff::Timestamp;
use latchkey_core::change::{Change, Configuration};
use latchkey_core::name::Name;
use latchkey_core::settings::AppSettings;

use super::edit::EditApp;
use crate::action::Refusal;

/// An edit of an app that somebody else has changed meanwhile.
#[derive(Clone, Debug)]
pub struct EditConflict {
    /// What was changed meanwhile: from what both saw to what is there now.
    pub theirs: Vec<Change>,
    /// What the edit changes of what both saw.
    pub mine: Vec<Change>,
    /// What is there now, with the edit's changes on top.
    pub merged: (Name, AppSettings),
}

/// An app's name and settings, at one of its versions.
pub type AppState<'a> = (&'a Name, &'a AppSettings);

/// Compares an edit of the `base` that its author saw with what is there `now`.
///
/// # Errors
/// The edit would be refused on top of its base, too.
pub fn conflict(
    base: AppState<'_>,
    now: AppState<'_>,
    edit: EditApp,
    at: Timestamp,
) -> Result<EditConflict, Refusal> {
    let (mut name, mut settings) = (base.0.clone(), base.1.clone());
    edit.apply(&mut name, &mut settings, at)?;
    let of = |(name, settings): AppState<'_>| Configuration::of(name, settings);
    let (base, now) = (of(base), of(now));
    let mine = base.changes(&of((&name, &settings)));
    let theirs = base.changes(&now);
    let merged = now.with(&mine).into_parts();
    let merged = merged.map_err(|_| Refusal::conflict("changed_meanwhile", "the two edits conflict"))?;
    Ok(EditConflict { theirs, mine, merged })
}

#[cfg(test)]
mod tests {
    use latchkey_core::limits::{EditLimits, Limits};

    use super::*;

    fn app(edit: impl FnOnce(&mut AppSettings)) -> (Name, AppSettings) {
        let mut settings = AppSettings::default();
        edit(&mut settings);
        (serde_json::from_value("bot".into()).unwrap(), settings)
    }

    #[test]
    fn what_both_changed_is_told_apart_from_what_each_did() {
        let base = app(|settings| settings.tags = vec!["blue".to_owned()]);
        let now = app(|settings| {
            settings.tags = vec!["red".to_owned()];
            settings.limits = Limits { requests_per_minute: Some(5), ..Limits::default() };
        });
        // A form sends all of its fields, also those that nobody touched.
        let edit = EditApp {
            tags: Some(vec!["green".to_owned()]),
            limits: Some(Some(
                serde_json::from_str::<EditLimits>("{\"requests_per_minute\": null}").unwrap(),
            )),
            keep_key_values: Some(true),
            ..EditApp::default()
        };
        let found = conflict((&base.0, &base.1), (&now.0, &now.1), edit, Timestamp::UNIX_EPOCH).unwrap();
        let paths =
            |changes: &[Change]| changes.iter().map(|change| change.path.to_string()).collect::<Vec<_>>();
        assert_eq!(paths(&found.theirs), ["limits.requests_per_minute", "tags"]);
        assert_eq!(paths(&found.mine), ["keep_key_values", "tags"]);
        let (_, merged) = found.merged;
        assert_eq!(merged.limits.requests_per_minute, Some(5), "nobody here touched it");
        assert_eq!((merged.tags, merged.keep_key_values), (vec!["green".to_owned()], true));
    }
}
