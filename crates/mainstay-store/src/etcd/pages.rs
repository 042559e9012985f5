//! What is asked by plain HTTP: the version, whether the member is well, and its metrics.

use http::{Method, Response, StatusCode, Uri, header};
use tonic::body::Body;

use super::VERSION;
use super::count::head;
use super::face::Face;
use crate::raft::Flushes;

pub(crate) fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

pub(crate) const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

pub(crate) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n".to_owned())
}

pub(crate) fn not_allowed() -> Response<Body> {
    text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "Method Not Allowed\n".to_owned())
}

/// Answers a page.
pub(crate) async fn answer(face: &Face, method: &Method, uri: &Uri) -> Response<Body> {
    let path = uri.path();
    if !matches!(path, "/version" | "/health" | "/livez" | "/readyz" | "/metrics") {
        return not_found();
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return not_allowed();
    }
    let query = uri.query().unwrap_or_default();
    match path {
        "/version" => {
            let cluster = VERSION.rsplit_once('.').map_or(VERSION, |(cluster, _)| cluster);
            let version = format!("{{\"etcdserver\":\"{VERSION}\",\"etcdcluster\":\"{cluster}.0\"}}");
            text(StatusCode::OK, JSON, version)
        }
        "/health" => health(face, query).await,
        "/livez" => text(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/readyz" => match unwell(face, false, true).await {
            None => text(StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics(face)),
    }
}

/// Why the member cannot do what clients want of it. A member without a leader can still be read from, if that is all
/// that is wanted.
async fn unwell(face: &Face, serializable: bool, full_is_well: bool) -> Option<String> {
    if face.engine.is_removed() {
        return Some("REMOVED".to_owned());
    }
    let status = face.engine.status();
    if status.no_space && !full_is_well {
        return Some("ALARM NOSPACE".to_owned());
    }
    if serializable {
        return None;
    }
    if status.leader == 0 {
        return Some("RAFT NO LEADER".to_owned());
    }
    face.engine.confirm().await.err().map(|why| format!("QGET ERROR: {why}"))
}

async fn health(face: &Face, query: &str) -> Response<Body> {
    let has = |wanted: &str| query.split('&').any(|part| part == wanted);
    let reason = unwell(face, has("serializable=true"), has("exclude=NOSPACE")).await;
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = serde_json::json!({ "health": reason.is_none().to_string(), "reason": reason.unwrap_or_default() });
    text(status, JSON, health.to_string())
}

/// Metrics by the names that etcd's dashboards and alerts know.
fn metrics(face: &Face) -> String {
    let status = face.engine.status();
    let me = face.engine.header().member;
    let mut out = String::new();
    let mut put = |name: &str, kind: &str, help: &str, value: u64| {
        head(&mut out, name, kind, help);
        out += &format!("{name} {value}\n");
    };
    put("etcd_server_has_leader", "gauge", "Whether somebody leads.", u64::from(status.leader != 0));
    let leads = status.leader != 0 && status.leader == me;
    put("etcd_server_is_leader", "gauge", "Whether this member leads.", u64::from(leads));
    put("etcd_server_is_learner", "gauge", "Whether this member learns.", u64::from(status.learner));
    put(
        "etcd_server_proposals_committed_total",
        "counter",
        "The last entry of the log that a majority has.",
        status.committed,
    );
    put(
        "etcd_server_proposals_applied_total",
        "counter",
        "The last entry of the log that was carried out.",
        status.applied,
    );
    put("etcd_server_proposals_pending", "gauge", "Commands whose outcome is not known yet.", status.pending);
    put(
        "etcd_server_proposals_failed_total",
        "counter",
        "Commands that were refused, or of which nobody knows the outcome.",
        status.failed,
    );
    put("etcd_server_leader_changes_seen_total", "counter", "How often another member came to lead.", status.leaders);
    put("etcd_mvcc_db_total_size_in_bytes", "gauge", "What log and snapshots take on disk.", status.disk);
    put("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", "What the data takes: what the quota counts.", status.data);
    put("mainstay_store_term", "gauge", "The term.", status.term);
    put(
        "mainstay_store_no_space",
        "gauge",
        "Whether the quota is reached or the disk is nearly full.",
        u64::from(status.no_space),
    );
    let revision = u64::try_from(face.engine.header().revision).unwrap_or_default();
    put("mainstay_store_revision", "gauge", "The revision that the data stands at.", revision);
    head(&mut out, "etcd_server_version", "gauge", "The version of etcd that this is taken for.");
    out += &format!("etcd_server_version{{server_version=\"{VERSION}\"}} 1\n");
    for name in ["etcd_disk_wal_fsync_duration_seconds", "mainstay_store_flush_seconds"] {
        write_flushes(&mut out, name, &face.engine.flushes());
    }
    face.counts.write(&mut out);
    out
}

fn write_flushes(out: &mut String, name: &str, flushes: &Flushes) {
    head(out, name, "histogram", "How long flushes of the log took.");
    for (bound, count) in flushes.up_to() {
        *out += &format!("{name}_bucket{{le=\"{}\"}} {count}\n", bound.as_secs_f64());
    }
    *out += &format!("{name}_bucket{{le=\"+Inf\"}} {}\n", flushes.count);
    *out += &format!("{name}_sum {}\n{name}_count {}\n", flushes.total.as_secs_f64(), flushes.count);
}
