//! What the person, or a script, reads of an examination.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::IpAddr,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use peerage_peer::doctor::{Finding, Nat, Probe, Progress, Status, Step};
use serde_json::json;

use super::mend::Case;
use crate::{
    exit::{Exit, Failure},
    output,
};

/// Columns of a line of what to do.
const WIDTH: usize = 110;
/// Columns before what was found.
const INDENT: usize = 23;

/// Tells what is found: step by step to a person, all at the end to a script.
pub(super) struct Report {
    case: Case,
    /// The device that is called too.
    device: Option<String>,
    json: bool,
    colours: bool,
    /// Shown while a step is being taken.
    spinner: ProgressBar,
    begun: Instant,
    steps: Vec<Step>,
    /// So many are printed. What one means may be known only with the next of its kind.
    printed: usize,
    /// Why nothing can be printed any more.
    broken: Option<io::Error>,
}

impl Report {
    pub(super) fn begin(
        case: Case,
        device: Option<String>,
        json: bool,
        quiet: bool,
    ) -> io::Result<Self> {
        let spinner = if json || quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let style = ProgressStyle::with_template("  {spinner}     {msg} …");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let spinner = ProgressBar::new_spinner().with_style(style);
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        };
        if !json {
            let mut out = io::stdout().lock();
            let and_device = device.as_deref().map_or_else(String::new, |device| {
                format!(" and the device {}", short(device))
            });
            writeln!(out, "Examining {}{and_device}\n", case.server)?;
            out.flush()?;
        }
        Ok(Self {
            case,
            device,
            json,
            colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            spinner,
            begun: Instant::now(),
            steps: Vec::new(),
            printed: 0,
            broken: None,
        })
    }

    /// Takes in how it goes.
    pub(super) fn hear(&mut self, progress: Progress) {
        match progress {
            Progress::Begun(probe) => {
                self.print(Some(probe));
                self.spinner.set_message(match probe {
                    // Side by side.
                    Probe::Stun => "STUN, TURN",
                    probe => label(probe),
                });
            }
            Progress::Done(step) => {
                self.print(Some(step.probe));
                self.steps.push(step);
            }
        }
    }

    /// Tells what it comes to.
    ///
    /// # Errors
    /// Something does not work, or nobody reads.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.print(None);
        self.spinner.finish_and_clear();
        if let Some(error) = self.broken {
            return Err(error.into());
        }
        let failed = self.having(Status::Failed);
        let warned = self.having(Status::Warning);
        let conclusion = conclusion(&self.steps);
        let mut out = io::stdout().lock();
        if self.json {
            let steps: Vec<_> = self.steps.iter().map(|step| self.object(step)).collect();
            let status = match (failed.is_empty(), warned.is_empty()) {
                (false, _) => Status::Failed,
                (true, false) => Status::Warning,
                (true, true) => Status::Ok,
            };
            output::json(
                &mut out,
                &json!({
                    "server": self.case.server.as_str(),
                    "device": self.device,
                    "status": status.name(),
                    "millis": millis(self.begun.elapsed()),
                    "conclusion": conclusion,
                    "steps": steps,
                }),
            )?;
        } else {
            let taken = self.steps.iter();
            let taken = taken.filter(|step| step.finding.status() != Status::Skipped);
            let (taken, seconds) = (taken.count(), self.begun.elapsed().as_secs_f64());
            let result = match (failed.len(), warned.len()) {
                (0, 0) => "all is well".to_owned(),
                (0, 1) => "all works, with 1 warning".to_owned(),
                (0, warned) => format!("all works, with {warned} warnings"),
                (failed, 0) => format!("{failed} failed"),
                (failed, 1) => format!("{failed} failed, and 1 warning"),
                (failed, warned) => format!("{failed} failed, and {warned} warnings"),
            };
            writeln!(
                out,
                "\n{taken} steps in {seconds:.1} s: {result}. {conclusion}"
            )?;
            out.flush()?;
        }
        drop(out);
        if failed.is_empty() {
            return Ok(());
        }
        let mut what: Vec<_> = failed.iter().map(|step| label(step.probe)).collect();
        what.dedup();
        Err(Failure::new(
            Exit::Ill,
            format_args!(
                "something does not work: {}; what to do is said with each",
                what.join(", ")
            ),
        ))
    }

    fn having(&self, status: Status) -> Vec<&Step> {
        let steps = self.steps.iter();
        steps
            .filter(|step| step.finding.status() == status)
            .collect()
    }

    /// Prints what is known, unless more of this kind may come.
    fn print(&mut self, next: Option<Probe>) {
        let is_open = |step: &Step| Some(step.probe) == next;
        if self.json || self.steps.last().is_none_or(is_open) {
            return;
        }
        let mut lines = String::new();
        for step in &self.steps[self.printed..] {
            lines += &self.lines(step);
        }
        self.printed = self.steps.len();
        let written = self.spinner.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(lines.as_bytes())?;
            out.flush()
        });
        if let Err(error) = written {
            self.broken.get_or_insert(error);
        }
    }

    /// A step in a line, and what to do about it beneath.
    fn lines(&self, step: &Step) -> String {
        let status = step.finding.status();
        let (word, colour) = match status {
            Status::Ok => ("ok", "32"),
            Status::Skipped => ("skip", "2"),
            Status::Warning => ("warn", "33"),
            Status::Failed => ("FAIL", "31;1"),
        };
        let subject = subject(step);
        let time = time(step);
        let found = format!("{subject}{}", step.finding);
        let label = label(step.probe);
        let mut lines = format!(
            "  {} {label:<15} {found}{}\n",
            self.painted(&format!("{word:<4}"), colour),
            self.painted(&time, "2"),
        );
        if let Some(mend) = self.case.mend(step, &self.steps) {
            for line in wrapped(&mend, WIDTH - INDENT) {
                lines += &format!("{:INDENT$}{line}\n", "");
            }
        }
        lines
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn object(&self, step: &Step) -> serde_json::Value {
        json!({
            "name": step.probe.name(),
            "subject": step.subject,
            "status": step.finding.status().name(),
            "millis": millis(step.took),
            "detail": step.finding.to_string(),
            "mend": self.case.mend(step, &self.steps),
        })
    }
}

