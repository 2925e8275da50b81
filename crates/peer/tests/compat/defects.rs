//! The stock client's known defects, each with what is done instead and the test that shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::doc;

#[test]
fn each_known_defect_has_a_row_and_names_tests_that_exist() {
    let mut known = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    tests_below(&root.join("crates"), &mut known);
    tests_below(&root.join("e2e/tests"), &mut known);
    let mut defects = Vec::new();
    for row in doc().lines().filter(|line| line.starts_with("| C")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [defect, _, instead, tests] = cells[..] else {
            panic!("a defect, what it is, what happens instead and tests: {row}");
        };
        defects.push(defect.to_owned());
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert_eq!(tests.is_empty(), instead == "media: not yet", "{row}");
        for test in tests {
            assert!(known.contains(test), "{defect}: there is no test `{test}`");
        }
    }
    let all: Vec<_> = (1..=21).map(|number| format!("C{number}")).collect();
    assert_eq!(defects, all);
}

/// Names of test functions, and titles of browser tests.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, names);
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("rs" | "mjs")) {
            continue;
        }
        let mut is_test = false;
        for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            } else if let Some((_, rest)) = line.split_once("fn ") {
                if std::mem::take(&mut is_test) {
                    names.extend(rest.split('(').next().map(str::to_owned));
                }
            } else if let Some(rest) = line.strip_prefix("test('") {
                names.extend(rest.split("',").next().map(str::to_owned));
            }
        }
    }
}
