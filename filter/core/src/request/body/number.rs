//! A number that limits something. Clients write whole numbers in many ways.

/// A JSON value where a whole number is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Null,
    /// From 0; a larger number than fits is the largest.
    Whole(u64),
    /// −1, which several servers read as "no limit".
    Endless,
    /// A fraction, another negative number, a string.
    Other,
}

impl Number {
    /// Reads a value that is valid JSON.
    pub(super) fn read(raw: &str) -> Self {
        if raw == "null" {
            return Self::Null;
        }
        let (negative, text) = raw.strip_prefix('-').map_or((false, raw), |text| (true, text));
        match (whole(text), negative) {
            (None, _) => Self::Other,
            (Some(0), _) => Self::Whole(0),
            (Some(1), true) => Self::Endless,
            (Some(_), true) => Self::Other,
            (Some(number), false) => Self::Whole(number),
        }
    }

    /// The whole number, where it is one.
    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(number),
            Self::Null | Self::Endless | Self::Other => None,
        }
    }
}

/// The value of an unsigned JSON number; none where it is not whole, or no number.
fn whole(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if before.is_empty() || ![before, after].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let digits = [before, after].concat();
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = i64::try_from(digits.len().checked_sub(significant.len())?).ok()?;
    let shift = zeros.checked_sub(i64::try_from(after.len()).ok()?)?;
    let power = match exponent.map(str::parse::<i64>) {
        None => shift,
        Some(Ok(exponent)) => exponent.saturating_add(shift),
        Some(Err(_)) if exponent.is_some_and(|text| text.starts_with('-')) => return None,
        Some(Err(_)) => i64::MAX,
    };
    let power = u32::try_from(power.min(i64::from(u32::MAX))).ok()?;
    let value = significant.parse::<u64>().ok().zip(10_u64.checked_pow(power));
    Some(value.and_then(|(value, scale)| value.checked_mul(scale)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (raw, expected) in [
            ("4096", Number::Whole(4096)),
            ("4096.0", Number::Whole(4096)),
            ("1e3", Number::Whole(1000)),
            ("1.5E+1", Number::Whole(15)),
            ("40960e-1", Number::Whole(4096)),
            ("0", Number::Whole(0)),
            ("-0", Number::Whole(0)),
            ("-0.0", Number::Whole(0)),
            ("0e99999999999999999999", Number::Whole(0)),
            ("18446744073709551615", Number::Whole(u64::MAX)),
            ("18446744073709551616", Number::Whole(u64::MAX)),
            ("1e400", Number::Whole(u64::MAX)),
            ("1e99999999999999999999", Number::Whole(u64::MAX)),
            ("-1", Number::Endless),
            ("-1.0", Number::Endless),
            ("-10e-1", Number::Endless),
            ("null", Number::Null),
        ] {
            assert_eq!(Number::read(raw), expected, "{raw}");
        }
        for raw in ["1.5", "1e-1", "1e-99999999999999999999", "-2", "\"4096\"", "true", "[1]", "{}", "\"\""] {
            assert_eq!(Number::read(raw), Number::Other, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn writing_a_number_otherwise_changes_nothing(number: u64, zeros in 0_usize..30, shift in 0_usize..30) {
            let fraction = format!("{number}.{}", "0".repeat(zeros.saturating_add(1)));
            prop_assert_eq!(Number::read(&fraction), Number::Whole(number));
            let scaled = format!("{number}{}e-{shift}", "0".repeat(shift));
            prop_assert_eq!(Number::read(&scaled), Number::Whole(number));
        }

        #[test]
        fn every_float_is_read_as_what_it_is(number in prop_oneof![-9.0e15..9.0e15_f64, (-3.0..9.0e15_f64).prop_map(f64::trunc)]) {
            let expected = match number {
                number if number.fract() != 0.0 => Number::Other,
                number if number >= 0.0 => Number::Whole(format!("{number:.0}").parse().unwrap()),
                number if number > -2.0 => Number::Endless,
                _ => Number::Other,
            };
            prop_assert_eq!(Number::read(&serde_json::to_string(&number).unwrap()), expected);
        }

        #[test]
        fn no_text_panics(raw in "[-0-9.eE+]{0,40}|\\PC{0,20}") {
            Number::read(&raw);
        }
    }
}
