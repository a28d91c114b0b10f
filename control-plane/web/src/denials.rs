//! Codes of the gateway's refusals, as pages tell them.

use latchkey_filter_core::answer::denial::Code;

/// What a code means, in a sentence, and the rule that decides it; none of a code that is no longer used.
#[must_use]
pub fn explained(code: &str) -> Option<(&'static str, &'static str)> {
    let code = Code::ALL.iter().find(|known| known.as_str() == code)?;
    Some((code.meaning(), code.rule()))
}

/// Whether a code refuses a model that the app may not use.
#[must_use]
pub fn is_of_model(code: &str) -> bool {
    code == Code::ModelNotAllowed.as_str()
}

/// The codes to choose from, by name, after any; with `chosen`, should records still have one that is no longer used.
#[must_use]
pub fn choices(chosen: &str) -> Vec<(String, String)> {
    let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    codes.extend(Some(chosen.to_owned()).filter(|code| !code.is_empty()));
    codes.sort_unstable();
    codes.dedup();
    let any = (String::new(), "any".to_owned());
    std::iter::once(any).chain(codes.into_iter().map(|code| (code.clone(), code))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_and_an_old_one_can_still_be_chosen() {
        let (meaning, rule) = explained("model_not_allowed").unwrap();
        assert_eq!((meaning, rule), ("The app is not allowed to use this model.", "app.models"));
        assert_eq!(explained("rate_limited"), None);
        assert_eq!(choices("").len(), Code::ALL.len() + 1);
        let with_old = choices("rate_limited");
        assert!(with_old.is_sorted() && with_old.iter().any(|(code, _)| code == "rate_limited"));
        assert_eq!(choices("model_not_allowed").len(), Code::ALL.len() + 1);
    }
}
