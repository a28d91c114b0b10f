//! What a named key may be given: never more than its app has.
//!
//! Every path that creates, edits, rotates or switches on a named key asks [`check`], whoever acts. What
//! an app gives up later binds its keys without being written into them: the gate applies the app's
//! limits, expiry and status beside the key's own.

use jiff::{Timestamp, ToSpan as _};

use crate::invalid::{FieldError, Invalid};
use crate::limits::Limits;
use crate::settings::AppSettings;

/// What a named key has of its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTerms {
    /// When the key was made.
    pub created_at: Timestamp,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    /// What it may use; none where the app's limits for named keys apply.
    pub limits: Option<Limits>,
}

/// What is about to happen to a named key.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// It is made, for a user who holds so many keys of the app that are not revoked.
    New { held: u32 },
    /// It is edited, and had these terms before. What stays as it was is not granted again.
    Edit(&'a KeyTerms),
    /// Its secret is replaced, or it is switched on. Its app's limits and expiry bind it in any case; its
    /// lifetime binds only if it is asked for here.
    Renew,
}

/// How a key would exceed its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excess {
    /// By what these fields ask for.
    Fields(Invalid),
    /// The user has as many keys as one user may have.
    TooMany(u32),
}

/// Whether a key of the app with these settings may have these terms.
///
/// # Errors
/// The key would exceed its app.
pub fn check(app: &AppSettings, key: &KeyTerms, grant: Grant<'_>) -> Result<(), Excess> {
    let (new_limits, new_expiry) = match grant {
        Grant::New { held } => {
            if let Some(most) = app.self_service.most_keys_per_user.filter(|most| held >= *most) {
                return Err(Excess::TooMany(most));
            }
            (true, true)
        }
        Grant::Edit(before) => (key.limits != before.limits, key.expires_at != before.expires_at),
        Grant::Renew => (false, false),
    };
    let mut invalid = Invalid::default();
    if new_limits && let Some(limits) = &key.limits {
        limits.check("limits", &mut invalid);
        if invalid.0.is_empty()
            && let Err(beyond) = limits.within("limits", &app.limits, "the app's limits")
        {
            invalid.0.extend(beyond.0);
        }
    }
    if new_expiry && let Err(late) = before_the_app(app, key) {
        invalid.0.push(late);
    }
    if (new_expiry || matches!(grant, Grant::Renew))
        && invalid.0.iter().all(|error| error.path != EXPIRY)
        && let Err(late) = within_the_lifetime(app, key)
    {
        invalid.0.push(late);
    }
    invalid.into_result().map_err(Excess::Fields)
}

/// When a key made at `created_at` stops for which nobody asked when: as late as the longest lifetime
/// lets it; none for never.
#[must_use]
pub fn default_expiry(app: &AppSettings, created_at: Timestamp) -> Option<Timestamp> {
    let longest = longest(app, created_at)?;
    Some(app.expires_at.map_or(longest, |end| end.min(longest)))
}

const EXPIRY: &str = "expires_at";

fn before_the_app(app: &AppSettings, key: &KeyTerms) -> Result<(), FieldError> {
    match (key.expires_at, app.expires_at) {
        (Some(at), Some(end)) if at > end => {
            Err(FieldError::new(EXPIRY, format!("is after the app expires, {end}")))
        }
        _ => Ok(()),
    }
}

fn within_the_lifetime(app: &AppSettings, key: &KeyTerms) -> Result<(), FieldError> {
    let Some(longest) = longest(app, key.created_at) else { return Ok(()) };
    if key.expires_at.is_some_and(|at| at <= longest) {
        return Ok(());
    }
    let days = app.self_service.longest_key_lifetime_days.unwrap_or_default();
    let message = format!("keys of this app last at most {days} days: choose {longest} or earlier");
    Err(FieldError::new(EXPIRY, message))
}

