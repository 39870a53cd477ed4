//! From the places where settings are written to one checked value for each honoured key. A later place wins:
//! default, file, environment, command line. Everything that is wrong is reported at once, each with where it
//! was written.

use crate::config::keys::{Key, Kind, Program, Type};
use crate::config::properties::{self, PropertiesError};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Environment variables of this prefix set keys, as in the original's container images.
pub const ENVIRONMENT_PREFIX: &str = "PULSAR_PREFIX_";

/// Where settings are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// For which program.
    pub program: Program,
    /// Name and content of the configuration file.
    pub file: Option<(&'a str, &'a [u8])>,
    /// Environment variables, in any order.
    pub environment: &'a [(String, String)],
    /// Key, value and the option that set it, in the order of the command line.
    pub overrides: &'a [(String, String, &'static str)],
}

/// Where one value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In the file.
    File {
        /// Its name as given.
        path: String,
        /// From 1.
        line: u32,
    },
    /// In this environment variable.
    Environment(String),
    /// By this option.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => out.write_str("default"),
            Origin::File { path, line } => write!(out, "{path}:{line}"),
            Origin::Environment(variable) => write!(out, "environment {variable}"),
            Origin::Option(option) => out.write_str(option),
        }
    }
}

/// Something wrong with a setting; `Display` says where, which, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file is no properties file.
    #[error("{path}: {error}")]
    Syntax {
        /// Its name as given.
        path: String,
        /// What is wrong.
        error: PropertiesError,
    },
    /// No such key.
    #[error("{origin}: unknown setting {key}{}", suggestion(*.nearest))]
    Unknown {
        /// Where.
        origin: Origin,
        /// As written.
        key: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A key that can only be off.
    #[error("{origin}: {key} cannot be switched on: {reason}")]
    Refused {
        /// Where.
        origin: Origin,
        /// Which.
        key: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A value the key does not take.
    #[error("{origin}: {key}: {reason}")]
    Invalid {
        /// Where.
        origin: Origin,
        /// Which.
        key: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

fn suggestion(nearest: Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// All that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Fault::to_string).collect();
        out.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of text, secrets and choices.
    Text(String),
    /// Of flags.
    Flag(bool),
    /// Of numbers, and of ports that are set.
    Number(i64),
    /// Of a port that is not.
    Nothing,
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => out.write_str(text),
            Value::Flag(flag) => write!(out, "{flag}"),
            Value::Number(number) => write!(out, "{number}"),
            Value::Nothing => Ok(()),
        }
    }
}

/// The value of every honoured key, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    program: Program,
    values: BTreeMap<&'static str, (Value, Origin)>,
    /// Settings that were accepted and do nothing, with the reason: one sentence each, for the log.
    pub notes: Vec<String>,
}

/// Reads all places and checks every value.
pub fn resolve(sources: &Sources<'_>) -> Result<Settings, ConfigError> {
    let program = sources.program;
    let settings = Settings { program, values: BTreeMap::new(), notes: Vec::new() };
    let mut gathering = Gathering { program, settings, faults: Vec::new() };
    for key in program.keys() {
        if let Kind::Honoured(takes) = &key.kind {
            let value = read(takes, key.default).expect("defaults are legal values: a test reads them all");
            gathering.settings.values.insert(key.name, (value, Origin::Default));
        }
    }
    if let Some((path, text)) = sources.file {
        match properties::parse(text) {
            Ok(entries) => {
                for entry in entries {
                    let origin = Origin::File { path: path.to_owned(), line: entry.line };
                    gathering.take(&entry.key, &entry.value, origin);
                }
            }
            Err(error) => gathering.faults.push(Fault::Syntax { path: path.to_owned(), error }),
        }
    }
    gathering.environment(sources.environment);
    for (key, value, option) in sources.overrides {
        gathering.take(key, value.trim(), Origin::Option(option));
    }
    if gathering.faults.is_empty() { Ok(gathering.settings) } else { Err(ConfigError(gathering.faults)) }
}

