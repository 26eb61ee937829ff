//! Times in the format of RFC 3339.

use crate::clock::Timestamp;

/// A time in UTC with milliseconds: `2026-12-01T17:36:51.123Z`. Times after the year 9999, which the
/// format cannot express, become its last one.
pub(super) fn format(time: Timestamp) -> String {
    const LAST: u64 = 253_402_300_799_999;
    let millis = time.0.min(LAST);
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The year, month and day of a number of days since 1970-01-01.
///
/// Years begin in March here, so that a leap day is the last of its year, and lengths repeat every 400
/// years, which have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    // The days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 153 days in five.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_formatted_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_796_146_611_123, "2026-12-01T17:36:51.123Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(Timestamp(millis)), text);
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_http_dates(seconds in 0..253_402_300_799_u64) {
            let formatted = format(Timestamp(seconds * 1000));
            let time = Timestamp(seconds * 1000).system();
            let http = httpdate::fmt_http_date(time);
            prop_assert_eq!(&formatted[8..10], &http[5..7]);
            prop_assert_eq!(&formatted[..4], &http[12..16]);
            prop_assert_eq!(&formatted[11..19], &http[17..25]);
        }
    }
}
