//! Numbers and names as people read them, on pages and in messages.

/// A count with its thousands set apart: `12,345`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A word of the API as a person says it: `rate_limit` is `rate limit`.
#[must_use]
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}
