//! Where settings come from: options, then variables, then a file, then defaults.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, builder::ValueParser};
use peerage_server::hub::{Admin, Secret};
use peerage_server::{Config, ConfigError, IceSecret, IceServer, TurnSecret};
use toml::Value;

use super::settings::{Draft, GivenSecret, HalfOfTls, Kind, SETTINGS, Setting, one_or_all};
use crate::exit::{Exit, Failure};

/// What a command line says of a server.
#[derive(Debug, Args)]
pub(in crate::cmd) struct Asked {
    /// File with settings (TOML): the long names below, as `port = 443` or `cors = ["https://app.example"]`
    #[arg(long, value_name = "FILE", env = "PEERAGE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

impl Asked {
    /// With what the environment and the file say.
    pub(in crate::cmd) fn settle(&self) -> Result<Settled, Failure> {
        let variable = |name: &str| std::env::var_os(name);
        Settled::new(&self.options, variable, self.config.as_deref())
    }
}

/// The settings among the options.
#[derive(Default)]
pub(super) struct Options(Vec<(&'static str, Value)>);

/// Without the values: some are secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(values) = matches.get_many::<Value>(setting.name) {
                let mut values: Vec<Value> = values.cloned().collect();
                let value = if setting.kind.is_list() {
                    Some(one_or_all(values))
                } else {
                    values.pop()
                };
                self.0.extend(value.map(|value| (setting.name, value)));
            }
        }
        Ok(())
    }
}

fn option(setting: &'static Setting) -> Arg {
    let Setting { name, kind, .. } = setting;
    let mut arg = Arg::new(*name)
        .long(*name)
        .value_name(setting.value)
        .help(help(setting))
        .help_heading(setting.heading)
        .value_parser(ValueParser::from(move |text: &str| checked(kind, text)));
    if let Some(short) = setting.short {
        arg = arg.short(short);
    }
    if let Some(alias) = setting.alias {
        arg = arg.visible_alias(alias);
    }
    if name.contains('-') {
        arg = arg.alias(name.replace('-', "_"));
    }
    arg = match kind {
        Kind::Origins => arg.action(ArgAction::Append).num_args(1..),
        Kind::IceServers | Kind::Places(_) | Kind::Addresses(_) | Kind::Networks(_) => {
            arg.action(ArgAction::Append)
        }
        Kind::Proxies => arg.num_args(0..).value_delimiter(','),
        Kind::Flag(_) | Kind::Not(_) => arg.num_args(0..=1),
        _ => arg,
    };
    if kind.is_switch() {
        arg = arg.default_missing_value("true");
    }
    arg
}

fn help(setting: &Setting) -> String {
    let mut help = setting.help.to_owned();
    if let Some(default) = setting.kind.show(&mut Draft::new()) {
        help += &format!(" [default: {default}]");
    }
    help + &format!(
        " [env: {}]",
        variables(setting).collect::<Vec<_>>().join(", ")
    )
}

/// Ours first.
fn variables(setting: &Setting) -> impl Iterator<Item = String> {
    let ours = format!("PEERAGE_{}", setting.name.to_uppercase().replace('-', "_"));
    let theirs = setting.variables.iter().map(|&name| name.to_owned());
    std::iter::once(ours).chain(theirs)
}

/// One value of an option, refused at once if it cannot be.
fn checked(kind: &Kind, text: &str) -> Result<Value, String> {
    let value = kind.read(text);
    // The parser shows what it refuses, and a password is not to be shown: these are looked at later.
    if !kind.is_public() {
        return Ok(value);
    }
    match kind.set(&mut Draft::new(), &value, Path::new("")) {
        Some(()) => Ok(value),
        None => Err(format!("expected {}", kind.expected())),
    }
}

/// Where the value of a setting was said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Option(&'static str),
    Variable(String),
    File(PathBuf, String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, key) => write!(f, "{}: {key}", path.display()),
        }
    }
}

/// All settings, and where each was said.
pub(in crate::cmd) struct Settled {
    /// Without secrets.
    pub(in crate::cmd) config: Config,
    turn_secret: Option<GivenSecret>,
    lifetime: Duration,
    rooms_admin_token: Option<PathBuf>,
    rooms_webhook_secret: Option<PathBuf>,
    /// By [`Setting::field`].
    sources: HashMap<&'static str, Source>,
}

