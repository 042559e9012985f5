//! What a route changes of a request and its answer.

use super::matching::{canonical, header_name};
use crate::item::Item;
use crate::model::{HeaderOps, HostHeader, PathMatch, Redirect, Template, Variable};
use crate::raw::Tree;
use crate::section::Section;
use crate::value::{Fault, Read, Status, Value};

/// Fields that frame a message or belong to one connection: they are ours to write (RFC 9110, section 7.6.1).
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

pub(super) fn header_ops(s: &mut Section<'_>) -> HeaderOps {
    HeaderOps {
        set: s.pairs("set", header),
        add: s.pairs("add", header),
        remove: s.items("remove", |item| {
            let name: String = item.read()?;
            own_name(&name, item)
        }),
    }
}

fn header(name: &str, item: &Item<'_>) -> Option<(String, String)> {
    let value: String = item.read()?;
    let name = own_name(name, item)?;
    let fine = |b: u8| b == b'\t' || (b >= b' ' && b != 0x7f);
    if value.trim() != value || !value.bytes().all(fine) {
        item.fault(Fault::new("a header's value has no control characters, and no space at its ends"));
        return None;
    }
    Some((name, value))
}

/// The name of a field that a route may touch.
fn own_name(name: &str, item: &Item<'_>) -> Option<String> {
    match header_name(name) {
        Ok(name) if OURS.contains(&name.as_str()) => {
            let fault = Fault::new(format!("{name} is written by Mainstay itself"));
            item.fault(if name == "host" { fault.help("use host_header") } else { fault });
            None
        }
        Ok(name) => Some(name),
        Err(fault) => {
            item.fault(fault);
            None
        }
    }
}

impl Value for HostHeader {
    fn read(node: &Tree) -> Read<Self> {
        match String::read(node)?.as_str() {
            "preserve" => Ok(Self::Preserve),
            "endpoint" => Ok(Self::Endpoint),
            name if is_authority(name) => Ok(Self::Fixed(name.to_owned())),
            _ => Err(vec![Fault::wanted("\"preserve\", \"endpoint\" or a host's name", node)]),
        }
    }
}

/// Whether `text` can stand in a Host field: nothing that ends it or means something else in a URI.
fn is_authority(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    !text.is_empty() && text.bytes().all(fine)
}

/// A path that is cut from the front, without a slash at its end.
pub(super) struct StripPrefix(pub(super) String);

impl Value for StripPrefix {
    fn read(node: &Tree) -> Read<Self> {
        let path = canonical(&String::read(node)?)?;
        let trimmed = path.trim_end_matches('/');
        if trimmed.is_empty() {
            return Err(vec![Fault::new("there is nothing to strip in \"/\"").help("for nothing, write \"off\"")]);
        }
        Ok(Self(trimmed.to_owned()))
    }
}

/// `{ path = "/v2{rest}" }`
pub(super) fn rewrite(s: &mut Section<'_>, path: &PathMatch) -> Option<Template> {
    let template = template(s, "path", "\"/v2{rest}\"", path)?;
    let text: String = s.given("path")?.node.text()?.to_owned();
    // {path} and {rest} begin with a slash themselves, or are nothing.
    if !text.starts_with('/') && !text.starts_with("{path}") || text.contains(['?', '#']) {
        s.fault("path", Fault::new("expected a path that begins with a slash and has no query, which stays as it is"));
        return None;
    }
    if let Some(variable) = [Variable::Host, Variable::Query].into_iter().find(|variable| template.names(*variable)) {
        let word = Variable::ALL.iter().find(|(_, known)| *known == variable).map_or("", |(word, _)| *word);
        s.fault("path", Fault::new(format!("a path may name {{path}} and {{rest}}, not {{{word}}}")));
        return None;
    }
    Some(template)
}

/// `{ to = "https://{host}{path}", status = 308 }`
pub(super) fn redirect(s: &mut Section<'_>, path: &PathMatch) -> Option<Redirect> {
    let to = template(s, "to", "\"https://{host}{path}\"", path);
    let status = s.choice("status", "308", &STATUSES, &[]);
    let to = to?;
    let text = s.given("to")?.node.text()?;
    let keep_query = !to.names(Variable::Query) && !text.contains('?');
    Some(Redirect { to, status: status?, keep_query })
}

const STATUSES: [(&str, u16); 5] = [("301", 301), ("302", 302), ("303", 303), ("307", 307), ("308", 308)];

fn template(s: &mut Section<'_>, key: &'static str, example: &str, path: &PathMatch) -> Option<Template> {
    let text: String = s.need(key, example)?;
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(message) => {
            s.fault(key, Fault::new(message));
            return None;
        }
    };
    if text.is_empty() || text.bytes().any(|b| b <= b' ' || b >= 0x7f || b == b'\\') {
        s.fault(key, Fault::new("a URI is not empty; spaces, backslashes and what is not ASCII are percent-encoded"));
        return None;
    }
    if template.names(Variable::Rest) && matches!(path, PathMatch::Pattern(_)) {
        let fault = Fault::new("{rest} is what follows the route's path prefix, and this route has a pattern");
        s.fault(key, fault.help("use {path}, or give the route a prefix"));
        return None;
    }
    Some(template)
}

/// `{ status = 200, body = "[]", content_type = "application/json" }`
pub(super) fn respond(s: &mut Section<'_>) -> Option<crate::model::FixedAnswer> {
    let status: Status = s.get("status", "200");
    let body = s.get("body", "");
    let content_type: String = s.get("content_type", "text/plain; charset=utf-8");
    if content_type.is_empty() || !content_type.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        s.fault("content_type", Fault::new("expected a media type, as in \"application/json\""));
        return None;
    }
    Some(crate::model::FixedAnswer { status: status.0, body, content_type })
}
