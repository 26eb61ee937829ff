//! HTTP dates (RFC 9110 section 5.6.7): the three forms, without regard to case.
//!
//! `httpdate` formats them, but does not parse them: it rejects dates in another case and those
//! whose day name does not match the date. Origins send both, and a date that is rejected makes an
//! `Expires` response stale.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Timestamp;

/// The value of a date field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateField {
    Absent,
    /// Not a date, or several lines.
    Invalid,
    At(Timestamp),
}

impl DateField {
    /// Reads a date field. `now` decides the century of a two-digit year.
    pub(crate) fn read(headers: &HeaderMap, name: &HeaderName, now: Timestamp) -> Self {
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Absent,
            (Some(line), None) => parse(line.as_bytes(), now).map_or(Self::Invalid, Self::At),
            (Some(_), Some(_)) => Self::Invalid,
        }
    }

    pub(crate) fn valid(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// Parses an IMF-fixdate, an RFC 850 date or an asctime date. Dates before 1970 become 1970.
///
/// The day name must be valid, but may be the wrong one.
pub(crate) fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let mut date = Cursor(value);
    let long = date.day_name()?;
    let time = match date.next()? {
        // RFC 850
        b',' if long => date.day_month_year("-", |date| Some(full_year(date.digits(2)?, now)))?,
        // IMF-fixdate
        b',' => date.day_month_year(" ", |date| date.digits(4))?,
        b' ' if !long => date.asctime()?,
        _ => return None,
    };
    date.0.is_empty().then_some(time)
}

/// Formats a time as an IMF-fixdate.
pub(crate) fn format(time: Timestamp) -> HeaderValue {
    // An IMF-fixdate has no years beyond 9999.
    let time = time.min(Timestamp(LAST_SECOND * 1000));
    HeaderValue::try_from(httpdate::fmt_http_date(time.system())).expect("a date is a field value")
}

const LAST_SECOND: u64 = 253_402_300_799;
const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn exactly(&mut self, text: &str) -> Option<()> {
        let head = self.0.split_off(..text.len())?;
        head.eq_ignore_ascii_case(text.as_bytes()).then_some(())
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        let mut number = 0;
        for _ in 0..count {
            let digit = self.next()?.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            number = number * 10 + u64::from(digit);
        }
        Some(number)
    }

    /// Whether the day name is a long one.
    fn day_name(&mut self) -> Option<bool> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_alphabetic())?;
        let name = self.0.split_off(..end)?;
        let long = position(&DAYS, name).is_some();
        let short = position(&DAYS.map(|day| &day[..3]), name).is_some();
        (long || short).then_some(long)
    }

    fn month(&mut self) -> Option<u64> {
        Some(position(&MONTHS, self.0.split_off(..3)?)? as u64 + 1)
    }

    /// Seconds since midnight; a leap second is allowed.
    fn time_of_day(&mut self) -> Option<u64> {
        let hour = self.digits(2)?;
        self.exactly(":")?;
        let minute = self.digits(2)?;
        self.exactly(":")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
    }

    fn day_month_year(
        &mut self,
        separator: &str,
        year: impl FnOnce(&mut Self) -> Option<u64>,
    ) -> Option<Timestamp> {
        self.exactly(" ")?;
        let day = self.digits(2)?;
        self.exactly(separator)?;
        let month = self.month()?;
        self.exactly(separator)?;
        let year = year(self)?;
        self.exactly(" ")?;
        let time = self.time_of_day()?;
        self.exactly(" GMT")?;
        timestamp(year, month, day, time)
    }

    fn asctime(&mut self) -> Option<Timestamp> {
        let month = self.month()?;
        self.exactly(" ")?;
        let day = match self.0.first()? {
            b' ' => {
                self.exactly(" ")?;
                self.digits(1)?
            }
            _ => self.digits(2)?,
        };
        self.exactly(" ")?;
        let time = self.time_of_day()?;
        self.exactly(" ")?;
        let year = self.digits(4)?;
        timestamp(year, month, day, time)
    }
}

