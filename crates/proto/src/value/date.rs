//! Moments.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS: u32 = 1_000_000_000;

/// A moment: seconds from 1970 on, in UTC without leap seconds, and nanoseconds.
///
/// `Display` writes what JavaScript's `toISOString` does (`2024-02-01T01:01:01.001Z`), with more digits after the point where they say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    seconds: i64,
    nanos: u32,
}

impl Date {
    /// `None` for a second or more of nanoseconds.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (nanos < NANOS).then_some(Self { seconds, nanos })
    }

    /// JavaScript's `new Date(millis)`.
    pub fn from_millis(millis: i64) -> Self {
        Self {
            seconds: millis.div_euclid(1000),
            nanos: (millis.rem_euclid(1000) * 1_000_000) as u32,
        }
    }

    /// JavaScript's `getTime()`: what is finer than a millisecond is cut off. `None` where it does not fit.
    pub fn as_millis(self) -> Option<i64> {
        self.seconds
            .checked_mul(1000)?
            .checked_add(i64::from(self.nanos / 1_000_000))
    }

    /// Seconds from 1970 on, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after [`seconds`](Self::seconds), below 1,000,000,000.
    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self {
                seconds: seconds(after),
                nanos: after.subsec_nanos(),
            },
            Err(error) => {
                let before = error.duration();
                match before.subsec_nanos() {
                    0 => Self {
                        seconds: -seconds(before),
                        nanos: 0,
                    },
                    nanos => Self {
                        seconds: -seconds(before) - 1,
                        nanos: NANOS - nanos,
                    },
                }
            }
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 86_400;
        let (year, month, day) = civil(self.seconds.div_euclid(DAY));
        let time = self.seconds.rem_euclid(DAY);
        // ECMAScript's expanded years have a sign and six digits.
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+07}")?,
        }
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.nanos {
            nanos if nanos % 1_000_000 == 0 => write!(f, ".{:03}Z", nanos / 1_000_000),
            nanos if nanos % 1000 == 0 => write!(f, ".{:06}Z", nanos / 1000),
            nanos => write!(f, ".{nanos:09}Z"),
        }
    }
}

/// A text is no moment as [`Date`]'s `Display` writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a moment is written as in 2024-02-01T01:01:01.001Z")]
pub struct DateError;

impl FromStr for Date {
    type Err = DateError;

    /// Reads what `Display` writes, with any number of digits after the point up to nine.
    fn from_str(text: &str) -> Result<Self, DateError> {
        parse(text).ok_or(DateError)
    }
}

fn parse(text: &str) -> Option<Date> {
    // From the end on, as years have any length.
    let text = text.strip_suffix('Z')?;
    let (text, nanos) = match text.split_once('.') {
        Some((text, digits)) if (1..=9).contains(&digits.len()) => {
            let rest = 9 - digits.len() as u32;
            (text, number(digits)? * 10_i64.pow(rest))
        }
        Some(_) => return None,
        None => (text, 0),
    };
    let (year, rest) = text.split_at_checked(text.len().checked_sub(15)?)?;
    let field = |at: usize, before: u8| {
        let is_after = rest.as_bytes().get(at - 1) == Some(&before);
        is_after.then(|| number(rest.get(at..at + 2)?))?
    };
    let (month, day) = (field(1, b'-')?, field(4, b'-')?);
    let (hour, minute, second) = (field(7, b'T')?, field(10, b':')?, field(13, b':')?);
    let year = match year.as_bytes() {
        [b'+', digits @ ..] if digits.len() >= 6 => number(&year[1..])?,
        [b'-', digits @ ..] if digits.len() >= 6 => -number(&year[1..])?,
        digits if digits.len() == 4 => number(year)?,
        _ => return None,
    };
    // The largest that 64 bits of seconds reach.
    if year.abs() > 300_000_000_000 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_of(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let time = hour * 3600 + minute * 60 + second;
    let seconds = i128::from(days) * 86_400 + i128::from(time);
    Date::new(seconds.try_into().ok()?, nanos.try_into().ok()?)
}

/// Of digits alone.
fn number(digits: &str) -> Option<i64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    are_digits.then(|| digits.parse().ok())?
}

/// The day counted from 1970-01-01, of any year, month and day; what does not exist has none that [`civil`] gives back.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let days_before_month = (153 * ((month + 9).rem_euclid(12)) + 2) / 5;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    days + days_before_month + day - 1 - 719_468
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that the day of a leap year is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (
        days.div_euclid(DAYS_IN_400_YEARS),
        days.rem_euclid(DAYS_IN_400_YEARS),
    );
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}
