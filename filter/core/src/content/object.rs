//! Looks ahead in an object: what its strings are may stand behind them.

use crate::request::body::JsonCursor;

/// A string of an object, as written; none where it is missing, or may be repeated, or is no string.
pub(super) fn member<'a>(mut object: JsonCursor<'a>, wanted: &str) -> Option<&'a str> {
    let mut found = OnlyMember::default();
    // An escape might spell the name once more.
    let may_be = |name: &str| name == wanted || name.contains('\\');
    members(&mut object, |name, value| if may_be(name) { found.read(value) } else { value.skip() })?;
    found.get()
}

/// The first string of that name, as written. What comes behind it is not read.
pub(super) fn first_member<'a>(mut object: JsonCursor<'a>, wanted: &str) -> Option<&'a str> {
    let mut found = None;
    members(&mut object, |name, value| {
        if name != wanted {
            return value.skip();
        }
        found = Some(value.string()?);
        None
    });
    found
}

/// A member that counts where it is a string, and alone.
#[derive(Debug, Default)]
pub(super) struct OnlyMember<'a> {
    text: Option<&'a str>,
    count: usize,
}

impl<'a> OnlyMember<'a> {
    pub(super) fn read(&mut self, value: &mut JsonCursor<'a>) -> Option<()> {
        self.count = self.count.saturating_add(1);
        if value.peek()? != b'"' {
            return value.skip();
        }
        self.text = Some(value.string()?);
        Some(())
    }

    pub(super) fn get(&self) -> Option<&'a str> {
        self.text.filter(|_| self.count == 1)
    }
}

/// A number of an object.
pub(super) fn number(mut object: JsonCursor<'_>, wanted: &str) -> Option<usize> {
    let mut found = None;
    members(&mut object, |name, value| {
        let written = value.written()?;
        if name == wanted {
            found = written.parse().ok();
        }
        Some(())
    })?;
    found
}

/// Goes over an object, and visits its members; none where it is no object.
pub(super) fn members<'a>(
    at: &mut JsonCursor<'a>,
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
        visit(name, at)?;
        at.comma()?;
    }
    at.take(1)
}
