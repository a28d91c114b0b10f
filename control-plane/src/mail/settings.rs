//! By which server email is sent, and from whom.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use latchkey_core::mail::MailServer;
use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

const URL: &str = "LATCHKEY_SMTP_URL";
const PASSWORD_FILE: &str = "LATCHKEY_SMTP_PASSWORD_FILE";
const FROM: &str = "LATCHKEY_SMTP_FROM";

/// The server that email is sent by; without a URL, none is sent.
#[derive(Clone, Debug, Args)]
pub struct Smtp {
    /// SMTP server for sending email: `smtps://user:password@host`, or with STARTTLS `smtp://user:password@host`.
    #[arg(long, env = "LATCHKEY_SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<SecretString>,
    /// File with the SMTP password, if the URL has none.
    #[arg(long, env = "LATCHKEY_SMTP_PASSWORD_FILE")]
    pub smtp_password_file: Option<PathBuf>,
    /// Sender of email, such as `Latchkey <latchkey@example.com>`.
    #[arg(long, env = "LATCHKEY_SMTP_FROM")]
    pub smtp_from: Option<String>,
}

/// By which server email is sent, and from whom.
#[derive(Clone, Debug)]
pub struct MailSettings {
    pub server: SmtpServer,
    pub from: Mailbox,
}

/// An SMTP server.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// User and password; none where the server asks for none.
    pub credentials: Option<(String, SecretString)>,
}

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// From its beginning.
    Implicit,
    /// By STARTTLS, without which nothing is sent.
    StartTls,
    None,
}

impl fmt::Display for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl MailSettings {
    /// What people may see of it.
    #[must_use]
    pub fn shown(&self) -> MailServer {
        MailServer { address: self.server.to_string(), from: self.from.to_string() }
    }
}

impl Smtp {
    /// The settings, where email is set up. `allow_plaintext`: something else encrypts.
    ///
    /// # Errors
    /// Says which setting does not hold, and never the URL, which has a password.
    pub fn settings(&self, allow_plaintext: bool) -> anyhow::Result<Option<MailSettings>> {
        let url = self.smtp_url.as_ref().map(|url| url.expose_secret()).filter(|url| !url.is_empty());
        let from = self.smtp_from.as_deref().filter(|from| !from.is_empty());
        let Some(url) = url else {
            for (name, is_set) in [(FROM, from.is_some()), (PASSWORD_FILE, self.smtp_password_file.is_some())]
            {
                if is_set {
                    bail!("{name} is set without {URL}: set both, or neither");
                }
            }
            return Ok(None);
        };
        let Some(from) = from else {
            bail!("{URL} is set without {FROM}: set the sender, such as `Latchkey <latchkey@example.com>`");
        };
        let is_line = !from.chars().any(char::is_control);
        let Some(from) = from.parse::<Mailbox>().ok().filter(|_| is_line) else {
            bail!(
                "{FROM} is not a valid address: use `latchkey@example.com` or `Latchkey <latchkey@example.com>`"
            );
        };
        if !AsRef::<str>::as_ref(&from.email).is_ascii() {
            bail!("{FROM} has an address with non-ASCII characters: write its domain as `xn--…`");
        }
        let mut server = server(url)?;
        if server.tls == SmtpTls::None && !is_loopback(&server.host) && !allow_plaintext {
            bail!(
                "{URL} has tls=none and would send email to {server} in plaintext: remove tls, or set \
                 LATCHKEY_ALLOW_PLAINTEXT=true if something else encrypts the traffic"
            );
        }
        if let Some(path) = &self.smtp_password_file {
            let Some((_, password)) = &mut server.credentials else {
                bail!("{PASSWORD_FILE} is set, but {URL} has no user: use smtps://user@host");
            };
            if !password.expose_secret().is_empty() {
                bail!("both {URL} and {PASSWORD_FILE} have a password: use only one of them");
            }
            let text = std::fs::read_to_string(path);
            *password = text.with_context(|| format!("could not read {}", path.display()))?.trim().into();
        }
        if server.credentials.as_ref().is_some_and(|(_, password)| password.expose_secret().is_empty()) {
            bail!("{URL} has a user but no password: use smtps://user:password@host, or set {PASSWORD_FILE}");
        }
        Ok(Some(MailSettings { server, from }))
    }
}

