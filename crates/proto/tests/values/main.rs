//! What the stock client packs and unpacks (`vectors/binarypack.json`, `vectors/binarypack-chunks.json`, `vectors/msgpack.json`), beside what
//! is packed and unpacked here. What may differ stands in `docs/compat.md` alone.

#![allow(clippy::unwrap_used)]

#[path = "../../../server/tests/compat/compare.rs"]
#[allow(dead_code, reason = "the server's test replays parts of files")]
mod compare;
#[path = "../../../server/tests/compat/table.rs"]
#[allow(dead_code, reason = "behaviour is the server's test to check")]
mod table;

mod binarypack;
mod chunks;
mod msgpack;
mod notation;

use std::collections::BTreeSet;

use compare::{Judge, Observed};
use serde_json::Value as Json;

/// What messages call the document.
const PAGE: &str = "docs/compat.md";

/// Compares a file's entries. What has no row in the table must be the same.
fn judge(file: &'static str, entries: Vec<Entry>) {
    let section = table::section(file).map(|mut section| {
        let told: BTreeSet<_> = section.rows.iter().map(|row| row.entry.clone()).collect();
        let untold = entries.iter().filter(|entry| !told.contains(&entry.name));
        section.rows.extend(untold.map(|entry| table::Row {
            entry: entry.name.clone(),
            ..table::Row::default()
        }));
        section
    });
    let mut judge = Judge::new(file, section);
    let mut names = BTreeSet::new();
    for entry in entries {
        assert!(names.insert(entry.name.clone()), "two of {}", entry.name);
        let observed = |lines| Observed::from([(String::new(), lines)]);
        judge.take(
            &entry.name,
            &[],
            observed(entry.recorded),
            observed(entry.here),
        );
    }
    judge.finish();
}

/// What was recorded of a value, and what happens to it here.
struct Entry {
    name: String,
    recorded: Vec<String>,
    here: Vec<String>,
}

fn vectors(file: &str) -> Json {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let text = std::fs::read_to_string(path.join(file)).unwrap();
    // JavaScript's text has halves of characters; JSON here has not.
    serde_json::from_str(&text.replace(r#""\ud800""#, r#""\ufffd""#)).unwrap()
}

fn list<'a>(vectors: &'a Json, name: &str) -> &'a [Json] {
    vectors[name].as_array().unwrap()
}

fn text<'a>(entry: &'a Json, name: &str) -> &'a str {
    entry[name].as_str().unwrap()
}
