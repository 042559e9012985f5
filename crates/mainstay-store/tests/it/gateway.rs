//! The same in JSON, and the pages beside it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, http, store};

/// An answer without what differs from store to store.
fn plain((code, mut answer): (u16, Value)) -> (u16, Value) {
    if let Some(header) = answer.get_mut("header").and_then(Value::as_object_mut) {
        for id in ["cluster_id", "member_id", "raft_term"] {
            assert!(header.remove(id).is_some_and(|id| id.is_string()), "{id}");
        }
    }
    (code, answer)
}

#[tokio::test]
async fn numbers_are_strings_bytes_are_base64_and_what_is_nothing_is_left_out() {
    let store = store().await;
    let put = plain(store.post("/v3/kv/put", r#"{"key": "Zm9v", "value": "YmFy"}"#).await);
    assert_eq!(put, (200, json!({ "header": { "revision": "2" } })));
    let found = plain(store.post("/v3/kv/range", r#"{"key": "Zm9v"}"#).await);
    let kv = json!({
        "key": "Zm9v", "create_revision": "2", "mod_revision": "2", "version": "1", "value": "YmFy"
    });
    let expected = (200, json!({ "header": { "revision": "2" }, "kvs": [kv], "count": "1" }));
    assert_eq!(found, expected);
    assert_eq!(plain(store.post("/v3beta/kv/range", r#"{"key": "Zm9v"}"#).await), expected);
}

#[tokio::test]
async fn fields_have_two_names_numbers_two_forms_words_too_and_the_unknown_is_passed_over() {
    let store = store().await;
    store.put("foo", "bar").await;
    store.put("fop", "bar").await;
    for request in [
        r#"{"key": "Zm9v", "range_end": "Zm9x", "limit": "1", "sort_order": "DESCEND", "sort_target": "KEY"}"#,
        r#"{"key": "Zm9v", "rangeEnd": "Zm9x", "limit": 1, "sortOrder": 2, "sortTarget": 0, "nobody": {"knows": 1}}"#,
    ] {
        let (code, found) = store.post("/v3/kv/range", request).await;
        assert_eq!((code, &found["kvs"][0]["key"], &found["more"]), (200, &json!("Zm9w"), &json!(true)), "{request}");
    }
    let nested = r#"{"compare": [{"key": "Zm9v", "target": "VALUE", "result": "EQUAL", "value": "bm8=", "x": 1}],
        "failure": [{"requestTxn": {"success": [{"request_range": {"key": "Zm9v", "y": 2}}]}}]}"#;
    let (code, done) = store.post("/v3/kv/txn", nested).await;
    assert_eq!(code, 200);
    let inner = &done["responses"][0]["response_txn"];
    assert_eq!((&inner["succeeded"], &inner["responses"][0]["response_range"]["count"]), (&json!(true), &json!("1")));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_text_and_its_code() {
    let store = store().await;
    let told = |text: &str, code: u16| json!({ "error": text, "message": text, "code": code });
    let of = async |path: &str, body: &str| store.post(path, body).await;
    let no_key = "etcdserver: key is not provided";
    assert_eq!(of("/v3/kv/range", "{}").await, (400, told(no_key, 3)));
    assert_eq!(of("/v3/kv/range", "").await, (400, told(no_key, 3)));
    let future = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(of("/v3/kv/range", r#"{"key": "YQ==", "revision": 9}"#).await, (400, told(future, 11)));
    let no_lease = "etcdserver: requested lease not found";
    assert_eq!(of("/v3/lease/revoke", r#"{"ID": "404"}"#).await, (404, told(no_lease, 5)));
    for wrong in ["{", "[]", "7", r#"{"key": "***"}"#, r#"{"key": "YQ==", "sort_order": "NOPE"}"#] {
        let (code, answer) = of("/v3/kv/range", wrong).await;
        assert_eq!((code, &answer["code"]), (400, &json!(3)), "{wrong}: {answer}");
    }
    let (code, answer) = of("/v3/auth/authenticate", r#"{"name": "a", "password": "b"}"#).await;
    assert_eq!((code, &answer["code"]), (501, &json!(12)));
    assert_eq!(of("/v3/kv/nope", "{}").await.0, 404);
    assert_eq!(of("/v3alpha/kv/range", "{}").await.0, 404);
    assert_eq!(http(store.address, "GET", "/v3/kv/range", "").await.0, 405);
}

/// Opens a stream of lines, and reads so many of them.
async fn lines(store: &crate::support::Store, path: &str, body: &str, many: usize) -> Vec<Value> {
    let mut stream = TcpStream::connect(store.address).await.unwrap();
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nhost: store\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = BufReader::new(stream).lines();
    let mut told = Vec::new();
    let reading = async {
        while told.len() < many {
            let line = read.next_line().await.unwrap().unwrap();
            told.extend(serde_json::from_str::<Value>(&line).ok().filter(Value::is_object));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    told
}

#[tokio::test]
async fn a_watch_is_a_line_for_each_answer() {
    let store = store().await;
    store.put("foo", "1").await;
    store.put("foo", "2").await;
    let create = r#"{"create_request": {"key": "Zm9v", "start_revision": "2"}}"#;
    let told = lines(&store, "/v3/watch", create, 2).await;
    assert_eq!(told[0]["result"]["created"], json!(true));
    let events = told[1]["result"]["events"].as_array().unwrap();
    let values: Vec<&Value> = events.iter().map(|event| &event["kv"]["value"]).collect();
    assert_eq!(values, [&json!("MQ=="), &json!("Mg==")]);
    assert!(events.iter().all(|event| event.get("type").is_none()), "a put is the kind that is left out");
}

#[tokio::test]
async fn a_lease_is_granted_and_kept_alive_in_json() {
    let store = store().await;
    let (_, granted) = store.post("/v3/lease/grant", r#"{"TTL": "60", "ID": "7"}"#).await;
    assert_eq!((&granted["ID"], &granted["TTL"]), (&json!("7"), &json!("60")));
    let told = lines(&store, "/v3/lease/keepalive", r#"{"ID": "7"}{"ID": 404}"#, 2).await;
    assert_eq!((&told[0]["result"]["ID"], &told[0]["result"]["TTL"]), (&json!("7"), &json!("60")));
    assert_eq!((&told[1]["result"]["ID"], &told[1]["result"].get("TTL")), (&json!("404"), &None));
}

#[tokio::test]
async fn the_pages_tell_the_version_and_how_the_member_is() {
    let store = store().await;
    let of = async |path: &str| http(store.address, "GET", path, "").await;
    let (code, version) = of("/version").await;
    let version: Value = serde_json::from_str(&version).unwrap();
    assert_eq!((code, &version["etcdcluster"]), (200, &json!("3.5.0")));
    assert_eq!(version["etcdserver"], json!(mainstay_store::etcd::VERSION));
    assert_eq!(of("/health").await, (200, r#"{"health":"true","reason":""}"#.to_owned()));
    assert_eq!(of("/health?serializable=true").await.0, 200);
    assert_eq!(of("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(of("/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(of("/").await.0, 404);
    assert_eq!(http(store.address, "POST", "/version", "").await.0, 405);
}

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_of_etcd_know() {
    let store = store().await;
    store.put("a", "1").await;
    store.post("/v3/kv/range", "{}").await;
    let (code, text) = http(store.address, "GET", "/metrics", "").await;
    assert_eq!(code, 200);
    for line in [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader ",
        "etcd_server_proposals_committed_total ",
        "etcd_server_proposals_pending 0",
        "etcd_server_proposals_failed_total 0",
        "etcd_server_leader_changes_seen_total 1",
        "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} ",
        "etcd_disk_wal_fsync_duration_seconds_count ",
        "etcd_mvcc_db_total_size_in_bytes ",
        "etcd_mvcc_db_total_size_in_use_in_bytes ",
        "grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1",
        "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\"",
        "grpc_server_handled_total{grpc_code=\"InvalidArgument\",grpc_method=\"Range\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let once: BTreeSet<&&str> = types.iter().collect();
    assert_eq!(once.len(), types.len(), "a name is described once");
}

#[tokio::test]
async fn whoever_speaks_neither_protocol_is_answered_or_left_and_the_rest_is_served() {
    let store = store().await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"PRI nonsense\r\n\r\n", b"\0\0\0\0"] {
        let mut stream = TcpStream::connect(store.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        drop(read);
    }
    assert_eq!(store.put("a", "1").await, 2);
}
