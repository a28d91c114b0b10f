//! Email as text and as HTML. The HTML has its style in attributes, and loads nothing: that is what mail programs show.

use std::fmt::Write as _;

use super::MailContent;
use super::item::MailItem;

/// What a mail says, before it is text or HTML.
pub struct Layout {
    pub subject: String,
    pub heading: String,
    pub paragraphs: Vec<Paragraph>,
    /// Why the reader gets it.
    pub because: &'static str,
    /// Where the reader changes that.
    pub preferences: String,
}

pub enum Paragraph {
    Heading(&'static str),
    Words(String),
    Item(MailItem),
}

/// The longest subject, in characters.
const LONGEST_SUBJECT: usize = 150;

const BODY: &str = "margin:0;padding:24px;background:#f4f5f7;color:#1c2024;\
                    font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif";
const CARD: &str = "max-width:560px;margin:0 auto;padding:24px;background:#ffffff;border:1px solid #d9dce1;\
                    border-radius:8px";
const BUTTON: &str = "display:inline-block;padding:8px 16px;background:#0b6b5d;color:#ffffff;border-radius:6px;\
                      text-decoration:none";
const NAME: &str = "padding:2px 16px 2px 0;color:#5a626c;vertical-align:top;white-space:nowrap";
const VALUE: &str = "padding:2px 0;vertical-align:top;overflow-wrap:anywhere";
const FOOT: &str = "max-width:560px;margin:16px auto 0;color:#5a626c;font-size:13px";

impl Paragraph {
    pub fn of(item: &MailItem) -> Self {
        Self::Item(item.clone())
    }
}

impl Layout {
    pub fn render(&self) -> MailContent {
        MailContent { subject: self.subject(), text: self.text(), html: self.html() }
    }

    fn subject(&self) -> String {
        let cut: String = self.subject.chars().take(LONGEST_SUBJECT).collect();
        if cut.len() < self.subject.len() { cut + "…" } else { cut }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.heading);
        for paragraph in &self.paragraphs {
            text.push('\n');
            match paragraph {
                Paragraph::Heading(heading) => {
                    let _ = writeln!(text, "== {heading} ==");
                }
                Paragraph::Words(words) => {
                    let _ = writeln!(text, "{words}");
                }
                Paragraph::Item(item) => self.text_of(item, &mut text),
            }
        }
        // What is behind this line is a signature, which mail programs leave out of an answer.
        let _ = write!(text, "\n-- \n{}\n{}\n", self.foot(), self.preferences);
        text
    }

    fn text_of(&self, item: &MailItem, text: &mut String) {
        if item.title != self.heading {
            let _ = writeln!(text, "{}", item.title);
        }
        if !item.sentence.is_empty() {
            let _ = writeln!(text, "{}", item.sentence);
        }
        for (name, value) in &item.facts {
            let _ = writeln!(text, "{name}: {value}");
        }
        let (words, url) = &item.link;
        let _ = writeln!(text, "{words}: {url}");
    }

    fn html(&self) -> String {
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n</head>\n\
             <body style=\"{BODY}\">\n<div style=\"{CARD}\">\n<h1 style=\"margin:0 0 16px;font-size:20px\">{}</h1>\n",
            escape(&self.subject()),
            escape(&self.heading)
        );
        for paragraph in &self.paragraphs {
            match paragraph {
                Paragraph::Heading(heading) => {
                    let _ = writeln!(
                        html,
                        "<h2 style=\"margin:24px 0 8px;font-size:16px\">{}</h2>",
                        escape(heading)
                    );
                }
                Paragraph::Words(words) => {
                    let _ = writeln!(html, "<p style=\"margin:0 0 16px\">{}</p>", escape(words));
                }
                Paragraph::Item(item) => self.html_of(item, &mut html),
            }
        }
        let _ = write!(
            html,
            "</div>\n<p style=\"{FOOT}\">{} <a href=\"{}\" style=\"color:#5a626c\">Manage email notifications</a></p>\n\
             </body>\n</html>\n",
            escape(&self.foot()),
            escape(&self.preferences)
        );
        html
    }

    fn html_of(&self, item: &MailItem, html: &mut String) {
        if item.title != self.heading {
            let _ = writeln!(html, "<p style=\"margin:0 0 4px;font-weight:600\">{}</p>", escape(&item.title));
        }
        if !item.sentence.is_empty() {
            let _ = writeln!(html, "<p style=\"margin:0 0 12px\">{}</p>", escape(&item.sentence));
        }
        html.push_str("<table role=\"presentation\" style=\"margin:0 0 16px;border-collapse:collapse\">\n");
        for (name, value) in &item.facts {
            let (name, value) = (escape(name), escape(value));
            let _ =
                writeln!(html, "<tr><td style=\"{NAME}\">{name}</td><td style=\"{VALUE}\">{value}</td></tr>");
        }
        let (words, url) = &item.link;
        let (words, url) = (escape(words), escape(url));
        let _ = writeln!(
            html,
            "</table>\n<p style=\"margin:0 0 16px\"><a href=\"{url}\" style=\"{BUTTON}\">{words}</a></p>"
        );
    }

    fn foot(&self) -> String {
        format!("You are receiving this email because {}.", self.because)
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
