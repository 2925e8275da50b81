//! Processes that end with their test; every wait is for a line or an end, and bounded.

use std::{
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{BufRead as _, BufReader, Read, Write as _},
    iter,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A command on an environment without settings of the person who runs the tests, and without a hand on that person's own state.
pub(crate) fn peerage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    let ours = |name: &str| {
        name.starts_with("PEERAGE_")
            || name.starts_with("PEERJS_")
            || matches!(name, "PORT" | "PEERSERVER_PATH")
    };
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
        .env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(args);
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    let mut child = Running::start(args);
    let status = child.end();
    Output {
        status,
        stdout: child.rest().into_bytes(),
        stderr: child.complaint().into_bytes(),
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A process that is killed when its test ends.
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    complaint: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(&[], args)
    }

    /// With variables of its environment.
    pub(crate) fn start_with(variables: &[(&str, &str)], args: &[&str]) -> Self {
        Self::spawn(variables, args, Stdio::null())
    }

    /// One whose stdin is the test's: [`say`](Self::say), and [`say_no_more`](Self::say_no_more).
    pub(crate) fn listening(args: &[&str]) -> Self {
        Self::spawn(&[], args, Stdio::piped())
    }

    fn spawn(variables: &[(&str, &str)], args: &[&str], stdin: Stdio) -> Self {
        let mut command = peerage(args);
        command
            .envs(variables.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = follow(child.stdout.take().unwrap());
        let complaint = follow(child.stderr.take().unwrap());
        Self {
            child,
            lines,
            complaint,
        }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Ends its stdin, as Ctrl-D does.
    pub(crate) fn say_no_more(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The next line of stdout that contains this.
    pub(crate) fn line(&mut self, part: &str) -> String {
        wait_for(&self.lines, part).unwrap_or_else(|seen| {
            panic!("no line with {part:?} in:\n{seen}\n{}", self.complaint())
        })
    }

    /// The next line of stderr that contains this.
    pub(crate) fn warning(&mut self, part: &str) -> String {
        wait_for(&self.complaint, part)
            .unwrap_or_else(|seen| panic!("no warning with {part:?} in:\n{seen}"))
    }

    /// Asks the process to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Asks the process to end, as service managers and containers do.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "did not end:\n{}",
                self.complaint()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is left of stdout, once the process has ended.
    pub(crate) fn rest(&self) -> String {
        self.lines.iter().collect()
    }

    /// What came on stderr and was not looked at yet.
    pub(crate) fn complaint(&mut self) -> String {
        let ended = self.child.try_wait().unwrap().is_some();
        if ended {
            self.complaint.iter().collect()
        } else {
            self.complaint.try_iter().collect()
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
            line.clear();
        }
    });
    receiver
}

fn wait_for(lines: &mpsc::Receiver<String>, part: &str) -> Result<String, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(part) => return Ok(line),
            Ok(line) => seen += &line,
            Err(_) => return Err(seen),
        }
    }
}

/// A folder of files, and folders for states.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("site")).unwrap();
        fs::write(place.path("site/index.html"), "<h1>home</h1>\n").unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Exposes `target` with the state in the folder of this name.
    pub(crate) fn expose(&self, target: &str, state: &str, more: &[&str]) -> Exposed {
        let state = self.text(state);
        let mut args = vec!["expose", target, "--state", &state];
        if !more.contains(&"--server") && !more.contains(&"--port") {
            args.extend(["--port", "0"]);
        }
        args.extend(more);
        let mut process = Running::start(&args);
        let line = process.line("Link ");
        let link = line.split_whitespace().nth(1).unwrap().to_owned();
        Exposed { process, link }
    }

    pub(crate) fn site(&self) -> Exposed {
        self.expose(&self.text("site"), "device", &[])
    }

    /// Fetches as the caller whose state is in the folder `caller`.
    pub(crate) fn fetch(&self, args: &[&str]) -> Output {
        self.fetch_as("caller", args)
    }

    pub(crate) fn fetch_as(&self, state: &str, args: &[&str]) -> Output {
        let state = self.text(state);
        run(&[&["fetch", "--state", &state], args].concat())
    }
}

/// A device that can be reached.
pub(crate) struct Exposed {
    pub(crate) process: Running,
    pub(crate) link: String,
}

impl Exposed {
    /// The link without its secret.
    pub(crate) fn address(&self) -> &str {
        self.link.split('#').next().unwrap()
    }

    pub(crate) fn secret(&self) -> &str {
        self.link.split("#1.").nth(1).unwrap()
    }
}

/// A port of loopback that is taken while this lives.
pub(crate) fn taken_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port that nothing has, be it for TCP or UDP. It is below those that the system gives to who asks for any: nobody is given it meanwhile.
pub(crate) fn free_port() -> u16 {
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768_u16);
    let first = lowest.saturating_sub(10_000).max(1_024);
    let count = u64::from(lowest.saturating_sub(first).max(1));
    let is_free = |port: &u16| {
        let address = ("127.0.0.1", *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    iter::repeat_with(|| RandomState::new().build_hasher().finish())
        .map(|random| first + (random % count) as u16)
        .take(50)
        .find(is_free)
        .expect("a free port")
}

pub(crate) fn exists(path: &Path) -> bool {
    path.exists()
}
