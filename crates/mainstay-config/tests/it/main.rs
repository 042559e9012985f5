//! Text in, a configuration or its problems out.

mod contract;
mod fights;
mod laws;
mod layers;
mod naming;
mod problems;
mod reference;
mod scenario;
mod typed;

use mainstay_config::{Loaded, Problems, SecretSource, Source};

/// The least of the contract.
const LEAST: &str = r#"[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[route]]
service = "shop"

[service.shop]
endpoints = ["127.0.0.1:9101", "127.0.0.1:9102"]
"#;

/// Loads `text` under the name of the command's default file.
fn load(text: &str) -> Result<Loaded, Problems> {
    load_with(text, &[], &[])
}

/// Loads `text` with an environment and flags over it.
fn load_with(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let secrets = |source: &SecretSource| match source {
        SecretSource::Environment(name) if name == "TOKEN" => Ok("s3cret".to_owned()),
        SecretSource::Environment(name) => Err(format!("the environment has no {name}")),
        SecretSource::File(path) => Err(format!("the file {} cannot be read", path.display())),
    };
    let source = Source::new("mainstay.toml", text).environment(owned(environment)).overrides(owned(flags));
    mainstay_config::load(&source.secrets(secrets))
}

/// What a person reads about `text`: its errors, else its warnings.
fn said(text: &str) -> String {
    match load(text) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}
