//! How keys and events look.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mainstay_store::etcd::wire::mvccpb::KeyValue;
use serde_json::{Value, json};

/// Bytes as text; what is no text stands in base64 as `{ "base64": … }`.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

/// A key and all that is known of it.
pub(crate) fn key(kv: &KeyValue) -> Value {
    let mut shown = json!({
        "key": bytes(&kv.key),
        "value": bytes(&kv.value),
        "created": kv.create_revision,
        "modified": kv.mod_revision,
        "version": kv.version,
    });
    if kv.lease != 0 {
        shown["lease"] = json!(lease(kv.lease));
    }
    shown
}

/// The number of a lease.
pub(crate) fn lease(id: i64) -> String {
    format!("{:x}", id.cast_unsigned())
}

/// Bytes for a terminal: what is no text is escaped.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}