struct Gathering {
    program: Program,
    settings: Settings,
    faults: Vec<Fault>,
}

impl Gathering {
    /// The images let a variable named like a key override it, and `PULSAR_PREFIX_key` add it; the prefix
    /// wins. Of the plain names only those with a capital count: `cores` or `pin` may stand in an environment
    /// for other reasons.
    fn environment(&mut self, environment: &[(String, String)]) {
        let is_key = |name: &str| {
            self.program.find(name).is_some() && name.contains(|letter: char| letter.is_ascii_uppercase())
        };
        let mut plain: Vec<_> = environment.iter().filter(|(name, _)| is_key(name)).collect();
        plain.sort();
        for (name, value) in plain {
            self.take(name, value.trim(), Origin::Environment(name.clone()));
        }
        let mut prefixed: Vec<_> = environment
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(ENVIRONMENT_PREFIX)?, value)))
            .collect();
        prefixed.sort();
        for (name, value) in prefixed {
            let origin = Origin::Environment(format!("{ENVIRONMENT_PREFIX}{name}"));
            if self.program.find(name).is_some() || self.program.is_idle(name).is_some() {
                self.take(name, value.trim(), origin);
            } else {
                // One set of variables may configure a whole cluster: a foreign key here is no error, unlike
                // in a file.
                let hint = suggestion(self.program.nearest(name));
                self.settings.notes.push(format!("{origin}: unknown setting {name}, ignored{hint}"));
            }
        }
    }

    fn take(&mut self, name: &str, value: &str, origin: Origin) {
        let Some(key) = self.program.find(name) else {
            let nearest = self.program.nearest(name);
            match (self.program.is_idle(name), self.program, &origin) {
                (Some(reason), ..) => {
                    self.settings.notes.push(format!("{origin}: {name} has no effect: {reason}"));
                }
                // A broker's own file has hundreds of keys, other versions' too (broker 10.2): a note.
                (None, Program::Standalone, Origin::File { .. }) => {
                    let hint = suggestion(nearest);
                    self.settings.notes.push(format!("{origin}: unknown setting {name}, ignored{hint}"));
                }
                _ => self.faults.push(Fault::Unknown { origin, key: name.to_owned(), nearest }),
            }
            return;
        };
        match &key.kind {
            Kind::Honoured(takes) => self.set(key, takes, value, 1, key.name, origin),
            Kind::Alias { of, scale } => {
                let target = self.program.find(of).expect("aliases lead to keys: a test follows them all");
                if let Kind::Honoured(takes) = &target.kind {
                    self.set(target, takes, value, *scale, key.name, origin);
                }
            }
            Kind::NoEffect => {
                if !value.is_empty() && !value.eq_ignore_ascii_case(key.default) {
                    self.settings.notes.push(format!("{origin}: {name} has no effect: {}", key.help));
                }
            }
            Kind::Refused { harmless } => {
                if !value.is_empty() && !harmless.iter().any(|word| value.eq_ignore_ascii_case(word)) {
                    self.faults.push(Fault::Refused { origin, key: key.name, reason: key.help });
                }
            }
        }
    }

    fn set(
        &mut self,
        key: &'static Key,
        takes: &Type,
        value: &str,
        scale: i64,
        as_written: &'static str,
        origin: Origin,
    ) {
        // The original leaves a number at its default when the file has the key without a value.
        let defaults = value.is_empty() && !matches!(takes, Type::Port);
        let scaled = match value.parse::<i64>() {
            Ok(number) if scale != 1 => number.saturating_mul(scale).to_string(),
            _ if defaults => key.default.to_owned(),
            _ => value.to_owned(),
        };
        match read(takes, &scaled) {
            Ok(value) => {
                self.settings.values.insert(key.name, (value, origin));
            }
            Err(reason) => self.faults.push(Fault::Invalid { origin, key: as_written, reason }),
        }
    }
}

