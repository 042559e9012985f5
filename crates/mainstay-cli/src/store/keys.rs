//! Keys: read, set, deleted, watched.

use std::io::Read;

use bytes::Bytes;
use mainstay_store::etcd::prefix_end;
use mainstay_store::etcd::wire::etcdserverpb::watch_request::RequestUnion;
use mainstay_store::etcd::wire::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use mainstay_store::etcd::wire::mvccpb::{KeyValue, event::EventType};
use serde_json::json;

use super::args::{DeleteArgs, GetArgs, KeysArgs, PutArgs, WatchArgs};
use super::connect::{Client, refused};
use super::show;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print;

/// etcd's `key` and `range_end`.
fn span(keys: &KeysArgs) -> (Bytes, Bytes) {
    let key = Bytes::copy_from_slice(keys.key.as_bytes());
    let all = Bytes::from_static(&[0]);
    let end = match &keys.end {
        Some(end) => Bytes::copy_from_slice(end.as_bytes()),
        None if keys.from_key => all.clone(),
        None if keys.prefix => prefix_end(&key),
        None => Bytes::new(),
    };
    // An empty key names nothing; with all that follow it, it means every key.
    if key.is_empty() && !end.is_empty() { (all.clone(), all) } else { (key, end) }
}

pub(crate) async fn get(client: Client, args: &GetArgs, as_json: bool) -> Outcome {
    let (key, range_end) = span(&args.keys);
    let request = RangeRequest {
        key,
        range_end,
        limit: args.limit,
        revision: args.revision,
        serializable: args.serializable,
        keys_only: args.keys_only,
        count_only: args.count,
        ..RangeRequest::default()
    };
    let answer = client.keys().range(request).await.map_err(|status| refused(&status))?.into_inner();
    if as_json {
        let keys: Vec<_> = answer.kvs.iter().map(show::key).collect();
        let revision = answer.header.map(|header| header.revision);
        return print::json(&json!({ "revision": revision, "count": answer.count, "more": answer.more, "keys": keys }));
    }
    if args.count {
        return print::result(answer.count);
    }
    for kv in &answer.kvs {
        if !args.value_only {
            print::result(show::text(&kv.key))?;
        }
        if !args.keys_only {
            print::result(show::text(&kv.value))?;
        }
    }
    if answer.kvs.is_empty() {
        return Err(Trouble::silent(1));
    }
    Ok(())
}

pub(crate) async fn put(client: Client, args: &PutArgs, as_json: bool) -> Outcome {
    let value = if args.value == "-" {
        let mut value = Vec::new();
        std::io::stdin().lock().read_to_end(&mut value).map_err(while_doing("reading the value"))?;
        Bytes::from(value)
    } else {
        Bytes::copy_from_slice(args.value.as_bytes())
    };
    let request = PutRequest {
        key: Bytes::copy_from_slice(args.key.as_bytes()),
        value,
        lease: args.lease,
        prev_kv: args.previous,
        ..PutRequest::default()
    };
    let answer = client.keys().put(request).await.map_err(|status| refused(&status))?.into_inner();
    let revision = answer.header.map_or(0, |header| header.revision);
    if as_json {
        return print::json(&json!({ "revision": revision, "previous": answer.prev_kv.as_ref().map(show::key) }));
    }
    print::result(format_args!("revision {revision}"))?;
    answer.prev_kv.iter().try_for_each(pair)
}

pub(crate) async fn delete(client: Client, args: &DeleteArgs, as_json: bool) -> Outcome {
    let (key, range_end) = span(&args.keys);
    let request = DeleteRangeRequest { key, range_end, prev_kv: args.previous };
    let answer = client.keys().delete_range(request).await.map_err(|status| refused(&status))?.into_inner();
    let revision = answer.header.map_or(0, |header| header.revision);
    if as_json {
        let previous: Vec<_> = answer.prev_kvs.iter().map(show::key).collect();
        return print::json(&json!({ "revision": revision, "deleted": answer.deleted, "previous": previous }));
    }
    print::result(format_args!("{} deleted", answer.deleted))?;
    answer.prev_kvs.iter().try_for_each(pair)
}

fn pair(kv: &KeyValue) -> Outcome {
    print::result(show::text(&kv.key))?;
    print::result(show::text(&kv.value))
}

pub(crate) async fn compact(client: Client, revision: i64, as_json: bool) -> Outcome {
    let request = CompactionRequest { revision, physical: false };
    client.keys().compact(request).await.map_err(|status| refused(&status))?;
    if as_json {
        return print::json(&json!({ "compacted": revision }));
    }
    print::result(format_args!("compacted: the oldest revision is {revision}"))
}

pub(crate) async fn watch(client: Client, args: &WatchArgs, as_json: bool) -> Outcome {
    let (key, range_end) = span(&args.keys);
    let create = WatchCreateRequest {
        key,
        range_end,
        start_revision: args.revision,
        prev_kv: args.previous,
        ..WatchCreateRequest::default()
    };
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    ask.send(request).await.map_err(while_doing("watching"))?;
    let asked = futures_util::stream::unfold(asked, |mut asked| async { Some((asked.recv().await?, asked)) });
    let mut seen = client.watches().watch(asked).await.map_err(|status| refused(&status))?.into_inner();
    let mut left = args.events.unwrap_or(u64::MAX);
    while let Some(answer) = seen.message().await.map_err(|status| refused(&status))? {
        if answer.canceled {
            let why = match answer.compact_revision {
                0 => answer.cancel_reason,
                oldest => format!(
                    "what happened before revision {oldest} is no longer remembered: watch from there (--revision)"
                ),
            };
            return Err(Trouble::failed(why));
        }
        for event in answer.events {
            let deleted = event.r#type == EventType::Delete as i32;
            let kv = event.kv.unwrap_or_default();
            if as_json {
                let previous = event.prev_kv.as_ref().map(show::key);
                let shown = json!({
                    "event": if deleted { "delete" } else { "put" },
                    "key": show::key(&kv),
                    "previous": previous,
                });
                print::result(shown)?;
            } else {
                print::result(if deleted { "DELETE" } else { "PUT" })?;
                event.prev_kv.iter().try_for_each(pair)?;
                pair(&kv)?;
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
    drop(ask);
    Err(Trouble::failed("the store has ended the watch"))
}
