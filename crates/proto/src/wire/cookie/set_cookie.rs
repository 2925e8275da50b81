//! `Set-Cookie`, and what scripts write into `document.cookie`: RFC 6265bis 5.6.

use std::fmt;

use super::date;
use crate::wire::statement::Time;

/// Most octets of name and value together.
pub const MAX_COOKIE: usize = 4096;
/// Most octets of an attribute's value; longer ones are as if they were not there.
pub const MAX_ATTRIBUTE: usize = 1024;

/// No cookie lives longer, whatever its server says: 400 days (6265bis 5.5).
const MAX_AGE: u64 = 400 * 24 * 3600;

/// A line that was understood. Values are secrets: `Debug` shows their length.
#[derive(Clone, PartialEq, Eq)]
pub struct SetCookie {
    /// May be empty; then the value is not.
    pub name: Vec<u8>,
    /// May be empty; then the name is not.
    pub value: Vec<u8>,
    /// Begins with `/`; else the path of the request decides.
    pub path: Option<Vec<u8>>,
    /// Lower case, without a dot in front; never empty.
    pub domain: Option<Vec<u8>>,
    /// Seconds, from when the line is read.
    pub max_age: Option<i64>,
    /// When it ends, if there is no `max_age`.
    pub expires: Option<Time>,
    /// Over encrypted connections only.
    pub secure: bool,
    /// Hidden from scripts.
    pub http_only: bool,
    /// With requests that other sites cause.
    pub same_site: SameSite,
}

/// Whether a cookie goes along with requests that other sites cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed; also if nothing is said.
    #[default]
    Lax,
    /// As far as such requests are passed on at all.
    None,
}

/// A line that is no cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// A control character other than a tab.
    #[error("a control character")]
    Control,
    /// Neither name nor value.
    #[error("neither name nor value")]
    Empty,
    /// More than [`MAX_COOKIE`] octets of name and value.
    #[error("more than {MAX_COOKIE} octets")]
    TooLong,
}

impl SetCookie {
    /// Reads a line as browsers do: what makes no sense in an attribute is skipped, and of several of a kind the last counts.
    ///
    /// # Errors
    /// The line as a whole is to be ignored.
    pub fn parse(line: &[u8]) -> Result<Self, CookieError> {
        if line.iter().any(|octet| is_control(*octet)) {
            return Err(CookieError::Control);
        }
        let mut parts = line.split(|octet| *octet == b';');
        let (name, value) = match cut(parts.next().unwrap_or_default()) {
            (value, None) => (&b""[..], value),
            (name, Some(value)) => (name, value),
        };
        if name.is_empty() && value.is_empty() {
            return Err(CookieError::Empty);
        }
        if name.len() + value.len() > MAX_COOKIE {
            return Err(CookieError::TooLong);
        }
        let mut cookie = Self {
            name: name.to_vec(),
            value: value.to_vec(),
            path: None,
            domain: None,
            max_age: None,
            expires: None,
            secure: false,
            http_only: false,
            same_site: SameSite::default(),
        };
        for part in parts {
            let (name, value) = cut(part);
            let value = value.unwrap_or_default();
            if value.len() <= MAX_ATTRIBUTE {
                cookie.attribute(&name.to_ascii_lowercase(), value);
            }
        }
        Ok(cookie)
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"expires" => self.expires = date::parse(value).or(self.expires),
            b"max-age" => self.max_age = seconds(value).or(self.max_age),
            b"domain" => {
                let domain = value.strip_prefix(b".").unwrap_or(value);
                self.domain = Some(domain.to_ascii_lowercase()).filter(|domain| !domain.is_empty());
            }
            b"path" => self.path = Some(value.to_vec()).filter(|path| path.starts_with(b"/")),
            b"secure" => self.secure = true,
            b"httponly" => self.http_only = true,
            b"samesite" => {
                self.same_site = match value.to_ascii_lowercase().as_slice() {
                    b"strict" => SameSite::Strict,
                    b"none" => SameSite::None,
                    _ => SameSite::Lax,
                };
            }
            _ => {}
        }
    }

    /// When the cookie ends, as told at `now`; `None`: with the session.
    pub fn ends(&self, now: Time) -> Option<Time> {
        let latest = now.0.saturating_add(MAX_AGE * 1000);
        let asked = match (self.max_age, self.expires) {
            (Some(seconds), _) => match u64::try_from(seconds) {
                Ok(seconds @ 1..) => now.0.saturating_add(seconds.saturating_mul(1000)),
                _ => 0,
            },
            (None, Some(expires)) => expires.0,
            (None, None) => return None,
        };
        Some(Time(asked.min(latest)))
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SetCookie({} octets)",
            self.name.len() + self.value.len()
        )
    }
}

/// Control characters, all of which end a line or confuse somebody; a tab is none here.
pub(crate) fn is_control(octet: u8) -> bool {
    (octet < 0x20 && octet != b'\t') || octet == 0x7f
}

/// `name = value`, without the white space around both.
fn cut(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match part.iter().position(|octet| *octet == b'=') {
        Some(at) => (trim(&part[..at]), Some(trim(&part[at + 1..]))),
        None => (trim(part), None),
    }
}

fn trim(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// Digits, perhaps with a minus in front; more than a number holds is the largest.
fn seconds(text: &[u8]) -> Option<i64> {
    let (minus, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Some(if minus { -number } else { number })
}
