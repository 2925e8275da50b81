//! Dates in cookies: RFC 6265 5.1.1, which reads whatever servers ever wrote.

use crate::wire::statement::Time;

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// The moment that a text names; what lies before 1970 is 1970.
pub(super) fn parse(text: &[u8]) -> Option<Time> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text
        .split(|octet| is_delimiter(*octet))
        .filter(|token| !token.is_empty())
    {
        // The first token that fits is taken, in this order; one that fits nothing says nothing.
        if time.is_none() && set(&mut time, hms(token)) {
            continue;
        }
        if day.is_none() && set(&mut day, number(token, 1, 2)) {
            continue;
        }
        if month.is_none() && set(&mut month, month_of(token)) {
            continue;
        }
        if year.is_none() {
            year = number(token, 2, 4);
        }
    }
    let ((hour, minute, second), day, month) = (time?, day?, month?);
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let exists = year >= 1601
        && (1..=days_in(month, year)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !exists {
        return None;
    }
    let seconds =
        days_since_1970(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(Time(u64::try_from(seconds).unwrap_or(0) * 1000))
}

fn set<T>(place: &mut Option<T>, found: Option<T>) -> bool {
    *place = found;
    place.is_some()
}

fn is_delimiter(octet: u8) -> bool {
    matches!(octet, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// A number of `least` to `most` digits at the beginning, and no digit after it.
fn number(token: &[u8], least: usize, most: usize) -> Option<u32> {
    let digits = token.iter().take_while(|octet| octet.is_ascii_digit());
    let (mut count, mut value) = (0, 0);
    for digit in digits {
        count += 1;
        if count > most {
            return None;
        }
        value = value * 10 + u32::from(digit - b'0');
    }
    (count >= least).then_some(value)
}

/// `1:2:3` to `11:22:33`, and anything but a digit after it.
fn hms(token: &[u8]) -> Option<(u32, u32, u32)> {
    let mut parts = token.splitn(3, |octet| *octet == b':');
    let whole = |part: &[u8]| {
        part.iter()
            .all(u8::is_ascii_digit)
            .then(|| number(part, 1, 2))?
    };
    Some((
        whole(parts.next()?)?,
        whole(parts.next()?)?,
        number(parts.next()?, 1, 2)?,
    ))
}

/// 1 to 12.
fn month_of(token: &[u8]) -> Option<u32> {
    let name = token.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| **month == *name)?;
    u32::try_from(at + 1).ok()
}

fn days_in(month: u32, year: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, in the calendar that is used today. Years begin in March here, so that the day of a leap year is the last.
fn days_since_1970(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let days_before_month = i64::from((153 * ((month + 9) % 12) + 2) / 5);
    let days = 365 * year + year / 4 - year / 100 + year / 400;
    days + days_before_month + i64::from(day) - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        parse(text.as_bytes()).map(|time| time.0 / 1000)
    }

    #[test]
    fn every_way_in_which_servers_write_a_date_is_read() {
        // `date -u -d '2031-02-03 04:05:06' +%s`
        for text in [
            "Mon, 03 Feb 2031 04:05:06 GMT",
            "Monday, 03-Feb-31 04:05:06 GMT",
            "Mon Feb  3 04:05:06 2031",
            "3 feb 2031 4:5:6",
            "2031 04:05:06 FEBRUARY 3",
            "03-02 Feb 04:05:06 2031 17",
            "Mon, 03-Feb-2031 04:05:06 +0200",
            "\t,;03/Feb/31_x;04:05:06pm",
            "3rd February 31st 04:05:06.789",
        ] {
            let wanted = match text {
                // "03" is the day, "02" the year: the order of the tokens decides.
                "03-02 Feb 04:05:06 2031 17" => 1_012_709_106,
                _ => 1_927_857_906,
            };
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn known_moments_come_out_right() {
        for (text, wanted) in [
            ("01 Jan 1970 00:00:00", 0),
            ("29 Feb 2000 12:00:00", 951_825_600),
            ("01 Mar 1900 00:00:00", 0),
            ("31 Dec 69 23:59:59", 3_155_759_999),
            ("01 Jan 70 00:00:01", 1),
            ("31 Dec 9999 23:59:59", 253_402_300_799),
            ("01 Jan 1601 00:00:00", 0),
        ] {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_names_no_moment_is_none() {
        for text in [
            "",
            "tomorrow",
            "03 Feb 2031",
            "04:05:06 Feb 2031",
            "03 04:05:06 2031",
            "03 Feb 04:05:06",
            "00 Feb 2031 04:05:06",
            "29 Feb 2031 04:05:06",
            "29 Feb 2100 04:05:06",
            "31 Apr 2031 04:05:06",
            "32 Jan 2031 04:05:06",
            "03 Feb 1600 04:05:06",
            "03 Feb 20310 04:05:06",
            "03 Feb 2031 24:05:06",
            "03 Feb 2031 04:60:06",
            "03 Feb 2031 04:05:60",
            "03 Feb 2031 04:05",
            "003 Feb 2031 004:05:06",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
