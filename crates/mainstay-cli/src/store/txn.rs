//! A transaction as text: three paragraphs, as `etcdctl txn` reads them.
//!
//! Comparisons, what is done if all hold, and what is done if not. A word with spaces stands in double quotes.

use std::path::Path;

use bytes::Bytes;
use mainstay_store::etcd::wire::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use mainstay_store::etcd::wire::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op, response_op,
};
use serde_json::json;

use super::connect::{Client, refused};
use super::show;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print;

pub(crate) async fn command(client: Client, file: Option<&Path>, as_json: bool) -> Outcome {
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(while_doing(format_args!("reading {}", path.display())))?,
        None => std::io::read_to_string(std::io::stdin()).map_err(while_doing("reading the transaction"))?,
    };
    let request = parse(&text).map_err(Trouble::wrong)?;
    let answer = client.keys().txn(request).await.map_err(|status| refused(&status))?.into_inner();
    let revision = answer.header.map_or(0, |header| header.revision);
    let (mut shown, mut lines) = (Vec::new(), Vec::new());
    for response in answer.responses {
        match response.response {
            Some(response_op::Response::ResponseRange(found)) => {
                for kv in &found.kvs {
                    lines.extend([show::text(&kv.key), show::text(&kv.value)]);
                }
                shown.push(json!({ "keys": found.kvs.iter().map(show::key).collect::<Vec<_>>() }));
            }
            Some(response_op::Response::ResponsePut(_)) => {
                lines.push("OK".to_owned());
                shown.push(json!({ "put": true }));
            }
            Some(response_op::Response::ResponseDeleteRange(deleted)) => {
                lines.push(deleted.deleted.to_string());
                shown.push(json!({ "deleted": deleted.deleted }));
            }
            _ => {}
        }
    }
    if as_json {
        return print::json(&json!({ "revision": revision, "succeeded": answer.succeeded, "responses": shown }));
    }
    print::result(if answer.succeeded { "SUCCESS" } else { "FAILURE" })?;
    lines.iter().try_for_each(print::result)
}

/// Reads a transaction.
fn parse(text: &str) -> Result<TxnRequest, String> {
    let mut paragraphs = [Vec::new(), Vec::new(), Vec::new()];
    let mut at = 0;
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            at += 1;
            continue;
        }
        let paragraph = paragraphs.get_mut(at).ok_or_else(|| {
            format!(
                "line {}: a fourth paragraph; there are three: comparisons, what is done if they hold, and if not",
                number + 1
            )
        })?;
        paragraph.push((number + 1, line.trim()));
    }
    let [compares, then, otherwise] = paragraphs;
    let placed = |number: usize| move |why: String| format!("line {number}: {why}");
    let ops = |lines: Vec<(usize, &str)>| -> Result<Vec<RequestOp>, String> {
        lines.into_iter().map(|(number, line)| op(line).map_err(placed(number))).collect()
    };
    let compare = compares.into_iter().map(|(number, line)| compare(line).map_err(placed(number)));
    Ok(TxnRequest { compare: compare.collect::<Result<_, _>>()?, success: ops(then)?, failure: ops(otherwise)? })
}

/// `mod("key") > "0"`
fn compare(line: &str) -> Result<Compare, String> {
    const FORM: &str = "a comparison looks like mod(\"key\") = \"0\"";
    let (what, rest) = line.split_once('(').ok_or(FORM)?;
    let (key, rest) = rest.rsplit_once(')').ok_or(FORM)?;
    let rest = rest.trim_start();
    let signs = [
        ("!=", CompareResult::NotEqual),
        ("=", CompareResult::Equal),
        ("<", CompareResult::Less),
        (">", CompareResult::Greater),
    ];
    let (sign, result) = signs.into_iter().find(|(sign, _)| rest.starts_with(sign)).ok_or(FORM)?;
    let (key, value) = (one_word(key)?, one_word(&rest[sign.len()..])?);
    let number =
        || value.parse::<i64>().map_err(|_| format!("{value:?} is no number, and {} compares numbers", what.trim()));
    let (target, target_union) = match what.trim() {
        "version" | "ver" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "create" | "c" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "mod" | "m" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(number()?)),
        "value" | "val" => (CompareTarget::Value, TargetUnion::Value(Bytes::from(value.clone()))),
        other => return Err(format!("{other:?} cannot be compared: version, create, mod, lease and value can")),
    };
    Ok(Compare {
        result: result as i32,
        target: target as i32,
        key: key.into(),
        target_union: Some(target_union),
        ..Compare::default()
    })
}

/// `put key value`, `get key [end]` or `del key [end]`
fn op(line: &str) -> Result<RequestOp, String> {
    let words = words(line)?;
    let text = |at: usize| Bytes::from(words.get(at).cloned().unwrap_or_default());
    let request = match (words.first().map_or("", String::as_str), words.len()) {
        ("put", 3) => {
            request_op::Request::RequestPut(PutRequest { key: text(1), value: text(2), ..PutRequest::default() })
        }
        ("get", 2 | 3) => request_op::Request::RequestRange(RangeRequest {
            key: text(1),
            range_end: text(2),
            ..RangeRequest::default()
        }),
        ("del" | "delete", 2 | 3) => request_op::Request::RequestDeleteRange(DeleteRangeRequest {
            key: text(1),
            range_end: text(2),
            ..DeleteRangeRequest::default()
        }),
        _ => return Err("one of: put KEY VALUE, get KEY [END], del KEY [END]".to_owned()),
    };
    Ok(RequestOp { request: Some(request) })
}

fn one_word(text: &str) -> Result<String, String> {
    match words(text)?.as_slice() {
        [word] => Ok(word.clone()),
        _ => Err(format!("one word is wanted in place of {:?}; put what has spaces into double quotes", text.trim())),
    }
}

/// The words of a line; one in double quotes may have spaces, and `\"` and `\\` in it are what they stand for.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut rest) = (Vec::new(), line.trim_start());
    while !rest.is_empty() {
        let mut word = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            rest = loop {
                match chars.next() {
                    None => return Err("a double quote is not closed".to_owned()),
                    Some((at, '"')) => break &quoted[at + 1..],
                    Some((_, '\\')) => word.push(chars.next().ok_or("a double quote is not closed")?.1),
                    Some((_, other)) => word.push(other),
                }
            };
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            word.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        words.push(word);
        rest = rest.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_paragraphs_are_a_transaction() {
        let text = "mod(\"job\") = \"0\"\nvalue(owner) != \"n 1\"\n\nput job \"is \\\"on\\\"\"\nget owner\n\ndel a b\n";
        let txn = parse(text).unwrap();
        assert_eq!((txn.compare.len(), txn.success.len(), txn.failure.len()), (2, 2, 1));
        assert_eq!(txn.compare[1].target_union, Some(TargetUnion::Value("n 1".into())));
        let Some(request_op::Request::RequestPut(put)) = &txn.success[0].request else { panic!("a put") };
        assert_eq!(put.value, "is \"on\"");
        assert_eq!(parse("\n\nput a b").unwrap().failure.len(), 1, "a paragraph may be empty");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            ("mod(a) = b", "line 1: \"b\" is no number"),
            ("size(a) = 1", "line 1: \"size\" cannot be compared"),
            ("mod a = 1", "line 1: a comparison looks like"),
            ("\nput a", "line 2: one of: put KEY VALUE"),
            ("\nput a \"b", "line 2: a double quote is not closed"),
            ("\n\n\nget a", "line 4: a fourth paragraph"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.starts_with(told), "{text:?}: {why}");
        }
    }
}
