//! The tables against the tree, and the rules of the comparison.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compare::{Judge, Observed};
use crate::table::{behaviours, parse_behaviours, parse_section};

#[test]
fn every_behaviour_names_tests_that_exist() {
    let behaviours = behaviours().unwrap_or_else(|wrong| panic!("\n{}\n", wrong.join("\n")));
    let known = tests_of_the_tree();
    let mut wrong = Vec::new();
    for behaviour in &behaviours {
        for test in behaviour.tests.iter().filter(|test| !known.contains(*test)) {
            wrong.push(format!(
                "docs/compat.md, line {}: there is no test `{test}` under crates/ or e2e/tests, and no recorded entry of that name",
                behaviour.line
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(!behaviours.is_empty(), "the document tells of behaviour");
}

/// Names of test functions, titles of browser tests, and the entries of the recordings, which are replayed here.
fn tests_of_the_tree() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut names = BTreeSet::new();
    for file in files_below(&root.join("crates"), "rs") {
        let text = fs::read_to_string(file).expect("sources are text");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            } else if let Some((_, rest)) = line.split_once("fn ")
                && std::mem::take(&mut is_test)
            {
                names.extend(rest.split('(').next().map(str::to_owned));
            }
        }
    }
    for file in files_below(&root.join("e2e/tests"), "mjs") {
        let text = fs::read_to_string(file).expect("sources are text");
        for line in text.lines().map(str::trim) {
            let title = line
                .strip_prefix("test('")
                .and_then(|rest| rest.split("',").next());
            names.extend(title.map(|title| title.replace("\\'", "'")));
        }
    }
    for file in [
        "peerjs-server.json",
        "pnp-discovery.json",
        "username-signaling.json",
        "rooms.json",
    ] {
        let rows = crate::table::section(file)
            .map(|section| section.rows)
            .unwrap_or_default();
        names.extend(rows.into_iter().map(|row| row.entry));
    }
    names
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files
}

const DOC: &str = r"
## Old server: `vectors/old.json`

| where | what differs | why |
| --- | --- | --- |
| every answer | `- etag` | of no use |

| entry | verdict | what differs | why |
| --- | --- | --- | --- |
| hello | same | | |
| bye | different | `- bob recv bye`<br>`+ bob close 1000` | politeness |
";

/// Takes both entries, as recorded and as seen, and gives what the judge has to say.
fn judged(doc: &str, hello: [&[&str]; 2], bye: [&[&str]; 2]) -> String {
    let observed = |lines: &[&str]| {
        Observed::from([(
            "bob".to_owned(),
            lines.iter().map(|line| (*line).to_owned()).collect(),
        )])
    };
    let mut judge = Judge::new("old.json", parse_section(doc, "old.json"));
    for (entry, [recorded, seen]) in [("hello", hello), ("bye", bye)] {
        judge.take(entry, &["every answer"], observed(recorded), observed(seen));
    }
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge.finish()));
    match verdict {
        Ok(()) => String::new(),
        Err(error) => error.downcast_ref::<String>().expect("a message").clone(),
    }
}

const HELLO: [&[&str]; 2] = [&["etag: 1", "a", "b"], &["a", "b"]];
const BYE: [&[&str]; 2] = [&["bob recv bye"], &["bob close 1000"]];

#[test]
fn what_the_document_says_is_let_pass() {
    assert_eq!(judged(DOC, HELLO, BYE), "");
}

#[test]
fn what_the_document_does_not_say_fails_and_is_named() {
    let more = judged(DOC, [HELLO[0], &["a", "b", "c"]], BYE);
    assert!(more.contains("`+ c`"), "{more}");
    let less = judged(DOC, [HELLO[0], &["a"]], BYE);
    assert!(less.contains("`- b`"), "{less}");
    let order = judged(DOC, [HELLO[0], &["b", "a"]], BYE);
    assert!(order.contains("the order"), "{order}");
}

#[test]
fn a_difference_that_is_none_fails() {
    let still_said = judged(DOC, HELLO, [BYE[0], &["bob recv bye", "bob close 1000"]]);
    assert!(
        still_said.contains("take `- bob recv bye` out"),
        "{still_said}"
    );
    let not_closed = judged(DOC, HELLO, [BYE[0], &[]]);
    assert!(
        not_closed.contains("take `+ bob close 1000` out"),
        "{not_closed}"
    );
    let never_recorded = judged(DOC, HELLO, [&[], BYE[1]]);
    assert!(
        never_recorded.contains("the recording has no `bob recv bye`"),
        "{never_recorded}"
    );
    let rule = judged(DOC, [&["a", "b"], HELLO[1]], BYE);
    assert!(rule.contains("no entry differs in this way"), "{rule}");
}

#[test]
fn a_rule_lets_pass_only_what_it_names() {
    let other = judged(DOC, [&["etag: 1", "etag-like: 1", "a", "b"], HELLO[1]], BYE);
    assert!(other.contains("`- etag-like: 1`"), "{other}");
}

#[test]
fn an_entry_without_a_row_and_a_row_without_an_entry_fail() {
    let renamed = judged(&DOC.replace("| hello |", "| hallo |"), HELLO, BYE);
    assert!(renamed.contains("no row for `hello`"), "{renamed}");
    assert!(renamed.contains("`hallo` is no entry"), "{renamed}");
}

#[test]
fn a_row_that_contradicts_itself_fails() {
    for (old, new, says) in [
        (
            "| hello | same |",
            "| hello | equal |",
            "is `same` or `different`",
        ),
        ("| hello | same |", "| hello | different |", "say what"),
        ("| bye | different |", "| bye | same |", "names differences"),
        ("| politeness |", "| |", "say why"),
        ("`- bob recv bye`", "`bob recv bye`", "begins with neither"),
        ("+ bob close 1000", "+ bob recv bye", "lost and gained"),
        ("| bye |", "| hello |", "has a row already"),
    ] {
        let doc = DOC.replace(old, new);
        let wrong = parse_section(&doc, "old.json").unwrap_err().join("\n");
        assert!(wrong.contains(says), "{new}: {wrong}");
    }
    let behaviour = |row: &str| {
        let doc =
            format!("| behaviour | verdict | why | test |\n| --- | --- | --- | --- |\n{row}\n");
        parse_behaviours(&doc).map(|rows| rows.len())
    };
    assert_eq!(behaviour("| greets | same | | `x` |"), Ok(1));
    for row in [
        "| greets | same | | |",
        "| greets | different | | `x` |",
        "| greets | alike | | `x` |",
    ] {
        assert!(behaviour(row).is_err(), "{row}");
    }
}
