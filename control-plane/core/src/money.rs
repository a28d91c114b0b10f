//! Amounts of money: whole nano-USD, written in dollars.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount of money: billionths of a US dollar, and in JSON dollars, as in "12.50".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "AmountInput", into = "String")]
#[schema(value_type = String, example = "12.50")]
pub struct NanoUsd(pub u64);

/// Why an amount is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAmount {
    /// No number.
    #[error("must be an amount in US dollars, like \"12.50\"")]
    NotANumber,
    /// Below zero, or more than nine billion dollars.
    #[error("must be between 0 and 9000000000 US dollars")]
    OutOfRange,
    /// Finer than we count.
    #[error("has more than nine decimal places")]
    TooFine,
}

/// The most: what fits a database's integer.
const MOST: u64 = 9_000_000_000_000_000_000;

impl FromStr for NanoUsd {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let dollars = Decimal::from_str(text.trim()).map_err(|_| BadAmount::NotANumber)?;
        let nanos = dollars.checked_mul(Decimal::from(1_000_000_000_u64)).ok_or(BadAmount::OutOfRange)?;
        if !nanos.is_integer() {
            return Err(BadAmount::TooFine);
        }
        nanos.to_u64().filter(|nanos| *nanos <= MOST).map(Self).ok_or(BadAmount::OutOfRange)
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = Decimal::from_i128_with_scale(i128::from(self.0), 9).normalize();
        dollars.fmt(f)
    }
}

impl From<NanoUsd> for String {
    fn from(amount: NanoUsd) -> Self {
        amount.to_string()
    }
}

/// An amount as JSON has it: a string, or a number for those who write by hand.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be an amount in US dollars, like \"12.50\"")]
enum AmountInput {
    AmountInput(String),
    Number(serde_json::Number),
}

impl TryFrom<AmountInput> for NanoUsd {
    type Error = BadAmount;

    fn try_from(text: AmountInput) -> Result<Self, BadAmount> {
        match text {
            AmountInput::AmountInput(text) => text.parse(),
            AmountInput::Number(number) => number.to_string().parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_read_back() {
        for text in ["0", "1", "12.5", "0.000000001", "9000000000"] {
            assert_eq!(text.parse::<NanoUsd>().unwrap().to_string(), text);
        }
        assert_eq!("12.50".parse(), Ok(NanoUsd(12_500_000_000)));
        assert_eq!(serde_json::from_str::<NanoUsd>("0.15").unwrap(), NanoUsd(150_000_000));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let read = |text: &str| text.parse::<NanoUsd>().unwrap_err();
        assert_eq!(read("-1"), BadAmount::OutOfRange);
        assert_eq!(read("9000000001"), BadAmount::OutOfRange);
        assert_eq!(read("0.0000000001"), BadAmount::TooFine);
        assert_eq!(read("one"), BadAmount::NotANumber);
    }
}
