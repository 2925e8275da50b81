//! What was recorded beside what was seen, and the sentences about everything that the table does not explain.

use std::collections::BTreeMap;

use crate::PAGE;
use crate::table::{Changes, Row, Section};

/// Of one entry: what each participant saw, in its order. Participants' orders among each other are not the server's to keep.
pub(crate) type Observed = BTreeMap<String, Vec<String>>;

/// Compares the entries of one file with its section of the document.
pub(crate) struct Judge {
    file: &'static str,
    section: Section,
    /// Rows and rules that explained something, or had nothing to explain.
    met: Vec<usize>,
    wrong: Vec<String>,
}

impl Judge {
    pub(crate) fn new(file: &'static str, section: Result<Section, Vec<String>>) -> Self {
        let (section, wrong) = match section {
            Ok(section) => (section, Vec::new()),
            Err(wrong) => (Section::default(), wrong),
        };
        Self {
            file,
            section,
            met: Vec::new(),
            wrong,
        }
    }

    /// What the table lets this entry do otherwise.
    pub(crate) fn changes(&self, entry: &str) -> Changes {
        self.row(entry).map(|row| row.changes).unwrap_or_default()
    }

    /// Takes what was recorded of an entry, what was seen of it, and the kinds whose rules it may use.
    pub(crate) fn take(
        &mut self,
        entry: &str,
        kinds: &[&str],
        mut recorded: Observed,
        mut seen: Observed,
    ) {
        let Some(row) = self.row(entry) else {
            self.wrong.push(format!(
                "{PAGE} has no row for `{entry}` of vectors/{}: add one, `same`, or `different` with what differs and why",
                self.file
            ));
            return;
        };
        self.met.push(row.line);
        let at = format!("{PAGE}, line {} (`{entry}`)", row.line);
        for line in &row.changes.lost {
            let (then, now) = (count(&recorded, line), count(&seen, line));
            if then == 0 {
                self.wrong.push(format!(
                    "{at}: the recording has no `{line}`: take `- {line}` out, or write it as it was recorded"
                ));
            } else if now >= then {
                self.wrong.push(format!(
                    "{at}: the server does `{line}` as recorded: take `- {line}` out of the row if that is well, mend the server if not"
                ));
            } else {
                remove(&mut recorded, line);
            }
        }
        for line in &row.changes.gained {
            if count(&seen, line) == 0 {
                self.wrong.push(format!(
                    "{at}: the server does no `{line}`: take `+ {line}` out of the row if that is well, mend the server if not"
                ));
            }
            remove(&mut seen, line);
        }
        for rule in self
            .section
            .rules
            .iter()
            .filter(|rule| kinds.contains(&rule.kind.as_str()))
        {
            let lost = forgive(&mut recorded, &rule.changes.lost, &seen);
            let gained = forgive(&mut seen, &rule.changes.gained, &recorded);
            if lost || gained {
                self.met.push(rule.line);
            }
        }
        recorded.retain(|_, lines| !lines.is_empty());
        seen.retain(|_, lines| !lines.is_empty());
        if recorded != seen {
            self.wrong.push(format!(
                "{at}: mend the server, or let the row say so and why:{}",
                differences(&recorded, &seen)
            ));
        }
    }

    /// Fails if anything was not as the document says, or the document says what nothing shows.
    pub(crate) fn finish(mut self) {
        for row in &self.section.rows {
            if !self.met.contains(&row.line) {
                self.wrong.push(format!(
                    "{PAGE}, line {}: `{}` is no entry of vectors/{}: take the row out, or name the entry as the file does",
                    row.line, row.entry, self.file
                ));
            }
        }
        for rule in &self.section.rules {
            if !self.met.contains(&rule.line) {
                self.wrong.push(format!(
                    "{PAGE}, line {}: no entry differs in this way (any more): take the row out (`{}`)",
                    rule.line, rule.kind
                ));
            }
        }
        self.finish_part();
    }

    /// As [`Judge::finish`], where not all entries of the file were replayed.
    pub(crate) fn finish_part(self) {
        assert!(self.wrong.is_empty(), "\n{}\n", self.wrong.join("\n"));
    }

    fn row(&self, entry: &str) -> Option<Row> {
        self.section
            .rows
            .iter()
            .find(|row| row.entry == entry)
            .cloned()
    }
}

fn count(observed: &Observed, line: &str) -> usize {
    observed
        .values()
        .flatten()
        .filter(|seen| *seen == line)
        .count()
}

fn remove(observed: &mut Observed, line: &str) {
    for lines in observed.values_mut() {
        if let Some(at) = lines.iter().position(|seen| seen == line) {
            lines.remove(at);
            return;
        }
    }
}

/// Takes out what the rule names and the other side has not. A rule that names a field without a value means any.
fn forgive(observed: &mut Observed, named: &[String], other: &Observed) -> bool {
    let mut any = false;
    for lines in observed.values_mut() {
        lines.retain(|line| {
            let is_named = named.iter().any(|named| {
                line == named
                    || line
                        .strip_prefix(named.as_str())
                        .is_some_and(|rest| rest.starts_with(": "))
            });
            let forgiven = is_named && count(other, line) == 0;
            any |= forgiven;
            !forgiven
        });
    }
    any
}

fn differences(recorded: &Observed, seen: &Observed) -> String {
    let mut said = String::new();
    let none = Vec::new();
    for who in recorded
        .keys()
        .chain(seen.keys().filter(|who| !recorded.contains_key(*who)))
    {
        let (then, now) = (
            recorded.get(who).unwrap_or(&none),
            seen.get(who).unwrap_or(&none),
        );
        let mut rest = now.clone();
        let mut lost = Vec::new();
        for line in then {
            match rest.iter().position(|seen| seen == line) {
                Some(at) => {
                    rest.remove(at);
                }
                None => lost.push(line),
            }
        }
        for line in &lost {
            said.push_str(&format!("\n    `- {line}`"));
        }
        for line in &rest {
            said.push_str(&format!("\n    `+ {line}`"));
        }
        if lost.is_empty() && rest.is_empty() && then != now {
            said.push_str(&format!("\n    the order: recorded {then:?}, seen {now:?}"));
        }
    }
    said
}
