//! A request's headers, as the host gives them: names in lower case, values as bytes.

pub type Header = (String, Vec<u8>);

/// A content type without its parameters.
#[must_use]
pub fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// All headers, pseudo-headers included.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(pub &'a [Header]);

impl<'a> Headers<'a> {
    /// Every value of the header, in order.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a header that occurs once and is text.
    #[must_use]
    pub fn text(self, name: &str) -> Option<&'a str> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => str::from_utf8(value).ok(),
            _ => None,
        }
    }
}
