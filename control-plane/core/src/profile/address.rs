//! A person's email address, as an OpenID provider gives it.

use serde_json::{Map, Value};

use crate::name::Email;

/// What one answer of the provider says of the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedAddress {
    /// As it stands there.
    pub email: Option<String>,
    /// Whether it is verified, where that is said.
    pub verified: Option<bool>,
}

/// Why an address does not show who someone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// There is none.
    Absent,
    /// It is none.
    Unreadable,
    /// The provider does not say whether it is verified.
    Unsaid,
    /// The provider says that it is not.
    Denied,
}

impl ClaimedAddress {
    /// Reads `email_verified`, and Entra's optional `xms_edov` beside it; one that says no is believed.
    #[must_use]
    pub fn new(email: Option<String>, email_verified: Option<bool>, claims: &Map<String, Value>) -> Self {
        let said = [email_verified, claims.get("xms_edov").and_then(flag)];
        let verified = said.into_iter().flatten().min();
        Self { email, verified }
    }

    /// Whether userinfo has nothing to add.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.email.is_some() && self.verified.is_some()
    }

    /// With what userinfo says beside the ID token. What the ID token says stands, and so does a no.
    #[must_use]
    pub fn or(self, info: Self) -> Self {
        if self.is_settled() {
            return self;
        }
        let denied = self.verified == Some(false) || info.verified == Some(false);
        let verified = if denied { Some(false) } else { info.verified.filter(|_| info.email.is_some()) };
        match (&self.email, verified) {
            // An address of userinfo, verified there, comes before one of which nothing is said.
            (Some(_), Some(true)) | (None, _) => Self { email: info.email, verified },
            (Some(_), _) => Self { email: self.email, verified },
        }
    }

    /// The address, if the provider says that it is verified, or says nothing and the operator vouches for
    /// all of its addresses.
    ///
    /// # Errors
    /// It is not to be relied on.
    pub fn judged(&self, vouched: bool) -> Result<Email, Doubt> {
        let email = self.email.as_deref().map(str::trim).filter(|email| !email.is_empty());
        let email = email.ok_or(Doubt::Absent)?;
        match self.verified {
            Some(false) => return Err(Doubt::Denied),
            None if !vouched => return Err(Doubt::Unsaid),
            Some(true) | None => {}
        }
        Email::try_from(email.to_owned()).map_err(|_| Doubt::Unreadable)
    }
}

/// Providers write it in several ways.
fn flag(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(flag) => return Some(*flag),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        _ => return None,
    };
    match text.as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(email: &str, verified: Option<bool>, edov: Value) -> ClaimedAddress {
        let claims = json!({"xms_edov": edov});
        let email = Some(email.to_owned()).filter(|email| !email.is_empty());
        ClaimedAddress::new(email, verified, claims.as_object().unwrap())
    }

    fn judged(said: &ClaimedAddress) -> [Result<String, Doubt>; 2] {
        [false, true].map(|vouched| said.judged(vouched).map(String::from))
    }

    #[test]
    fn an_operator_vouches_only_where_the_provider_says_nothing() {
        let ana = || Ok("ana@acme.example".to_owned());
        for (verified, edov, expected) in [
            (None, json!(null), [Err(Doubt::Unsaid), ana()]),
            (None, json!("perhaps"), [Err(Doubt::Unsaid), ana()]),
            (Some(true), json!(null), [ana(), ana()]),
            (Some(false), json!(null), [Err(Doubt::Denied), Err(Doubt::Denied)]),
            (Some(false), json!(true), [Err(Doubt::Denied), Err(Doubt::Denied)]),
            (Some(true), json!(false), [Err(Doubt::Denied), Err(Doubt::Denied)]),
            (None, json!(true), [ana(), ana()]),
            (None, json!("True"), [ana(), ana()]),
            (None, json!(1), [ana(), ana()]),
            (None, json!("1"), [ana(), ana()]),
            (None, json!(false), [Err(Doubt::Denied), Err(Doubt::Denied)]),
            (None, json!("0"), [Err(Doubt::Denied), Err(Doubt::Denied)]),
        ] {
            assert_eq!(
                judged(&said("Ana@acme.example", verified, edov.clone())),
                expected,
                "{verified:?} {edov}"
            );
        }
        assert_eq!(judged(&said("", Some(false), json!(null))), [Err(Doubt::Absent), Err(Doubt::Absent)]);
        assert_eq!(
            judged(&said("ana", Some(true), json!(null))),
            [Err(Doubt::Unreadable), Err(Doubt::Unreadable)]
        );
    }

    #[test]
    fn userinfo_adds_what_the_id_token_leaves_open_and_a_no_stays_a_no() {
        let s = |email: &str, verified| said(email, verified, json!(null));
        for (token, info, expected) in [
            (s("a@x.y", Some(true)), s("b@x.y", Some(false)), s("a@x.y", Some(true))),
            (s("a@x.y", Some(false)), s("a@x.y", Some(true)), s("a@x.y", Some(false))),
            (s("", Some(false)), s("a@x.y", Some(true)), s("a@x.y", Some(false))),
            (s("", None), s("a@x.y", Some(true)), s("a@x.y", Some(true))),
            (s("", None), s("a@x.y", None), s("a@x.y", None)),
            (s("a@x.y", None), s("a@x.y", Some(true)), s("a@x.y", Some(true))),
            (s("a@x.y", None), s("b@x.y", Some(true)), s("b@x.y", Some(true))),
            (s("a@x.y", None), s("b@x.y", None), s("a@x.y", None)),
            (s("a@x.y", None), s("a@x.y", Some(false)), s("a@x.y", Some(false))),
            (s("a@x.y", None), s("", Some(true)), s("a@x.y", None)),
            (s("a@x.y", None), s("", Some(false)), s("a@x.y", Some(false))),
            (s("", None), s("", None), s("", None)),
        ] {
            assert_eq!(token.clone().or(info.clone()), expected, "{token:?} {info:?}");
        }
    }
}
