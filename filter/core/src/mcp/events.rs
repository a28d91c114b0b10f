//! A whole event stream without its byte order mark, cut into its events as WHATWG's HTML defines them.

/// One event, or the rest of the stream after the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// As it is written, with the line that ends it.
    pub text: &'a str,
    /// What its lines of data hold, with a line feed between them; none where it has no such line.
    pub data: Option<String>,
}

/// The events of a stream.
pub(super) fn events(stream: &str) -> impl Iterator<Item = Event<'_>> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (event, after) = next(rest)?;
        rest = after;
        Some(event)
    })
}

impl Event<'_> {
    /// The same event with other data.
    pub(super) fn with_data(&self, data: &str) -> String {
        let mut out = String::with_capacity(data.len().saturating_add(32));
        let (mut rest, mut written) = (self.text, false);
        while let Some((line, end, after)) = line(rest) {
            rest = after;
            if value(line).is_none() {
                out.push_str(line);
                out.push_str(end);
                continue;
            }
            if std::mem::replace(&mut written, true) {
                continue;
            }
            let end = if end.is_empty() { "\n" } else { end };
            for line in data.split('\n') {
                out.extend(["data: ", line, end]);
            }
        }
        out
    }
}

fn next(stream: &str) -> Option<(Event<'_>, &str)> {
    if stream.is_empty() {
        return None;
    }
    let (mut rest, mut data) = (stream, None::<String>);
    while let Some((line, _, after)) = line(rest) {
        rest = after;
        if line.is_empty() {
            break;
        }
        let Some(value) = value(line) else { continue };
        match &mut data {
            Some(data) => data.extend(["\n", value]),
            None => data = Some(value.to_owned()),
        }
    }
    let (text, rest) = stream.split_at_checked(stream.len().saturating_sub(rest.len()))?;
    Some((Event { text, data }, rest))
}

/// A line, what ends it, and what comes after; none at the stream's end.
fn line(text: &str) -> Option<(&str, &str, &str)> {
    if text.is_empty() {
        return None;
    }
    let at = text.find(['\n', '\r']).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(at)?;
    let end = match rest.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [] => 0,
        _ => 1,
    };
    let (end, after) = rest.split_at_checked(end)?;
    Some((line, end, after))
}

/// The value of a line of data.
fn value(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("data")?;
    let value = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_end_at_an_empty_line_however_lines_end() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = "data: a~data:b~~: c~id: 1~data~~~event: x~~data: rest".replace('~', end);
            let data: Vec<_> = events(&stream).map(|event| event.data).collect();
            let some = |text: &str| Some(text.to_owned());
            assert_eq!(data, [some("a\nb"), some(""), None, None, some("rest")], "{end:?}");
        }
    }

    #[test]
    fn other_data_takes_the_place_of_what_was_there() {
        let event = |text| events(text).next().unwrap();
        assert_eq!(
            event("event: message\r\ndata: a\r\nid: 7\r\ndata: b\r\n\r\n").with_data("x\ny"),
            "event: message\r\ndata: x\r\ndata: y\r\nid: 7\r\n\r\n"
        );
        assert_eq!(event("data: a").with_data("x"), "data: x\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn no_byte_is_lost(stream in "(data|id|:|a|é| |\n|\r)*") {
            let whole: String = events(&stream).map(|event| event.text).collect();
            prop_assert_eq!(&whole, &stream);
            for event in events(&stream) {
                if let Some(data) = &event.data {
                    let again = event.with_data(data);
                    let read = events(&again).next();
                    prop_assert_eq!(read.and_then(|event| event.data), Some(data.clone()));
                }
            }
        }
    }
}
