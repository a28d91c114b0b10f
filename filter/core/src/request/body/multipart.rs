//! Reads multipart forms more strictly than any provider: what two readers might take differently is refused.

use std::ops::Range;

use memchr::memmem;

use super::member_name::MemberMeaning;
use super::model_required;
use crate::answer::denial::{Code, Denial};

const MAX_BOUNDARY: usize = 70;

pub(super) fn is_form(content_type: &[u8]) -> bool {
    content_type.get(..19).is_some_and(|head| head.eq_ignore_ascii_case(b"multipart/form-data"))
}

/// The boundary in a content type; none when there is none, or two.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (_, rest) = content_type.split_at_checked(19)?;
    let parameters = parameters(rest)?;
    let boundary = single(&parameters, "boundary")?;
    let valid =
        (1..=MAX_BOUNDARY).contains(&boundary.len()) && boundary.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| boundary.to_owned())
}

/// The model and the span of its name.
pub(super) fn find(body: &[u8], boundary: &str) -> Result<(String, Range<usize>), Denial> {
    let form = scan(body, boundary).ok_or(Code::InvalidMultipart)?;
    if form.lists_models {
        return Err(Code::ModelListNotSupported.into());
    }
    let (model, span) = form.model.ok_or_else(|| model_required("The form has no `model`."))?;
    if model.is_empty() {
        return Err(model_required("`model` is empty."));
    }
    Ok((model, span))
}

/// The fields of a form that matter.
#[derive(Default)]
struct FormFields {
    model: Option<(String, Range<usize>)>,
    lists_models: bool,
}

/// None when the form is malformed or ambiguous.
fn scan(body: &[u8], boundary: &str) -> Option<FormFields> {
    let mut form = FormFields::default();
    for part in parts(body, boundary)? {
        match MemberMeaning::named(&part.name) {
            MemberMeaning::Read("model") => {
                let name = str::from_utf8(body.get(part.content.clone())?).ok()?.to_owned();
                if !part.plain || form.model.replace((name, part.content)).is_some() {
                    return None;
                }
            }
            MemberMeaning::Like("model") => return None,
            MemberMeaning::List => form.lists_models = true,
            _ => {}
        }
    }
    Some(form)
}

/// The parts of a form; none when it is malformed.
pub(crate) fn parts(body: &[u8], boundary: &str) -> Option<Vec<FormPart>> {
    let delimiter = format!("--{boundary}");
    let separator = format!("\r\n{delimiter}");
    let separators = memmem::Finder::new(&separator);
    let mut parts = Vec::new();
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    loop {
        if let Some(epilogue) = rest.strip_prefix(b"--") {
            return matches!(epilogue, b"" | b"\r\n").then_some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let (head, content) = split_at_mark(rest, memmem::find(rest, b"\r\n\r\n")?, 4)?;
        if separators.find(head).is_some() || content.starts_with(delimiter.as_bytes()) {
            return None;
        }
        let start = body.len().checked_sub(content.len())?;
        let (content, after) = split_at_mark(content, separators.find(content)?, separator.len())?;
        rest = after;
        parts.push(FormPart { content: start..start.checked_add(content.len())?, ..FormPart::read(head)? });
    }
}

/// Splits around a mark of `length` bytes at `at`.
fn split_at_mark(bytes: &[u8], at: usize, length: usize) -> Option<(&[u8], &[u8])> {
    let (before, mark) = bytes.split_at_checked(at)?;
    Some((before, mark.get(length..)?))
}

#[derive(Debug)]
pub(crate) struct FormPart {
    pub name: String,
    /// Neither a file nor encoded.
    pub plain: bool,
    /// Within the body.
    pub content: Range<usize>,
}

impl FormPart {
    fn read(head: &[u8]) -> Option<Self> {
        let mut read: Option<Self> = None;
        let mut encoded = false;
        for line in str::from_utf8(head).ok()?.split("\r\n") {
            if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
                return None;
            }
            let (name, value) = line.split_once(':')?;
            if name.eq_ignore_ascii_case("content-disposition") {
                let part = Self::disposed(value.trim_ascii())?;
                if read.replace(part).is_some() {
                    return None;
                }
            }
            encoded |= name.eq_ignore_ascii_case("content-transfer-encoding");
        }
        let part = read?;
        Some(Self { plain: part.plain && !encoded, ..part })
    }

    fn disposed(value: &str) -> Option<Self> {
        let (kind, rest) = value.split_at_checked("form-data".len())?;
        if !kind.eq_ignore_ascii_case("form-data") {
            return None;
        }
        let parameters = parameters(rest)?;
        let known = ["name", "filename", "filename*"];
        if parameters.iter().any(|(name, _)| !known.contains(&name.as_str())) {
            return None;
        }
        let name = single(&parameters, "name")?;
        (!name.contains('\\') && !name.contains('%')).then(|| Self {
            name: name.to_owned(),
            plain: parameters.iter().all(|(name, _)| name == "name"),
            content: 0..0,
        })
    }
}