fn position(names: &[&str], name: &[u8]) -> Option<usize> {
    names
        .iter()
        .position(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Completes a two-digit year: one that seems more than 50 years in the future is the latest past
/// year with the same digits.
fn full_year(two_digits: u64, now: Timestamp) -> u64 {
    let this_year = 1970 + now.seconds() / 31_556_952;
    let year = this_year - this_year % 100 + two_digits;
    if year > this_year + 50 {
        year - 100
    } else if year + 50 <= this_year {
        year + 100
    } else {
        year
    }
}

fn timestamp(year: u64, month: u64, day: u64, time: u64) -> Option<Timestamp> {
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    Some(days.map_or(Timestamp(0), |days| {
        Timestamp((days * 86_400 + time) * 1000)
    }))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let years = year.checked_sub(1970)?;
    let before = year - 1;
    let leaps = (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let months: u64 = (1..month).map(|month| days_in_month(year, month)).sum();
    Some(years * 365 + leaps + months + day - 1)
}

#[cfg(test)]
mod tests {
    use http::header::EXPIRES;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_780_000_000_000); // 2026

    fn seconds(text: &str) -> Option<u64> {
        parse(text.as_bytes(), NOW).map(Timestamp::seconds)
    }

    #[test]
    fn all_three_forms_are_parsed() {
        // RFC 9110 section 5.6.7
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        assert_eq!(seconds("Sun Nov 16 08:49:37 1994"), Some(784_975_777));
        assert_eq!(
            seconds("Tue, 19 Jan 2038 14:14:08 GMT"),
            Some(2_147_523_248)
        );
        assert_eq!(
            seconds("Sun, 21 Nov 2286 04:46:39 GMT"),
            Some(10_000_039_599)
        );
    }

    #[test]
    fn case_and_a_wrong_day_do_not_matter() {
        let right = seconds("Thu, 18 Aug 2050 02:01:18 GMT");
        assert!(right.is_some());
        for text in [
            "THU, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 AUG 2050 02:01:18 GMT",
            "Fri, 18 Aug 2050 02:01:18 gMT",
            "Thursday, 18-Aug-50 02:01:18 GMT",
            "Thu Aug 18 02:01:18 2050",
        ] {
            assert_eq!(seconds(text), right, "{text}");
        }
    }

    #[test]
    fn other_forms_are_not_dates() {
        // RFC 9111 section 5.3: an invalid date is in the past, whatever it looks like
        for text in [
            "0",
            "",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT ",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 8 Aug 2050 02:01:18 GMT",
            "Thx, 18 Aug 2050 02:01:18 GMT",
            "Thu, 31 Jun 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:00:00 GMT",
            "Thursday, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18-Aug-50 02:01:18 GMT",
            "Thu Aug 8 02:01:18 2050",
            "Thursday Aug  8 02:01:18 2050",
            "Thu Aug  8 02:01:18 2050 GMT",
            "Thu, 29 Feb 2050 02:01:18 GMT",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn two_digit_years_stay_within_fifty_years() {
        let year = |text| seconds(text).map(|s| 1970 + s / 31_556_952);
        assert_eq!(year("Sunday, 06-Nov-76 08:49:37 GMT"), Some(2076));
        assert_eq!(year("Sunday, 06-Nov-77 08:49:37 GMT"), Some(1977));
        assert_eq!(year("Sunday, 06-Nov-99 08:49:37 GMT"), Some(1999));
        assert_eq!(year("Sunday, 06-Nov-00 08:49:37 GMT"), Some(2000));
        assert_eq!(year("Sunday, 06-Nov-70 08:49:37 GMT"), Some(2070));
    }

    #[test]
    fn a_repeated_field_is_invalid() {
        let mut headers = HeaderMap::new();
        assert_eq!(DateField::read(&headers, &EXPIRES, NOW), DateField::Absent);
        headers.append(EXPIRES, format(NOW));
        assert_eq!(DateField::read(&headers, &EXPIRES, NOW), DateField::At(NOW));
        headers.append(EXPIRES, format(NOW));
        assert_eq!(DateField::read(&headers, &EXPIRES, NOW), DateField::Invalid);
    }

    #[test]
    fn dates_before_the_epoch_become_the_epoch() {
        assert_eq!(seconds("Thu, 01 Jan 1969 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Thu, 01 Jan 0000 00:00:00 GMT"), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(value: Vec<u8>, now: u64) {
            parse(&value, Timestamp(now));
        }

        #[test]
        fn a_formatted_date_parses_to_itself(seconds in 0..LAST_SECOND) {
            let time = Timestamp(seconds * 1000);
            prop_assert_eq!(parse(format(time).as_bytes(), NOW), Some(time));
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0usize..29, byte: u8) {
            let mut text = *b"Thu, 18 Aug 2050 02:01:18 GMT";
            text[at] = byte;
            parse(&text, NOW);
        }
    }
}
