//! Numbers as people type them.

/// What is wrong with an amount.
const NO_AMOUNT: &str =
    "must be an amount such as 12.50 or 1,250.50: with a decimal point, and commas only between thousands";

/// A whole number; none where nothing is typed.
///
/// # Errors
/// It is none.
pub(super) fn whole(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = digits(text).and_then(|digits| digits.parse().ok());
    number.map(Some).ok_or_else(|| "must be a whole number, such as 60 or 1,000".to_owned())
}

/// An amount without what is only there for people: the dollar sign, and commas between thousands. None where
/// nothing is typed.
///
/// # Errors
/// It is none.
pub(super) fn amount(text: &str) -> Result<Option<String>, String> {
    let text = text.strip_prefix('$').unwrap_or(text).trim_start();
    if text.is_empty() {
        return Ok(None);
    }
    let plain = match text.split_once('.') {
        None => digits(text),
        Some((whole, places)) if is_digits(places) => {
            // `.50` is an amount, too.
            let whole = if whole.is_empty() { Some("0".to_owned()) } else { digits(whole) };
            whole.map(|whole| format!("{whole}.{places}"))
        }
        Some(_) => None,
    };
    plain.map(Some).ok_or_else(|| NO_AMOUNT.to_owned())
}

/// Digits without the commas between thousands: one anywhere else may be a decimal comma.
fn digits(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let is_grouped = groups.clone().all(|group| group.len() == 3 && is_digits(group));
    let is_alone = groups.next().is_none();
    let is_number = is_digits(first) && is_grouped && (is_alone || first.len() <= 3);
    is_number.then(|| text.replace(',', ""))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_thousands_only() {
        let read = |text: &str| amount(text).unwrap().unwrap();
        for (typed, plain) in [
            ("5.50", "5.50"),
            ("$12", "12"),
            ("$ 1,250.50", "1250.50"),
            ("1,000,000", "1000000"),
            (".5", "0.5"),
            ("1250", "1250"),
        ] {
            assert_eq!(read(typed), plain);
        }
        for typed in [
            "5,50", "0,01", "1,5", "1.000,00", "1,0000", "1234,567", ",5", "1,", "5.", "-5", "+5", "1e3",
            "1 000", "1_000", "$$5", "٣",
        ] {
            assert!(amount(typed).is_err(), "{typed}");
            assert!(whole(typed).is_err(), "{typed}");
        }
        assert_eq!((amount(""), amount("$"), whole("")), (Ok(None), Ok(None), Ok(None)));
        assert_eq!((whole("60"), whole("1,000")), (Ok(Some(60)), Ok(Some(1000))));
        for typed in ["60,5", "60.5", "50 80", "99999999999999999999"] {
            assert!(whole(typed).is_err(), "{typed}");
        }
    }
}
