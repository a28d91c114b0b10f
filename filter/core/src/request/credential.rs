//! Finds the API key of a request.

use latchkey_proto::key::{ApiKey, PREFIX};

use crate::answer::denial::{Code, Denial};
use crate::request::header::Headers;

/// The headers that may carry an API key. None of them reaches a provider.
pub const HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Finds the request's key: anything that begins like one of ours counts; other credentials do not.
///
/// # Errors
/// When there is none, when there are two that differ, or when it is malformed.
pub fn find(headers: Headers<'_>) -> Result<ApiKey, Denial> {
    let mut found: Option<&str> = None;
    let mut stranger = None;
    for (name, value) in headers.0.iter().filter(|(name, _)| HEADERS.contains(&name.as_str())) {
        let text = str::from_utf8(value).unwrap_or_default().trim_ascii();
        let candidate = if name == "authorization" { bearer(text) } else { Some(text) };
        match candidate.filter(|candidate| candidate.starts_with(PREFIX)) {
            Some(key) if found.is_some_and(|other| other != key) => {
                return Err(Code::ConflictingCredentials.into());
            }
            Some(key) => found = Some(key),
            None if value.is_empty() => {}
            None => stranger = Some(complaint(candidate)),
        }
    }
    match (found, stranger) {
        (Some(key), _) => ApiKey::parse(key).map_err(|malformed| {
            Denial::new(Code::InvalidApiKey, format!("The API key is malformed: {malformed}."))
        }),
        (None, Some(complaint)) => Err(Denial::new(Code::InvalidApiKey, complaint)),
        (None, None) => Err(Denial::new(
            Code::MissingApiKey,
            "The request has no API key: send it as `Authorization: Bearer`, `x-api-key` or `api-key`.",
        )),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_ascii())
}

fn complaint(candidate: Option<&str>) -> &'static str {
    match candidate {
        None => "The `authorization` header is not `Bearer` and an API key.",
        Some(token) if token.starts_with("eyJ") && token.matches('.').count() == 2 => {
            "A JSON Web Token is not an API key of this gateway: its keys begin with `sk-quilr-`."
        }
        Some(_) => "This is not an API key of this gateway: its keys begin with `sk-quilr-`.",
    }
}

#[cfg(test)]
mod tests {
    use latchkey_proto::key::AppKey;
    use proptest::prelude::*;

    use super::*;

    fn try_find(pairs: &[(&str, &str)]) -> Result<ApiKey, Denial> {
        let headers: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        find(Headers(&headers))
    }

    fn code(pairs: &[(&str, &str)]) -> Code {
        try_find(pairs).unwrap_err().code
    }

    #[test]
    fn accepted_wherever_an_api_key_goes() {
        let key = AppKey::new([7; 20]);
        let bearer = format!("bearer  {}", key.expose());
        let expected = Ok(ApiKey::App(key.clone()));
        assert_eq!(try_find(&[("authorization", &bearer)]), expected);
        assert_eq!(try_find(&[("x-api-key", key.expose())]), expected);
        assert_eq!(try_find(&[("api-key", key.expose())]), expected);
        assert_eq!(try_find(&[("api-key", key.expose()), ("authorization", &bearer)]), expected);
        assert_eq!(try_find(&[("authorization", "Bearer dummy"), ("x-api-key", key.expose())]), expected);
    }

    #[test]
    fn two_keys_that_differ_conflict() {
        let (one, two) = (AppKey::new([1; 20]), AppKey::new([2; 20]));
        assert_eq!(
            code(&[("x-api-key", one.expose()), ("api-key", two.expose())]),
            Code::ConflictingCredentials
        );
    }

    #[test]
    fn no_credential_and_anothers_credential_are_told_apart() {
        assert_eq!(code(&[]), Code::MissingApiKey);
        assert_eq!(code(&[("x-user-email", "a@example.com")]), Code::MissingApiKey);
        assert_eq!(code(&[("x-api-key", "sk-proj-abc")]), Code::InvalidApiKey);
        assert_eq!(code(&[("authorization", "Basic abc")]), Code::InvalidApiKey);
        let jwt = try_find(&[("authorization", "Bearer eyJh.eyJz.c2ln")]).unwrap_err();
        assert!(jwt.code == Code::InvalidApiKey && jwt.message.contains("JSON Web Token"));
    }

    #[test]
    fn the_message_says_what_is_malformed_and_not_the_key() {
        let denial = try_find(&[("x-api-key", "sk-quilr-short")]).unwrap_err();
        assert_eq!(
            denial.message,
            "The API key is malformed: the key is cut short, too long, or has a character that no key has."
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_stranger_is_accepted(values in prop::collection::vec((0..3usize, "((Bearer )?(sk-quilr-)?[ -~]{0,60})|\\PC{0,20}"), 0..4)) {
            let headers: Vec<_> = values.into_iter().map(|(at, value)| (HEADERS[at].to_owned(), value.into_bytes())).collect();
            prop_assert!(find(Headers(&headers)).is_err());
        }
    }
}
