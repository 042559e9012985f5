//! What a route changes of a request or its answer, with templates already taken apart.

/// Operations on fields, in this order: remove, set, add. Names are lower case and are tokens; values have no control
/// character and no space at their ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderOps {
    /// Fields that replace all of their name.
    pub set: Vec<(String, String)>,
    /// Fields that stand beside those of their name.
    pub add: Vec<(String, String)>,
    /// Fields that go.
    pub remove: Vec<String>,
}

impl HeaderOps {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// Which `Host` goes upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// The caller's.
    Preserve,
    /// The endpoint's address.
    Endpoint,
    /// This one.
    Fixed(String),
}

/// An answer that sends the caller elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// What `Location` says.
    pub to: Template,
    /// 301, 302, 303, 307 or 308. Default 308: the method stays.
    pub status: u16,
    /// Whether the request's query follows `to`; false when `to` has a query of its own or names `{query}`.
    pub keep_query: bool,
}

/// A text with places that the request fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// Filled in.
    Variable(Variable),
}

/// What a template may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `{host}`: the request's host, with its port.
    Host,
    /// `{path}`: the request's path, normalised.
    Path,
    /// `{query}`: the request's query with its question mark, or nothing.
    Query,
    /// `{rest}`: what follows the route's path prefix: nothing, or it begins with a slash.
    Rest,
}

impl Variable {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 4] =
        [("host", Self::Host), ("path", Self::Path), ("query", Self::Query), ("rest", Self::Rest)];
}

impl Template {
    /// The pieces in their order; two texts are never neighbours.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it names `variable`.
    #[must_use]
    pub fn names(&self, variable: Variable) -> bool {
        self.parts.contains(&Part::Variable(variable))
    }

    /// Takes `text` apart; the error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(open);
            let (word, after) = tail
                .strip_prefix('{')
                .and_then(|tail| tail.split_once('}'))
                .ok_or("a brace without its other half".to_owned())?;
            let (_, variable) = Variable::ALL.into_iter().find(|(name, _)| *name == word).ok_or_else(|| {
                format!("unknown variable {{{word}}}: there are {{host}}, {{path}}, {{query}} and {{rest}}")
            })?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_taken_apart_at_its_braces() {
        let template = Template::parse("https://{host}/v2{rest}").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(
            template.parts(),
            [text("https://"), Part::Variable(Variable::Host), text("/v2"), Part::Variable(Variable::Rest)]
        );
        assert!(template.names(Variable::Host) && !template.names(Variable::Query));
    }

    #[test]
    fn a_template_with_a_stray_brace_or_an_unknown_word_is_refused() {
        for text in ["{", "a}b", "{host", "{hosts}", "{}", "{{host}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
