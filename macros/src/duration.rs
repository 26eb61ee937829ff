//! Durations, written as in the table.

use std::time::Duration;

use syn::{Error, Expr, ExprLit, Lit, Result};

/// Parses `"30m"`, `"1h30m"`, `"50ms"` or a whole number of seconds.
pub(crate) fn parse(value: &Expr) -> Result<Duration> {
    let parsed = match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => from_text(&text.value()),
        Expr::Lit(ExprLit {
            lit: Lit::Int(seconds),
            ..
        }) => seconds.base10_parse().ok().map(Duration::from_secs),
        _ => None,
    };
    let message = "not a duration; write \"30m\", \"1h30m\", \"50ms\" or a whole number of seconds (units: d, h, m, s, ms)";
    parsed.ok_or_else(|| Error::new_spanned(value, message))
}

fn from_text(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "d" => Duration::from_secs(24 * 3600),
            "h" => Duration::from_secs(3600),
            "m" => Duration::from_secs(60),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        rest = &rest[letters..];
        sum = sum.checked_add(unit.checked_mul(number)?)?;
    }
    (!text.trim().is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_the_table() {
        for (text, millis) in [
            ("30m", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("50ms", Some(50)),
            ("2d", Some(172_800_000)),
            ("", None),
            ("30", None),
            ("m", None),
            ("soon", None),
            ("5 m", None),
            ("99999999999d", None),
        ] {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(from_text(text), expected, "{text:?}");
        }
    }
}
