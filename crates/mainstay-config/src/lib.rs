//! Text to a configuration that cannot be wrong.
//!
//! In: a [`Source`], which is a TOML text, what the environment and flags lay over it, and a way to fetch secrets. Out:
//! a [`Loaded`], whose [`Config`] needs no further check, or [`Problems`]: all of them at once, each with its place and
//! how to mend it.
//!
//! The way is text → a tree that knows its places (`raw`) → the tree with environment and flags laid over it
//! (`overlay`) → typed values, read once each by the `sections` of the contract → what can be meant but hardly is
//! (`warnings`). Nothing is looked up by anybody else: what a key is called, what it may hold, its default, where its
//! value came from and which keys are unknown all follow from the one place that reads it.
//!
//! Invariants: an unknown key is never accepted; a key of the contract that is not built is never accepted and ignored;
//! no number means "none"; no text panics.

mod effective;
mod hint;
mod item;
mod model;
mod overlay;
mod problem;
mod raw;
pub mod scenario;
mod section;
mod sections;
mod sink;
mod source;
mod suggest;
mod value;
mod warnings;

use mainstay_policy::EndpointSpec;

pub use effective::{Effective, Origin, Setting};
pub use model::*;
pub use problem::{Place, Problem, Problems, Severity};
pub use scenario::{Scenario, load_scenario};
pub use source::{SecretSource, Secrets, Source, secrets_of_process};

use raw::{At, Raw, Tree};
use section::Section;
use sink::Sink;
use value::Fault;

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// It itself.
    pub config: Config,
    /// What its writer should look at again.
    pub warnings: Problems,
    /// Every value and where it came from.
    pub effective: Effective,
}

/// Reads a configuration.
///
/// ```
/// use mainstay_config::{Source, load};
///
/// let text = r#"
///     [[listener]]
///     name = "web"
///     address = "127.0.0.1:8080"
///     [[route]]
///     service = "shop"
///     [service.shop]
///     endpoints = ["127.0.0.1:9101", "127.0.0.1:9102"]
/// "#;
/// let loaded = load(&Source::new("mainstay.toml", text)).unwrap();
/// assert_eq!(loaded.config.services[0].name, "shop");
/// ```
///
/// # Errors
/// [`Problems`] when it cannot be used: every error, not only the first.
pub fn load(source: &Source<'_>) -> Result<Loaded, Problems> {
    read(
        source,
        |sink, tree| {
            overlay::lay_environment(tree, &source.environment, sink);
            overlay::lay_flags(tree, &source.overrides, sink);
        },
        |sink, tree| {
            let config = sections::read(sink, tree, true)?;
            warnings::look(&config, tree, sink);
            Some(config)
        },
    )
    .map(|(config, warnings, effective)| Loaded { config, warnings, effective })
}

/// Reads the configuration of a program that calls services and serves nobody: the same sections and keys, and none of
/// them is needed. What is meant for a node has no effect there.
///
/// # Errors
/// [`Problems`] when it cannot be used: every error, not only the first.
pub fn load_for_program(source: &Source<'_>) -> Result<Config, Problems> {
    let lay = |sink: &Sink<'_>, tree: &mut Tree| {
        overlay::lay_environment(tree, &source.environment, sink);
        overlay::lay_flags(tree, &source.overrides, sink);
    };
    read(source, lay, |sink, tree| sections::read(sink, tree, false)).map(|(config, ..)| config)
}

/// Reads a file that `discover = { file = … }` names: `endpoints` as in a service, and nothing else. `name` is what
/// messages call it.
///
/// # Errors
/// [`Problems`] when it cannot be used; an empty list is one.
pub fn parse_endpoints(name: &str, text: &str) -> Result<Vec<EndpointSpec>, Problems> {
    let read_list = |root: &mut Section<'_>| {
        if root.given("endpoints").is_none() {
            root.fault("endpoints", Fault::new("there are no endpoints").help("add endpoints = [\"127.0.0.1:9101\"]"));
        }
        sections::endpoints(root)
    };
    let source = Source::new(name, text);
    read(&source, |_, _| {}, |sink, tree| Some(Section::root(sink, tree, read_list))).map(|(endpoints, ..)| endpoints)
}

/// Text to tree, tree to value, and what was said on the way.
fn read<T>(
    source: &Source<'_>,
    lay: impl FnOnce(&Sink<'_>, &mut Tree),
    typed: impl FnOnce(&Sink<'_>, &Tree) -> Option<T>,
) -> Result<(T, Problems, Effective), Problems> {
    let sink = Sink::new(&source.text, &*source.secrets);
    let mut tree = raw::parse(&source.text).unwrap_or_else(|error| {
        let (start, end) = error.span;
        let line = source.text.get(..start).map_or(0, |before| before.matches('\n').count());
        let help = hint::syntax(&error.message, source.text.lines().nth(line).unwrap_or_default());
        sink.error(Some(&At::File(start, end)), "", Fault { help, ..Fault::new(error.message) });
        Tree { raw: Raw::Table(Vec::new()), at: At::Default }
    });
    // After an error of syntax nothing that the tree lacks is worth a word.
    let value = if sink.has_errors() {
        None
    } else {
        lay(&sink, &mut tree);
        typed(&sink, &tree)
    };
    let failed = sink.has_errors();
    let collected = sink.finish(&source.name);
    let problems = Problems::new(&source.name, &collected.text, collected.problems);
    match value {
        Some(value) if !failed => Ok((value, problems, collected.effective)),
        _ => Err(problems),
    }
}