/// `; name=value; name="value"`, names in lower case. Escapes in a value are left as they are.
fn parameters(mut text: &str) -> Option<Vec<(String, &str)>> {
    let mut parameters = Vec::new();
    loop {
        text = text.trim_ascii_start();
        if text.is_empty() {
            return Some(parameters);
        }
        let (name, value) = text.strip_prefix(';')?.split_once('=')?;
        let (value, rest) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_at_checked(closing_quote(quoted)?)?,
            None => value.split_at_checked(value.find(';').unwrap_or(value.len()))?,
        };
        parameters.push((name.trim_ascii().to_ascii_lowercase(), value.trim_ascii_end()));
        text = rest.strip_prefix('"').unwrap_or(rest);
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn single<'a>(parameters: &[(String, &'a str)], name: &str) -> Option<&'a str> {
    let mut values = parameters.iter().filter(|(other, _)| other == name).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::body::{BodyEdit, BodyFormat};
    use crate::request::endpoint::ModelOperation;

    const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a;b\\\".mp3\"\r\nContent-Type: audio/mpeg\r\n\r\nID3\r\n--not\r\n";
    const MODEL: &str = "Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1";

    fn form(parts: &[&str]) -> String {
        parts.iter().fold(String::new(), |body, part| format!("{body}--b\r\n{part}\r\n")) + "--b--\r\n"
    }

    fn code(body: &str) -> Code {
        find(body.as_bytes(), "b").unwrap_err().code
    }

    #[test]
    fn the_model_is_found_between_files_and_can_be_replaced() {
        let body = form(&[FILE, MODEL]);
        let format = BodyFormat::Multipart { boundary: "b".into() };
        let read = format.read(ModelOperation::Transcriptions, body.as_bytes()).unwrap();
        assert_eq!((read.model.as_str(), read.bounds.unbounded), ("whisper-1", Some("multipart")));
        let replaced = read.edit(body.as_bytes(), &[BodyEdit::Model("large")]).unwrap();
        assert_eq!(String::from_utf8(replaced.into_owned()).unwrap(), body.replace("whisper-1", "large"));
        assert_eq!(read.edit(body.as_bytes(), &[BodyEdit::IncludeUsage]), None);
    }

    #[test]
    fn boundaries_are_read_from_the_content_type() {
        let read = |text| boundary(text);
        assert_eq!(read("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(read("Multipart/Form-Data; charset=utf-8; Boundary=\"a=b\"").as_deref(), Some("a=b"));
        assert_eq!(read("multipart/form-data"), None);
        assert_eq!(read("multipart/form-data; boundary=a; boundary=b"), None);
        assert_eq!(read("multipart/form-data-x; boundary=a"), None);
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        let part = |head: &str| format!("{head}\r\n\r\nx");
        for head in [
            "Content-Disposition: form-data; name=\"Model\"",
            "Content-Disposition: form-data; name=\"model[]\"",
            "Content-Disposition: form-data; name=\"mod\\el\"",
            "Content-Disposition: form-data; name*=utf-8''model",
            "Content-Disposition: form-data; name=\"a\"; name=\"model\"",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"model\"",
            "Content-Disposition: form-data; name=\"model\"; filename=\"a\"",
            "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
            "Content-Disposition: form-data;\r\n name=\"model\"",
            "Content-Type: text/plain",
        ] {
            assert_eq!(code(&form(&[MODEL, &part(head)])), Code::InvalidMultipart, "{head}");
        }
        assert_eq!(code(&form(&[MODEL, MODEL])), Code::InvalidMultipart);
        assert_eq!(code(&format!("preamble\r\n{}", form(&[MODEL]))), Code::InvalidMultipart);
        assert_eq!(code(&format!("{}{}", form(&[MODEL]), form(&[MODEL]))), Code::InvalidMultipart);
        assert_eq!(code(&form(&[MODEL]).replace("--b--\r\n", "")), Code::InvalidMultipart);
        assert_eq!(code(&form(&[MODEL]).replace("whisper-1", "--b-1")), Code::InvalidMultipart);
        assert_eq!(code(""), Code::InvalidMultipart);
    }

    #[test]
    fn a_list_of_further_models_is_refused() {
        for name in ["models", "Models", "models[]", "models[0]", "fallbacks", "Fallbacks[]"] {
            let list = format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\nlarge");
            assert_eq!(code(&form(&[MODEL, &list])), Code::ModelListNotSupported, "{name}");
        }
    }

    #[test]
    fn a_form_without_a_model_is_refused() {
        assert_eq!(code(&form(&[FILE])), Code::ModelRequired);
        assert_eq!(
            code(&form(&["Content-Disposition: form-data; name=\"model\"\r\n\r\n"])),
            Code::ModelRequired
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn no_bytes_panic(noise in prop::collection::vec(prop_oneof![
            Just("--b"), Just("\r\n"), Just("--"), Just(MODEL), Just("Content-Disposition: form-data; name="), Just("\""), Just("model"), Just(":"), Just(";"), Just("é")
        ], 0..12)) {
            let _ = find(noise.concat().as_bytes(), "b");
        }

        #[test]
        fn every_value_is_found_between_any_files(
            before in "[a-z\r\n-]{0,30}",
            model in "[a-zA-Z0-9:/._-]{1,20}".prop_filter("begins a part", |model| !model.starts_with("--b")),
            after: Vec<u8>,
        ) {
            prop_assume!(!before.contains("--b") && memmem::find(&after, b"--b").is_none());
            let head = "Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
            let mut body = format!("--b\r\n{head}{before}\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b\r\n{head}").into_bytes();
            body.extend(&after);
            body.extend(b"\r\n--b--\r\n");
            prop_assert_eq!(find(&body, "b").unwrap().0, model);
        }
    }
}
