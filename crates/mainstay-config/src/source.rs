//! What a configuration is loaded from: a text, what lies over it, and where secrets are.

use std::fmt;
use std::path::PathBuf;

/// Where a secret is written: never in the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `{ env = "NAME" }`
    Environment(String),
    /// `{ file = "PATH" }`
    File(PathBuf),
}

/// Fetches a secret; the error says in words why it cannot be had.
pub type Secrets<'a> = dyn Fn(&SecretSource) -> Result<String, String> + 'a;

/// Everything that a configuration is made of. A flag stands over the environment, the environment over the text, the
/// text over the defaults.
pub struct Source<'a> {
    /// What messages call the text: the file's name.
    pub name: String,
    /// TOML.
    pub text: String,
    /// What flags say: keys as `admin.address`, and their values.
    pub overrides: Vec<(String, String)>,
    /// The process's environment; only names with `MAINSTAY_` in front are looked at.
    pub environment: Vec<(String, String)>,
    /// Fetches secrets.
    pub secrets: Box<Secrets<'a>>,
}

impl<'a> Source<'a> {
    /// A text alone, without flags, environment and secrets.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            overrides: Vec::new(),
            environment: Vec::new(),
            secrets: Box::new(|_| Err("secrets are not read here".to_owned())),
        }
    }

    /// The same with what flags say.
    #[must_use]
    pub fn overrides(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.overrides.extend(pairs);
        self
    }

    /// The same with an environment, such as `std::env::vars()`.
    #[must_use]
    pub fn environment(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(pairs.into_iter().filter(|(name, _)| name.starts_with(crate::overlay::PREFIX)));
        self
    }

    /// The same with secrets fetched by `fetch`, such as [`secrets_of_process`].
    #[must_use]
    pub fn secrets(mut self, fetch: impl Fn(&SecretSource) -> Result<String, String> + 'a) -> Self {
        self.secrets = Box::new(fetch);
        self
    }
}

impl fmt::Debug for Source<'_> {
    /// Values of flags and the environment stay out: somebody may have put a secret there by mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Fetches a secret from this process's environment or from a file, whose last line break does not count.
///
/// # Errors
/// Why it cannot be had, in words.
pub fn secrets_of_process(source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::Environment(name) => std::env::var(name).map_err(|_| format!("the environment has no {name}")),
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
    }
}
