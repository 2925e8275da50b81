//! What people read: errors, sizes, times.

use std::{
    fmt,
    io::{self, Write as _},
    time::Duration,
};

use peerage_peer::{About, Route};

use crate::exit::Failure;

/// Tells on stderr why a command failed.
pub(crate) fn complain(failure: &Failure) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(io::stderr(), "peerage: {failure}");
}

/// Tells on stderr what the person should know although the command goes on.
pub(crate) fn warn(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "peerage: warning: {message}");
}

/// Tells on stderr what is going on, to who has not asked for quiet.
pub(crate) fn notice(quiet: bool, message: impl fmt::Display) {
    if !quiet {
        let _ = writeln!(io::stderr(), "* {message}");
    }
}

/// What somebody else wrote, fit for a terminal: nothing in it moves the cursor, changes colours, turns the direction of writing or begins a line.
pub(crate) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => harmless.push_str("\n    "),
            '\t' => harmless.push(' '),
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                harmless.extend(c.escape_unicode())
            }
            c if c.is_control() => harmless.extend(c.escape_unicode()),
            c => harmless.push(c),
        }
    }
    harmless
}

/// One event for a machine to read: an object on a line of its own, flushed.
pub(crate) fn json(out: &mut impl io::Write, event: &serde_json::Value) -> io::Result<()> {
    writeln!(out, "{event}")?;
    out.flush()
}

/// The way that a connection's packets take.
pub(crate) const fn route(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct",
        Route::Relayed => "relayed",
    }
}

/// Tells on stderr which way a connection took, where somebody asked for more than errors: as a log line, now and when it changes.
pub(crate) fn tell_route(about: &About) {
    let mut routes = about.routes();
    tracing::info!(route = route(*routes.borrow_and_update()), "connected");
    tokio::spawn(async move {
        while routes.changed().await.is_ok() {
            tracing::info!(
                route = route(*routes.borrow_and_update()),
                "the way has changed"
            );
        }
    });
}

/// A number of octets as people read it: `0 B`, `1.2 kB`, `3.4 GB`.
pub(crate) fn octets(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1_000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 999.95 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A round trip: `0.4 ms`, `23 ms`.
pub(crate) fn round_trip(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

/// A span of time: `4 s`, `12 min`, `3 h 5 min`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_else_wrote_acts_on_the_terminal() {
        assert_eq!(harmless("tëxt ✓ 👩‍🚀"), "tëxt ✓ 👩‍🚀");
        assert_eq!(harmless("\x1b[2J\x07"), "\\u{1b}[2J\\u{7}");
        assert_eq!(harmless("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(harmless("a\rb"), "a\\u{d}b");
        assert_eq!(harmless("\u{202e}gpj"), "\\u{202e}gpj");
        assert_eq!(harmless("hi\nbob: I owe you"), "hi\n    bob: I owe you");
    }

    #[test]
    fn sizes_and_times_read_well_at_their_borders() {
        assert_eq!(octets(0), "0 B");
        assert_eq!(octets(999), "999 B");
        assert_eq!(octets(1_000), "1.0 kB");
        assert_eq!(octets(999_949), "999.9 kB");
        assert_eq!(octets(999_950), "1.0 MB");
        assert_eq!(octets(u64::MAX), "18446.7 PB");
        assert_eq!(round_trip(Duration::from_micros(412)), "0.4 ms");
        assert_eq!(round_trip(Duration::from_millis(23)), "23 ms");
        assert_eq!(span(Duration::from_secs(119)), "119 s");
        assert_eq!(span(Duration::from_secs(120)), "2 min");
        assert_eq!(span(Duration::from_secs(11_100)), "3 h 5 min");
    }
}