fn read(takes: &Type, text: &str) -> Result<Value, String> {
    match takes {
        Type::Text | Type::Secret => Ok(Value::Text(text.to_owned())),
        Type::Flag if text.eq_ignore_ascii_case("true") => Ok(Value::Flag(true)),
        Type::Flag if text.eq_ignore_ascii_case("false") => Ok(Value::Flag(false)),
        Type::Flag => Err(format!("{text:?} is neither true nor false")),
        Type::Port if text.is_empty() => Ok(Value::Nothing),
        Type::Port => read(&Type::Number { min: 0, max: u16::MAX.into() }, text),
        Type::Choice(words) => match words.iter().find(|word| text.eq_ignore_ascii_case(word)) {
            Some(word) => Ok(Value::Text((*word).to_owned())),
            None => Err(format!("{text:?} is none of {}", words.join(", "))),
        },
        Type::Number { min, max } => match text.parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(Value::Number(number)),
            _ => Err(format!("{text:?} is no number between {min} and {max}")),
        },
    }
}

impl Settings {
    /// Which program they are for.
    pub fn program(&self) -> Program {
        self.program
    }

    /// The number of a key whose range holds no negative one.
    pub fn count(&self, name: &str) -> u64 {
        self.number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
    }

    /// True when nobody set the key.
    pub fn is_default(&self, name: &str) -> bool {
        *self.of(name).1 == Origin::Default
    }

    /// Value and origin of an honoured key.
    pub fn of(&self, name: &str) -> (&Value, &Origin) {
        let (value, origin) = self.values.get(name).expect("asked for by the name of an honoured key");
        (value, origin)
    }

    /// The text of a key of that type.
    pub fn text(&self, name: &str) -> &str {
        match self.of(name).0 {
            Value::Text(text) => text,
            other => panic!("{name} is no text but {other:?}"),
        }
    }

    /// The number of a key of that type; `None` for a port that is not set.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.of(name).0 {
            Value::Number(number) => Some(*number),
            Value::Nothing => None,
            other => panic!("{name} is no number but {other:?}"),
        }
    }

    /// The flag of a key of that type.
    pub fn flag(&self, name: &str) -> bool {
        *self.of(name).0 == Value::Flag(true)
    }

    /// All honoured keys and their values as texts; secrets are hidden.
    pub fn shown(&self) -> Vec<(String, String)> {
        let honoured = self.program.keys().filter_map(|key| match &key.kind {
            Kind::Honoured(takes) => Some((key, takes)),
            _ => None,
        });
        let shown = honoured.map(|(key, takes)| match takes {
            Type::Secret => (key.name.to_owned(), hidden(self.text(key.name))),
            _ => (key.name.to_owned(), self.of(key.name).0.to_string()),
        });
        shown.collect()
    }

    /// All honoured keys with meaning, unit, origin and value: itself a valid file, unless a secret was
    /// hidden.
    pub fn print(&self) -> String {
        let mut out = String::new();
        for key in self.program.keys() {
            let Kind::Honoured(takes) = &key.kind else { continue };
            let (value, origin) = self.of(key.name);
            let unit = if key.unit.is_empty() { String::new() } else { format!(" [{}]", key.unit) };
            let value = match takes {
                Type::Secret => hidden(self.text(key.name)),
                _ => value.to_string(),
            };
            let escaped = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
            writeln!(out, "# {}{unit} ({origin})\n{}={escaped}", key.help, key.name)
                .expect("a String takes any text");
        }
        for note in &self.notes {
            writeln!(out, "# {note}").expect("a String takes any text");
        }
        out
    }
}

/// A file's name is no secret, and all that can be checked about it.
fn hidden(secret: &str) -> String {
    match secret {
        "" => String::new(),
        file if file.starts_with("file:") => file.to_owned(),
        _ => "<hidden>".to_owned(),
    }
}