impl Settled {
    /// Puts together what was said.
    pub(super) fn new(
        options: &Options,
        variable: impl Fn(&str) -> Option<OsString>,
        file: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut gathered = Gathered {
            draft: Draft::new(),
            sources: HashMap::new(),
        };
        if let Some(path) = file {
            gathered.take_file(path)?;
        }
        for setting in SETTINGS {
            gathered.take_variable(setting, &variable)?;
        }
        for (name, value) in &options.0 {
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == *name) {
                gathered.take(setting, value, Path::new(""), Source::Option(setting.name))?;
            }
        }
        let Gathered { draft, sources } = gathered;
        let (turn_secret, lifetime) = (draft.turn_secret.clone(), draft.turn.lifetime);
        let rooms_admin_token = draft.rooms_admin_token.clone();
        if rooms_admin_token.is_some() && draft.rooms_admin_open {
            return Err(usage(
                "--rooms-admin-token-file and --rooms-admin-open exclude each other: with a token nobody comes in without it",
            ));
        }
        let rooms_webhook_secret = draft.rooms_webhook_secret.clone();
        let config = draft.finish().map_err(|HalfOfTls { given, missing }| {
            // Of the two it is the one that was said.
            let source = sources.get("tls").map(Source::to_string);
            let given = source.as_deref().unwrap_or(given);
            usage(format_args!(
                "{given} is given without {missing}: TLS needs both"
            ))
        })?;
        // Browsers refuse the whole list if one of them has none.
        let needs_secret = config.ice_servers.iter().any(IceServer::needs_credentials);
        if let Some(source) = sources.get("ice_servers")
            && needs_secret
            && turn_secret.is_none()
        {
            return Err(refuse(source, HIDDEN, &Kind::IceServers.expected()));
        }
        Ok(Self {
            config,
            turn_secret,
            lifetime,
            rooms_admin_token,
            rooms_webhook_secret,
            sources,
        })
    }

    /// The configuration with the owner's own secrets, as far as they were named. That of TURN is then good for other servers, too, that have none.
    pub(super) fn with_secret(&self) -> Result<Config, Failure> {
        let mut config = self.config.clone();
        if let Some(hub) = &mut config.hub {
            if let Some(path) = &self.rooms_admin_token {
                hub.admin = Admin::Token(read_rooms_secret(path)?);
            }
            if let Some(path) = &self.rooms_webhook_secret {
                hub.webhook_secret = Some(read_rooms_secret(path)?);
            }
        }
        let Some(given) = &self.turn_secret else {
            return Ok(config);
        };
        let secret = match given {
            GivenSecret::Text(secret) => secret.clone(),
            GivenSecret::File(path) => read_secret(path)?,
        };
        if let Some(turn) = &mut config.turn {
            turn.secret = Some(secret.clone());
        }
        config.ice_secret = Some(IceSecret {
            secret,
            lifetime: self.lifetime,
        });
        Ok(config)
    }

    /// What is wrong with a setting, in the words in which it was said.
    pub(in crate::cmd) fn explain(&self, error: &ConfigError) -> Failure {
        match self.sources.get(error.key) {
            Some(source) => refuse(source, &format!("`{}`", error.value), error.expected),
            None => usage(error),
        }
    }
}

struct Gathered {
    draft: Draft,
    sources: HashMap<&'static str, Source>,
}

impl Gathered {
    fn take(
        &mut self,
        setting: &'static Setting,
        value: &Value,
        base: &Path,
        source: Source,
    ) -> Result<(), Failure> {
        let kind = &setting.kind;
        if kind.set(&mut self.draft, value, base).is_none() {
            let shown = if kind.is_public() {
                format!("`{}`", plain(value))
            } else {
                HIDDEN.to_owned()
            };
            return Err(refuse(&source, &shown, &kind.expected()));
        }
        self.sources.insert(setting.field, source);
        Ok(())
    }

    fn take_variable(
        &mut self,
        setting: &'static Setting,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), Failure> {
        for name in variables(setting) {
            // Compose files and unit files set to nothing what they do not mean to set.
            let Some(text) = variable(&name).filter(|text| !text.is_empty()) else {
                continue;
            };
            let Some(text) = text.to_str() else {
                return Err(usage(format_args!("{name} is not UTF-8")));
            };
            let value = setting.kind.read_all(text);
            return self.take(setting, &value, Path::new(""), Source::Variable(name));
        }
        Ok(())
    }

    fn take_file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| usage(format_args!("cannot read {shown}: {error}")))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // The error's own text shows the line, which may hold a password.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            usage(format_args!("{shown}, line {line}: {}", error.message()))
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let mut taken = HashMap::new();
        for (key, value) in &table {
            let source = Source::File(path.to_owned(), key.clone());
            let name = key.replace('_', "-");
            let named = |setting: &&Setting| {
                setting.name == name || setting.alias.is_some_and(|alias| alias == name)
            };
            let Some(setting) = SETTINGS.iter().find(named) else {
                return Err(usage(format_args!(
                    "{source} is unknown; expected the long name of a setting: `peerage serve --help` lists them"
                )));
            };
            if let Some(other) = taken.insert(setting.name, key) {
                return Err(usage(format_args!("{source} says again what {other} says")));
            }
            self.take(setting, value, base, source)?;
        }
        Ok(())
    }
}

/// Stands for a value that may hold a password.
const HIDDEN: &str = "not what it should be (not shown, as it may hold a password)";

fn read_secret(path: &Path) -> Result<TurnSecret, Failure> {
    read_line(path, &Kind::TurnSecret.expected())
}

fn read_rooms_secret(path: &Path) -> Result<Secret, Failure> {
    read_line(
        path,
        "a line of 16 to 1024 printable ASCII characters without spaces, such as `openssl rand -hex 32` makes",
    )
}

fn read_line<T: FromStr>(path: &Path, expected: &str) -> Result<T, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format_args!("cannot read {shown}: {error}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    line.parse()
        .map_err(|_| usage(format_args!("{shown} holds no secret; expected {expected}")))
}

/// A value as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn refuse(source: &Source, value: &str, expected: &str) -> Failure {
    usage(format_args!("{source} is {value}; expected {expected}"))
}

fn usage(message: impl fmt::Display) -> Failure {
    Failure::new(Exit::Usage, message)
}
