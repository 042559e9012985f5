//! Which fields of a request say who asks, or prove it.
//!
//! Beside `Authorization` and `Cookie` services have names of their own (`X-Api-Key`, `X-Auth-Token`, `X-User`, …), and a
//! gateway that keeps answers must not give one caller's to another because it does not know them. So a name that holds
//! one of the usual words counts; one too many costs an answer that is not kept.

use mainstay_http1::{FieldsView, Known};

/// Words in the names of fields that tell of a caller.
const WORDS: [&[u8]; 9] =
    [b"auth", b"key", b"token", b"secret", b"session", b"user", b"account", b"tenant", b"identity"];

/// The fields that say who asks, name and value, in the order of arrival.
pub(crate) fn credentials<'a>(fields: FieldsView<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.iter().filter(|field| tells_of_a_caller(field.known, field.name)).map(|field| (field.name, field.value))
}

fn tells_of_a_caller(known: Known, name: &[u8]) -> bool {
    let holds = |word: &&[u8]| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    match known {
        Known::Authorization | Known::ProxyAuthorization | Known::Cookie => true,
        Known::Other => !is_browsers_own(name) && WORDS.iter().any(holds),
        _ => false,
    }
}

/// `Sec-Fetch-User` and its kind, which only a browser can set, tell of no caller.
fn is_browsers_own(name: &[u8]) -> bool {
    name.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"sec-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_services_count_and_those_of_browsers_do_not() {
        let tells = |name: &[u8]| tells_of_a_caller(Known::of(name), name);
        for name in ["Authorization", "cookie", "X-Api-Key", "apikey", "X-AUTH-TOKEN", "x-user-id", "X-Tenant"] {
            assert!(tells(name.as_bytes()), "{name}");
        }
        for name in ["user-agent", "idempotency-key", "accept", "x-request-id", "sec-fetch-user", "referer", "x-trace"]
        {
            assert!(!tells(name.as_bytes()), "{name}");
        }
    }
}
