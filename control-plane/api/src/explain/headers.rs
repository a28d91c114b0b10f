//! The headers that say who sends a request, and in which conversation.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use latchkey_core::invalid::FieldError;
use latchkey_filter_core::identity;
use latchkey_filter_core::request::conversation;
use latchkey_filter_core::request::header::Header;
use secrecy::{ExposeSecret as _, SecretString};

use crate::problem::Problem;

/// The only ones that a decision depends on, besides those of the key and the body.
const NAMES: [&str; 3] = [identity::EMAIL_HEADER, identity::TOKEN_HEADER, conversation::HEADER];

/// Above what any of them may be, in bytes, so that a gateway's own bounds decide.
const LONGEST: usize = 40 * 1024;

/// The headers as a gateway would get them.
///
/// # Errors
/// A name that decides nothing, or a value that no header has.
pub fn read(asked: &BTreeMap<String, SecretString>) -> Result<Vec<Header>, Problem> {
    asked.iter().map(|(name, value)| one(name, value.expose_secret())).collect()
}

fn one(name: &str, value: &str) -> Result<Header, Problem> {
    let wrong = |message: &str| {
        let name = name.chars().take(100).collect::<String>();
        Problem::invalid(FieldError::new(format!("headers.{name}"), message).into())
    };
    let Some(known) = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else {
        return Err(wrong(&format!("has no effect: use {}", NAMES.join(", "))));
    };
    if value.len() > LONGEST {
        return Err(wrong(&format!("must be at most {LONGEST} bytes")));
    }
    let value = value.trim_matches([' ', '\t']);
    let value =
        HeaderValue::from_str(value).map_err(|_| wrong("contains a character that headers cannot have"))?;
    Ok((known.to_owned(), value.as_bytes().to_vec()))
}
