//! The time of day as HTTP writes it (RFC 9110, section 5.6.7: IMF-fixdate).

use mainstay_core::UnixTime;

/// The time to the second, in the form of a `Date` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpDate {
    second: u64,
    text: [u8; 29],
}

impl HttpDate {
    /// The text for `now`.
    #[must_use]
    pub(crate) fn new(now: UnixTime) -> Self {
        let second = now.as_nanos() / 1_000_000_000;
        Self { second, text: imf_fixdate(second) }
    }

    /// Moves on to `now`; the text is written anew once a second.
    pub(crate) fn update(&mut self, now: UnixTime) {
        if now.as_nanos() / 1_000_000_000 != self.second {
            *self = Self::new(now);
        }
    }

    /// The field's value.
    #[must_use]
    pub(crate) fn value(&self) -> &[u8] {
        &self.text
    }
}

const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// The second that an IMF-fixdate names; `None` for anything else, dates that do not exist among it. The obsolete forms
/// are not read: no server of this century writes them.
#[must_use]
pub(crate) fn parse_date(text: &[u8]) -> Option<u64> {
    let text: &[u8; 29] = text.try_into().ok()?;
    let number = |from: usize, to: usize| super::decimal(&text[from..to], 4);
    let month = MONTHS.as_chunks::<3>().0.iter().position(|name| *name == text[8..11])?;
    let day = day_of(number(12, 16)?, month as u64 + 1, number(5, 7)?)?;
    let second = day * 86_400 + number(17, 19)? * 3600 + number(20, 22)? * 60 + number(23, 25)?;
    (imf_fixdate(second) == *text).then_some(second)
}

fn imf_fixdate(second: u64) -> [u8; 29] {
    let (days, second_of_day) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let name = |names: &[u8], at: u64| -> [u8; 3] { std::array::from_fn(|byte| names[at as usize * 3 + byte]) };
    text[..3].copy_from_slice(&name(b"ThuFriSatSunMonTueWed", days % 7));
    digits(&mut text[5..7], day);
    text[8..11].copy_from_slice(&name(MONTHS, month - 1));
    digits(&mut text[12..16], year);
    digits(&mut text[17..19], second_of_day / 3600);
    digits(&mut text[20..22], second_of_day / 60 % 60);
    digits(&mut text[23..25], second_of_day % 60);
    text
}

fn digits(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01, counted in years that begin in March, so that the day that leap years
/// add is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil`]; `None` before 1970. Dates that do not exist give some day all the same.
fn day_of(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    days.checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_it_is_written() {
        for second in (0..10_000_000_000).step_by(86_400 * 17 + 12_345) {
            assert_eq!(parse_date(&imf_fixdate(second)), Some(second));
        }
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Thu, 01 Jan 0000 00:00:00 GMT",
            "Sun, 00 Jan 0000 00:00:00 GMT",
            "Sun, 06 Nov 1994 +8:49:37 GMT",
            "Tue, 30 Feb 2000 00:00:00 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn dates_read_as_the_rfc_writes_them() {
        for (second, want) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let date = HttpDate::new(UnixTime::from_nanos(second * 1_000_000_000));
            assert_eq!(std::str::from_utf8(date.value()), Ok(want), "{second}");
        }
    }

    #[test]
    fn the_text_moves_on_with_the_second() {
        let mut date = HttpDate::new(UnixTime::from_nanos(999_999_999));
        date.update(UnixTime::from_nanos(1_000_000_000));
        assert_eq!(date, HttpDate::new(UnixTime::from_nanos(1_500_000_000)));
    }
}
