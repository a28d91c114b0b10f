//! What a request asks of the provider's behaviour.

use std::time::Duration;

/// A comma-separated list such as `slow=500,no-usage,cut=3`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// `slow=MS`: wait before answering.
    pub slow: Duration,
    /// `pace=MS`: wait before each chunk of the answer.
    pub pace: Duration,
    /// `status=CODE`: fail with it.
    pub status: Option<u16>,
    /// `no-usage`: do not say how many tokens were used.
    pub no_usage: bool,
    /// `cut=N`: hang up after as many chunks of the answer.
    pub cut: Option<usize>,
    /// `tiny-chunks` or `huge-chunks`.
    pub chunks: Chunks,
    /// `tokens=N`: answer with as many, where the request allows them.
    pub tokens: Option<u64>,
    /// `reasoning=N`: think as many before that; they are output too, and not shown.
    pub reasoning: u64,
    /// `cached=N`: find as many of the input's tokens in the cache.
    pub cached: u64,
    /// `dense`: every byte of the input is a token, which is the worst that a tokenizer does.
    pub dense: bool,
}

/// How an answer is cut into writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chunks {
    /// An event of a stream is a write.
    #[default]
    Events,
    /// Five bytes are a write: lines, and letters, are torn.
    Tiny,
    /// The answer's text is one event, and everything is one write.
    Huge,
}

impl Behaviour {
    /// This behaviour, changed by what `told` lists.
    ///
    /// # Errors
    /// Names what it does not know.
    pub fn told(mut self, told: &str) -> Result<Self, String> {
        for word in told.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u32>().map_err(|_| format!("{name} needs a number: {word}"));
            match name {
                "slow" => self.slow = Duration::from_millis(number()?.into()),
                "pace" => self.pace = Duration::from_millis(number()?.into()),
                "status" => self.status = Some(status(number()?)?),
                "no-usage" => self.no_usage = true,
                "cut" => self.cut = Some(number()? as usize),
                "tiny-chunks" => self.chunks = Chunks::Tiny,
                "huge-chunks" => self.chunks = Chunks::Huge,
                "tokens" => self.tokens = Some(number()?.into()),
                "reasoning" => self.reasoning = number()?.into(),
                "cached" => self.cached = number()?.into(),
                "dense" => self.dense = true,
                _ => return Err(format!("the sample provider knows no behaviour {name:?}")),
            }
        }
        Ok(self)
    }
}

fn status(number: u32) -> Result<u16, String> {
    let status = u16::try_from(number).ok().filter(|status| (400..600).contains(status));
    status.ok_or_else(|| format!("not an error's status: {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_order() {
        let told = "slow=500, status=429,no-usage,cut=3,tiny-chunks,tokens=7,reasoning=2,cached=1,dense";
        let expected = Behaviour {
            slow: Duration::from_millis(500),
            pace: Duration::ZERO,
            status: Some(429),
            no_usage: true,
            cut: Some(3),
            chunks: Chunks::Tiny,
            tokens: Some(7),
            reasoning: 2,
            cached: 1,
            dense: true,
        };
        assert_eq!(Behaviour::default().told(told), Ok(expected));
    }

    #[test]
    fn what_it_does_not_know_is_named() {
        assert_eq!(
            Behaviour::default().told("sloww=1"),
            Err("the sample provider knows no behaviour \"sloww\"".to_owned())
        );
        assert_eq!(Behaviour::default().told("cut=x"), Err("cut needs a number: cut=x".to_owned()));
        assert_eq!(Behaviour::default().told("status=200"), Err("not an error's status: 200".to_owned()));
    }
}
