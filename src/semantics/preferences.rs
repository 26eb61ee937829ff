//! Weighted preferences (RFC 9110 section 12.4.2), normalised so that equivalent ones are equal.

use http::{HeaderMap, HeaderName};

use super::list;

/// The members of `Accept-Encoding` or `Accept-Language`, by descending weight, then by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preferences(Vec<Preference>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preference {
    /// The name in lower case, with parameters other than the weight.
    pub(crate) name: String,
    /// The weight in thousandths.
    pub(crate) weight: u16,
}

impl Preferences {
    pub(crate) fn of(request: &HeaderMap, name: &HeaderName) -> Self {
        let mut members: Vec<_> = list::members(request, name)
            .map(Preference::parse)
            .collect();
        members.sort_unstable_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
        members.dedup();
        Self(members)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Preference> {
        self.0.iter()
    }

    /// The member that is preferred to all others, if there is one.
    pub(crate) fn sole_favourite(&self) -> Option<String> {
        let (first, others) = self.0.split_first()?;
        let sole = others.iter().all(|other| other.weight < first.weight);
        (sole && first.weight > 0 && first.name != "*").then(|| first.name.clone())
    }
}

impl Preference {
    fn parse(member: &[u8]) -> Self {
        let weighted = member
            .iter()
            .rposition(|byte| *byte == b';')
            .and_then(|at| Some((&member[..at], weight(member[at + 1..].trim_ascii())?)));
        let (name, weight) = weighted.unwrap_or((member, 1000));
        Self {
            name: String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase(),
            weight,
        }
    }
}

/// Parses `q=` and a number from 0 to 1 with up to three decimals.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', unit, decimals @ ..] = parameter else {
        return None;
    };
    let unit = match unit {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let decimals = match decimals {
        [] => b"",
        [b'.', decimals @ ..] if decimals.len() <= 3 => decimals,
        _ => return None,
    };
    let mut place = 100;
    let mut sum = unit;
    for digit in decimals {
        sum += u16::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?) * place;
        place /= 10;
    }
    (sum <= 1000).then_some(sum)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::ACCEPT_LANGUAGE};
    use proptest::prelude::*;

    use super::*;

    fn read(line: &[u8]) -> Preferences {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.insert(ACCEPT_LANGUAGE, value);
        }
        Preferences::of(&headers, &ACCEPT_LANGUAGE)
    }

    #[test]
    fn weights_are_in_thousandths() {
        // RFC 9110 section 12.4.2
        assert_eq!(weight(b"q=1.000"), Some(1000));
        assert_eq!(weight(b"Q=0.05"), Some(50));
        assert_eq!(weight(b"q=0."), Some(0));
        for invalid in [
            "q=1.001", "q=2", "q=0.1234", "q= 1", "q", "x=1", "q=-1", "q=0.x",
        ] {
            assert_eq!(weight(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn only_a_sole_favourite_counts() {
        let favourite = |line: &str| read(line.as_bytes()).sole_favourite();
        assert_eq!(favourite("fr;q=0.5, DE ; q=1.0").as_deref(), Some("de"));
        assert_eq!(favourite("fr, de"), None);
        assert_eq!(favourite("*"), None);
        assert_eq!(favourite("de;q=0"), None);
        assert_eq!(favourite(""), None);
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(mut members in proptest::collection::vec("[a-c]{1,2}(;q=0\\.[0-9])?", 0..5)) {
            let before = read(members.join(",").as_bytes());
            members.reverse();
            prop_assert_eq!(before, read(members.join(" , ").as_bytes()));
        }

        #[test]
        fn any_bytes_are_accepted(line: Vec<u8>) {
            read(&line).sole_favourite();
        }
    }
}
