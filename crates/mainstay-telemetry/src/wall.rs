//! Civil time for people: RFC 3339 in UTC, to the millisecond.
//!
//! The days are turned into a date by the arithmetic of H. Hinnant, "chrono-compatible low-level date algorithms".

use mainstay_core::UnixTime;

use crate::json::push_digits;

/// Appends `at`, as in `2026-01-31T23:59:59.042Z`.
pub(crate) fn push_time(out: &mut Vec<u8>, at: UnixTime) {
    let millis = at.as_nanos() / 1_000_000;
    let (seconds, milli) = (millis / 1000, millis % 1000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    for (number, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (milli, 3, b'Z'),
    ] {
        push_digits(out, number, width);
        out.push(after);
    }
}

/// Year, month and day of the day that begins `days` days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, millis: u64) -> String {
        let mut out = Vec::new();
        push_time(&mut out, UnixTime::from_nanos((seconds * 1000 + millis) * 1_000_000));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn instants_known_from_elsewhere_are_written_right() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(text(1_000_000_000, 999), "2001-09-09T01:46:40.999Z");
        assert_eq!(text(4_107_542_399, 0), "2100-02-28T23:59:59.000Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
