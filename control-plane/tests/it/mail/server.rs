//! Speaks SMTP, and answers as the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use mailparse::{MailHeaderMap as _, ParsedMail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How an email is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this reply once it was received.
    Say(&'static str),
    /// With this reply to its recipient.
    RefuseRecipient(&'static str),
    /// With this reply to who sends it.
    RefuseSender(&'static str),
    /// The connection begins with this reply instead of a greeting.
    Greet(&'static str),
    /// It is taken, and there is never a reply to QUIT.
    NoGoodbye,
    /// The server goes once it was received, without a reply.
    Vanish,
    /// It was received, and there is never a reply.
    Hang,
}

/// What was received.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    pub recipients: Vec<String>,
    pub text: String,
}

#[derive(Clone)]
pub struct SmtpReceiver {
    pub address: String,
    /// For the next ones; those after them are taken.
    answers: Arc<Mutex<VecDeque<Answer>>>,
    received: Arc<Mutex<Vec<ReceivedMail>>>,
}

impl ReceivedMail {
    pub fn parsed(&self) -> ParsedMail<'_> {
        mailparse::parse_mail(self.text.as_bytes()).unwrap()
    }

    pub fn header(&self, name: &str) -> String {
        self.parsed().headers.get_first_value(name).unwrap_or_else(|| panic!("no {name}: {}", self.text))
    }

    /// The text, and the HTML.
    pub fn parts(&self) -> [String; 2] {
        let parsed = self.parsed();
        assert_eq!(parsed.ctype.mimetype, "multipart/alternative");
        let types: Vec<_> = parsed.subparts.iter().map(|part| part.ctype.mimetype.as_str()).collect();
        assert_eq!(types, ["text/plain", "text/html"]);
        [0, 1].map(|part| parsed.subparts[part].get_body().unwrap().replace("\r\n", "\n"))
    }
}

impl SmtpReceiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let this = Self { address, answers: Arc::default(), received: Arc::default() };
        let served = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                // A client that goes ends its connection alone.
                tokio::spawn(async move { served.talk(stream).await });
            }
        });
        this
    }

    /// The same under another address, at which nobody may listen.
    pub fn elsewhere(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.clone() }
    }

    pub fn answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    /// What was received since this was last asked, taken or not.
    pub fn take(&self) -> Vec<ReceivedMail> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let answer = self.answers.lock().unwrap().pop_front();
        let mut recipients = Vec::new();
        if let Some(Answer::Greet(reply)) = answer {
            return writer.write_all(format!("{reply}\r\n").as_bytes()).await;
        }
        writer.write_all(b"220 test\r\n").await?;
        while let Some(line) = lines.next_line().await? {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let reply = match word {
                "EHLO" => "250-test\r\n250 8BITMIME",
                "MAIL" => match answer {
                    Some(Answer::RefuseSender(reply)) => reply,
                    _ => "250 OK",
                },
                "RCPT" => {
                    recipients.push(rest.trim_start_matches("TO:<").split('>').next().unwrap().to_owned());
                    match answer {
                        Some(Answer::RefuseRecipient(reply)) => reply,
                        _ => "250 OK",
                    }
                }
                "DATA" => {
                    writer.write_all(b"354 go on\r\n").await?;
                    let mut text = String::new();
                    while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                        text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        text.push_str("\r\n");
                    }
                    let recipients = std::mem::take(&mut recipients);
                    self.received.lock().unwrap().push(ReceivedMail { recipients, text });
                    match answer {
                        Some(Answer::Say(reply)) => reply,
                        Some(Answer::Vanish) => return Ok(()),
                        Some(Answer::Hang) => std::future::pending().await,
                        _ => "250 taken",
                    }
                }
                "QUIT" if matches!(answer, Some(Answer::NoGoodbye)) => std::future::pending().await,
                "QUIT" => {
                    writer.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 OK",
            };
            writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}
