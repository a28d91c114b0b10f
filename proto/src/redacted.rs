//! How messages with secrets are printed.

use std::fmt;

use crate::discovery::Guardrails;

/// Without the key, and without the values that are exceptions.
impl fmt::Debug for Guardrails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rules, key: _, custom_categories, exceptions, exception_patterns, unseen_texts } = self;
        f.debug_struct("Guardrails")
            .field("rules", rules)
            .field("custom_categories", custom_categories)
            .field("exceptions", &exceptions.len())
            .field("exception_patterns", exception_patterns)
            .field("unseen_texts", unseen_texts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::AppPolicy;

    #[test]
    fn the_key_of_guardrails_is_not_printed() {
        let guardrails = Guardrails {
            key: vec![171; 32],
            exceptions: vec!["ann@example.com".into()],
            ..Default::default()
        };
        let printed = format!("{:?}", AppPolicy { guardrails: Some(guardrails), ..Default::default() });
        assert!(printed.contains("Guardrails {"), "{printed}");
        assert!(!printed.contains("171") && !printed.contains("ann@"), "{printed}");
    }
}
