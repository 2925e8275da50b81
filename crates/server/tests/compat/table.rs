//! `docs/compat.md` as data: nothing else says what may differ from the recordings.

use std::collections::BTreeSet;

use crate::PAGE;

/// The document, as people read it.
const DOC: &str = include_str!("../../../../docs/compat.md");

/// What the document says of one file of vectors.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) rules: Vec<Rule>,
    pub(crate) rows: Vec<Row>,
}

/// One entry of the vectors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// In the document, from 1; 0 for a row that is not there.
    pub(crate) line: usize,
    pub(crate) entry: String,
    pub(crate) changes: Changes,
}

/// A difference that many entries have: it may be met in any of the kind.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) line: usize,
    /// Which entries, in words that the replay of the file knows.
    pub(crate) kind: String,
    pub(crate) changes: Changes,
}

/// Observations, one a text: `bob recv {"type":"OPEN"}`, `vary: Accept`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// `-`: recorded, and not seen here.
    pub(crate) lost: Vec<String>,
    /// `+`: seen here, and not recorded.
    pub(crate) gained: Vec<String>,
}

/// One line about what the protocol's page says, or what the old server did wrong.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) line: usize,
    pub(crate) tests: Vec<String>,
}

/// What `docs/compat.md` says of `vectors/FILE`.
///
/// # Errors
/// Sentences, each about one row that cannot be read.
pub(crate) fn section(file: &str) -> Result<Section, Vec<String>> {
    parse_section(DOC, file)
}

/// The rows about behaviour, of all sections.
///
/// # Errors
/// As [`section`].
pub(crate) fn behaviours() -> Result<Vec<Behaviour>, Vec<String>> {
    parse_behaviours(DOC)
}

pub(crate) fn parse_section(doc: &str, file: &str) -> Result<Section, Vec<String>> {
    let mut section = Section::default();
    let mut wrong = Vec::new();
    let of_file = format!("`vectors/{file}`");
    for Cells { line, cells, .. } in rows_of(doc, &["entry", "verdict", "what differs", "why"])
        .filter(|row| row.heading.contains(&of_file))
    {
        match row(line, &cells) {
            Ok(row) => section.rows.push(row),
            Err(error) => wrong.push(format!("{PAGE}, line {line}: {error}")),
        }
    }
    for Cells { line, cells, .. } in
        rows_of(doc, &["where", "what differs", "why"]).filter(|row| row.heading.contains(&of_file))
    {
        match changes(&cells[1]) {
            Ok(changes) => section.rules.push(Rule {
                line,
                kind: cells[0].clone(),
                changes,
            }),
            Err(error) => wrong.push(format!("{PAGE}, line {line}: {error}")),
        }
    }
    let mut seen = BTreeSet::new();
    for row in &section.rows {
        if !seen.insert(&row.entry) {
            wrong.push(format!(
                "{PAGE}, line {}: `{}` has a row already: keep one",
                row.line, row.entry
            ));
        }
    }
    if wrong.is_empty() {
        Ok(section)
    } else {
        Err(wrong)
    }
}

pub(crate) fn parse_behaviours(doc: &str) -> Result<Vec<Behaviour>, Vec<String>> {
    let mut behaviours = Vec::new();
    let mut wrong = Vec::new();
    for Cells { line, cells, .. } in rows_of(doc, &["behaviour", "verdict", "why", "test"]) {
        let say = |what: &str| format!("{PAGE}, line {line}: {what}");
        let tests = code_spans(&cells[3]);
        match cells[1].as_str() {
            "same" => {}
            "different" if cells[2].is_empty() => {
                wrong.push(say("a difference needs its reason"));
            }
            "different" => {}
            other => wrong.push(say(&format!(
                "the verdict is `same` or `different`, not `{other}`"
            ))),
        }
        if tests.is_empty() {
            wrong.push(say("name the test that shows it, in backticks"));
        }
        behaviours.push(Behaviour { line, tests });
    }
    if wrong.is_empty() {
        Ok(behaviours)
    } else {
        Err(wrong)
    }
}

fn row(line: usize, cells: &[String]) -> Result<Row, String> {
    let entry = cells[0].trim_matches('`').to_owned();
    let changes = changes(&cells[2])?;
    let differs = changes != Changes::default();
    match (cells[1].as_str(), differs) {
        ("same", false) => {}
        ("same", true) => {
            return Err(format!(
                "`{entry}` says `same` and names differences: it is `different`, or they go"
            ));
        }
        ("different", false) => {
            return Err(format!(
                "`{entry}` says `different`: say what, each line as `- what was recorded` or `+ what is seen here`"
            ));
        }
        ("different", true) if cells[3].is_empty() => {
            return Err(format!("`{entry}` differs: say why"));
        }
        ("different", true) => {}
        (verdict, _) => {
            return Err(format!(
                "the verdict of `{entry}` is `same` or `different`, not `{verdict}`"
            ));
        }
    }
    Ok(Row {
        line,
        entry,
        changes,
    })
}

fn changes(cell: &str) -> Result<Changes, String> {
    let mut changes = Changes::default();
    for line in code_spans(cell) {
        match line.split_at_checked(2) {
            Some(("- ", rest)) => changes.lost.push(rest.to_owned()),
            Some(("+ ", rest)) => changes.gained.push(rest.to_owned()),
            _ => {
                return Err(format!(
                    "`{line}` begins with neither `- ` (recorded, not seen here) nor `+ ` (seen here, not recorded)"
                ));
            }
        }
    }
    if let Some(both) = changes
        .lost
        .iter()
        .find(|line| changes.gained.contains(line))
    {
        return Err(format!(
            "`{both}` is said to be lost and gained: only its place may differ, and that needs other words"
        ));
    }
    Ok(changes)
}

/// A row of a table of the document, with the headings above it.
struct Cells {
    line: usize,
    heading: String,
    cells: Vec<String>,
}

fn rows_of<'a>(doc: &'a str, columns: &'a [&str]) -> impl Iterator<Item = Cells> + 'a {
    let mut heading = String::new();
    let mut within = false;
    doc.lines().enumerate().filter_map(move |(index, text)| {
        if text.starts_with('#') {
            heading = text.to_owned();
        }
        let Some(cells) = cells(text) else {
            within = false;
            return None;
        };
        if !within {
            within = cells == columns;
            return None;
        }
        let is_rule = cells
            .iter()
            .all(|cell| !cell.is_empty() && cell.trim_matches(':').bytes().all(|c| c == b'-'));
        (!is_rule).then(|| Cells {
            line: index + 1,
            heading: heading.clone(),
            cells: (0..columns.len())
                .map(|at| cells.get(at).cloned().unwrap_or_default())
                .collect(),
        })
    })
}

/// Of `| a | b |`. A pipe within a cell is written `\|`.
fn cells(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('|')?.strip_suffix('|')?;
    let mut cells = vec![String::new()];
    let mut rest = inner.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next_if_eq(&'|').is_some() => cells.last_mut()?.push('|'),
            '|' => cells.push(String::new()),
            c => cells.last_mut()?.push(c),
        }
    }
    Some(
        cells
            .into_iter()
            .map(|cell| cell.trim().to_owned())
            .collect(),
    )
}

fn code_spans(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
