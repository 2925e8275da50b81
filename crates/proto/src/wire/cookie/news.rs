//! What scripts may know of the jar: the state of cookies, and changes that scripts make. JSON in both directions.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::wire::statement::Time;

/// Most octets of all `peerage-cookie` values of a response.
const MAX_NEWS: usize = 16 * 1024;
/// Most `peerage-cookie` fields of a response.
const MAX_FIELDS: usize = 32;
/// Says: list them anew.
const ANEW: &str = "*";

/// Left as they are in a field: what a field can hold, except the sign that says otherwise.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// A cookie that scripts may read, or the news that it is gone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieState {
    /// Its name; may be empty.
    pub name: String,
    /// What it says; `None`: it is gone, or never was.
    pub value: Option<String>,
    /// Where it belongs, in paths of the device.
    pub path: String,
    /// The domain that it named; `None`: none.
    pub domain: Option<String>,
    /// When it ends, by the device's clock; `None`: with the session.
    pub expires: Option<Time>,
    /// Orders cookies whose paths are of one length, lower first.
    pub created: u64,
    /// Rises with every change.
    pub stamp: u64,
}

/// The cookies that scripts may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The highest stamp that was given out.
    pub stamp: u64,
    /// The device's clock.
    pub now: Time,
    /// In no order that counts.
    pub cookies: Vec<CookieState>,
}

/// What scripts did, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// One for each `document.cookie = …`.
    pub changes: Vec<Change>,
}

/// One `document.cookie = …`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The document's path, without its query.
    pub path: String,
    /// What was assigned.
    pub cookie: String,
}

/// A body that holds no changes. Says where, never what: values are secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangesError {
    /// Not the JSON that is wanted.
    #[error("not the JSON that is wanted here, at line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A document's path that is none.
    #[error("the path of a document begins with /")]
    Path,
}

impl CookieState {
    /// The value of a `peerage-cookie` field.
    pub fn emit(&self) -> String {
        // A struct of texts and numbers has no reason to fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        utf8_percent_encode(&json, ESCAPED).to_string()
    }

    /// Reads the value of a `peerage-cookie` field; `None` for `*`, and for what is none.
    pub fn parse(field: &str) -> Option<Self> {
        let json = percent_decode_str(field).decode_utf8().ok()?;
        serde_json::from_str(&json).ok()
    }
}

/// The `peerage-cookie` fields for these news.
pub fn announce(news: &[CookieState]) -> Vec<String> {
    let fields: Vec<String> = news.iter().map(CookieState::emit).collect();
    let octets: usize = fields.iter().map(String::len).sum();
    if fields.len() > MAX_FIELDS || octets > MAX_NEWS {
        return vec![ANEW.to_owned()];
    }
    fields
}

impl Changes {
    /// Reads the body of a POST.
    ///
    /// # Errors
    /// It is no JSON of this form.
    pub fn parse(body: &[u8]) -> Result<Self, ChangesError> {
        let changes: Self = serde_json::from_slice(body).map_err(|error| ChangesError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        if changes
            .changes
            .iter()
            .all(|change| change.path.starts_with('/'))
        {
            Ok(changes)
        } else {
            Err(ChangesError::Path)
        }
    }
}

impl fmt::Debug for CookieState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieState")
            .field("path", &self.path)
            .field("gone", &self.value.is_none())
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, value: &str) -> CookieState {
        CookieState {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            path: "/".to_owned(),
            domain: None,
            expires: None,
            created: 1,
            stamp: 2,
        }
    }

    #[test]
    fn a_field_says_everything_and_holds_only_what_a_field_can() {
        for value in ["1", "", "a b\t\"\\%41", "grüß 🍪", "100%"] {
            let state = state("n", value);
            let field = state.emit();
            assert!(
                field.bytes().all(|octet| (0x21..0x7f).contains(&octet)),
                "{field}"
            );
            assert_eq!(CookieState::parse(&field), Some(state));
        }
        assert_eq!(
            state("n", "a").emit(),
            r#"{"name":"n","value":"a","path":"/","domain":null,"expires":null,"created":1,"stamp":2}"#
        );
    }

    #[test]
    fn more_news_than_fit_are_one_star() {
        let some = |count| vec![state("n", "v"); count];
        assert_eq!(announce(&some(0)), Vec::<String>::new());
        assert_eq!(announce(&some(32)).len(), 32);
        assert_eq!(announce(&some(33)), ["*"]);
        let long = "%".repeat(4000);
        assert_eq!(announce(&[state("n", &long)]).len(), 1);
        assert_eq!(announce(&[state("n", &long), state("m", &long)]), ["*"]);
        assert_eq!(CookieState::parse("*"), None);
    }

    #[test]
    fn bodies_that_hold_no_changes_are_refused_without_a_word_of_theirs() {
        let good = Changes::parse(br#"{"changes":[{"path":"/a","cookie":"hush=1"}],"later":1}"#);
        assert_eq!(good.expect("changes").changes[0].cookie, "hush=1");
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"changes":[{"path":"a","cookie":"hush=1"}]}"#,
            r#"{"changes":["hush"]}"#,
            r#"{"changes":[{"path":"/","cookie":{"hush":1}}]}"#,
            r#"{"changes":"hush"}"#,
        ] {
            let error = Changes::parse(bad.as_bytes()).expect_err(bad);
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }

    #[test]
    fn values_are_never_shown() {
        let change = Change {
            path: "/".to_owned(),
            cookie: "hush=hush".to_owned(),
        };
        let shown = format!("{:?} {change:?}", state("hush", "hush"));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
