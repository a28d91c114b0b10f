//! Tokens of Telegram bots: the bot's number, a colon, and 35 characters.

use crate::class::{self, DIGIT, URL_SAFE};
use crate::detector::DetectorId;
use crate::rules::secret::is_placeholder;
use crate::sink::Sink;

pub(crate) fn token(sink: &mut Sink<'_>, start: usize) {
    if !sink.wants(DetectorId::TelegramBotToken) {
        return;
    }
    sink.attempt(start, |cursor| {
        cursor.run(DIGIT, 10);
        if !cursor.eat(b':') {
            return None;
        }
        let secret = cursor.run(URL_SAFE, 36);
        let mixed = secret.iter().any(|byte| class::is(*byte, class::UPPER))
            && secret.iter().any(|byte| class::is(*byte, class::LOWER));
        let found = secret.len() == 35 && secret.starts_with(b"AA") && mixed && !is_placeholder(secret);
        found.then(|| (DetectorId::TelegramBotToken, start..cursor.at()))
    });
}
