//! What is wrong with a request, field by field.

use serde::Serialize;
use utoipa::ToSchema;

/// One field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FieldError {
    /// Where: `allowed_models[2]`. Empty for the body as a whole.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Every field that was refused; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid(pub Vec<FieldError>);

impl FieldError {
    /// The refusal of the field at `path`.
    pub fn new(path: impl Into<String>, message: impl ToString) -> Self {
        Self { path: path.into(), message: message.to_string() }
    }
}

impl From<FieldError> for Invalid {
    fn from(error: FieldError) -> Self {
        Self(vec![error])
    }
}

impl Invalid {
    /// Notes the error of `result`, if it is one, and gives the value otherwise.
    pub fn check<T, E: ToString>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(FieldError::new(path, error));
                None
            }
        }
    }

    /// Fails when anything was noted.
    ///
    /// # Errors
    /// All that was noted.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}