/// When a key's longest lifetime ends; none where the app sets none.
fn longest(app: &AppSettings, created_at: Timestamp) -> Option<Timestamp> {
    let days = i64::from(app.self_service.longest_key_lifetime_days?);
    Some(created_at.checked_add((days * 24).hours()).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::SelfService;

    const DAY: i64 = 86_400;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(days * DAY).unwrap()
    }

    fn limits(requests_per_minute: Option<u64>) -> Limits {
        Limits { requests_per_minute, ..Limits::default() }
    }

    fn app(most: Option<u64>, expires_at: Option<i64>, lifetime: Option<u32>) -> AppSettings {
        let longest_key_lifetime_days = lifetime;
        AppSettings {
            limits: limits(most),
            expires_at: expires_at.map(at),
            self_service: SelfService {
                longest_key_lifetime_days,
                most_keys_per_user: Some(3),
                ..SelfService::default()
            },
            ..AppSettings::default()
        }
    }

    fn key(rate: Option<u64>, expires_at: Option<i64>) -> KeyTerms {
        KeyTerms {
            created_at: at(100),
            expires_at: expires_at.map(at),
            limits: rate.map(|rate| limits(Some(rate))),
        }
    }

    fn paths(result: Result<(), Excess>) -> Vec<String> {
        match result {
            Err(Excess::Fields(invalid)) => invalid.0.into_iter().map(|error| error.path).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_dimension_that_exceeds_the_app_is_named_at_once() {
        let app = app(Some(10), Some(110), Some(30));
        let refused = check(&app, &key(Some(11), Some(111)), Grant::New { held: 0 });
        assert_eq!(paths(refused), ["limits.requests_per_minute", "expires_at"]);
        assert_eq!(check(&app, &key(Some(10), Some(110)), Grant::New { held: 2 }), Ok(()));
        assert_eq!(check(&app, &key(Some(10), Some(110)), Grant::New { held: 3 }), Err(Excess::TooMany(3)));
    }

    #[test]
    fn never_is_longer_than_any_lifetime() {
        let app = app(None, None, Some(30));
        assert_eq!(paths(check(&app, &key(None, None), Grant::New { held: 0 })), ["expires_at"]);
        let before = key(None, Some(120));
        assert_eq!(paths(check(&app, &key(None, None), Grant::Edit(&before))), ["expires_at"]);
        assert_eq!(paths(check(&app, &key(None, None), Grant::Renew)), ["expires_at"]);
        assert_eq!(check(&app, &key(None, Some(130)), Grant::Renew), Ok(()));
        assert_eq!(paths(check(&app, &key(None, Some(131)), Grant::Renew)), ["expires_at"]);
    }

    #[test]
    fn what_an_edit_leaves_is_not_granted_again() {
        let lowered = app(Some(5), Some(105), Some(1));
        let before = key(Some(10), Some(110));
        assert_eq!(check(&lowered, &before, Grant::Edit(&before)), Ok(()), "a new name, say");
        let raised = key(Some(11), Some(110));
        assert_eq!(paths(check(&lowered, &raised, Grant::Edit(&before))), ["limits.requests_per_minute"]);
        let longer = key(Some(10), Some(111));
        assert_eq!(paths(check(&lowered, &longer, Grant::Edit(&before))), ["expires_at"]);
    }

    #[test]
    fn the_default_expiry_is_the_latest_that_is_allowed() {
        assert_eq!(default_expiry(&app(None, None, None), at(100)), None);
        assert_eq!(default_expiry(&app(None, None, Some(30)), at(100)), Some(at(130)));
        assert_eq!(default_expiry(&app(None, Some(110), Some(30)), at(100)), Some(at(110)));
        assert_eq!(default_expiry(&app(None, Some(110), None), at(100)), None, "the app's own end applies");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// However a key came to its terms, each of them was within the app when it was given.
        #[test]
        fn no_path_grants_what_creation_would_refuse(
            most in proptest::option::of(1..20u64), end in proptest::option::of(101..140i64),
            lifetime in proptest::option::of(1..40u32),
            steps in proptest::collection::vec((proptest::option::of(1..20u64), proptest::option::of(101..140i64)), 1..6),
        ) {
            let app = app(most, end, lifetime);
            let mut held: Option<KeyTerms> = None;
            for (rate, expires_at) in steps {
                let wanted = key(rate, expires_at);
                let grant = held.as_ref().map_or(Grant::New { held: 0 }, Grant::Edit);
                if check(&app, &wanted, grant).is_ok() {
                    held = Some(wanted);
                }
                let Some(held) = &held else { continue };
                if let (Some(own), Some(most)) = (held.limits.as_ref().and_then(|own| own.requests_per_minute), most) {
                    prop_assert!(own <= most);
                }
                if let (Some(own), Some(end)) = (held.expires_at, end) {
                    prop_assert!(own <= at(end));
                }
                if let Some(days) = lifetime {
                    prop_assert!(held.expires_at.is_some_and(|own| own <= at(100 + i64::from(days))));
                }
                prop_assert_eq!(check(&app, held, Grant::Renew), Ok(()));
            }
        }
    }
}