/// Reads a URL.
fn server(text: &str) -> anyhow::Result<SmtpServer> {
    let form = "use smtps://user:password@host:465, or smtp://user:password@host:587 for STARTTLS, with special \
                characters of user and password percent-encoded";
    let Ok(url) = Url::parse(text) else { bail!("{URL} is not a URL: {form}") };
    let (port, implicit) = match url.scheme() {
        "smtps" => (465, true),
        "smtp" => (587, false),
        _ => bail!("{URL} must begin with smtps:// or smtp://: {form}"),
    };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        bail!("{URL} has no host: {form}");
    };
    // This scheme's hosts are not converted to the letters of DNS by the parser.
    let Ok(host) = Host::parse(host) else { bail!("{URL} has an invalid host: {form}") };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        bail!("{URL} must have nothing after its host except a port and `?tls=…`: {form}");
    }
    let mut tls = if implicit { SmtpTls::Implicit } else { SmtpTls::StartTls };
    for (name, value) in url.query_pairs() {
        tls = match (&*name, &*value, implicit) {
            ("tls", "required", false) => SmtpTls::StartTls,
            ("tls", "none", false) => SmtpTls::None,
            ("tls", "required", true) => SmtpTls::Implicit,
            ("tls", ..) => bail!("{URL} has a `tls` that is neither `required` nor, with smtp://, `none`"),
            // What it is may be a part of a password.
            _ => bail!("{URL} must have no query parameter except `tls`: {form}"),
        };
    }
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(String::from)
            .with_context(|| format!("{URL} has a user or password that is not valid text"))
    };
    let (user, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
    if user.is_empty() && !password.is_empty() {
        bail!("{URL} has a password without a user: {form}");
    }
    let host = match host {
        Host::Domain(name) => name,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let credentials = (!user.is_empty()).then(|| (user, SecretString::from(password)));
    Ok(SmtpServer { host, port: url.port().unwrap_or(port), tls, credentials })
}

fn is_loopback(host: &str) -> bool {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match Host::parse(&host) {
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(url: &str) -> Smtp {
        let from = Some("Latchkey <latchkey@acme.com>".to_owned());
        Smtp { smtp_url: Some(url.into()), smtp_password_file: None, smtp_from: from }
    }

    #[test]
    fn a_server_is_read_with_what_is_usual() {
        let read = |url: &str| {
            let settings = smtp(url).settings(false).unwrap().unwrap();
            let SmtpServer { host, port, tls, credentials } = settings.server;
            let credentials =
                credentials.map(|(user, password)| format!("{user} {}", password.expose_secret()));
            (format!("{host} {port}"), tls, credentials.unwrap_or_default())
        };
        for (url, server, tls, credentials) in [
            ("smtps://mail.acme.com", "mail.acme.com 465", SmtpTls::Implicit, ""),
            (
                "smtps://ada%40acme.com:p%2F%20s@mail.acme.com:4650/",
                "mail.acme.com 4650",
                SmtpTls::Implicit,
                "ada@acme.com p/ s",
            ),
            ("smtp://mail.acme.com", "mail.acme.com 587", SmtpTls::StartTls, ""),
            ("smtp://mail.acme.com:25?tls=required", "mail.acme.com 25", SmtpTls::StartTls, ""),
            ("smtp://127.0.0.1:25?tls=none", "127.0.0.1 25", SmtpTls::None, ""),
            ("smtp://[::1]:25?tls=none", "::1 25", SmtpTls::None, ""),
            ("smtp://localhost?tls=none", "localhost 587", SmtpTls::None, ""),
            ("smtps://münchen.example", "xn--mnchen-3ya.example 465", SmtpTls::Implicit, ""),
        ] {
            assert_eq!(read(url), (server.to_owned(), tls, credentials.to_owned()), "{url}");
        }
        let settings = smtp("smtps://mail.acme.com").settings(false).unwrap().unwrap();
        let shown = MailServer {
            address: "mail.acme.com:465".to_owned(),
            from: "Latchkey <latchkey@acme.com>".to_owned(),
        };
        assert_eq!(settings.shown(), shown);
        assert!(smtp("").settings(false).is_err(), "a sender without a server");
        let unset = Smtp { smtp_from: Some(String::new()), ..smtp("") };
        assert!(unset.settings(false).unwrap().is_none());
    }

    #[test]
    fn what_does_not_hold_is_named_and_the_password_is_not() {
        for (url, said) in [
            ("mail.acme.com", "LATCHKEY_SMTP_URL is not a URL"),
            ("https://u:hunter2@mail.acme.com", "must begin with smtps:// or smtp://"),
            ("smtps://", "has no host"),
            ("smtps://u:hunter2@mail.acme.com/x", "nothing after its host"),
            ("smtps://u:hunter2@mail.acme.com?tls=none", "neither `required` nor"),
            ("smtp://u:hunter2@mail.acme.com?tls=opportunistic", "neither `required` nor"),
            ("smtp://u:hunter2@mail.acme.com?auth=plain", "no query parameter except `tls`"),
            // A `?` that was not encoded.
            ("smtps://u:587?hunter2@mail.acme.com", "no query parameter except `tls`"),
            ("smtps://u:?hunter2@mail.acme.com", "no query parameter except `tls`"),
            ("smtps://u:hunter2@[fe80::zz]", "is not a URL"),
            ("smtps://u@mail.acme.com", "has a user but no password"),
            ("smtp://:hunter2@mail.acme.com", "a password without a user"),
            ("smtp://u:hunter2@mail.acme.com?tls=none", "would send email to mail.acme.com:587 in plaintext"),
            ("smtp://u:hunter2@10.0.0.1:hunter2?tls=none", "is not a URL"),
        ] {
            let error = format!("{:#}", smtp(url).settings(false).unwrap_err());
            assert!(error.contains(said) && !error.contains("hunter2"), "{url}: {error}");
        }
        assert!(smtp("smtp://mail.acme.com?tls=none").settings(true).is_ok());
        for from in [
            "",
            "acme",
            "Latchkey <latchkey@acme.com",
            "latchkey@mün.example",
            "a@acme.com\r\nBcc: b@acme.com",
        ] {
            let smtp = Smtp { smtp_from: Some(from.to_owned()), ..smtp("smtps://mail.acme.com") };
            assert!(smtp.settings(false).unwrap_err().to_string().contains(FROM), "{from}");
        }
        let printed = format!("{:?}", smtp("smtps://u:hunter2@mail.acme.com"));
        let settings = smtp("smtps://u:hunter2@mail.acme.com").settings(false).unwrap();
        assert!(!printed.contains("hunter2") && !format!("{settings:?}").contains("hunter2"), "{printed}");
    }

    #[test]
    fn a_password_may_be_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let with = |url: &str| {
            Smtp { smtp_password_file: Some(file.path().to_owned()), ..smtp(url) }.settings(false)
        };
        let (user, password) = with("smtps://u@mail.acme.com").unwrap().unwrap().server.credentials.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("u", "hunter2"));
        assert!(with("smtps://mail.acme.com").unwrap_err().to_string().contains("has no user"));
        assert!(with("smtps://u:p@mail.acme.com").unwrap_err().to_string().contains("use only one of them"));
    }
}
