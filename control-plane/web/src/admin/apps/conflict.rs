//! What a page tells somebody whose form another admin has overtaken.

use latchkey_api::versions::{AppConflict, FieldChange};

/// What was changed meanwhile, by whom, and what the form would do about it.
#[derive(Clone, Debug)]
pub struct ConflictNote {
    /// What was changed, and to what the form would change it instead.
    pub theirs: Vec<(FieldChange, Option<FieldChange>)>,
    /// Where what is there now is shown.
    pub path: String,
    by: Vec<String>,
}

impl ConflictNote {
    #[must_use]
    pub fn new(conflict: AppConflict, path: String) -> Self {
        let mut by: Vec<_> = conflict.by.into_iter().map(|version| version.actor.name).collect();
        by.sort_unstable();
        by.dedup();
        Self { theirs: conflict.theirs, path, by }
    }

    /// Who changed it.
    #[must_use]
    pub fn who(&self) -> String {
        match self.by.as_slice() {
            [] => "Someone".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }
}