/// Whether UDP gets to anybody and back.
pub(super) fn is_udp_open(steps: &[Step]) -> bool {
    let heard = |step: &Step| matches!(step.finding, Finding::Mapped { .. });
    steps.iter().any(heard) || ways(steps).contains(&"UDP")
}

/// What all of it means for connections.
fn conclusion(steps: &[Step]) -> String {
    let of = |probe| {
        steps
            .iter()
            .find(move |step| step.probe == probe && step.finding.status() != Status::Skipped)
    };
    let works = |probe| of(probe).map(|step| step.finding.status() < Status::Failed);
    if let Some(step) = of(Probe::Device) {
        return match step.finding.status() {
            Status::Ok => "The device can be reached from here.",
            _ => "The device cannot be reached from here.",
        }
        .to_owned();
    }
    if works(Probe::Signalling) != Some(true) {
        return "Without the server nobody can be reached from here.".to_owned();
    }
    let here = steps.iter().any(
        |step| matches!(&step.finding, Finding::Resolved(all) if all.iter().all(IpAddr::is_loopback)),
    );
    if here {
        return "Server and doctor are on one machine: what others can reach is told by one on another machine.".to_owned();
    }
    let ways = ways(steps);
    let by = ways.join(", ");
    if of(Probe::Stun).is_none() {
        return match ways.is_empty() {
            true => "Without STUN and TURN, peers are found in this network alone.".to_owned(),
            false => format!(
                "Connections from here are relayed (by {by}) where no direct path is found."
            ),
        };
    }
    let symmetric = steps
        .iter()
        .any(|step| matches!(step.finding, Finding::Nat(Nat::Symmetric(..))));
    match (is_udp_open(steps), ways.is_empty()) {
        (false, true) => {
            "UDP gets no answer, and no relay works: peers are found in this network alone."
                .to_owned()
        }
        (false, false) => {
            format!("UDP gets no answer: connections from here are relayed, by {by}.")
        }
        (true, true) if symmetric => {
            "No relay works: peers behind NATs cannot be reached from behind this one.".to_owned()
        }
        (true, true) => {
            "No relay works: peers behind strict NATs cannot be reached from here.".to_owned()
        }
        (true, false) => {
            format!("Connections from here are direct where they can be, else relayed, by {by}.")
        }
    }
}

/// The transports by which a relay works.
fn ways(steps: &[Step]) -> Vec<&'static str> {
    let is_by = |step: &&Step, way: &str| {
        matches!(step.finding, Finding::Relayed { .. }) && step.subject.ends_with(way)
    };
    let mut ways = vec!["UDP", "TCP", "TLS"];
    ways.retain(|way| steps.iter().any(|step| is_by(&step, way)));
    ways
}

const fn label(probe: Probe) -> &'static str {
    match probe {
        Probe::Name => "name",
        Probe::Connection => "connection",
        Probe::Tls => "TLS",
        Probe::Clock => "clock",
        Probe::Signalling => "signalling",
        Probe::IceServers => "ICE servers",
        Probe::Stun => "STUN",
        Probe::Nat => "NAT",
        Probe::Turn => "TURN",
        Probe::Channel => "data channel",
        Probe::RelayedChannel => "relayed channel",
        Probe::Device => "device",
        _ => "another",
    }
}

/// Where it was, as far as the line does not say so yet.
fn subject(step: &Step) -> String {
    match step.probe {
        Probe::Name | Probe::Stun | Probe::Turn if !step.subject.is_empty() => {
            format!("{}: ", step.subject)
        }
        Probe::Device => format!("{}: ", short(&step.subject)),
        _ => String::new(),
    }
}

/// How long it took, where the line does not say so yet.
fn time(step: &Step) -> String {
    let says = matches!(
        step.finding,
        Finding::Reached(_) | Finding::Relayed { .. } | Finding::Echoed { .. } | Finding::Late(_)
    );
    if says || step.took.is_zero() || matches!(step.finding, Finding::Skipped(_) | Finding::Nat(_))
    {
        return String::new();
    }
    format!("  {}", output::round_trip(step.took))
}

/// An id of a device, to be recognised.
fn short(id: &str) -> String {
    match id.get(..8) {
        Some(first) => format!("{first}…"),
        None => id.to_owned(),
    }
}

/// Milliseconds to a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_wrapped_between_words() {
        assert_eq!(
            wrapped("open the port there", 9),
            ["open the", "port", "there"]
        );
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
    }
}
