use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::NanoUsd;

/// How many times as much as the standard tier something costs: billionths, and in JSON a decimal, as in
/// "1.75".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "MultiplierInput", into = "String")]
#[schema(value_type = String, example = "1.75")]
pub struct Multiplier(u64);

/// Why a multiplier is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a multiple of the standard price such as \"1.75\": more than 0, at most 100, with at most nine \
     decimal places"
)]
pub struct BadMultiplier;

const ONE: u64 = 1_000_000_000;

impl Multiplier {
    /// So many thousandths.
    #[must_use]
    pub const fn thousandths(thousandths: u64) -> Self {
        Self(thousandths * (ONE / 1000))
    }

    /// So many times as much, rounded up.
    #[must_use]
    pub fn of(self, rate: NanoUsd) -> NanoUsd {
        super::scaled(rate, NanoUsd(self.0), NanoUsd(ONE))
    }
}

impl FromStr for Multiplier {
    type Err = BadMultiplier;

    fn from_str(text: &str) -> Result<Self, BadMultiplier> {
        let times = Decimal::from_str(text.trim()).map_err(|_| BadMultiplier)?;
        let billionths = times.checked_mul(Decimal::from(ONE)).filter(Decimal::is_integer);
        let billionths = billionths.and_then(|billionths| billionths.to_u64()).ok_or(BadMultiplier)?;
        if (1..=100 * ONE).contains(&billionths) { Ok(Self(billionths)) } else { Err(BadMultiplier) }
    }
}

impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal::from_i128_with_scale(i128::from(self.0), 9).normalize().fmt(f)
    }
}

impl From<Multiplier> for String {
    fn from(multiplier: Multiplier) -> Self {
        multiplier.to_string()
    }
}

/// A multiplier as JSON has it: a string, or a number for those who write by hand.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a multiple of the standard price such as \"1.75\"")]
enum MultiplierInput {
    MultiplierInput(String),
    Number(serde_json::Number),
}

impl TryFrom<MultiplierInput> for Multiplier {
    type Error = BadMultiplier;

    fn try_from(text: MultiplierInput) -> Result<Self, BadMultiplier> {
        match text {
            MultiplierInput::MultiplierInput(text) => text.parse(),
            MultiplierInput::Number(number) => number.to_string().parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_read_back() {
        for text in ["0.5", "1", "1.75", "100", "0.000000001"] {
            assert_eq!(text.parse::<Multiplier>().unwrap().to_string(), text);
        }
        assert_eq!("2".parse(), Ok(Multiplier::thousandths(2000)));
        for text in ["0", "-1", "100.1", "twice", "", "0.0000000001", "1e-12"] {
            assert_eq!(text.parse::<Multiplier>(), Err(BadMultiplier), "{text}");
        }
        assert_eq!(Multiplier::thousandths(1500).of(NanoUsd(3)), NanoUsd(5), "rounded up");
    }
}
