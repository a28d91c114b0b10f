//! One attempt to send an email by SMTP.

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use latchkey_service::action::mails::letter::Letter;
use latchkey_store::mails::Mail;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{self, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::{Address, Message};
use secrecy::ExposeSecret as _;
use url::{Host, Url};

use super::settings::{MailSettings, SmtpServer, SmtpTls};

/// How long an attempt may take until the server is given the message.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the server may look at the message until it answers, as RFC 5321 asks: whoever hangs up before sends it
/// twice.
const DATA_PATIENCE: Duration = Duration::from_secs(600);
/// How long it may take to say goodbye.
const QUIT_PATIENCE: Duration = Duration::from_secs(2);
/// How much is kept of why an attempt failed, in characters.
const KEPT: usize = 300;

/// Sends email, each over a connection of its own.
pub struct MailSender {
    server: SmtpServer,
    /// None where the connection is not encrypted.
    tls: Option<TlsParameters>,
    hello: ClientId,
    from: Mailbox,
    /// What is behind the `@` of a `Message-ID`.
    domain: String,
}

/// Why an email was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFailure {
    pub error: String,
    /// Whether it would be refused again.
    pub is_final: bool,
}

/// Why a server was not given something.
enum Failure {
    Smtp(lettre::transport::smtp::Error),
    /// It took longer than this.
    Slow(Duration),
}

/// What a server's reply is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The connection, this Latchkey's account, or who sends: somebody can mend that.
    Connection,
    Recipient,
    Message,
}

impl Stage {
    /// Whether a reply means that this email would be refused again: it is about its recipient or its message, and not
    /// about who sends it. Where that is not clear, it is sent again for a day.
    fn is_final(self, status: &str, said: &str) -> bool {
        let enhanced = said.split_whitespace().next().filter(|word| word.starts_with("5."));
        // RFC 3463: bad sender's address, and the subjects address, mailbox, message too large, and content.
        let is_about_the_sender = enhanced.is_some_and(|code| matches!(code, "5.1.7" | "5.1.8"));
        let is_about_this = enhanced.is_some_and(|code| {
            code == "5.3.4" || ["5.1.", "5.2.", "5.6."].iter().any(|subject| code.starts_with(subject))
        });
        let says_its_status = match self {
            Self::Connection => return false,
            Self::Recipient => matches!(status, "550" | "551" | "552" | "553") && enhanced.is_none(),
            Self::Message => status == "552",
        };
        status.starts_with('5') && !is_about_the_sender && (is_about_this || says_its_status)
    }
}

async fn within<T>(
    patience: Duration,
    talking: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, talking).await {
        Ok(said) => said.map_err(Failure::Smtp),
        Err(_) => Err(Failure::Slow(patience)),
    }
}

impl fmt::Debug for MailSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSender").field("from", &self.from).finish_non_exhaustive()
    }
}

