//! Looks ahead in an object: what its strings are may stand behind them.

use crate::request::body::JsonCursor;

/// A string of an object, as written; none where it is missing, repeated or no string.
pub(super) fn member<'a>(object: JsonCursor<'a>, wanted: &str) -> Option<&'a str> {
    let (mut found, mut count) = (None, 0_usize);
    members(object, |name, value| {
        if name != wanted {
            return value.skip();
        }
        count = count.saturating_add(1);
        if value.peek()? != b'"' {
            return value.skip();
        }
        found = Some(value.string()?);
        Some(())
    })?;
    found.filter(|_| count == 1)
}

/// A number of an object.
pub(super) fn number(object: JsonCursor<'_>, wanted: &str) -> Option<usize> {
    let mut found = None;
    members(object, |name, value| {
        let written = written(value)?;
        if name == wanted {
            found = written.parse().ok();
        }
        Some(())
    })?;
    found
}

/// A value as it is written.
pub(super) fn written<'a>(value: &mut JsonCursor<'a>) -> Option<&'a str> {
    value.peek()?;
    let before = value.0;
    value.skip()?;
    before.get(..before.len().checked_sub(value.0.len())?)
}

/// Visits the members of an object; none where it is no object.
pub(super) fn members<'a>(
    mut at: JsonCursor<'a>,
    mut visit: impl FnMut(&'a str, &mut JsonCursor<'a>) -> Option<()>,
) -> Option<()> {
    if at.peek()? != b'{' {
        return None;
    }
    at.take(1)?;
    while at.peek()? != b'}' {
        let name = at.string()?;
        if at.peek()? != b':' {
            return None;
        }
        at.take(1)?;
        visit(name, &mut at)?;
        at.comma()?;
    }
    Some(())
}
