//! JSON numbers as exact decimals: no rounding, whatever their size.

use std::cmp::Ordering;
use std::fmt;

/// Numbers below a power of ten of this size are written without an exponent.
pub(super) const PLAIN_DIGITS: u8 = 21;

/// As many zeros may follow the point before the first digit.
const PLAIN_ZEROS: i64 = 6;

/// `0.digits` times ten to the power of `point`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Without zeros at either end; empty for 0.
    digits: String,
    /// 0 for 0.
    point: i64,
}

impl Decimal {
    /// Reads a number in JSON's spelling; none where it is none, or its exponent is absurd.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_whole = whole == "0" || (!whole.is_empty() && !whole.starts_with('0'));
        if !is_whole || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let exponent: i64 = exponent.parse().ok()?;
        let all = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        let zeros = all.len().checked_sub(significant.len())?;
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), point: 0 });
        }
        let length = |length: usize| i64::try_from(length).ok();
        let point = exponent.checked_add(length(whole.len())?)?.checked_sub(length(zeros)?)?;
        Some(Self { is_negative, digits: digits.to_owned(), point })
    }

    /// How far from 0 it is, comparably.
    fn magnitude(&self) -> (bool, i64, &str) {
        (!self.digits.is_empty(), self.point, &self.digits)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As ECMAScript writes numbers, with all digits.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_negative, digits, point } = self;
        if digits.is_empty() {
            return f.write_str("0");
        }
        if *is_negative {
            f.write_str("-")?;
        }
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
        if (1..=i64::from(PLAIN_DIGITS)).contains(point) {
            let at = usize::try_from(*point).unwrap_or_default();
            return match digits.split_at_checked(at) {
                Some((whole, "")) => f.write_str(whole),
                Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
                None => write!(f, "{digits}{}", zeros(point.saturating_sub(count))),
            };
        }
        if (1_i64.saturating_sub(PLAIN_ZEROS)..=0).contains(point) {
            return write!(f, "0.{}{digits}", zeros(point.saturating_neg()));
        }
        let exponent = point.saturating_sub(1);
        let sign = if exponent < 0 { "-" } else { "+" };
        match digits.split_at_checked(1) {
            Some((first, rest)) if !rest.is_empty() => {
                write!(f, "{first}.{rest}e{sign}{}", exponent.unsigned_abs())
            }
            _ => write!(f, "{digits}e{sign}{}", exponent.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}")).to_string()
    }

    #[test]
    fn a_number_has_one_spelling() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0e7", "0"),
            ("100", "100"),
            ("1e2", "100"),
            ("100.00", "100"),
            ("1E+2", "100"),
            ("10000e-2", "100"),
            ("-1.50", "-1.5"),
            ("0.002", "0.002"),
            ("2e-3", "0.002"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("100000000000000000000", "100000000000000000000"),
            ("1000000000000000000000", "1e+21"),
            ("4.50", "4.5"),
            ("1e400", "1e+400"),
            ("12e-9", "1.2e-8"),
            ("9007199254740993", "9007199254740993"),
            ("333333333.33333329", "333333333.33333329"),
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
        for text in
            ["", "-", "+1", "01", ".5", "1.", "1e", "0x1", "NaN", "1e99999999999999999999", "1 ", "--1"]
        {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ordered = [
            "-1e9",
            "-10",
            "-9.99",
            "-0.1",
            "0",
            "1e-400",
            "0.09",
            "0.1",
            "9",
            "9.0000000000000001",
            "10",
            "1e9",
        ];
        let numbers: Vec<_> = ordered.iter().map(|text| Decimal::parse(text).unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn agrees_with_floats_where_those_are_exact(a in -1_000_000_i32..1_000_000, b in -1_000_000_i32..1_000_000) {
            let (x, y) = (f64::from(a) / 1024.0, f64::from(b) / 1024.0);
            let read = |float: f64| Decimal::parse(&serde_json::to_string(&float).unwrap()).unwrap();
            prop_assert_eq!(read(x).cmp(&read(y)), x.partial_cmp(&y).unwrap());
            prop_assert_eq!(read(x).to_string().parse::<f64>().unwrap().to_bits(), (x + 0.0).to_bits());
        }

        #[test]
        fn what_is_written_reads_back(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?") {
            let number = Decimal::parse(&text).unwrap();
            prop_assert_eq!(Decimal::parse(&number.to_string()), Some(number));
        }

        #[test]
        fn no_text_panics(text in "[-0-9.eE+]{0,40}|\\PC{0,20}") {
            let _ = Decimal::parse(&text).map(|number| number.to_string());
        }
    }
}