impl MailSender {
    /// `origin` is where browsers find Latchkey: its host is what the server is greeted with.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: MailSettings, origin: &str) -> anyhow::Result<Self> {
        let MailSettings { server, from } = settings;
        let tls = match server.tls {
            SmtpTls::Implicit | SmtpTls::StartTls => {
                Some(TlsParameters::new(server.host.clone()).context("TLS for LATCHKEY_SMTP_URL")?)
            }
            SmtpTls::None => None,
        };
        let domain = Host::parse(from.email.domain()).map_or("localhost".to_owned(), |host| host.to_string());
        Ok(Self { server, tls, hello: greeting(origin).unwrap_or_default(), from, domain })
    }

    /// Sends an email once.
    ///
    /// # Errors
    /// Why it was not sent, as far as is known: the server may have taken it, and gone before it said so.
    pub async fn send(&self, letter: &Letter, mail: &Mail) -> Result<(), SendFailure> {
        let message = self.message(letter, mail).map_err(|error| SendFailure { error, is_final: true })?;
        let opening = within(PATIENCE, self.open()).await;
        let mut connection = opening.map_err(|error| self.failure(&error, Stage::Connection))?;
        let sent = self.talk(&mut connection, &message).await;
        // What was taken is sent, however long the goodbye takes.
        let _said = tokio::time::timeout(QUIT_PATIENCE, connection.abort()).await;
        sent
    }

    /// A connection by which email may be sent.
    async fn open(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let SmtpServer { host, port, tls, credentials } = &self.server;
        let implicit = self.tls.clone().filter(|_| *tls == SmtpTls::Implicit);
        let server = (host.as_str(), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(PATIENCE), &self.hello, implicit, None).await?;
        if let (SmtpTls::StartTls, Some(parameters)) = (tls, &self.tls) {
            connection.starttls(parameters.clone(), &self.hello).await?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// Gives a message to the server.
    async fn talk(&self, connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), SendFailure> {
        let envelope = message.envelope();
        let mut parameters = Vec::new();
        if envelope.to().iter().any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                let error = "the server does not support addresses with non-ASCII characters".to_owned();
                return Err(SendFailure { error, is_final: true });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let sender = commands::Mail::new(envelope.from().cloned(), parameters);
        let failed = |stage: Stage| move |error: Failure| self.failure(&error, stage);
        within(PATIENCE, connection.command(sender)).await.map_err(failed(Stage::Connection))?;
        for recipient in envelope.to() {
            let recipient = Rcpt::new(recipient.clone(), Vec::new());
            within(PATIENCE, connection.command(recipient)).await.map_err(failed(Stage::Recipient))?;
        }
        within(PATIENCE, connection.command(commands::Data)).await.map_err(failed(Stage::Message))?;
        let message = message.formatted();
        within(DATA_PATIENCE, connection.message(&message)).await.map_err(failed(Stage::Message))?;
        Ok(())
    }

    /// The same at every attempt.
    fn message(&self, letter: &Letter, mail: &Mail) -> Result<Message, String> {
        let Letter { to, name, content, preferences } = letter;
        let address: Address = to.as_str().parse().map_err(|_| format!("email cannot be sent to {to}"))?;
        let to = Mailbox::new(Some(name.as_str().to_owned()), address);
        let id = &mail.message_id;
        let body = MultiPart::alternative()
            .boundary(id)
            .singlepart(SinglePart::plain(content.text.clone()))
            .singlepart(SinglePart::html(content.html.clone()));
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(content.subject.clone())
            .date(SystemTime::from(mail.at))
            .raw_header(header("Message-ID", format!("<{id}@{}>", self.domain)))
            .raw_header(header("Content-Language", "en".to_owned()))
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
            .raw_header(header("List-Unsubscribe", format!("<{preferences}>")))
            .multipart(body)
            .map_err(|error| error.to_string())
    }

    fn failure(&self, failure: &Failure, stage: Stage) -> SendFailure {
        let error = match failure {
            Failure::Slow(patience) => {
                let error = format!("the server took longer than {} seconds", patience.as_secs());
                return SendFailure { error, is_final: false };
            }
            Failure::Smtp(error) => error,
        };
        let status = error.status().map(|code| code.to_string());
        let said = error.source().map(ToString::to_string);
        let text = match (&status, &said) {
            (Some(status), Some(said)) => format!("the server responded with {status}: {said}"),
            _ => error.to_string(),
        };
        let is_final =
            status.is_some_and(|status| stage.is_final(&status, said.as_deref().unwrap_or_default()));
        SendFailure { error: self.shown(&text), is_final }
    }

    /// One line without the password, which no server should repeat.
    fn shown(&self, text: &str) -> String {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let password = self.server.credentials.as_ref().map(|(_, password)| password.expose_secret());
        let text = match password.filter(|password| !password.is_empty()) {
            Some(password) => text.replace(password, "[password]"),
            None => text,
        };
        text.chars().filter(|c| !c.is_control()).take(KEPT).collect()
    }
}

/// A header of plain ASCII, which is sent as it is.
fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

fn greeting(origin: &str) -> Option<ClientId> {
    let url = Url::parse(origin).ok()?;
    Some(match url.host()? {
        Host::Domain(name) => ClientId::Domain(name.to_owned()),
        Host::Ipv4(address) => ClientId::Ipv4(address),
        Host::Ipv6(address) => ClientId::Ipv6(address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_recipient_or_the_message_is_final() {
        for (stage, status, said, is_final) in [
            (Stage::Connection, "554", "5.7.1 client host blocked", false),
            (Stage::Connection, "550", "5.1.8 sender not verified", false),
            (Stage::Recipient, "550", "5.1.1 no such user", true),
            (Stage::Recipient, "550", "no such user", true),
            (Stage::Recipient, "552", "5.2.2 mailbox full", true),
            (Stage::Recipient, "550", "5.7.1 relaying denied", false),
            (Stage::Recipient, "550", "5.4.5 daily sending limit exceeded", false),
            (Stage::Recipient, "530", "5.7.0 authentication required", false),
            (Stage::Recipient, "503", "AUTH first", false),
            (Stage::Recipient, "553", "5.1.8 sender's domain does not exist", false),
            (Stage::Recipient, "451", "4.2.0 greylisted", false),
            (Stage::Message, "552", "5.3.4 message too large", true),
            (Stage::Message, "554", "5.6.0 malformed", true),
            (Stage::Message, "554", "5.7.1 spam", false),
            (Stage::Message, "550", "", false),
        ] {
            assert_eq!(stage.is_final(status, said), is_final, "{status} {said}");
        }
    }
}
