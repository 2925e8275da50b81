//! The table of `docs/compat-peerfetch.md`, read as a program reads it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// One row: what the old proxies do, and what is done here.
#[derive(Debug)]
pub(super) struct Row {
    /// Recorded step as `PROXY: STEP`, or a behaviour.
    pub(super) entry: String,
    pub(super) same: bool,
    /// What comes from the proxy in place of what was recorded: texts, and bodies in square brackets.
    pub(super) instead: Vec<String>,
    tests: Vec<String>,
}

/// Recorded step by step, in the order of the recording.
pub(super) fn steps() -> Vec<(String, Value)> {
    let text = fs::read_to_string(root().join("vectors/peerfetch.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let steps = vectors["steps"].as_array().unwrap().clone();
    let name = |step: &Value| {
        let part = |name: &str| step[name].as_str().unwrap().to_owned();
        format!("{}: {}", part("proxy"), part("step"))
    };
    steps.into_iter().map(|step| (name(&step), step)).collect()
}

pub(super) fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/compat-peerfetch.md")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| entry ");
    text.lines()
        .filter(is_row)
        .filter(|line| !line.starts_with("| --- "))
        .map(row)
        .collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [entry, verdict, instead, _why, tests] = cells[..] else {
        panic!("not five cells: {line}");
    };
    Row {
        entry: entry.to_owned(),
        same: match verdict {
            "same" => true,
            "different" => false,
            other => panic!("neither same nor different: {other}"),
        },
        instead: quoted(instead),
        tests: quoted(tests),
    }
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_recorded_step_has_one_row_and_every_row_that_claims_one_is_recorded() {
    let entries: Vec<_> = rows().into_iter().map(|row| row.entry).collect();
    let distinct: BTreeSet<_> = entries.iter().cloned().collect();
    assert_eq!(entries.len(), distinct.len(), "an entry stands twice");
    let recorded: BTreeSet<_> = steps().into_iter().map(|(name, _)| name).collect();
    let claimed = entries.into_iter().filter(|entry| {
        entry.starts_with("peerjs.ext.http_proxy: ") || entry.starts_with("peerfetch.proxy: ")
    });
    assert_eq!(claimed.collect::<BTreeSet<_>>(), recorded);
}

#[test]
fn every_test_that_the_table_names_exists_and_no_sameness_is_claimed_without_one() {
    let mut names = BTreeSet::new();
    for folder in [
        "crates/proto/src",
        "crates/peer/tests",
        "crates/cli",
        "e2e/tests",
    ] {
        collect(&root().join(folder), &mut names);
    }
    for row in rows() {
        assert!(
            !row.same || !row.tests.is_empty(),
            "{} has no test",
            row.entry
        );
        for test in row.tests {
            assert!(
                names.contains(&test),
                "{}: there is no test {test:?}",
                row.entry
            );
        }
    }
}

/// The names of all tests below a folder: `fn NAME()` under an attribute of a test, and `test('NAME'`.
fn collect(path: &Path, names: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), names);
        }
        return;
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !matches!(extension, Some("rs" | "mjs")) {
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    let mut attribute = false;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("test('") {
            names.extend(rest.split('\'').next().map(ToOwned::to_owned));
        }
        let function = line
            .strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ");
        if let Some(function) = function.filter(|_| attribute) {
            names.extend(function.split('(').next().map(ToOwned::to_owned));
        }
        attribute = line == "#[test]" || line.starts_with("#[tokio::test");
    }
}
